"""How far means can be believed: against SciPy's own paired t-test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from keras_effnet.intervals import paired_difference


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_is_scipys(seed):
    generator = np.random.default_rng(seed)
    ours = {number: float(value) for number, value in enumerate(generator.normal(0.8, 0.02, 4))}
    theirs = {number: float(value) for number, value in enumerate(generator.normal(0.77, 0.02, 4))}
    found = paired_difference(ours, theirs)
    test = stats.ttest_rel(list(ours.values()), list(theirs.values()))
    interval = test.confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.verdict == "not told apart") == (test.pvalue > 0.05)


def test_only_shared_seeds_count():
    found = paired_difference({1: 0.9, 2: 0.8, 7: 0.0}, {1: 0.8, 2: 0.75, 9: 1.0})
    assert found is not None
    assert found.seeds == 2
    assert found.mean == pytest.approx(0.075)


def test_one_seed_says_nothing():
    assert paired_difference({1: 0.9}, {1: 0.1}) is None


def test_worse_is_said_too():
    found = paired_difference({1: 0.1, 2: 0.11, 3: 0.12}, {1: 0.5, 2: 0.51, 3: 0.53})
    assert found is not None
    assert found.verdict == "worse"
