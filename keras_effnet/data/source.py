"""The interface of all data: labelled images that can be read one by one, in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class Source(ABC):
    """Labelled images, each of which is read on demand.

    Attributes:
        labels: int32 array of shape `(n,)`, values in `0..len(class_names) - 1`.
        class_names: name of each class, indexed by label.
        skipped: paths, or names in an archive, of the images that were left out because they cannot be read.
        groups: name of the group of each image; groups are held out whole. None if there are none.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, index: int, size: int | None = None) -> np.ndarray:
        """Reads an image as RGB.

        Args:
            index: number of the image, in `0..len(self) - 1`.
            size: number of pixels that the shorter side needs at least; a decoder may then return a reduced image,
                which is faster. None reads the image at full size. Default: None.

        Returns:
            uint8 array of shape `(height, width, 3)`, values 0..255, upright.

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
