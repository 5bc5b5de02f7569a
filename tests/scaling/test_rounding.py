"""Rounding against EfficientNet's own functions, written again from their source."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_effnet import Rounding

quick = settings(deadline=None, database=None, derandomize=True, max_examples=300)
coefficients = st.floats(0.05, 8)


def round_filters(filters: int, multiplier: float, divisor: int, min_depth: int | None) -> int:
    """tensorflow/tpu, models/official/efficientnet/efficientnet_model.py, `round_filters`."""
    if multiplier == 1:
        return filters
    exact = filters * multiplier
    least = min_depth or divisor
    new_filters = max(least, int(exact + divisor / 2) // divisor * divisor)
    if new_filters < 0.9 * exact:  # prevent rounding by more than 10%
        new_filters += divisor
    return int(new_filters)


def round_repeats(repeats: int, multiplier: float) -> int:
    """The same file, `round_repeats`."""
    return math.ceil(multiplier * repeats)


@quick
@given(
    width=st.integers(1, 4096),
    coefficient=coefficients,
    divisor=st.integers(1, 32),
    least=st.none() | st.integers(1, 64),
)
def test_widths_round_as_in_efficientnet(width: int, coefficient: float, divisor: int, least: int | None) -> None:
    found = Rounding(divisor=divisor, min_width=least).round_width(width, coefficient)
    assert found == round_filters(width, coefficient, divisor, least)


@quick
@given(depth=st.integers(1, 60), coefficient=coefficients)
def test_depths_round_up_as_in_efficientnet(depth: int, coefficient: float) -> None:
    assert Rounding().round_depth(depth, coefficient) == round_repeats(depth, coefficient)


@quick
@given(depth=st.integers(1, 60), coefficient=coefficients)
def test_depths_round_to_the_nearest_where_asked_and_keep_a_block(depth: int, coefficient: float) -> None:
    found = Rounding(depth="round").round_depth(depth, coefficient)
    assert found >= 1
    assert abs(found - depth * coefficient) <= 0.5 or found == 1


def test_halves_round_up() -> None:
    # Python's own round() would make 2 of 2.5.
    assert Rounding(depth="round").round_depth(5, 0.5) == 3
    assert Rounding(depth="round").round_depth(1, 2.5) == 3
    assert Rounding(resolution_multiple=4).round_resolution(100, 1.02) == 104


@quick
@given(side=st.integers(32, 1024), coefficient=coefficients, multiple=st.sampled_from([1, 2, 4, 8, 32]))
def test_resolutions_are_the_nearest_multiple(side: int, coefficient: float, multiple: int) -> None:
    found = Rounding(resolution_multiple=multiple).round_resolution(side, coefficient)
    if coefficient != 1:
        assert found % multiple == 0
        assert found >= multiple
        assert abs(found - side * coefficient) <= multiple / 2 or found == multiple


@pytest.mark.parametrize(
    "rounding", [Rounding(), Rounding(divisor=1, depth="round"), Rounding(divisor=32, min_width=64)], ids=str
)
@given(size=st.integers(1, 5000))
@quick
def test_a_coefficient_of_1_rounds_nothing(rounding: Rounding, size: int) -> None:
    assert rounding.round_width(size, 1.0) == size
    assert rounding.round_depth(size, 1.0) == size
    assert rounding.round_resolution(size, 1.0) == size


def test_a_limit_of_0_lets_widths_fall_further() -> None:
    # 11.9 px rounds to 8, which is below 90 % of it.
    assert Rounding().round_width(17, 0.7) == 16
    assert Rounding(limit=0).round_width(17, 0.7) == 8


def test_released_resolutions_are_multiples_of_the_default() -> None:
    for side in (240, 260, 300, 380, 456, 528, 600):
        assert Rounding().round_resolution(224, side / 224) == side
