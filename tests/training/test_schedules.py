"""Schedules against Keras' own, and their ends."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import keras
import numpy as np
import pytest

from keras_effnet.training.schedules import (
    average_momentum,
    batchnorm_momentum,
    ramp,
    shifted,
    warmup_constant,
    warmup_cosine,
    warmup_exponential,
)


def test_the_rate_rises_and_falls_as_keras_own_cosine() -> None:
    found = [warmup_cosine(step, peak=0.1, steps=40, warmup=0.25) for step in range(40)]
    theirs = keras.optimizers.schedules.CosineDecay(0.1, 30)
    assert found[10:] == pytest.approx([float(theirs(step)) for step in range(30)], rel=1e-5)
    assert found[:10] == pytest.approx(np.linspace(0.01, 0.1, 10))
    assert all(one > other for one, other in pairwise(found[10:]))
    assert warmup_cosine(40, peak=0.1, steps=40) == warmup_cosine(99, peak=0.1, steps=40) == 0


def test_exponential_decay_is_keras_own_staircase() -> None:
    theirs = keras.optimizers.schedules.ExponentialDecay(0.1, 24, 0.97, staircase=True)
    for step in (0, 23, 24, 47, 48, 99):
        found = warmup_exponential(step, peak=0.1, steps=100, every=2.4 * 10)
        assert found == pytest.approx(float(theirs(step)), rel=1e-5)


def test_every_schedule_warms_up_alike_and_starts_at_once_without_warmup() -> None:
    for schedule in (warmup_cosine, partial(warmup_exponential, every=1000), warmup_constant):
        assert [schedule(step, peak=1.0, steps=8, warmup=0.5) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
        assert schedule(0, peak=1.0, steps=8) == 1.0
    assert warmup_constant(99, peak=0.1, steps=100) == 0.1


def test_a_shifted_schedule_is_the_rest_of_it() -> None:
    whole = partial(warmup_cosine, peak=1.0, steps=10, warmup=0.2)
    rest = partial(shifted, schedule=whole, first=4)
    assert [rest(step) for step in range(6)] == [whole(step) for step in range(4, 10)]


def test_statistics_follow_within_an_epoch() -> None:
    found = [batchnorm_momentum(steps) for steps in (1, 100, 200, 1000)]
    assert found == pytest.approx([0.9, 0.9, 0.95, 0.99])


def test_a_ramp_rises_by_equal_factors() -> None:
    rates = [ramp(step, low=1e-7, high=10, steps=100) for step in range(100)]
    np.testing.assert_allclose(rates, np.geomspace(1e-7, 10, 100), rtol=1e-9)


def test_an_average_covers_the_same_share_of_any_training() -> None:
    assert average_momentum(218_949) == 0.9999
    for steps in (1000, 10_000, 100_000):
        # The mean age of what is averaged, by simulation: newer weights count for more.
        momentum = average_momentum(steps)
        shares = (1 - momentum) * momentum ** np.arange(steps)
        age = float(np.arange(steps) @ shares / shares.sum())
        assert age / steps == pytest.approx(10_000 / 218_949, rel=0.03)
    assert 0 <= average_momentum(1) < 1e-9
