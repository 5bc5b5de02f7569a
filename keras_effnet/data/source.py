"""The interface of all data: labelled images that can be read one by one, in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_effnet.vision_tasks import VisionTask


class Skipped(NamedTuple):
    """An image that was left out.

    Args:
        name: path, or name in an archive, of the image.
        reason: why it cannot be read.

    Example:
        >>> print(Skipped("a/1.png", "no image"))
        a/1.png (no image)
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


class Source(ABC):
    """Labelled images, each of which is read on demand.

    Attributes:
        labels: int32 array of shape `(n,)`, values in `0..len(class_names) - 1`; for other tasks than classification
            float32 array of shape `(n, len(class_names))`: 1 for each label that an image has and 0 for the others, or
            its numbers.
        class_names: name of each class, label or number, in the order of the network's outputs.
        task: what the labels are: "classification", "multilabel" or "regression".
        skipped: the images that were left out, with the reasons.
        groups: name of the group of each image; groups are held out whole. None if there are none.
        channels: number of channels of the images that are read: 3 (RGB), or that of all their bands.
        bits: number of bits that images of 16 bits were found to use; None if there are none, or if it is unknown.
        endless: whether there are images of any larger index, too, which `read` and `targets` take: each shuffle of
            `Batches` then shows others. What is held out, folded or limited is not, and balanced batches draw from the
            first `len` alone.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    task: VisionTask = "classification"
    skipped: tuple[Skipped, ...] = ()
    groups: tuple[str, ...] | None = None
    channels: int = 3
    bits: int | None = None
    endless: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        """What a network is to say of some images: float32 array of shape `(images, len(class_names))`."""
        labels = self.labels[indices]
        return np.eye(len(self.class_names), dtype=np.float32)[labels] if self.task == "classification" else labels

    @property
    def images_per_class(self) -> np.ndarray:
        """Number of images of each class, or with each label; all have each number. Shape `(len(class_names),)`."""
        if self.task == "classification":
            return np.bincount(self.labels, minlength=len(self.class_names))
        if self.task == "multilabel":
            return self.labels.sum(axis=0, dtype=np.int64)
        return np.full(len(self.class_names), len(self))

    @property
    def strata(self) -> np.ndarray:
        """Kinds of images, each of which is split by the same shares: int array of shape `(n,)`.

        They are the classes; of several labels the rarest that an image has, and one kind for all without a label.
        Numbers make no kinds.
        """
        if self.task == "classification":
            return self.labels
        if self.task == "regression":
            return np.zeros(len(self), np.int32)
        rarity = np.where(self.labels > 0, self.labels.sum(axis=0), np.inf)
        return np.where(np.isfinite(rarity).any(axis=1), rarity.argmin(axis=1), len(self.class_names))

    @abstractmethod
    def read(self, index: int, size: int | None = None) -> np.ndarray:
        """Reads an image: as RGB, unless `channels` says otherwise.

        Args:
            index: number of the image, in `0..len(self) - 1`.
            size: number of pixels that the shorter side needs at least; a decoder may then return a reduced image,
                which is faster. None reads the image at full size. Default: None.

        Returns:
            uint8 array of shape `(height, width, channels)`, values 0..255, upright.

        Raises:
            DataError: the image cannot be read, or no longer can.
        """

    @abstractmethod
    def name_of(self, index: int) -> str:
        """The name by which a user knows image `index`: its path, or its set and its number there."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A key for caches: equal for the same images and labels, different for others."""

    @abstractmethod
    def take(self, indices: Sequence[int] | np.ndarray) -> Source:
        """A source of the images at `indices`, in that order, with the same class names."""
