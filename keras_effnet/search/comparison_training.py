"""How a comparison trains one network: as a search's short training, with the learning rate of the trial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import ClassVar

import numpy as np

from keras_effnet.data.sets import DataSplits
from keras_effnet.errors import DataError, SearchError
from keras_effnet.search.candidates import Record
from keras_effnet.search.proxy_training import ProxyTraining, load_splits
from keras_effnet.search.task import Task


@dataclass(frozen=True)
class ComparisonTraining(Record):
    """Training from scratch as `ProxyTraining` does it, with the learning rate that the trial has chosen.

    The learning rate falls to zero over the steps of the task, so that each network has a whole schedule.

    Args:
        data: images, as `load_data` takes them.
        batch_size: number of images per step, at least 1.
        validation: fraction of the training images to validate on, in (0, 0.9]; unused if the data holds some out.
        content: digest of the images, as `data_digest` returns it; empty for any images.
    """

    kind: ClassVar[str] = "comparison_training"

    data: str
    batch_size: int = 32
    validation: float = 0.25
    content: str = ""

    def __call__(self, task: Task) -> float:
        """Trains a candidate. Notes "test_accuracy" if the data has test images.

        Args:
            task: the candidate, whose choice "rate" is the largest learning rate, its steps, and its folder.

        Returns:
            The accuracy on the validation images, from 0 to 1.

        Raises:
            SearchError: the images are not those that the comparison began with.
            TrainingError: the loss is no longer a number.
        """
        if self.content and data_digest(self.data, self.validation) != self.content:
            raise SearchError(
                "the images are not those that the comparison began with; start it again in another folder.",
                received=repr(self.data),
            )
        rate = float(task.candidate.choices["rate"])
        return ProxyTraining(self.data, task.steps, self.batch_size, rate, self.validation)(task)

    @property
    def classes(self) -> int:
        """Number of classes of the data, which is loaded for it."""
        return len(load_splits(self.data, self.validation).train.class_names)

    @property
    def validation_images(self) -> int:
        """Number of images that learning rates are chosen by; the data is loaded for it."""
        return len(load_splits(self.data, self.validation).validation)


@lru_cache(maxsize=1)
def data_digest(data: str, validation: float) -> str:
    """A digest of the images of all splits: equal for the same images and labels, whatever the data is called."""
    splits = load_splits(data, validation)
    parts = [splits.train, splits.validation, splits.test]
    told = [None if part is None else part.fingerprint() for part in parts]
    return sha256(repr(told).encode()).hexdigest()[:16]


def check_splits(splits: DataSplits, batch_size: int) -> None:
    """Checks that networks can be compared on some data.

    Args:
        splits: the data.
        batch_size: number of images per step.

    Raises:
        DataError: there are fewer training images than a batch, or some class has no image to be measured by.
    """
    if len(splits.train) < batch_size:
        raise DataError(
            "there are fewer training images than a batch has: add images, or lower the batch size.",
            received=f"{len(splits.train)} training images of {splits.name!r}, {batch_size=}",
        )
    measured = splits.validation if splits.test is None else splits.test
    for part, what in ((splits.train, "train on"), (measured, "measure by")):
        names = [splits.train.class_names[number] for number in np.flatnonzero(part.images_per_class == 0)]
        if names:
            raise DataError(
                f"the data is too small for the split: some classes have no image to {what}. Add images of them, or "
                "hold out another share (validation).",
                received=f"{splits.name!r}, no image of {', '.join(names)}",
            )
