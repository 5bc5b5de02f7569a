"""The classifier that `predict` and `evaluate` use, and what they do with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.cli.printer import print_result
from keras_effnet.errors import DataError
from keras_effnet.messages import progress_bar
from keras_effnet.resolution import Resize, Resolution
from keras_effnet.vision_tasks import VisionTask

if TYPE_CHECKING:
    import numpy as np

    from keras_effnet.data.batches import Batches
    from keras_effnet.data.source import Source
    from keras_effnet.training.evaluation import Predicting


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model that maps pixels from 0 to 255 to class probabilities, to those of labels, or to numbers.

    Attributes:
        model: the model.
        class_names: name of each class, label or number, in the order of the outputs; numbers if they are unknown.
        named: whether the names are known.
        resolution: side of the input images in pixels, or (height, width).
        channels: number of channels of the input images, at least 1.
        resize: how images of other proportions are brought to that size, as in `Batches`.
        bits: number of bits that images of 16 bits use; None if it is unknown.
        task: what the outputs are: "classification", "multilabel" or "regression".
        thresholds: probability from which an image has each label, of a multilabel model.
    """

    model: Predicting
    class_names: tuple[str, ...]
    named: bool
    resolution: Resolution
    channels: int
    resize: Resize = "stretch"
    bits: int | None = None
    task: VisionTask = "classification"
    thresholds: tuple[float, ...] = ()


def predict_source(classifier: Predictor, source: Source, arguments: argparse.Namespace, title: str) -> np.ndarray:
    """Predicts all images of a source, with a progress bar on standard error.

    Args:
        classifier: the model.
        source: the images.
        arguments: the parsed arguments of `add_model_arguments`.
        title: label of the progress bar.

    Returns:
        float32 array of shape `(images, classes)`.

    Raises:
        DataError: a value outside its range, or an image that cannot be read.
    """
    from keras_effnet.training.calibration import with_temperature
    from keras_effnet.training.evaluation import Mirrored, predict_all

    if arguments.temperature != 1 and classifier.task != "classification":
        raise DataError(
            "a temperature is for the probabilities of classes; leave it out.",
            received=f"--temperature={arguments.temperature} for the task {classifier.task!r}",
        )
    batches = batches_of(classifier, source, arguments, padded=True)
    with progress_bar(total=len(batches), desc=title, unit="batch") as progress:
        model = Mirrored(classifier.model) if arguments.mirror else classifier.model
        found = predict_all(model, _Watched(batches, progress.update))
    return found if arguments.temperature == 1 else with_temperature(found, arguments.temperature)


def batches_of(classifier: Predictor, source: Source, arguments: argparse.Namespace, *, padded: bool) -> Batches:
    """Images as a model gets them, in order.

    Args:
        classifier: the model.
        source: the images.
        arguments: the parsed arguments of `add_model_arguments`.
        padded: whether the last batch is as large as the others.
    """
    from keras_effnet.data.batches import Batches

    return Batches(
        source,
        resolution=classifier.resolution,
        channels=classifier.channels,
        batch_size=min(arguments.batch_size, max(len(source), 1)),
        padded=padded,
        center_crop=arguments.center_crop,
        resize=classifier.resize,
    )


def class_numbers(classifier: Predictor, data_names: tuple[str, ...]) -> np.ndarray:
    """The model's class number for each class of some data.

    Args:
        classifier: the model.
        data_names: names of the data's classes.

    Returns:
        int array with a number for each class: by name if the model has names, else by order.

    Raises:
        DataError: the model lacks a class, or its number of classes differs and it has no names.
    """
    import numpy as np

    own = classifier.class_names
    if not classifier.named:
        if len(data_names) != len(own):
            raise DataError(
                f"the model's file has no class names, so the data must have the same {len(own)} classes in the same "
                "order; otherwise give the names with `--classes`.",
                received=f"{len(data_names)} classes",
            )
        return np.arange(len(own))
    strange = [name for name in data_names if name not in own]
    if strange:
        raise DataError(
            f"each class of the data must be one of the model's: {', '.join(own):.300}.",
            received=f"{', '.join(strange):.300}",
        )
    return np.array([own.index(name) for name in data_names])


def show(text: str, output: Path | None) -> None:
    """Writes a result to a file, completely or not at all, or to standard output.

    Args:
        text: the result.
        output: the file to write; None writes to standard output.

    Raises:
        DataError: the file cannot be written.
    """
    if output is None:
        print_result(text)
        return
    from keras_effnet.atomic import atomic_write

    # A file's name need not be text at all.
    atomic_write(output, lambda path: path.write_text(text, encoding="utf-8", errors="backslashreplace"))


class _Watched:
    """Batches that report each time one was read."""

    def __init__(self, batches: Any, seen: Callable[[], Any]) -> None:
        self._batches, self._seen = batches, seen

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Any:
        batch = self._batches[number]
        self._seen()
        return batch
