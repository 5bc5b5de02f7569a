"""Groups of channels in widened stages, against pycls' rule and against what groups are for."""

from __future__ import annotations

from dataclasses import replace
from math import lcm

import pytest
from support import tiny_spec

from keras_effnet import Coefficients, Rounding, StageSpec, build_model, estimate_cost, scale_spec
from keras_effnet.blocks import Bottleneck
from keras_effnet.blocks.groups import nearest_multiple, widened_groups
from keras_effnet.errors import SpecError
from keras_effnet.registry import backbones
from keras_effnet.scaling import Compound

GROUPED = [name for name in backbones.names() if name.startswith(("regnet", "resnext"))]
EXACT = Rounding(divisor=1, depth="round", resolution_multiple=1)
PHIS = [step / 4 for step in range(-12, 21)]


def pycls(group: int, width: int, scale: float, ratio: float = 1) -> tuple[int, int]:
    """facebookresearch/pycls: `scale_model`, then `adjust_block_compatibility` (models/blocks.py)."""
    group = max(1, round(group * scale))
    group = group if group <= 2 else 4 if group <= 5 else round(group / 8) * 8
    inner = int(max(1, width * ratio))
    group = int(min(group, inner))
    multiple = lcm(group, int(ratio)) if ratio > 1 else group
    inner = max(multiple, int(round(inner / multiple) * multiple))
    return group, int(inner / ratio)


@pytest.mark.parametrize("scale", [0.1, 0.5, 0.75, 1 / 1.1, 1.05, 1.1, 1.21, 1.61, 2, 3.7])
def test_group_widths_are_those_of_pycls(scale: float) -> None:
    for group in (1, 2, 3, 4, 8, 16, 24, 40, 64, 120):
        for width in range(8, 1400, 8):
            assert widened_groups(group, width, scale) == pycls(group, width, scale)


def test_the_nearest_multiple_is_the_nearest() -> None:
    for divisor in (1, 2, 7, 32):
        for width in range(1, 200):
            found = nearest_multiple(width, divisor)
            assert found % divisor == 0
            assert found >= divisor
            others = range(divisor, width + 2 * divisor, divisor)
            assert abs(found - width) == min(abs(other - width) for other in others)


@pytest.mark.parametrize("rounding", [None, EXACT, Rounding(divisor=3)], ids=str)
@pytest.mark.parametrize("name", GROUPED)
def test_groups_stay_whole_at_every_phi(name: str, rounding: Rounding | None) -> None:
    for phi in PHIS:
        scaled = scale_spec(name, phi, rounding=rounding)
        for stage in scaled.stages:
            block = stage.block
            assert isinstance(block, Bottleneck)
            assert stage.width % (block.group_width or block.groups) == 0
        estimate_cost(scaled)  # refuses groups that are not whole


@pytest.mark.parametrize("name", GROUPED)
def test_the_number_of_groups_stays_in_proportion(name: str) -> None:
    # ResNeXt's is constant; RegNet's groups widen with the stage, so that their number hardly moves.
    spec = backbones.get(name)
    for phi in (3, 6, 9):
        scaled = scale_spec(spec, phi)
        for before, after in zip(spec.stages, scaled.stages, strict=True):
            assert isinstance(before.block, Bottleneck)
            assert isinstance(after.block, Bottleneck)
            if before.block.group_width is None:
                assert after.block == before.block
            else:
                assert after.block.group_width is not None
                assert after.block.group_width == pytest.approx(before.block.group_width * 1.1**phi, rel=1 / 3)
                assert replace(after.block, group_width=before.block.group_width) == before.block


@pytest.mark.parametrize("phi", [-2, -0.5, 1, 2.5, 5])
@pytest.mark.parametrize("groups", [{"group_width": 512}, {"groups": 8}], ids=str)
def test_a_grouped_stage_costs_as_much_more_as_a_plain_one(groups: dict[str, int], phi: float) -> None:
    # Half the cost is in groups. Were their width left alone, they would grow with the width only, not with its square.
    block = Bottleneck(kernel=9, expand=1, **groups)
    stages = (StageSpec(block, width=20480, depth=40),)
    base = replace(tiny_spec(block, resolution=600), stages=stages)
    scaled = scale_spec(base, phi, rounding=EXACT)
    measured = estimate_cost(scaled, include_top=False).macs / estimate_cost(base, include_top=False).macs
    assert measured == pytest.approx(Compound()(phi).macs, rel=0.05)


def test_a_fixed_stage_and_a_coefficient_of_1_leave_groups_alone() -> None:
    block = Bottleneck(expand=1, group_width=12)  # no multiple of 8
    spec = tiny_spec(block)
    stage = StageSpec(block, width=36, fixed="width")
    wide = Coefficients(width=2)
    assert scale_spec(replace(spec, stages=(stage,)), coefficients=wide).stages[0] == stage
    free = replace(stage, fixed="nothing")
    assert scale_spec(replace(spec, stages=(free,)), coefficients=Coefficients(depth=2)).stages[0].block == block
    assert scale_spec(replace(spec, stages=(free,)), coefficients=wide).stages[0].block != block


def test_a_width_that_is_not_whole_groups_is_refused() -> None:
    for block, width in ((Bottleneck(group_width=8), 20), (Bottleneck(groups=3), 20)):
        spec = replace(tiny_spec(block), stages=(StageSpec(block, width),))
        with pytest.raises(SpecError, match=r"Received: .*20"):
            estimate_cost(spec)
        with pytest.raises(SpecError, match=r"Received: .*20"):
            build_model(spec)
