"""Which rows are in a batch, and how the next batches are read while one is being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

AHEAD = 2  # batches to read in advance: the next one, and the one being read


def batch_rows(
    count: int, batch_size: int, step: int, *, epoch: int, seed: int, shuffle: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of one batch and their weights, as a function of the arguments alone.

    Args:
        count: total number of rows, at least 1.
        batch_size: number of rows per batch, at least 1.
        step: number of the batch in its epoch, from 0 to `ceil(count / batch_size) - 1`.
        epoch: number of the epoch, at least 0.
        seed: seed of the shuffles, at least 0.
        shuffle: True cuts full batches from an endless sequence of shuffles, each of which contains every row once; an
            epoch continues where the previous one stopped. False keeps the order, and pads the last batch with copies
            of its first row at weight 0, so that all batches have the same shape.

    Returns:
        int array of row numbers and float32 array of weights, both of shape `(batch_size,)`.

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
    rows = np.concatenate([np.random.default_rng((seed, 1, number)).permutation(count) for number in shuffles])
    offset = start - shuffles.start * count
    return rows[offset : offset + batch_size], np.ones(batch_size, np.float32)


def read_ahead(batches: Sequence[Any] | Any, first: int = 0) -> Iterator[Any]:
    """Yields batches that another thread reads in advance.

    Args:
        batches: the batches, which support `len()` and indexing by number.
        first: number of the first batch to yield. Default: 0.

    Yields:
        The batches in order. Errors raised while reading are raised here.
    """
    with ThreadPoolExecutor(1) as reader:
        waiting: deque[Future[Any]] = deque()
        for number in range(first, len(batches)):
            waiting.append(reader.submit(batches.__getitem__, number))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
