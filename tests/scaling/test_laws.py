"""Laws over every registered rule and backbone."""

from __future__ import annotations

import pytest
from support import BASES

from keras_effnet import Coefficients, Cost, Rounding, estimate_cost, scale_spec
from keras_effnet.backbones.catalogue import FAMILIES
from keras_effnet.registry import backbones, rules

slow = pytest.mark.slow

EXACT = Rounding(divisor=1, depth="round", resolution_multiple=1)
NEAREST = Rounding(depth="round")
ROUNDINGS = [Rounding(), NEAREST, EXACT]
# Rules that take every phi; TinyNet's takes those up to 0, a table its rows.
EVERY_PHI = [name for name in rules.names() if name not in ("tabulated", "tinynet")]
SIX = ("efficientnet_b0", "resnet50", "mobilenet_v3_small", "regnet_y_400mf", "densenet121", "convnext_tiny")


def costs(name: str, rule: str, phis: list[float], rounding: Rounding) -> list[Cost]:
    return [estimate_cost(scale_spec(name, phi, rule=rule, rounding=rounding)) for phi in phis]


def check_growth(name: str, rule: str, rounding: Rounding) -> None:
    phis = [step / 4 for step in range(-8, 13)]
    found = costs(name, rule, phis, rounding)
    # Stages of one block (GhostNet's) get no shallower.
    shallow = max(stage.depth for stage in backbones.get(name).stages) == 1
    for quantity in ("params", "macs", "activations"):
        values = [getattr(cost, quantity) for cost in found]
        assert values == sorted(values), quantity
        if rule != "resolution_only" or quantity != "params":
            assert (values[0] < values[8] or shallow) and values[8] < values[-1]  # noqa: PT018 - one chain


@pytest.mark.parametrize("rule", EVERY_PHI)
@pytest.mark.parametrize("name", SIX)
def test_cost_grows_with_phi(name: str, rule: str) -> None:
    check_growth(name, rule, Rounding())


# The whole product says little more: each backbone meets every rounding, each family every rule, each rule every
# rounding.
TURNS = [
    (name, rule, ROUNDINGS[(number + place) % len(ROUNDINGS)])
    for number, name in enumerate(backbones.names())
    for place, rule in enumerate(EVERY_PHI)
    if name in BASES or (number + place // len(ROUNDINGS)) % 2 == 0
]


@slow
@pytest.mark.parametrize(("name", "rule", "rounding"), TURNS)
def test_cost_grows_with_phi_for_every_rule_backbone_and_rounding(name: str, rule: str, rounding: Rounding) -> None:
    check_growth(name, rule, rounding)


def test_every_two_of_backbone_rule_and_rounding_take_a_turn_together() -> None:
    assert {(rule, repr(rounding)) for _, rule, rounding in TURNS} == {
        (rule, repr(rounding)) for rule in EVERY_PHI for rounding in ROUNDINGS
    }
    for name in backbones.names():
        turns = [(rule, rounding) for other, rule, rounding in TURNS if other == name]
        assert {rounding for _, rounding in turns} == set(ROUNDINGS)
        assert name not in BASES or [rule for rule, _ in turns] == EVERY_PHI


@pytest.mark.parametrize("name", backbones.names())
def test_tinynets_rule_makes_every_backbone_smaller_from_size_to_size(name: str) -> None:
    found = [cost.macs for cost in costs(name, "tinynet", [-4, -3, -2, -1, 0], NEAREST)]
    assert found == sorted(found)
    assert found[0] < 0.2 * found[-1]


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "mobilenet_v2"])
def test_the_table_makes_every_backbone_larger_from_row_to_row(name: str) -> None:
    found = [estimate_cost(scale_spec(name, row, rule="tabulated")).macs for row in range(9)]
    assert found == sorted(found)


# A rule's own law, counted: phi = 1, 2, 3 cost 2, 4, 8 times the base (1.92, 3.69, 7.08 by the paper's constants), on
# networks so deep and images so large that whole blocks and cells leave little over. What still pulls away from it:
# depthwise filters grow with the width, not with its square; stem, head and classifier do not grow with the depth.
PROMISE = {"compound": 1.2 * 1.1**2 * 1.15**2}
TOLERANCE = 0.08


@pytest.mark.parametrize("rule", EVERY_PHI)
@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "regnet_x_1_6gf", "convnext_tiny", "resnext50"])
def test_each_step_of_phi_costs_what_the_rule_promises(name: str, rule: str) -> None:
    deep = scale_spec(name, coefficients=Coefficients(depth=20, resolution=2))
    found = [estimate_cost(scale_spec(deep, phi, rule=rule, rounding=EXACT)).macs for phi in range(4)]
    for phi in (1, 2, 3):
        promised = PROMISE.get(rule, 2.0) ** phi
        assert found[phi] / found[0] == pytest.approx(promised, rel=TOLERANCE)


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0", "convnext_tiny"])
def test_fast_scaling_grows_activations_as_the_root_of_the_cost(name: str) -> None:
    # arXiv:2103.06877, abstract: O(sqrt(s)) where compound scaling has O(s): with alpha = 0.8, s^0.6.
    base = estimate_cost(name)
    for phi in (2, 4):
        fast, compound = (
            estimate_cost(scale_spec(name, phi, rule=rule, rounding=EXACT)) for rule in ("fast", "compound")
        )
        assert fast.activations / base.activations == pytest.approx(2 ** (0.6 * phi), rel=0.12)
        assert fast.activations < 0.8 * compound.activations


def test_every_family_names_registered_backbones() -> None:
    for base, members in FAMILIES.items():
        assert {base, *members} <= set(backbones.names())
        assert backbones.get(base).name == base
        assert [backbones.get(member).name for member in members] == list(members)
