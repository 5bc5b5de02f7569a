"""Which rows a batch holds, and how batches are read while the one before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

AHEAD = 2  # batches read before they are asked for: one to work on next, one that is being read


def batch_rows(
    count: int, batch_size: int, step: int, *, epoch: int, seed: int, shuffle: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one batch, and their weights.

    Args:
        count: rows in all, at least 1.
        batch_size: rows a batch.
        step: number of the batch in its epoch, from 0 to `ceil(count / batch_size) - 1`.
        epoch: counted from 0.
        seed: of the order.
        shuffle: True: each epoch goes on where the last one stopped in an endless row of shuffles, each of which holds
            every row once, so that all batches are full. False: in order; the last batch is filled up with its first
            row at weight 0, so that all batches have one shape.

    Returns:
        int array of row numbers and float32 array of weights, both of shape `(batch_size,)`: a function of the
        arguments alone.

    Example:
        >>> batch_rows(3, 2, 1, epoch=0, seed=0, shuffle=False)
        (array([2, 2]), array([1., 0.], dtype=float32))
    """
    if not shuffle:
        rows = np.arange(step * batch_size, (step + 1) * batch_size)
        weights = (rows < count).astype(np.float32)
        return np.where(rows < count, rows, rows[0]), weights
    steps = -(-count // batch_size)
    start = (epoch * steps + step) * batch_size
    shuffles = range(start // count, (start + batch_size - 1) // count + 1)
    row = np.concatenate([np.random.default_rng((seed, 1, number)).permutation(count) for number in shuffles])
    offset = start - shuffles.start * count
    return row[offset : offset + batch_size], np.ones(batch_size, np.float32)


def read_ahead(batches: Sequence[Any] | Any, first: int = 0) -> Iterator[Any]:
    """The batches from number `first` on, each read by another thread before it is asked for.

    Args:
        batches: has a length and gives a batch for a number.
        first: number of the first one.

    Yields:
        The batches in order. What reading raises is raised here.
    """
    with ThreadPoolExecutor(1) as reader:
        waiting: deque[Future[Any]] = deque()
        for number in range(first, len(batches)):
            waiting.append(reader.submit(batches.__getitem__, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
