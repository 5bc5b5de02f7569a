"""A source: labelled images that are read one by one, in any order. Everything that trains or tests takes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class Source(ABC):
    """Labelled images, each read when it is asked for.

    Attributes:
        labels: int32 array of shape `(n,)`, each in `0..len(class_names) - 1`.
        class_names: one name for each class, in the order of the labels.
        skipped: what was left out, because no image could be read from it: a path, or a name in an archive, each.
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, index: int, size: int | None = None) -> np.ndarray:
        """Image `index` as RGB.

        Args:
            index: in `0..len(self) - 1`.
            size: the shorter side need not be larger than this, in pixels: a decoder may then read a smaller image,
                which is faster; None: all pixels.

        Returns:
            uint8 array of shape `(height, width, 3)`, values 0..255, upright.

        Raises:
            DataError: the image cannot be read (any more).
        """

    @abstractmethod
    def name_of(self, index: int) -> str:
        """What a user knows image `index` by: its path, or its name and number in a set."""

    @abstractmethod
    def fingerprint(self) -> str:
        """The same text for the same images and labels, another for others: what a cache is keyed by."""

    @abstractmethod
    def take(self, indices: Sequence[int] | np.ndarray) -> Source:
        """The images at `indices`, in that order, with the same class names."""
