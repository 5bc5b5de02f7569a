"""The vocabulary of blocks: paddings against TensorFlow's, and the verbs that no registered block uses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest
from support import outputs, random_images, tiny_spec

from keras_effnet import build_model, estimate_cost
from keras_effnet.blocks import Block, MBConv, Placement
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.cost import CostCounter, Shape
from keras_effnet.errors import SpecError
from keras_effnet.ops import Conv, Ops, Pool
from keras_effnet.padding import PADDINGS, padding_zeros
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
        built, counted = KerasLayers(), CostCounter()
        for op in (Conv(4, kernel, stride, padding), Pool(kernel, stride, padding=padding)):
            name = f"{type(op).__name__}_{kernel}_{stride}".lower()
            assert built.read(op, name, pixels).shape[1:] == counted.read(op, name, image)


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
