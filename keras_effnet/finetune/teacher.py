"""Distillation: a trained network says what it sees on each training image, and a smaller one learns that as well.

Hinton et al. 2015, arXiv:1503.02531. Teacher and student see the same crop of the same image, as Beyer et al. 2022
(arXiv:2106.05237) found to matter most.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.errors import TrainingError
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.inheritance.scaled_model import load_model


class Teacher:
    """A trained classifier that gives labels to images.

    Args:
        path: path of the model: one built here that knows the names of its classes.
        class_names: names of the classes to learn, in order.

    Raises:
        BuildError, InheritanceError, WeightsError: the file is no such model.
        TrainingError: it knows other classes, or returns no probabilities.
    """

    def __init__(self, path: str, class_names: tuple[str, ...]) -> None:
        model = load_model(path)
        known = read_embedded_spec(model).class_names
        if known is None or sorted(known) != sorted(class_names):
            raise TrainingError(
                "a teacher must know the classes that are to be learned, by their names, and no others: take one that "
                "was fine-tuned on the same classes.",
                received=f"teacher={path!r} with the classes {', '.join(known or ('unnamed',)):.200}",
            )
        self._model = take_raw_pixels(model)
        self._order = [known.index(name) for name in class_names]
        height, width = model.input_shape[1:3]
        fixed = height is not None and width is not None
        self._resize = keras.layers.Resizing(height, width, data_format="channels_last") if fixed else None

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """What the teacher sees.

        Args:
            images: float32 array of shape `(n, height, width, channels)`, values 0..255.

        Returns:
            float32 array of shape `(n, classes)`, each row of which sums to 1.
        """
        if self._resize is not None:
            images = np.asarray(keras.ops.convert_to_numpy(self._resize(images)))
        return np.asarray(self._model.predict_on_batch(images), np.float32)[:, self._order]


class TaughtBatches(keras.utils.PyDataset):
    """Batches whose labels are partly the teacher's.

    Args:
        batches: batches of images, as `train` takes them.
        teacher: the teacher.
        share: share of its probabilities in each label, in [0, 1]; the rest are the true ones.
    """

    def __init__(self, batches: Any, teacher: Teacher, share: float) -> None:
        super().__init__()
        self._batches, self._teacher, self._share = batches, teacher, share
        self.batch_size: int = batches.batch_size

    @property
    def epoch(self) -> int:
        """Number of the epoch, settable as that of the batches."""
        return self._batches.epoch

    @epoch.setter
    def epoch(self, number: int) -> None:
        self._batches.epoch = number

    @property
    def failure(self) -> Exception | None:
        """The error raised when an image could not be read, or None."""
        return self._batches.failure

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, step: int) -> tuple[np.ndarray, ...]:
        images, labels, *weights = self._batches[step]
        taught = (1 - self._share) * labels + self._share * self._teacher.probabilities(images)
        return images, taught, *weights
