"""Scaling rules as laws: identity, power law, the released table."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_effnet import Coefficients
from keras_effnet.errors import ConformanceError, ScalingError
from keras_effnet.registry import rules
from keras_effnet.scaling import (
    EFFICIENTNET_TABLE,
    Compound,
    DepthOnly,
    Fast,
    ResNetRS,
    ResolutionOnly,
    ScalingRule,
    Tabulated,
    TinyNet,
    WidthOnly,
)
from keras_effnet.testing import check_rule

ratios = st.floats(0.5, 2)
phis = st.floats(-20, 20)
quick = settings(deadline=None, database=None, derandomize=True, max_examples=100)


@pytest.mark.parametrize("name", rules.names())
def test_phi_0_is_the_identity_of_every_rule(name: str) -> None:
    found = rules.get(name)(0)
    assert (found.depth, found.width, found.resolution) == (1, 1, 1)


@quick
@given(alpha=ratios, beta=ratios, gamma=ratios, phi=phis)
def test_compound_raises_its_constants_to_the_power_of_phi(alpha: float, beta: float, gamma: float, phi: float) -> None:
    # By logarithms: not the way the code takes.
    found = Compound(alpha, beta, gamma)(phi)
    for value, constant in ((found.depth, alpha), (found.width, beta), (found.resolution, gamma)):
        assert value == pytest.approx(math.exp(phi * math.log(constant)), rel=1e-9)
    assert found.dropout is None


@quick
@given(one=phis, other=phis)
def test_compound_scaling_twice_is_scaling_by_the_sum(one: float, other: float) -> None:
    rule = Compound()
    assert rule(one).depth * rule(other).depth == pytest.approx(rule(one + other).depth, rel=1e-9)
    assert rule(one).macs * rule(other).macs == pytest.approx(rule(one + other).macs, rel=1e-9)


def test_the_papers_constants_nearly_double_the_cost_with_each_step() -> None:
    assert Compound() == Compound(1.2, 1.1, 1.15)
    assert Compound()(1).macs == pytest.approx(1.9203, abs=1e-4)


# What depth, width and resolution make of a factor s on multiply-adds: their exponents, from the papers named in the
# rules' own docstrings.
EXPONENTS: list[tuple[Callable[[float], ScalingRule], tuple[float, float, float]]] = [
    (lambda step: WidthOnly(step), (0, 1 / 2, 0)),
    (lambda step: DepthOnly(step), (1, 0, 0)),
    (lambda step: ResolutionOnly(step), (0, 0, 1 / 2)),
    (lambda step: Fast(step=step), (0.1, 0.4, 0.05)),  # arXiv:2103.06877, Table 4: dWr, alpha = 0.8
    (lambda step: Fast(alpha=1 / 3, step=step), (1 / 3, 1 / 6, 1 / 6)),  # its uniform dwr
    (lambda step: ResNetRS(step=step), (0.626, 0, 0.187)),
    (lambda step: ResNetRS("width", step=step), (0, 0.313, 0.187)),
]


@quick
@given(case=st.sampled_from(EXPONENTS), step=st.floats(1.1, 4), phi=st.floats(-10, 10))
def test_rules_share_a_factor_on_cost_as_their_papers_do(
    case: tuple[Callable[[float], ScalingRule], tuple[float, float, float]], step: float, phi: float
) -> None:
    make, exponents = case
    found = make(step)(phi)
    factor = phi * math.log(step)
    for value, exponent in zip((found.depth, found.width, found.resolution), exponents, strict=True):
        assert math.log(value) == pytest.approx(exponent * factor, abs=1e-9)
    assert math.log(found.macs) == pytest.approx(factor, abs=1e-9)


# (layers, pixels): tensorflow/tpu, models/official/resnet/resnet_rs/README.md.
RESNET_RS_FAMILY = [
    *((50, 160), (101, 160), (101, 192), (152, 192), (152, 224), (152, 256), (200, 256), (270, 256), (350, 256)),
    *((350, 320), (420, 320)),
]


def test_the_resolution_exponent_of_resnet_rs_is_fitted_to_its_family() -> None:
    blocks = [(layers - 2) / 3 for layers, _ in RESNET_RS_FAMILY]
    sides = [math.log(side / 160) for _, side in RESNET_RS_FAMILY]
    costs = [math.log(block / blocks[0]) + 2 * side for block, side in zip(blocks, sides, strict=True)]
    slope = sum(x * y for x, y in zip(costs, sides, strict=True)) / sum(x * x for x in costs)
    assert ResNetRS().exponent == pytest.approx(slope, abs=5e-4)
    efficientnet = Compound()(1)
    assert ResNetRS().exponent < math.log(efficientnet.resolution) / math.log(efficientnet.macs), "it grows slower"


# huggingface/pytorch-image-models, timm/models/efficientnet.py: width, depth, resolution; arXiv:2010.14819: macs.
TINYNETS = [
    (1.0, 1.2, 192, 339),
    (0.75, 1.1, 188, 202),
    (0.54, 0.85, 184, 100),
    (0.54, 0.695, 152, 52),
    (0.51, 0.6, 106, 24),
]


@pytest.mark.parametrize("row", TINYNETS, ids=str)
def test_tinynets_rule_goes_through_the_published_networks(row: tuple[float, float, int, int]) -> None:
    width, depth, resolution, macs = row
    found = TinyNet()(math.log2(macs / 386))
    assert (found.width, found.depth, found.resolution * 224) == pytest.approx((width, depth, resolution))


def test_tinynets_cost_falls_with_phi_and_only_shrinks() -> None:
    promised = [TinyNet()(-step / 10).macs for step in range(81)]
    assert promised == sorted(promised, reverse=True)
    with pytest.raises(ScalingError, match=r"at most 0.*Received"):
        TinyNet()(0.1)


# google/automl, efficientnetv2/effnetv2_configs.py: efficientnetv1_params (width, depth, resolution, dropout).
RELEASED = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
    "b8": (2.2, 3.6, 672, 0.5),
    "l2": (4.3, 5.3, 800, 0.5),
}


def test_the_table_has_the_released_rows_and_no_other() -> None:
    assert list(EFFICIENTNET_TABLE) == list(RELEASED)


@pytest.mark.parametrize("row", RELEASED)
def test_every_row_is_the_released_one(row: str) -> None:
    width, depth, resolution, dropout = RELEASED[row]
    found = Tabulated()(row)
    assert (found.width, found.depth, found.dropout) == (width, depth, dropout)
    assert found.resolution * 224 == pytest.approx(resolution)
    assert Tabulated()(row.upper()) == found
    if row != "l2":
        assert Tabulated()(int(row[1:])) == Tabulated()(float(row[1:])) == found


@pytest.mark.parametrize("phi", [0.5, 9, -1, "b9", "", "B"])
def test_nothing_is_made_up_between_rows(phi: float | str) -> None:
    with pytest.raises(ScalingError, match=r"no such row.*b0, b1.*Received"):
        Tabulated()(phi)


def test_a_table_of_ones_own() -> None:
    table = {"small": Coefficients(0.5, 0.5, 0.5), "b1": Coefficients(2)}
    assert Tabulated(table)("small") == Coefficients(0.5, 0.5, 0.5)
    assert Tabulated(table)(1) == Coefficients(2)


def test_a_rule_for_single_stages_costs_what_its_stages_cost() -> None:
    def late(phi: float) -> Coefficients:
        return Coefficients(stages=((1, 1), (1, 1), (2**phi, 1), (2**phi, 1)))

    assert late(0).macs == 1
    assert late(2).macs == (1 + 1 + 4 + 4) / 4
    assert late(2).macs_by_shares((0.2, 0.3, 0.1, 0.1)) == pytest.approx(0.2 + 0.3 + 4 * 0.2 + 0.3)
    assert Coefficients(2, 3, 5, stages=((1, 2),)).macs_by_shares((0.5,)) == 2 * 9 * 25 * (0.5 * 4 + 0.5)
    check_rule(late)
    with pytest.raises(ConformanceError, match="must grow with phi"):
        check_rule(lambda phi: Coefficients(stages=((2**-phi, 1), (1, 1))))
