"""The reward against the papers' words, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from keras_effnet.errors import SearchError
from keras_effnet.search.evolution import Reward


def test_twice_the_cost_for_five_percent_more_accuracy_is_worth_the_same() -> None:
    # MnasNet, section 3: model M1 with latency l and accuracy a, model M2 with 2l and 5 % more: similar rewards.
    reward = Reward(target=100)
    for cost in (20, 100, 700):
        assert reward(0.5 * 1.05, 2 * cost) == pytest.approx(reward(0.5, cost), rel=0.002)


def test_at_the_target_it_is_the_metric() -> None:
    assert Reward(target=4e8)(0.77, 4e8) == 0.77


def test_the_hard_constraint_leaves_what_is_below_and_divides_what_is_above() -> None:
    hard = Reward(target=100, exponent=0, over=-1)
    assert hard(0.7, 1) == hard(0.7, 100) == 0.7
    assert hard(0.7, 200) == pytest.approx(0.35)


def test_without_an_exponent_any_metric_passes() -> None:
    assert Reward(target=10, exponent=0)(-3.5, 20) == -3.5


def test_a_metric_below_zero_is_refused_where_it_would_be_turned_around() -> None:
    with pytest.raises(SearchError, match=r"`exponent=0`.*Received: metric=-1"):
        Reward(target=10)(-1.0, 5)


@pytest.mark.parametrize(
    "wrong", [{"target": 0}, {"target": "1"}, {"exponent": 0.1}, {"over": 1}, {"cost": "seconds"}], ids=str
)
def test_wrong_values_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(SearchError, match=f"`{next(iter(wrong))}`.*Received"):
        Reward(**{"target": 1.0, **wrong})


def test_it_survives_json() -> None:
    reward = Reward(1e6, "params", -0.1, -1)
    assert Reward(**asdict(reward)) == reward
