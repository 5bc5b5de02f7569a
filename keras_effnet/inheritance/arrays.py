"""What becomes of one layer's weights when its channels are copied or selected.

A copied channel is computed like the one that it is a copy of; whoever reads both reads each of them in part. Where the
parts of all copies of a channel add up to one, what is read is the same (Chen et al. 2016, arXiv:1511.05641, equation
2). Equal parts would leave the copies equal for ever, whatever the optimizer; with parts that are drawn for each pair
of a copy and a reader, gradients differ and the copies go their own ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_effnet.inheritance.maps import FRESH
from keras_effnet.ops import Conv, Dense, Depthwise, Op, Opaque, PReLU, TransposedConv

Shares = Literal["uneven", "even"]

# Uneven parts of a pair of copies lie between 1/4 and 3/4: none is so small that a copy starts unread.
_LEAST, _MOST = 0.5, 1.5


@dataclass(frozen=True)
class LayerMaps:
    """Where the channels of one layer come from.

    Args:
        rows: the old channel of each channel that the layer reads; `FRESH` if it has none.
        columns: the old channel of each channel that the layer makes; `FRESH` if it has none.
        old_groups: number of groups of the old layer; 1 unless it is a grouped convolution.
        new_groups: number of groups of the new layer; 1 unless it is a grouped convolution.
    """

    rows: np.ndarray
    columns: np.ndarray
    old_groups: int = 1
    new_groups: int = 1


def inherited(
    op: Op,
    old: list[np.ndarray],
    fresh: list[np.ndarray],
    maps: LayerMaps,
    shares: Shares,
    generator: np.random.Generator,
) -> list[np.ndarray]:
    """The new weights of one layer.

    Args:
        op: the operation of the layer.
        old: weights of the old layer, in Keras' order.
        fresh: initial weights of the new layer; they stay if a channel has no old one.
        maps: where the channels come from.
        shares: rule for what each copy of a channel gives to its readers: "uneven" or "even".
        generator: source of the random numbers for uneven shares.

    Returns:
        Arrays of the shapes of `fresh`.
    """
    if isinstance(op, Conv | Dense):
        kernel = mixed(old[0], fresh[0], maps, shares, generator)
        return [
            kernel,
            *(picked(vector, start, maps.columns) for vector, start in zip(old[1:], fresh[1:], strict=True)),
        ]
    if isinstance(op, TransposedConv):
        # Its kernel has the channels that it makes before those that it reads.
        old, fresh = ([np.swapaxes(kernel, -1, -2), *bias] for kernel, *bias in (old, fresh))
        kernel, *bias = inherited(Conv(op.width, bias=op.bias), old, fresh, maps, shares, generator)
        return [np.swapaxes(kernel, -1, -2), *bias]
    if isinstance(op, PReLU):
        # Slopes of cells have more axes: the channels stand on the one that grew, and else on the last of their length.
        sides = list(enumerate(zip(old[0].shape, fresh[0].shape, strict=True)))
        grown = [place for place, (was, is_now) in sides if was != is_now]
        axis = (grown or [place for place, (_, is_now) in sides if is_now == len(maps.columns)])[-1]
        before, start = (np.moveaxis(arrays[0], axis, -1) for arrays in (old, fresh))
        return [np.moveaxis(picked(before, start, maps.columns), -1, axis)]
    if isinstance(op, Depthwise):
        kernel = fresh[0].copy()
        known = maps.rows != FRESH
        kernel[:, :, known] = old[0][:, :, maps.rows[known]]
        return [
            kernel,
            *(picked(vector, start, maps.columns) for vector, start in zip(old[1:], fresh[1:], strict=True)),
        ]
    if isinstance(op, Opaque):
        alike = [array.shape for array in old] == [array.shape for array in fresh]
        return old if alike else fresh
    # Statistics, factors and biases of single channels; Normalization's count of images is a number.
    pairs = zip(old, fresh, strict=True)
    return [array if array.ndim == 0 else picked(array, start, maps.columns) for array, start in pairs]


def picked(old: np.ndarray, fresh: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The numbers of each channel, on the last axis."""
    return np.where(channels != FRESH, old[..., np.maximum(channels, 0)], fresh).astype(fresh.dtype)


def mixed(
    old: np.ndarray, fresh: np.ndarray, maps: LayerMaps, shares: Shares, generator: np.random.Generator
) -> np.ndarray:
    """The kernel of a layer that mixes channels: the last two axes are those that it reads and makes."""
    kernel = np.empty_like(fresh)
    old_read, old_made = old.shape[-2], old.shape[-1] // maps.old_groups
    read, made = len(maps.rows) // maps.new_groups, len(maps.columns) // maps.new_groups
    for group in range(maps.new_groups):
        rows = maps.rows[group * read : (group + 1) * read]
        place = slice(group * made, (group + 1) * made)
        columns = maps.columns[place]
        sources = np.maximum(columns, 0)
        parts = share(rows, made, shares, generator)
        if maps.old_groups == 1:
            taken = old.take(np.maximum(rows, 0), axis=-2).take(sources, axis=-1)
            parts = parts * (rows != FRESH)[:, None]
        else:
            # A grouped kernel counts the channels that it reads from the start of the group of what it makes.
            local = rows[:, None] - old_read * (sources // old_made)
            inside = (rows[:, None] != FRESH) & (local >= 0) & (local < old_read)
            taken = old[..., np.where(inside, local, 0), sources]
            parts = parts * inside
        kernel[..., place] = np.where(columns != FRESH, taken * parts.astype(fresh.dtype), fresh[..., place])
    return kernel


def share(rows: np.ndarray, readers: int, shares: Shares, generator: np.random.Generator) -> np.ndarray:
    """The part that each copy of a channel gives to each reader; all parts of a channel add up to one.

    Args:
        rows: the channel that each copy is a copy of.
        readers: number of channels that read the copies.
        shares: "even", or "uneven": drawn for each pair of a copy and a reader.
        generator: source of the random numbers.

    Returns:
        Shape (copies, readers), or (copies, 1) where all readers get the same.
    """
    copies = np.bincount(rows - FRESH)[rows - FRESH]
    if shares == "even" or copies.max(initial=1) == 1:
        return (1 / copies)[:, None]
    order = np.argsort(rows, kind="stable")
    order = order[copies[order] > 1]
    drawn = generator.uniform(_LEAST, _MOST, (len(order), readers))
    starts = np.flatnonzero(np.diff(rows[order], prepend=FRESH - 1))
    sums = np.add.reduceat(drawn, starts, axis=0)
    parts = np.ones((len(rows), readers))
    parts[order] = drawn / sums.repeat(copies[order[starts]], axis=0)
    return parts


def missing(maps: LayerMaps, old_read: int, old_made: int) -> int:
    """How many pairs of an old channel read and a new reader of it are lost: 0 where all is as it was.

    Args:
        maps: where the channels come from.
        old_read: number of channels that the old layer read.
        old_made: number of channels that the old layer made.
    """
    lost = 0
    read, made = len(maps.rows) // maps.new_groups, len(maps.columns) // maps.new_groups
    for group in range(maps.new_groups):
        there = np.zeros(old_read, bool)
        rows = maps.rows[group * read : (group + 1) * read]
        there[rows[rows != FRESH]] = True
        columns = maps.columns[group * made : (group + 1) * made]
        groups = columns[columns != FRESH] // (old_made // maps.old_groups)
        needed = there.reshape(maps.old_groups, -1)[groups]
        lost += int((~needed).sum())
    return lost
