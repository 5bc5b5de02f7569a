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


def test_each_stage_can_have_coefficients_of_its_own() -> None:
    # EfficientNetV2's way: more in the later stages.
    own = ((1.0, 1.0), (1.0, 1.5), (2.0, 1.0), (3.0, 2.0))
    found = scale_spec("resnet50", coefficients=Coefficients(depth=2, width=0.5, stages=own), rounding=EXACT)
    assert [stage.depth for stage in found.stages] == [6, 8, 24, 18]
    assert [stage.width for stage in found.stages] == [32, 96, 128, 512]
    assert found.stem.width == 32
    alone = scale_spec("resnet50", coefficients=Coefficients(stages=own), rounding=EXACT)
    assert [stage.depth for stage in alone.stages] == [3, 4, 12, 9]
    assert scale_spec("resnet50", coefficients=Coefficients(stages=((1.0, 1.0),) * 4)) == backbones.get("resnet50")


@pytest.mark.parametrize("phi", [-2, -0.5, 0.5, 3])
@pytest.mark.parametrize("number", [0, 3, 6])
def test_what_a_stage_declares_fixed_is_left_alone(number: int, phi: float) -> None:
    base = backbones.get("efficientnet_b0")
    free = scale_spec(base, phi)
    for fixed in ("width", "depth", "both"):
        stages = list(base.stages)
        stages[number] = replace(stages[number], fixed=fixed)
        found = scale_spec(replace(base, stages=tuple(stages)), phi)
        width = base.stages[number].width if fixed in ("width", "both") else free.stages[number].width
        depth = base.stages[number].depth if fixed in ("depth", "both") else free.stages[number].depth
        assert (found.stages[number].width, found.stages[number].depth) == (width, depth)
        others = [stage for place, stage in enumerate(found.stages) if place != number]
        assert others == [stage for place, stage in enumerate(free.stages) if place != number]


def test_a_stem_and_a_head_can_be_fixed() -> None:
    base = backbones.get("efficientnet_b0")
    assert base.head is not None
    kept = replace(base, stem=replace(base.stem, fixed="both"), head=replace(base.head, fixed="width"))
    found = scale_spec(kept, 4)
    assert (found.stem, found.head) == (kept.stem, kept.head)
    assert found.stages == scale_spec(base, 4).stages


def test_a_hidden_layer_of_the_classifier_widens_with_the_network() -> None:
    found = scale_spec("mobilenet_v3_small", coefficients=Coefficients(width=1.5))
    assert found.classifier.width == 1536  # type: ignore[attr-defined]
    assert scale_spec("mobilenet_v3_small", coefficients=Coefficients(depth=2)).classifier.width == 1024  # type: ignore


def test_a_rule_is_any_callable() -> None:
    scaled = scale_spec("resnet50", 3, rule=lambda phi: Coefficients(depth=phi), rounding=EXACT)
    assert [stage.depth for stage in scaled.stages] == [9, 12, 18, 9]
    assert [stage.width for stage in scaled.stages] == [64, 128, 256, 512]


def test_scaling_leaves_its_input_alone() -> None:
    # Shared, mutated block arguments are a known defect elsewhere: the second model came out wrong.
    first = scale_spec("efficientnet_b0", 3)
    scale_spec("efficientnet_b0", -3)
    assert scale_spec("efficientnet_b0", 3) == first
