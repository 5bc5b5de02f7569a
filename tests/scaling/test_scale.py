"""`scale_spec`: identity, monotone cost, what is scaled and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import STAGE_BLOCKS, tiny_spec

from keras_effnet import Coefficients, Rounding, StageSpec, estimate_cost, scale_spec
from keras_effnet.blocks import Block, Bottleneck, DenselyConnected, MBConv
from keras_effnet.registry import backbones, rules
from keras_effnet.scaling import Compound

EXACT = Rounding(divisor=1, depth="round", resolution_multiple=1)
# Each densely connected block reads what all before it gave: cost grows with the square of depth, not with depth.
LAWFUL = [block for block in STAGE_BLOCKS if not isinstance(block, DenselyConnected)]


@pytest.mark.parametrize("rounding", [None, EXACT, Rounding(divisor=64, resolution_multiple=32)], ids=str)
@pytest.mark.parametrize("name", backbones.names())
def test_phi_0_and_coefficients_of_1_return_the_spec_that_went_in(name: str, rounding: Rounding | None) -> None:
    spec = backbones.get(name)
    for phi in (0, 0.0, -0.0):
        assert scale_spec(spec, phi, rounding=rounding) == spec
    assert scale_spec(spec, coefficients=Coefficients(), rounding=rounding) == spec


@pytest.mark.parametrize("rule", rules.names())
@pytest.mark.parametrize("name", backbones.names())
def test_phi_0_of_every_rule_is_the_identity(name: str, rule: str) -> None:
    # A released row also sets the classifier's dropout; nothing else may move.
    spec = backbones.get(name)
    scaled = scale_spec(spec, 0, rule=rule)
    assert replace(scaled, classifier=spec.classifier) == spec
    if rule == "compound" or name == "efficientnet_b0":
        assert scaled == spec


@pytest.mark.parametrize("rounding", [None, EXACT], ids=["paper", "exact"])
@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "mobilenet_v1", "mobilenet_v2", "efficientnet_l2"])
def test_cost_never_falls_as_phi_grows(name: str, rounding: Rounding | None) -> None:
    costs = [estimate_cost(scale_spec(name, step / 10, rounding=rounding)) for step in range(-30, 71)]
    for quantity in ("params", "macs", "activations"):
        values = [getattr(cost, quantity) for cost in costs]
        assert values == sorted(values)
        assert values[0] < values[30] < values[-1]


@pytest.mark.parametrize("phi", [-3, -0.5, 1, 2.5, 5])
@pytest.mark.parametrize("block", LAWFUL, ids=repr)
def test_multiply_adds_of_every_block_follow_the_law(block: Block, phi: float) -> None:
    # So deep, wide and large that whole blocks, channels and pixels leave next to nothing over.
    stages = tuple(StageSpec(block, width=400, depth=50, stride=stride) for stride in (1, 2, 2))
    base = replace(tiny_spec(block, resolution=900), stages=stages)
    scaled = scale_spec(base, phi, rounding=EXACT)
    measured = estimate_cost(scaled, include_top=False).macs / estimate_cost(base, include_top=False).macs
    # Depthwise filters grow with the width, not with its square: they pull below the law above phi = 0.
    assert measured == pytest.approx(Compound()(phi).macs, rel=0.1)


@pytest.mark.parametrize("number", range(8))
def test_the_released_efficientnets_are_b0_scaled_by_the_table(number: int) -> None:
    # The released resolutions are multiples of 4, so the default rounding keeps them.
    scaled = scale_spec("efficientnet_b0", number, rule="tabulated")
    assert replace(scaled, name=f"efficientnet_b{number}") == backbones.get(f"efficientnet_b{number}")


def test_widths_of_all_parts_depths_of_stages_and_the_resolution_are_scaled() -> None:
    base = tiny_spec(MBConv(), Bottleneck(), resolution=64, depth=3)
    scaled = scale_spec(base, coefficients=Coefficients(depth=2, width=3, resolution=1.5), rounding=EXACT)
    assert (scaled.stem.width, scaled.stem.depth) == (24, 1)
    assert [(stage.width, stage.depth) for stage in scaled.stages] == [(24, 6), (36, 6)]
    assert base.head is not None
    assert scaled.head is not None
    assert (scaled.head.width, scaled.head.depth) == (3 * base.head.width, 1)
    assert scaled.resolution == 96
    # Blocks, strides, drop-path, preprocessing, name: as they were.
    parts = {name: getattr(scaled, name) for name in ("stem", "stages", "head", "resolution")}
    assert replace(base, **parts) == scaled
    assert [stage.block for stage in scaled.stages] == [stage.block for stage in base.stages]
    assert [stage.stride for stage in scaled.stages] == [stage.stride for stage in base.stages]


def test_dropout_comes_with_the_coefficients_or_stays() -> None:
    assert scale_spec("efficientnet_b0", 1).classifier.dropout == 0.2
    assert scale_spec("efficientnet_b0", coefficients=Coefficients(dropout=0.45)).classifier.dropout == 0.45


def test_a_rule_is_any_callable() -> None:
    scaled = scale_spec("resnet50", 3, rule=lambda phi: Coefficients(depth=phi), rounding=EXACT)
    assert [stage.depth for stage in scaled.stages] == [9, 12, 18, 9]
    assert [stage.width for stage in scaled.stages] == [64, 128, 256, 512]


def test_scaling_leaves_its_input_alone() -> None:
    # Shared, mutated block arguments are a known defect elsewhere: the second model came out wrong.
    first = scale_spec("efficientnet_b0", 3)
    scale_spec("efficientnet_b0", -3)
    assert scale_spec("efficientnet_b0", 3) == first
