"""Laws of the maps that say which channel and which block comes from which, and of the parts that copies give."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FIXED

from keras_effnet.inheritance.arrays import LayerMaps, missing, mixed, picked, share
from keras_effnet.inheritance.maps import FRESH, Select, block_map, channel_map, kept

QUICK = settings(**FIXED, max_examples=150)
SELECTIONS = st.sampled_from(["magnitude", "prefix", "uniform"])
small = st.integers(1, 12)


@st.composite
def scored(draw: st.DrawFn, low: int = 1, high: int = 40) -> tuple[int, np.ndarray | None]:
    """A number of channels, and their scores or none; some are equal."""
    old = draw(st.integers(low, high))
    scores = draw(st.none() | st.lists(st.integers(0, 9), min_size=old, max_size=old).map(np.array))
    return old, None if scores is None else scores.astype(float)


# Channels.


@given(scored(), st.integers(0, 60), SELECTIONS)
@QUICK
def test_a_wider_axis_has_every_channel_about_as_often(
    old: tuple[int, np.ndarray | None], more: int, select: Select
) -> None:
    size, scores = old
    found = channel_map(size, size + more, select=select, scores=scores)
    assert found[:size].tolist() == list(range(size)), "old channels stay where they are"
    counts = np.bincount(found, minlength=size)
    assert len(found) == size + more
    assert len(counts) == size
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 1


@given(st.integers(1, 30), st.integers(1, 5))
@QUICK
def test_whole_multiples_have_every_channel_as_often(size: int, times: int) -> None:
    counts = np.bincount(channel_map(size, size * times))
    assert counts.tolist() == [times] * size


@given(scored(low=2), st.data(), SELECTIONS)
@QUICK
def test_a_narrower_axis_keeps_as_many_as_it_has_in_their_order(
    old: tuple[int, np.ndarray | None], data: st.DataObject, select: Select
) -> None:
    size, scores = old
    new = data.draw(st.integers(1, size - 1))
    found = channel_map(size, new, select=select, scores=scores)
    assert len(found) == new
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < size
    if select == "prefix" or (select == "magnitude" and scores is None):
        assert found.tolist() == list(range(new))
    elif select == "magnitude" and scores is not None:
        left = np.delete(scores, found)
        assert scores[found].min() >= left.max()
    else:
        assert found[0] == 0
        steps = np.diff(found)
        assert new == 1 or found[-1] == size - 1
        assert new < 3 or steps.max() - steps.min() <= 1, "evenly spread"


@given(small, st.integers(1, 6), small, st.integers(1, 6), SELECTIONS, st.booleans())
@QUICK
def test_groups_stay_whole(size: int, groups: int, room: int, new_groups: int, select: Select, score: bool) -> None:
    """A new group holds one old group, or several; where there is less room, part of one."""
    old, new = size * groups, room * new_groups
    scores = np.random.default_rng(size).uniform(size=old) if score else None
    found = channel_map(old, new, old_groups=groups, new_groups=new_groups, select=select, scores=scores)
    assert found.shape == (new,)
    held = [set(part) for part in found.reshape(new_groups, room)]
    homes = [{channel // size for channel in part} for part in held]
    for number, (part, home) in enumerate(zip(held, homes, strict=True)):
        whole = {channel for channel in range(old) if channel // size in home}
        if room < size:
            assert len(home) == 1
            assert len(part) == room, "no channel twice"
        else:
            assert part == whole, "all of each group that it holds"
        if new_groups >= groups:
            assert home == {number % groups}
        else:
            assert home <= set(range(number * groups // new_groups, (number + 1) * groups // new_groups))
            assert len(home) == max(1, min(room // size, len(range(*_span(number, groups, new_groups)))))
    if new_groups >= groups or room * new_groups >= old * 2:
        assert set.union(*homes) == set(range(groups)), "no group is lost where there is room"


def _span(number: int, old: int, new: int) -> tuple[int, int]:
    return number * old // new, (number + 1) * old // new


@given(small, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))
@QUICK
def test_groups_in_whole_multiples_lose_nothing(size: int, groups: int, more: int, wider: int) -> None:
    for new_groups, room in ((groups * more, size * wider), (groups, size * wider * more)):
        counts = np.bincount(channel_map(size * groups, new_groups * room, old_groups=groups, new_groups=new_groups))
        assert set(counts.tolist()) == {wider * more}
    # Fewer, larger groups, each of several old ones.
    found = channel_map(size * groups * more, size * groups * more, old_groups=groups * more, new_groups=groups)
    assert found.tolist() == list(range(size * groups * more))


@given(scored(), st.data(), SELECTIONS)
@QUICK
def test_kept_is_a_selection(old: tuple[int, np.ndarray | None], data: st.DataObject, select: Select) -> None:
    size, scores = old
    new = data.draw(st.integers(0, size))
    found = kept(size, new, select, scores)
    assert len(set(found.tolist())) == len(found) == new
    assert found.tolist() == sorted(found.tolist())
    assert set(found.tolist()) <= set(range(size))
    if new == size:
        assert found.tolist() == list(range(size))


# Blocks.


@given(scored(high=12), st.integers(1, 12), SELECTIONS, st.booleans())
@QUICK
def test_blocks_keep_their_order_and_their_ends(
    old: tuple[int, np.ndarray | None], new: int, select: Select, late: bool
) -> None:
    size, scores = old
    found = block_map(size, new, strides_last=late, select=select, scores=scores)
    there = [number for number in found if number is not None]
    assert len(found) == new
    assert all(a < b for a, b in pairwise(there))
    assert found[0] == 0, "the first changes the width"
    if late and size > 1 and new > 1:
        assert found[-1] == size - 1, "the last strides"
    if new >= size:
        assert there == list(range(size))
        behind = new - 1 if late and size > 1 else new
        assert found[behind - (new - size) : behind] == [None] * (new - size), "new ones stand together at the end"
    else:
        assert len(there) == new
        assert set(there) <= set(range(size))


@given(scored(low=3, high=12), st.data(), st.booleans())
@QUICK
def test_a_shallower_stage_keeps_the_largest_between_its_ends(
    old: tuple[int, np.ndarray | None], data: st.DataObject, late: bool
) -> None:
    size, scores = old
    new = data.draw(st.integers(2, size - 1))
    found = [number for number in block_map(size, new, strides_last=late, scores=scores) if number is not None]
    inner = found[1:-1] if late else found[1:]
    left = [number for number in range(1, size - late) if number not in inner]
    if scores is None:
        assert inner == list(range(1, 1 + len(inner)))
    elif inner:
        assert scores[inner].min() >= scores[left].max()


# Splits.


rows_of = st.lists(st.integers(FRESH, 6), min_size=1, max_size=20).map(np.array)
SHARES: Any = st.sampled_from(["even", "uneven"])


@given(rows_of, st.integers(1, 9), SHARES, st.integers(0, 99))
@QUICK
def test_the_parts_of_a_channel_add_up_to_one_for_each_reader(
    rows: np.ndarray, readers: int, shares: Any, seed: int
) -> None:
    found = np.broadcast_to(share(rows, readers, shares, np.random.default_rng(seed)), (len(rows), readers))
    for channel in set(rows.tolist()):
        parts = found[rows == channel]
        assert parts.sum(axis=0) == pytest.approx(1, abs=1e-12)
        assert (parts > 0).all()
        if len(parts) == 1:
            assert (parts == 1).all()
        elif shares == "even":
            assert parts == pytest.approx(1 / len(parts))
        else:
            # Of two copies neither has less than a quarter; of n none less than a third of an even part.
            assert parts.min() >= 1 / (3 * len(parts) - 2) - 1e-12
            for reader in range(readers):
                assert len(set(parts[:, reader].tolist())) == len(parts), "no two give the same"


@st.composite
def layers(draw: st.DrawFn) -> tuple[np.ndarray, LayerMaps]:
    """A kernel (window, what it reads, what it makes), and maps by which it grows: everything old is still there."""
    groups, size, made = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    more, wider, further = draw(st.integers(1, 2)), draw(st.integers(0, 5)), draw(st.integers(0, 5))
    new_groups = groups * more if groups > 1 else 1
    kernel = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(2, size, groups * made))
    options = {"old_groups": groups, "new_groups": new_groups}
    rows = channel_map(groups * size, new_groups * (size + wider), **options)
    columns = channel_map(groups * made, new_groups * (made + further), **options)
    return kernel, LayerMaps(rows, columns, groups, new_groups)


def convolved(x: np.ndarray, kernel: np.ndarray, groups: int) -> np.ndarray:
    """One cell of a grouped convolution: x is (window, channels)."""
    *_, read, made = kernel.shape
    parts = [
        np.einsum("wi,wio->o", x[:, group * read : (group + 1) * read], kernel[..., columns])
        for group in range(groups)
        for columns in [slice(group * made // groups, (group + 1) * made // groups)]
    ]
    return np.concatenate(parts)


@given(layers(), SHARES, st.integers(0, 99))
@QUICK
def test_a_grown_layer_computes_the_same_of_copied_channels(
    layer: tuple[np.ndarray, LayerMaps], shares: Any, seed: int
) -> None:
    kernel, maps = layer
    generator = np.random.default_rng(seed)
    new_shape = (2, len(maps.rows) // maps.new_groups, len(maps.columns))
    grown = mixed(kernel, np.full(new_shape, np.nan), maps, shares, generator)
    x = generator.normal(size=(2, kernel.shape[1] * maps.old_groups))
    before = convolved(x, kernel, maps.old_groups)
    assert convolved(x[:, maps.rows], grown, maps.new_groups) == pytest.approx(before[maps.columns])
    assert missing(maps, kernel.shape[1] * maps.old_groups, kernel.shape[-1]) == 0


def test_channels_without_an_old_one_start_afresh_and_nothing_old_reads_them() -> None:
    maps = LayerMaps(np.array([0, FRESH, 1, 1]), np.array([FRESH, 1, 0]))
    old, fresh = np.arange(1.0, 5).reshape(2, 2), np.full((4, 3), 9.0)
    grown = mixed(old, fresh, maps, "even", np.random.default_rng(0))
    assert grown.tolist() == [[9, 2, 1], [9, 0, 0], [9, 2, 1.5], [9, 2, 1.5]]
    assert picked(np.array([5.0, 6]), np.array([7.0, 7, 7]), maps.columns).tolist() == [7, 6, 5]


@pytest.mark.parametrize(
    ("rows", "columns", "groups", "lost"),
    [
        ([0, 1, 2, 3], [0, 1], (1, 1), 0),
        ([0, 1, 3], [0, 1], (1, 1), 2),  # both readers lack channel 2
        ([0, 1, FRESH], [0, FRESH], (1, 1), 2),  # one old reader, two channels
        ([0, 1, 2, 3], [1, 0], (2, 2), 4),  # each sees the other's group
        ([2, 3, 0, 1], [1, 0], (2, 2), 0),
        ([0, 1, 2, 3], [0, 1], (2, 1), 0),  # one group that holds both
        ([0, 1, 2, 3], [0, 1], (1, 2), 4),  # half of what each read
    ],
)
def test_missing_counts_what_is_no_longer_read(
    rows: list[int], columns: list[int], groups: tuple[int, int], lost: int
) -> None:
    assert missing(LayerMaps(np.array(rows), np.array(columns), *groups), old_read=4, old_made=2) == lost
