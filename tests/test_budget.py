"""`fit_to_budget`: at or under every limit, close to the one that binds, and honest where that cannot be."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from support import BASES

from keras_effnet import Coefficients, Rounding, StageSpec, estimate_cost, fit_to_budget, scale_spec
from keras_effnet.errors import BudgetError, RegistryError, ScalingError
from keras_effnet.registry import backbones, rules

slow = pytest.mark.slow

QUANTITIES = ("macs", "params", "activations", "model_bytes")
FACTORS = [0.1 * 200 ** (number / 49) for number in range(50)]  # 0.1 to 20
CLOSE = 0.97


def value(spec: Any, quantity: str, **options: Any) -> float:
    cost = estimate_cost(spec, **options)
    return cost.weight_bytes if quantity == "model_bytes" else getattr(cost, quantity)


def share_used(name: str, quantity: str, factor: float, **options: Any) -> float:
    limit = factor * value(name, quantity)
    return value(fit_to_budget(name, **{quantity: limit}, **options), quantity) / limit


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v2", "resnet50"])
def test_budgets_are_kept_and_used(name: str, quantity: str) -> None:
    for factor in FACTORS[7 * (QUANTITIES.index(quantity) % 2) :: 14]:
        assert CLOSE <= share_used(name, quantity, factor) <= 1


def turns_of(name: str) -> list[tuple[float, str]]:
    """Seventeen of the fifty factors, each with a quantity; three neighbouring families have all fifty between them."""
    start = BASES.index(name)
    return [(factor, QUANTITIES[(start + number) % 3]) for number, factor in enumerate(FACTORS[start % 3 :: 3])]


def test_every_factor_and_quantity_are_taken() -> None:
    for first in range(len(BASES) - 2):
        turns = [turn for name in BASES[first : first + 3] for turn in turns_of(name)]
        assert sorted(factor for factor, _ in turns) == FACTORS
    for name in BASES:
        assert {quantity for _, quantity in turns_of(name)} == set(QUANTITIES[:3])


@slow
@pytest.mark.parametrize("name", BASES)
def test_budgets_of_every_family_are_kept_and_used(name: str) -> None:
    """Each budget limits one quantity, in turn."""
    shares, impossible = [], []
    for factor, quantity in turns_of(name):
        try:
            shares.append(share_used(name, quantity, factor))
        except BudgetError:
            impossible.append((quantity, factor * value(name, quantity)))
    assert max(shares) <= 1
    assert min(shares) >= CLOSE
    # A head of 1280 channels that never narrows, and its classifier, are most of a small network.
    head = backbones.get(name).head
    least = 1.32e6 if head is not None and head.fixed in ("width", "both") else 0
    assert all(quantity == "params" and limit < least for quantity, limit in impossible)


@pytest.mark.parametrize("rule", ["fast", "resnet_rs", "width_only"])
def test_budgets_by_other_rules(rule: str) -> None:
    for factor in (0.3, 1, 3, 10):
        assert CLOSE <= share_used("efficientnet_b0", "macs", factor, rule=rule) <= 1


def test_what_a_rule_leaves_alone_stays() -> None:
    base = backbones.get("resnet50")
    deep = fit_to_budget(base, macs=10e9, rule="depth_only")
    assert deep.resolution == base.resolution
    assert [stage.width for stage in deep.stages] == [stage.width for stage in base.stages]
    assert deep.depth > base.depth
    wide = fit_to_budget(base, macs=10e9, rule="width_only")
    assert [stage.depth for stage in wide.stages] == [stage.depth for stage in base.stages]
    assert wide.resolution == base.resolution
    large = fit_to_budget(base, macs=10e9, rule="resolution_only")
    assert (large.stages, large.stem) == (base.stages, base.stem)


def test_a_rule_for_single_stages_changes_no_others() -> None:
    base = backbones.get("resnet50")
    found = fit_to_budget(base, macs=7e9, rule=lambda phi: Coefficients(stages=((1, 1), (1, 1), (2**phi, 1), (1, 1))))
    assert CLOSE * 7e9 <= estimate_cost(found).macs <= 7e9
    deep = found.stages[2]
    assert deep.depth > base.stages[2].depth
    stages = (*found.stages[:2], replace(deep, depth=base.stages[2].depth), found.stages[3])
    assert replace(found, stages=stages) == base


def test_what_a_stage_declares_fixed_stays() -> None:
    base = backbones.get("efficientnet_lite0")
    found = fit_to_budget(base, macs=2e9)
    assert (found.stem, found.head) == (base.stem, base.head)
    for stage, before in ((found.stages[0], base.stages[0]), (found.stages[-1], base.stages[-1])):
        assert stage.depth == before.depth
        assert stage.width > before.width


def test_a_resolution_can_be_kept() -> None:
    found = fit_to_budget("efficientnet_b0", macs=50e6, resolution=96)
    assert found.resolution == 96
    assert CLOSE * 50e6 <= estimate_cost(found).macs <= 50e6


def test_several_limits_hold_together_and_one_is_used() -> None:
    limits = {"macs": 100e6, "params": 2e6, "activations": 5e6, "model_bytes": 20e6}
    found = fit_to_budget("mobilenet_v2", **limits)
    shares = {quantity: value(found, quantity) / limit for quantity, limit in limits.items()}
    assert max(shares.values()) <= 1
    assert max(shares.values()) >= CLOSE
    assert max(shares, key=lambda quantity: shares[quantity]) == "params"


def test_the_base_is_found_at_its_own_cost() -> None:
    for name in ("efficientnet_b0", "resnet50", "densenet121"):
        found = fit_to_budget(name, macs=estimate_cost(name).macs)
        assert found == backbones.get(name)


def test_a_larger_budget_never_gives_a_smaller_network() -> None:
    factors = sorted({*FACTORS[::7], *FACTORS[20:30]})  # far apart, and so near that rounding decides
    costs = [estimate_cost(fit_to_budget("efficientnet_b0", macs=factor * 4e8)).macs for factor in factors]
    assert costs == sorted(costs)


def test_classes_and_channels_count() -> None:
    few = fit_to_budget("mobilenet_v2", params=5e5, classes=2, channels=1)
    assert CLOSE * 5e5 <= estimate_cost(few, classes=2, channels=1).params <= 5e5
    assert estimate_cost(few).params > 5e5


def test_the_rounding_is_kept() -> None:
    rounding = Rounding(divisor=32, min_width=32, resolution_multiple=16, depth="round")
    found = fit_to_budget("efficientnet_b0", macs=3e9, rounding=rounding)
    stages: list[StageSpec] = [found.stem, *found.stages]
    assert all(stage.width % 32 == 0 for stage in stages)
    assert found.resolution % 16 == 0


def test_groups_of_channels_stay_whole() -> None:
    for factor in (0.2, 0.7, 1.5, 6):
        found = fit_to_budget("regnet_x_400mf", macs=factor * estimate_cost("regnet_x_400mf").macs)
        for stage in found.stages:
            assert stage.width % stage.block.group_width == 0  # type: ignore[attr-defined]


def test_an_impossible_limit_is_named_with_the_smallest_value_that_can_be_reached() -> None:
    with pytest.raises(BudgetError, match=r"meets `params`: the smallest .* has [\d,.e+]+\. .*Received: params=1,000"):
        fit_to_budget("efficientnet_b0", params=1000, macs=1e9)
    with pytest.raises(BudgetError) as caught:
        fit_to_budget("efficientnet_b0", macs=1000)
    smallest = float(str(caught.value).split(" has ")[1].split(". ")[0].replace(",", ""))
    found = fit_to_budget("efficientnet_b0", macs=smallest * 1.01)
    assert estimate_cost(found).macs == pytest.approx(smallest, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, BudgetError, "at least one limit"),
        ({"macs": 0}, BudgetError, "greater than 0"),
        ({"macs": -5.0}, BudgetError, "greater than 0"),
        ({"params": math.nan}, BudgetError, "finite"),
        ({"params": math.inf}, BudgetError, "finite"),
        ({"params": "5M"}, BudgetError, "finite number"),
        ({"macs": 1e60}, BudgetError, "no machine can hold"),
        ({"macs": 1e9, "rule": "tabulated"}, BudgetError, "takes any phi"),
        ({"macs": 1e9, "rule": "nonsense"}, RegistryError, "no scaling rule"),
        ({"macs": 1e9, "resolution": 31}, ScalingError, "resolution"),
    ],
)
def test_bad_budgets(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"(?s){words}.*Received"):
        fit_to_budget("efficientnet_b0", **arguments)


def test_a_rule_that_only_shrinks_ends_at_the_base() -> None:
    assert fit_to_budget("efficientnet_b0", macs=1e9, rule="tinynet") == backbones.get("efficientnet_b0")
    found = fit_to_budget("efficientnet_b0", macs=1e8, rule="tinynet")
    assert CLOSE * 1e8 <= estimate_cost(found).macs <= 1e8


def test_the_result_is_near_the_rules_own_shape() -> None:
    # What is filled in after the last phi must not make another network of it.
    for phi in (-2, 1, 3):
        asked = scale_spec("efficientnet_b0", phi, rounding=Rounding(depth="round"))
        found = fit_to_budget("efficientnet_b0", macs=estimate_cost(asked).macs)
        assert found.depth == pytest.approx(asked.depth, rel=0.15)
        assert found.resolution == pytest.approx(asked.resolution, rel=0.1)
        assert estimate_cost(found).params == pytest.approx(estimate_cost(asked).params, rel=0.2)


def test_every_registered_rule_is_known_to_these_tests() -> None:
    # A new rule must say here whether it can be fitted.
    assert set(rules.names()) == {
        *("compound", "depth_only", "fast", "resnet_rs", "resolution_only", "tabulated", "tinynet", "width_only")
    }
