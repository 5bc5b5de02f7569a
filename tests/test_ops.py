"""The vocabulary of blocks: paddings against TensorFlow's, and the verbs that no registered block uses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

import keras
import numpy as np
import pytest
from support import FOREIGN, outputs, random_images, tiny_spec

from keras_effnet import build_model, estimate_cost
from keras_effnet.blocks import Block, MBConv, Placement
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.counting import CostCounter, Shape
from keras_effnet.errors import SpecError
from keras_effnet.ops import (
    BatchNorm,
    Conv,
    LayerNorm,
    Op,
    Ops,
    Pool,
)
from keras_effnet.padding import PADDINGS, padding_zeros, window_cells
from keras_effnet.testing import graph_counts


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("size", [7, 8, 13, 16])
def test_the_zeros_of_same_are_those_that_keras_adds(size: int, kernel: int, stride: int) -> None:
    x = np.random.default_rng(1).normal(size=(1, size, size, 1)).astype("float32")
    weights = np.random.default_rng(2).normal(size=(kernel, kernel, 1, 1)).astype("float32")
    expected = np.asarray(keras.ops.conv(x, weights, strides=stride, padding="same"))
    zeros = padding_zeros("same", kernel, stride, size)
    padded = np.pad(x, ((0, 0), zeros, zeros, (0, 0)))
    found = np.asarray(keras.ops.conv(padded, weights, strides=stride, padding="valid"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert padding_zeros("correct", kernel, stride, size) == zeros


def test_even_zeros_do_not_depend_on_the_size() -> None:
    # keras.applications.MobileNet writes ((0, 1), (0, 1)) for a kernel of 3 and a stride of 2.
    for size in (None, 7, 8, 224, 225):
        assert padding_zeros("even", 3, 2, size) == (0, 1)
        assert padding_zeros("even", 5, 2, size) == (1, 2)
        assert padding_zeros("symmetric", 7, 2, size) == (3, 3)
        assert padding_zeros("valid", 7, 2, size) == (0, 0)
    assert padding_zeros("correct", 3, 2, None) == padding_zeros("even", 3, 2, None)
    assert padding_zeros("same", 3, 2, 7) == (1, 1)


@dataclass(frozen=True)
class Unusual(Block):
    """A user's block: grouped convolution, average pooling, a Keras layer from outside the vocabulary."""

    groups: int = 4

    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        prefix = f"unusual{at.index}"
        x = ops.conv(x, at.width, 3, groups=self.groups, bias=True, activation="relu", name=f"{prefix}_grouped")
        x = ops.pool(x, 3, at.stride, kind="avg", padding="same", name=f"{prefix}_pool")
        height, width = ops.size(x)
        shape, channels = (height or 0, width or 0, ops.channels(x)), ops.channels(x)
        return ops.layer(
            x,
            lambda name: keras.layers.PReLU(shared_axes=[1, 2], name=name),
            shape=shape,
            params=channels,
            trainable_params=channels,
            name=f"{prefix}_prelu",
        )

    def describe(self) -> str:
        return "Unusual"


@pytest.mark.parametrize("resolution", [(32, 32), (33, 47)])
def test_a_users_block_of_other_verbs_is_counted_as_it_is_built(resolution: tuple[int, int]) -> None:
    spec = tiny_spec(Unusual(), MBConv(), Unusual(groups=2), depth=3)
    cost = estimate_cost(spec, resolution=resolution)
    model = build_model(spec, input_shape=(*resolution, 3))
    assert (cost.macs, cost.activations, cost.params) == graph_counts(model.layers)
    assert "Unusual" in {stage.operator for stage in cost.stages}
    assert outputs(model, random_images(1, *resolution, 3)).shape == (1, 1000)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(16, 16), (17, 15)])
def test_counted_sizes_are_the_built_ones_for_every_padding(padding: Any, size: tuple[int, int]) -> None:
    pixels, image = keras.Input((*size, 3)), Shape(*size, 3)
    for kernel, stride in product((1, 2, 3, 5), (1, 2, 3)):
        for op in (Conv(4, kernel, stride, padding), Pool(kernel, stride, padding=padding)):
            built, counted = KerasLayers().read(op, "window", pixels), CostCounter().read(op, "window", image)
            assert built.shape[1:] == counted
            assert built.shape[1:3] == tuple(window_cells(side, kernel, stride, padding) for side in size)


@dataclass(frozen=True)
class Mismatched(Block):
    """Adds two images of different widths."""

    def apply(self, ops: Ops, x: Any, at: Placement) -> Any:
        return ops.add(x, ops.conv(x, ops.channels(x) + 1, name="wider"), name="sum")

    def describe(self) -> str:
        return "Mismatched"


def test_a_block_that_adds_different_shapes_is_refused_before_it_is_built() -> None:
    for read in (estimate_cost, build_model):
        with pytest.raises(SpecError, match=r"'sum' adds images of different shapes\. Received"):
            read(tiny_spec(Mismatched()))


def test_operations_are_frozen_values() -> None:
    """Every verb makes a record of its own kind, whose fields are its arguments."""

    class Listed(Ops[str]):
        def read(self, op: Any, name: str, *inputs: str) -> str:
            said.append(op)
            return name

        def channels(self, x: str) -> int:
            return 3

        def size(self, x: str) -> tuple[int | None, int | None]:
            return None, None

    said: list[Any] = []
    for _ in range(2):
        ops = Listed()
        x = ops.rescale("x", 2.0, 1.0, name="a")
        x = ops.standardize(x, mean=[1.0], variance=[2.0], name="b")
        x = ops.conv(x, 4, 3, 2, padding="valid", groups=2, bias=True, activation="relu", name="c")
        x = ops.depthwise(x, 3, 2, padding="even", multiplier=2, bias=True, name="d")
        x = ops.scale(ops.norm(ops.norm(x, BatchNorm(), name="e"), LayerNorm(), name="f"), 0.5, name="g")
        x = ops.pool(ops.act(x, "swish", name="h"), 3, 2, kind="avg", padding="same", name="i")
        x = ops.concat(ops.mul(ops.add(x, x, name="j"), x, name="k"), x, name="l")
        x = ops.dropout(ops.layer(x, str, shape=(1, 1, 4), params=3, name="m"), 0.1, per_sample=True, name="n")
        ops.dense(ops.flatten(ops.global_pool(x, kind="max", keepdims=True, name="o"), name="p"), 7, name="q")
    first, second = said[: len(said) // 2], said[len(said) // 2 :]
    assert first == second
    assert {type(op) for op in first} == set(get_args(Op)) - FOREIGN
    assert len({*first}) == len(first)
    assert Conv(4, 3, 2, "valid", 2, True, "relu") in first
    with pytest.raises(AttributeError):
        first[0].scale = 3.0
