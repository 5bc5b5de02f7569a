"""A window on batches, as `fit` and `evaluate` take it."""

from __future__ import annotations

from typing import Any

import keras

PEEKED = 2  # batches that Keras reads ahead of an epoch to learn their shapes, and then once more


class Window(keras.utils.PyDataset):
    """The batches of some consecutive steps, over the bounds of epochs.

    Args:
        batches: batches with a settable `epoch`, as `train` takes them.
        first: number of the first step.
        last: number of the step after the last one.
    """

    def __init__(self, batches: Any, first: int, last: int) -> None:
        super().__init__()
        self.batches, self.first, self.last = batches, first, last
        self._peeked: dict[int, Any] = {}

    def __len__(self) -> int:
        return self.last - self.first

    def __getitem__(self, index: int) -> Any:
        if index in self._peeked:
            return self._peeked[index]
        self.batches.epoch, number = divmod(self.first + index, len(self.batches))
        batch = self.batches[number]
        if index < PEEKED:
            self._peeked[index] = batch
        return batch
