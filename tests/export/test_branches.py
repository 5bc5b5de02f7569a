"""Parallel branches as one convolution: the same outputs, and nothing is merged that is not linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from support import as_if_trained, assert_same_outputs, outputs, random_images

from keras_effnet import fold_batchnorm
from keras_effnet.counting import Shape, layer_cost
from keras_effnet.deployed.folded_network import deployed_network
from keras_effnet.network import record_network
from keras_effnet.registry import backbones

SIDE, WIDTH = 9, 6
Branch = Callable[[Any], Any]


def norm(x: Any) -> Any:
    return keras.layers.BatchNormalization()(x)


def conv(kernel: int, **options: Any) -> Branch:
    return lambda x: norm(keras.layers.Conv2D(WIDTH, kernel, **{"padding": "same", "use_bias": False, **options})(x))


def depthwise(kernel: int, **options: Any) -> Branch:
    return lambda x: norm(keras.layers.DepthwiseConv2D(kernel, **{"padding": "same", **options})(x))


def padded(zeros: Any, branch: Branch) -> Branch:
    return lambda x: branch(keras.layers.ZeroPadding2D(zeros)(x))


def dropped(branch: Branch) -> Branch:
    return lambda x: keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1))(branch(x))


def bent(x: Any) -> Any:
    return keras.layers.Conv2D(WIDTH, 1, activation="relu")(x)


def itself(x: Any) -> Any:
    return x


def summed(*branches: Branch) -> keras.Model:
    pixels = keras.Input((SIDE, SIDE, WIDTH))
    image = keras.layers.ReLU(name="image")(pixels)
    total = branches[0](image)
    for branch in branches[1:]:
        total = keras.layers.Add()([total, branch(image)])
    model = keras.Model(pixels, keras.layers.ReLU(name="last")(total))
    as_if_trained(model)
    return model


def kinds(model: keras.Model) -> list[str]:
    """Of the layers between the image and the last activation."""
    return sorted(type(layer).__name__ for layer in model.layers[2:-1])


STRIDES = {"strides": 2, "padding": "valid"}


@pytest.mark.parametrize(
    ("branches", "left"),
    [
        ((conv(3), conv(1), norm), ["Conv2D"]),  # RepVGG
        ((norm, conv(1), conv(3)), ["Conv2D"]),
        ((conv(1), conv(1), conv(1), itself), ["Conv2D"]),
        ((dropped(conv(3)), conv(1), dropped(norm)), ["Conv2D"]),
        ((conv(3, groups=2), conv(1, groups=2), norm), ["Conv2D"]),
        ((conv(5), conv(3), conv(1), itself), ["Conv2D"]),
        ((conv(3, use_bias=True, padding="valid"), conv(3, padding="valid")), ["Conv2D"]),
        ((depthwise(3), depthwise(1), norm), ["DepthwiseConv2D"]),  # MobileOne
        ((depthwise(3, depth_multiplier=2), depthwise(1, depth_multiplier=2)), ["DepthwiseConv2D"]),
        ((padded(1, conv(3, **STRIDES)), conv(1, strides=2)), ["Conv2D", "ZeroPadding2D"]),
        # A window that begins at the pixel itself, beside one that is centred.
        ((padded(((0, 2), (1, 1)), conv(3, padding="valid")), conv(1), norm), ["Conv2D", "ZeroPadding2D"]),
    ],
)
def test_a_sum_of_branches_is_one_convolution(branches: tuple[Branch, ...], left: list[str]) -> None:
    model = summed(*branches)
    folded = fold_batchnorm(model)
    assert kinds(folded) == left
    images = random_images(3, SIDE, SIDE, WIDTH) / 100
    assert_same_outputs(outputs(folded, images), outputs(model, images))


@pytest.mark.parametrize(
    ("branches", "left"),
    [
        ((conv(3), conv(1), norm), ["Conv2D"]),
        ((itself, conv(3), dropped(conv(1)), norm), ["Conv2D"]),
        ((conv(3), conv(3, groups=2), conv(1), conv(1, groups=2)), ["Add", "Conv2D", "Conv2D"]),
        ((conv(3), bent, conv(1)), ["Add", "Conv2D", "Conv2D"]),
    ],
)
def test_a_sum_of_many_terms_is_one_convolution_of_each_kind(branches: tuple[Branch, ...], left: list[str]) -> None:
    pixels = keras.Input((SIDE, SIDE, WIDTH))
    image = keras.layers.ReLU(name="image")(pixels)
    total = keras.layers.Add()([branch(image) for branch in branches])
    model = keras.Model(pixels, keras.layers.ReLU(name="last")(total))
    as_if_trained(model)
    folded = fold_batchnorm(model)
    assert kinds(folded) == left
    images = random_images(3, SIDE, SIDE, WIDTH) / 100
    assert_same_outputs(outputs(folded, images), outputs(model, images))


# Millions of weights of the deployed networks: open-mmlab/mmpretrain, configs/repvgg/README.md; arXiv:2206.04040, with
# one decimal.
DEPLOYED = {
    "repvgg_a0": 8.31,
    "repvgg_a1": 12.79,
    "repvgg_a2": 25.5,
    "repvgg_b0": 14.34,
    "repvgg_b1": 51.83,
    "repvgg_b2": 80.32,
    "repvgg_b3": 110.96,
    "mobileone_s0": 2.1,
    "mobileone_s1": 4.8,
    "mobileone_s2": 7.8,
    "mobileone_s3": 10.1,
    "mobileone_s4": 14.8,
}


@pytest.mark.parametrize("name", DEPLOYED)
def test_a_deployed_network_has_as_many_weights_as_is_published(name: str) -> None:
    spec = backbones.get(name)
    side, total = spec.resolution, 0
    network = deployed_network(record_network(spec, size=(side, side)))
    values = dict.fromkeys(network.inputs, Shape(side, side, 3))
    for node in network.nodes:
        cost = layer_cost(node.op, node.name, *(values[each] for each in node.inputs))  # pyright: ignore[reportArgumentType]
        values[node], total = cost.shape, total + cost.trainable_params
    assert total / 1e6 == pytest.approx(DEPLOYED[name], rel=1e-3, abs=0.051 if name.startswith("mobileone") else 0)


@pytest.mark.parametrize(
    "branches",
    [
        (conv(3), bent),
        (conv(3, groups=2), conv(1)),
        (conv(3), depthwise(1)),
        (conv(3, dilation_rate=2), conv(1)),
        # "same" puts its zeros elsewhere where there is a stride.
        (conv(3, strides=2), conv(1, strides=2)),
        (lambda x: conv(3)(keras.layers.ReLU()(x)), conv(1)),
        (norm, itself),
        (conv(SIDE, padding="valid"), itself),  # one cell, added to every cell of the image
        (conv(2), lambda x: padded(((1, 0), (1, 0)), conv(2, padding="valid"))(x)),
    ],
)
def test_what_is_no_sum_of_aligned_convolutions_stays(branches: tuple[Branch, ...]) -> None:
    model = summed(*branches)
    folded = fold_batchnorm(model)
    assert any(isinstance(layer, keras.layers.Add) for layer in folded.layers)
    images = random_images(3, SIDE, SIDE, WIDTH) / 100
    assert_same_outputs(outputs(folded, images), outputs(model, images))


def test_a_branch_that_something_else_reads_stays() -> None:
    pixels = keras.Input((SIDE, SIDE, WIDTH))
    one, other = conv(3)(pixels), conv(1)(pixels)
    total = keras.layers.Add(name="sum")([one, other])
    model = keras.Model(pixels, keras.layers.Concatenate(name="joint")([total, other]))
    as_if_trained(model)
    folded = fold_batchnorm(model)
    assert "sum" in {layer.name for layer in folded.layers}
    images = random_images(2, SIDE, SIDE, WIDTH) / 100
    assert_same_outputs(outputs(folded, images), outputs(model, images))
