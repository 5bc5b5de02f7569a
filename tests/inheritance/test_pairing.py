"""Networks that shrink: nothing that gets smaller is refused for not computing what it did."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from support import STAGE_BLOCKS

from keras_effnet import BackboneSpec, StageSpec, build_model, grow_model, scale_spec
from keras_effnet.blocks import (
    ConvBlock,
    DenselyConnected,
    DepthwiseSeparable,
    GhostBottleneck,
    InvertedResidual,
    InvertedResidualV3,
    MBConv,
    PreactBottleneck,
    RepVGGBlock,
)
from keras_effnet.errors import SpecError
from keras_effnet.inheritance.inheritance_plan import InheritanceOptions, InheritancePlan
from keras_effnet.network import record_network
from keras_effnet.registry import backbones
from keras_effnet.scaling import Rounding
from keras_effnet.trace import trace_network


def losses(old: BackboneSpec, new: BackboneSpec) -> list[str]:
    """Why growing from one to the other is not exact, found without weights."""
    before, after = (trace_network(each, classes=10) for each in (old, new))
    plan = InheritancePlan(before, after, lambda name: [np.ones(1)], InheritanceOptions(select="prefix"))
    for section in plan.pairing.new.blocks:
        for node in section.nodes:
            plan._check_over_channels(node, section.stage)
            source = plan.pairing.nodes.get(node)
            if source is not None:
                plan._kind(node, source, plan._maps(node, source), section.stage)
    return [f"{each.stage}: {each.reason}" for each in plan.pairing.differences if each.grows]


def network(*stages: StageSpec, **changes: Any) -> BackboneSpec:
    parts: dict[str, Any] = {"stem": StageSpec(ConvBlock(), 8, stride=2), "resolution": 64, **changes}
    return BackboneSpec(name="mixed", stages=stages, **parts)


@pytest.mark.parametrize(
    ("name", "rule", "phi"),
    [
        ("mobilenet_v1", "depth_only", -1),
        ("mobilenet_v3_small", "width_only", -1),
        ("mnasnet_b1", "width_only", -3),
        ("regnet_y_400mf", "width_only", -1),
        ("resnet50_v2", "depth_only", -3),
        ("densenet121", "compound", -2),
        ("convnext_tiny", "compound", -1),
    ],
)
def test_a_backbone_that_shrinks_is_not_refused(name: str, rule: str, phi: float) -> None:
    spec = backbones.get(name)
    assert losses(spec, scale_spec(spec, phi, rule=rule)) == []


def test_any_mixed_network_shrinks() -> None:
    generator, tried = random.Random(0), 0
    for _ in range(60):
        stages = []
        for block in generator.choices(STAGE_BLOCKS, k=2):
            made, width = block.widened(generator.choice([8, 12, 16]), 1)
            stages.append(StageSpec(made, width, generator.choice([1, 2, 3]), generator.choice([1, 2])))
        try:
            old = network(*stages)
            # Without a divisor no width is rounded up.
            new = scale_spec(old, generator.choice([-1, -3]), rounding=Rounding(divisor=1, limit=0))
            record_network(new)
        except SpecError:
            continue
        larger = any(
            ours.width > theirs.width or ours.block != theirs.block
            for ours, theirs in zip(new.parts, old.parts, strict=True)
        )
        found = losses(old, new)
        assert larger or not found, (old, new)
        tried += not larger
    assert tried > 30


def test_what_grows_or_only_differs_is_still_refused() -> None:
    small = network(StageSpec(MBConv(), 8, 2), StageSpec(PreactBottleneck(expand=1), 8, 2, 2))
    other = network(StageSpec(MBConv(activation="relu"), 8, 2), StageSpec(PreactBottleneck(expand=1), 8, 2, 2))
    assert losses(small, other)
    normed = network(StageSpec(MBConv(), 12, 1), StageSpec(STAGE_BLOCKS[9], 12))
    wider = network(StageSpec(MBConv(), 8, 1), StageSpec(STAGE_BLOCKS[9], 20))
    assert any("layer normalisation" in reason for reason in losses(normed, wider))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((StageSpec(GhostBottleneck(), 12), StageSpec(RepVGGBlock(), 12, 2)), None),
        ((StageSpec(DenselyConnected(expand=1), 8, 3), StageSpec(MBConv(), 12, 2)), None),
        ((StageSpec(DepthwiseSeparable(), 8, 3), StageSpec(DepthwiseSeparable(), 8, 2)), None),
        ((StageSpec(PreactBottleneck(expand=1), 12, 2, 2),), None),
    ],
    ids=["ghost", "dense", "no skip", "strides last"],
)
def test_a_shrunk_model_is_built_and_finite(old: tuple[StageSpec, ...], new: Any) -> None:
    spec = network(*old)
    smaller = scale_spec(spec, -3, rounding=Rounding(divisor=2, limit=0))
    assert sum(each.depth for each in smaller.parts) < sum(each.depth for each in spec.parts) or smaller != spec
    model, report = grow_model(build_model(spec, classes=3), smaller, return_report=True)
    assert not report.exact
    assert np.isfinite(model(np.ones((1, *model.input_shape[1:]), "float32"))).all()


@pytest.mark.parametrize("block", [InvertedResidual(), InvertedResidualV3(), DepthwiseSeparable(), DenselyConnected()])
def test_a_stem_shares_no_name_with_the_first_stage(block: Any) -> None:
    spec = network(StageSpec(block, 8, 2), StageSpec(block, 12, 2), stem=StageSpec(block, 8))
    names = [node.name for node in record_network(spec).nodes]
    assert len(set(names)) == len(names)
