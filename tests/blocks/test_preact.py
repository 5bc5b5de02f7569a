"""Preactivated blocks: their laws of cost, and where they stride, which Keras' namesakes do not show when scaled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from support import random_images, tiny_spec

from keras_effnet import Coefficients, Rounding, StageSpec, build_model, estimate_cost, scale_spec
from keras_effnet.blocks import DenselyConnected, NormActivation, PreactBottleneck
from keras_effnet.errors import SpecError
from keras_effnet.scaling.stride import limit_stride

EXACT = Rounding(divisor=1, depth="round", resolution_multiple=1)


def strides(model: keras.Model, layer: str, stage: int = 1) -> list[int]:
    """The strides of a layer in each block of a stage that has it."""
    prefix = f"conv{stage + 1}_block"
    return [
        found.strides[0]
        for found in model.layers
        if found.name.startswith(prefix) and found.name.partition("_block")[2].partition("_")[2] == layer
    ]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_last_block_of_a_preactivated_stage_strides(depth: int) -> None:
    block = PreactBottleneck()
    model = build_model(replace(tiny_spec(block), stages=(StageSpec(block, 8, depth, stride=2),)))
    assert strides(model, "2_conv") == [1] * (depth - 1) + [2]
    # One block is first and last: its convolution takes the stride, and nothing is pooled.
    assert strides(model, "0_conv") == [2 if depth == 1 else 1]
    assert strides(model, "0_pool") == ([] if depth == 1 else [2])


def dense_macs(depth: int, growth: int, channels: int, expand: int = 4, kernel: int = 3) -> int:
    """Multiply-adds of a dense stage in one cell, summed block by block."""
    read = [channels + number * growth for number in range(depth)]
    return sum(wide * expand * growth + kernel**2 * expand * growth * growth for wide in read)


@pytest.mark.parametrize("depth", [1, 2, 3, 17])
@pytest.mark.parametrize("growth", [4, 12])
def test_a_dense_stage_costs_the_sum_of_unequal_blocks(depth: int, growth: int) -> None:
    block = DenselyConnected(compression=1)
    spec = replace(tiny_spec(block), stages=(StageSpec(block, growth, depth),))
    stage = estimate_cost(spec).stages[1]
    assert stage.macs == stage.input.height * stage.input.width * dense_macs(depth, growth, stage.input.channels)
    assert stage.output.channels == stage.input.channels + depth * growth


def test_cost_of_a_deep_dense_stage_grows_with_the_square_of_depth_and_of_width() -> None:
    block = DenselyConnected(compression=1)
    base = replace(tiny_spec(block), head=None, stages=(StageSpec(block, 32, 200),))
    macs = estimate_cost(base, include_top=False).macs
    for coefficients in (Coefficients(depth=2), Coefficients(width=2)):
        scaled = scale_spec(base, coefficients=coefficients, rounding=EXACT)
        assert estimate_cost(scaled, include_top=False).macs / macs == pytest.approx(4, rel=0.1)


def test_a_transition_compresses_and_pools_once_a_stage() -> None:
    block = DenselyConnected(compression=0.5)
    stages = (StageSpec(block, 4, 2), StageSpec(block, 4, 2, stride=2), StageSpec(DenselyConnected(compression=1), 4))
    model = build_model(replace(tiny_spec(block), stages=stages))
    names = [layer.name for layer in model.layers if layer.name.startswith("pool")]
    # The stem emits 8, stage 1 halves them and adds 2 * 4, stage 2 again; stage 3 reads what it is given.
    assert names == [f"pool0_{kind}" for kind in ("bn", "relu", "conv")] + [
        f"pool2_{kind}" for kind in ("bn", "relu", "conv", "pool")
    ]
    assert [model.get_layer(f"pool{number}_conv").filters for number in (0, 2)] == [4, 6]
    assert model.get_layer("conv4_block1_concat").output.shape[-1] == 6 + 2 * 4 + 4


def test_parameters_stay_when_a_stride_is_taken_out() -> None:
    for name in ("densenet121", "resnet50_v2"):
        spec = scale_spec(name, -3)
        limited = limit_stride(spec, total_stride=4)
        assert limited.total_stride == 4
        assert estimate_cost(limited).params == estimate_cost(spec).params


def test_the_end_of_a_preactivated_network_keeps_its_channels() -> None:
    head = StageSpec(NormActivation(), width=999)
    spec = tiny_spec(PreactBottleneck(expand=2), head=head)
    model = build_model(spec, include_top=False, input_shape=(32, 32, 3))
    assert model.output_shape[-1] == 2 * spec.stages[0].width
    assert model.layers[-1].name == "post_relu"
    assert estimate_cost(spec).stages[-2].output.channels == 2 * spec.stages[0].width


@pytest.mark.slow
def test_preactivated_networks_learn() -> None:
    # Swish has a slope almost everywhere, so that no kernel stands still by chance.
    blocks = (PreactBottleneck(expand=2, activation="swish"), DenselyConnected(activation="swish"))
    keras.utils.set_random_seed(1)
    spec = tiny_spec(*blocks, head=StageSpec(NormActivation(), 8))
    model = build_model(spec, classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    model.fit(random_images(4, 32, 32, 3), np.array([0, 1, 2, 0]), batch_size=2, verbose="0")
    after = [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    assert all(np.isfinite(weight).all() for weight in after)
    assert all(not np.array_equal(*pair) for pair in zip(before, after, strict=True) if pair[0].ndim == 4)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (PreactBottleneck, {"kernel": 4}, "`kernel` must be odd"),
        (PreactBottleneck, {"kernel": 33}, "`kernel`"),
        (PreactBottleneck, {"expand": 0}, "`expand`"),
        (PreactBottleneck, {"norm": "batch"}, "`norm`"),
        (DenselyConnected, {"kernel": 0}, "`kernel`"),
        (DenselyConnected, {"expand": -1}, "`expand`"),
        (DenselyConnected, {"compression": 0}, "`compression`"),
        (DenselyConnected, {"compression": 1.1}, "`compression`"),
        (DenselyConnected, {"norm": None}, "`norm`"),
        (NormActivation, {"names": ("bn",)}, "two layer names"),
        (NormActivation, {"names": ("bn", "a/b")}, "`names`"),
        (NormActivation, {"norm": 1}, "`norm`"),
    ],
)
def test_an_option_outside_its_range_is_refused(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"{message}.*Received: "):
        kind(**options)


def test_a_head_that_cannot_stride_says_so() -> None:
    spec = tiny_spec(PreactBottleneck(), head=StageSpec(NormActivation(), 8, stride=2))
    with pytest.raises(SpecError, match=r"NormActivation cannot stride.*Received: stride=2"):
        estimate_cost(spec)
