"""Which rows are in a batch."""

from __future__ import annotations

import numpy as np


class BalancedRows:
    """An endless sequence of rows in which every class comes equally often.

    It is cut into rounds. In each of them every class comes once, in a random order; the rows of a class are taken from
    shuffles of its own, each of which contains every one of them once. So a rare class repeats its rows while a common
    one has not yet shown all of its own. Kang et al. 2020 (arXiv:1910.09217) call it class-balanced sampling.

    Args:
        labels: int array of shape `(rows,)` with the class of each row, at least one; classes without rows are left
            out.

    Example:
        >>> balanced = BalancedRows(np.array([0, 0, 0, 0, 1]))
        >>> drawn = balanced.take(0, 8, seed=0)
        >>> sorted(drawn.tolist())
        [0, 1, 2, 3, 4, 4, 4, 4]
    """

    def __init__(self, labels: np.ndarray) -> None:
        counts = np.unique(labels, return_counts=True)[1]
        self._members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])

    def take(self, start: int, count: int, seed: int) -> np.ndarray:
        """A piece of the sequence, as a function of the arguments alone.

        Args:
            start: number of the first place, at least 0.
            count: number of places, at least 1.
            seed: seed of the sequence, at least 0.

        Returns:
            int array of row numbers, of shape `(count,)`.
        """
        classes = len(self._members)
        rounds = range(start // classes, (start + count - 1) // classes + 1)
        orders = np.concatenate([np.random.default_rng((seed, 4, number)).permutation(classes) for number in rounds])
        first = start - rounds.start * classes
        shuffles: dict[tuple[int, int], np.ndarray] = {}
        rows = np.empty(count, np.int64)
        for place in range(count):
            index = int(orders[first + place])
            members = self._members[index]
            # A class has one turn in each round.
            number, turn = divmod(rounds.start + (first + place) // classes, len(members))
            if (index, number) not in shuffles:
                shuffles[index, number] = np.random.default_rng((seed, 5, index, number)).permutation(members)
            rows[place] = shuffles[index, number][turn]
        return rows


def batch_rows(
    count: int,
    batch_size: int,
    step: int,
    *,
    epoch: int,
    seed: int,
    shuffle: bool,
    balanced: BalancedRows | None = None,
    endless: bool = False,
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
        balanced: what full batches are cut from instead of shuffles of all rows; None for those. Default: None.
        endless: whether each shuffle is of the next `count` rows, so that none comes twice. Default: False.

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
    if balanced is not None:
        return balanced.take(start, batch_size, seed), np.ones(batch_size, np.float32)
    shuffles = range(start // count, (start + batch_size - 1) // count + 1)
    shuffled = (
        np.random.default_rng((seed, 1, number)).permutation(count) + endless * number * count for number in shuffles
    )
    rows = np.concatenate(list(shuffled))
    offset = start - shuffles.start * count
    return rows[offset : offset + batch_size], np.ones(batch_size, np.float32)
