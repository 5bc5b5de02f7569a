"""Which channels and which blocks of the old network the new one has: numbers, no weights.

A wider axis has every old channel once and copies of some (Net2WiderNet: Chen et al. 2016, arXiv:1511.05641, section
2.2; there the copies are drawn at random, here they go round). A narrower one keeps a selection:

| `select` | keeps | source |
|---|---|---|
| "magnitude" | the channels whose kernels have the largest sums of absolute values | Li et al. 2017, arXiv:1608.08710 |
| "prefix" | the first | Xu et al. 2024, arXiv:2311.18823, "first-N" selection of layers |
| "uniform" | every n-th | the same, uniform selection |
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Select = Literal["magnitude", "prefix", "uniform"]

# In a map: a channel that no old one became. It starts at random, and nothing old reads it.
FRESH = -1


def channel_map(
    old: int,
    new: int,
    *,
    old_groups: int = 1,
    new_groups: int = 1,
    select: Select = "magnitude",
    scores: np.ndarray | None = None,
) -> np.ndarray:
    """The old channel that each new channel comes from.

    Where grouped convolutions see the axis, whole groups become whole groups as far as they fit: a new group holds one
    old one or, where there are fewer groups than before, several.

    Args:
        old: number of channels of the old axis.
        new: number of channels of the new axis.
        old_groups: number of equal groups of the old axis.
        new_groups: number of equal groups of the new axis.
        select: rule for which channels a narrower axis keeps.
        scores: one score per old channel, for "magnitude"; None keeps the first channels.

    Returns:
        `new` numbers below `old`.

    Example:
        >>> channel_map(3, 5).tolist()
        [0, 1, 2, 0, 1]
        >>> channel_map(4, 2, select="uniform").tolist()
        [0, 3]
        >>> channel_map(4, 6, old_groups=2, new_groups=2).tolist()
        [0, 1, 0, 2, 3, 2]
    """
    size, room = old // old_groups, new // new_groups
    rows = []
    for group in range(new_groups):
        members = _old_groups(group, old_groups, new_groups)
        members = members[: max(1, room // size)]
        channels = np.concatenate([np.arange(member * size, (member + 1) * size) for member in members])
        if room < len(channels):
            channels = channels[kept(len(channels), room, select, None if scores is None else scores[channels])]
        rows.append(np.resize(channels, room))
    return np.concatenate(rows)


def _old_groups(group: int, old: int, new: int) -> list[int]:
    """The old groups that one new group is made of."""
    if new >= old:
        return [group % old]
    return list(range(group * old // new, (group + 1) * old // new))


def kept(old: int, new: int, select: Select, scores: np.ndarray | None) -> np.ndarray:
    """Which of `old` things are kept where there are `new` of them, in their order.

    Example:
        >>> kept(4, 2, "magnitude", np.array([1.0, 5.0, 0.0, 2.0])).tolist()
        [1, 3]
    """
    if select == "uniform":
        return np.round(np.linspace(0, old - 1, new)).astype(int)
    if select == "magnitude" and scores is not None:
        return np.sort(np.argsort(-scores, kind="stable")[:new])
    return np.arange(new)


def block_map(
    old: int, new: int, *, strides_last: bool = False, select: Select = "magnitude", scores: np.ndarray | None = None
) -> list[int | None]:
    """The old block of a stage that each new block comes from; None for a new one.

    The first block changes the width and stays the first; one that strides last stays the last. New blocks stand behind
    the old ones, where the features are those that the next stage is used to.

    Args:
        old: number of blocks of the old stage.
        new: number of blocks of the new stage.
        strides_last: whether the last block has the stage's stride.
        select: rule for which blocks a shallower stage keeps.
        scores: one score per old block, for "magnitude"; None keeps the first blocks.

    Returns:
        `new` numbers below `old`, or None.

    Example:
        >>> block_map(2, 4), block_map(2, 4, strides_last=True)
        ([0, 1, None, None], [0, None, None, 1])
        >>> block_map(4, 2, select="uniform")
        [0, 3]
    """
    ends = 1 + (strides_last and old > 1 and new > 1)
    last: list[int | None] = [old - 1] if ends == 2 else []
    between, room = old - ends, new - ends
    if room >= between:
        return [*range(old - len(last)), *[None] * (room - between), *last]
    inner = None if scores is None else scores[1 : 1 + between]
    if select == "uniform" and not last:
        # Spread over the whole stage, the first block included.
        return [int(number) for number in kept(old, new, select, None)]
    return [0, *(1 + int(number) for number in kept(between, room, select, inner)), *last]
