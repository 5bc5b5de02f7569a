"""The count from a spec against the graph that is built from it."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FIXED, FRESH, specs
from support import BASES, STAGE_BLOCKS, every_block_spec, stage_of, tiny_spec, without_weights

from keras_effnet import BackboneSpec, Coefficients, Rounding, build_model, scale_spec
from keras_effnet.backbones.catalogue import FAMILIES as SIZES
from keras_effnet.blocks import (
    ConvBlock,
    DeepStem,
    MBConv,
    NormActivation,
    PatchStem,
    ResNetStem,
)
from keras_effnet.builder.embedded_spec import carries_spec
from keras_effnet.cost import Cost, estimate_cost
from keras_effnet.counted_model import read_counted
from keras_effnet.errors import KerasEffnetError, SpecError
from keras_effnet.registry import backbones, blocks
from keras_effnet.testing import graph_counts

slow = pytest.mark.slow

FAMILIES = ("efficientnet_b0", "resnet50", "mobilenet_v1", "mobilenet_v2")
EXACT = Rounding(divisor=1, depth="round", resolution_multiple=1)
NARROW = Coefficients(depth=0.1, width=0.2, resolution=0.37)

# Each of these changes what is counted: with and without top, poolings, channels, classes, odd and oblong images.
ARGUMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"channels": 1, "classes": 7},
    {"include_top": False, "resolution": (97, 64)},
    {"include_top": False, "pooling": "avg", "channels": 4, "resolution": 65},
    {"include_top": False, "pooling": "max", "resolution": (33, 71)},
    {"resolution": (64, 111), "classes": 1},
)


def assert_count_is_build(spec: BackboneSpec, **arguments: Any) -> None:
    cost = estimate_cost(spec, **arguments)
    options = dict(arguments)
    size = options.pop("resolution", spec.resolution)
    sides = size if isinstance(size, tuple) else (size, size)
    with without_weights():
        model = build_model(spec, input_shape=(*sides, options.pop("channels", 3)), **options)
    assert max(Counter(layer.name for layer in model.layers).values()) == 1
    found = graph_counts(model.layers)
    assert cost.params == found.params == model.count_params()
    assert cost.trainable_params == sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert cost.macs == found.macs
    assert cost.activations == found.activations
    assert_stages(cost, spec, model)
    assert_read_alike(cost, model)


def assert_read_alike(cost: Cost, model: keras.Model) -> None:
    """What is counted from the graph alone is what is counted from the spec."""
    read = read_counted(model)
    found = read.costs.values()
    assert sum(each.macs for each in found) == cost.macs
    assert sum(each.activations for each in found) == cost.activations
    assert sum(each.trainable_params for each in found) == cost.trainable_params
    assert sum(each.trainable_params + each.untrained_params for each in found) == cost.params
    assert read.opaque == ()
    if carries_spec(model):
        assert estimate_cost(model) == cost


def assert_stages(cost: Any, spec: BackboneSpec, model: keras.Model) -> None:
    """Each stage holds what the layers named after it hold, and the stages are the whole."""
    layers: dict[int, list[Any]] = {}
    for layer in model.layers:
        layers.setdefault(stage_of(layer.name, spec), []).append(layer)
    for number, stage in enumerate(cost.stages):
        found = graph_counts(layers.get(number, []))
        assert (stage.macs, stage.activations, stage.params) == found, f"stage {number}"
    for quantity in ("params", "trainable_params", "macs", "activations"):
        assert sum(getattr(stage, quantity) for stage in cost.stages) == getattr(cost, quantity)
    for before, after in zip(cost.stages, cost.stages[1:], strict=False):
        assert after.input == before.output
    assert model.output_shape[-1] == cost.stages[-1].output.channels


def assert_scaled_count_is_build(name: str, phi: float, rounding: Rounding | None) -> None:
    case = FAMILIES.index(name) + int(2 * phi) + 3 * (rounding is None)
    assert_count_is_build(scale_spec(name, phi, rounding=rounding), **ARGUMENTS[case % len(ARGUMENTS)])


@pytest.mark.parametrize(
    ("name", "phi", "rounding"),
    [
        ("efficientnet_b0", 0.5, EXACT),
        ("resnet50", -1.5, None),
        ("mobilenet_v1", 2, None),
        ("mobilenet_v2", -1.5, EXACT),
    ],
)
def test_count_equals_build_for_every_family(name: str, phi: float, rounding: Rounding | None) -> None:
    assert_scaled_count_is_build(name, phi, rounding)


PHIS = (-3, -2, -1, -0.3, 0, 0.01, 1, 1.7, 3)


@slow
@pytest.mark.parametrize("phi", PHIS)
def test_count_equals_build_for_every_phi(phi: float) -> None:
    # Two families at each phi, one with either rounding; each family has both roundings in the end.
    turn = PHIS.index(phi)
    for place in (0, 1):
        assert_scaled_count_is_build(FAMILIES[(turn + 2 * place) % 4], phi, (None, EXACT)[(turn // 4 + place) % 2])


def assert_narrow_count_is_build(name: str) -> None:
    case = backbones.names().index(name)
    assert_count_is_build(scale_spec(name, coefficients=NARROW), **ARGUMENTS[case % len(ARGUMENTS)])


OTHERS = [name for name in BASES if name not in FAMILIES]


@pytest.mark.parametrize("name", OTHERS)
def test_count_equals_build_for_every_other_family(name: str) -> None:
    assert_narrow_count_is_build(name)


@slow
@pytest.mark.parametrize("name", [name for name in backbones.names() if name not in BASES])
def test_count_equals_build_for_every_narrow_backbone(name: str) -> None:
    assert_narrow_count_is_build(name)


@slow
@pytest.mark.parametrize("name", OTHERS)
def test_count_equals_build_for_every_other_family_scaled(name: str) -> None:
    assert_count_is_build(scale_spec(name, (-2, 0, 1.3)[OTHERS.index(name) % 3]))


@slow
@pytest.mark.parametrize("name", [sizes[0] for sizes in SIZES.values()])
def test_count_equals_build_for_the_next_size_of_every_family(name: str) -> None:
    # Those above it, which are met as narrow ones, have the same blocks more often.
    assert_count_is_build(scale_spec(name, 0))


@slow
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_count_equals_build_for_all_arguments(name: str, arguments: dict) -> None:
    assert_count_is_build(scale_spec(name, coefficients=NARROW, rounding=EXACT), **arguments)


@pytest.mark.parametrize("name", FAMILIES)
def test_repeated_blocks_are_counted_as_often_as_they_are_built(name: str) -> None:
    # The counter's shortcut: stages of 1, 2, 3 and more blocks take different ways through it.
    assert_count_is_build(scale_spec(name, coefficients=Coefficients(depth=0.7, width=0.25, resolution=0.3)))


def test_count_equals_build_with_all_blocks_in_one_network() -> None:
    assert_count_is_build(every_block_spec())
    assert_count_is_build(every_block_spec(), resolution=(49, 64), channels=2, classes=3)


def test_blocks_of_the_tests_include_every_registered_block() -> None:
    tested = {type(block) for block in STAGE_BLOCKS} | {ConvBlock, DeepStem, NormActivation, ResNetStem, PatchStem}
    assert tested == {blocks.get(name) for name in blocks.names()}


def check_any_spec(spec: BackboneSpec, case: int) -> None:
    arguments = {key: value for key, value in ARGUMENTS[case].items() if key != "resolution"}
    try:
        estimate_cost(spec, **arguments)
    except SpecError:
        # What cannot be counted cannot be built either, and says so in our words.
        with pytest.raises(KerasEffnetError, match="Received"):
            build_model(spec, **{key: value for key, value in arguments.items() if key != "channels"})
        return
    assert_count_is_build(spec, **arguments)


@settings(max_examples=12, **FIXED)
@given(spec=specs(), case=st.integers(0, len(ARGUMENTS) - 1))
def test_count_equals_build_for_any_user_spec(spec: BackboneSpec, case: int) -> None:
    check_any_spec(spec, case)


@slow
@settings(max_examples=75, **FRESH)
@given(spec=specs(), case=st.integers(0, len(ARGUMENTS) - 1))
def test_count_equals_build_for_many_user_specs(spec: BackboneSpec, case: int) -> None:
    check_any_spec(spec, case)


def test_flops_are_two_operations_for_each_multiply_add() -> None:
    cost = estimate_cost("mobilenet_v2")
    assert cost.flops == 2 * cost.macs
    assert cost.weight_bytes == 4 * cost.params


def test_a_count_takes_no_longer_for_a_deep_network() -> None:
    # A million blocks; counting each would take minutes.
    spec = tiny_spec(MBConv(), depth=1_000_000)
    started = time.perf_counter()
    deep = estimate_cost(spec)
    assert time.perf_counter() - started < 1
    shallow = [estimate_cost(replace(spec, stages=(replace(spec.stages[0], depth=depth),))) for depth in (10, 11)]
    assert deep.params - shallow[0].params == (1_000_000 - 10) * (shallow[1].params - shallow[0].params)
