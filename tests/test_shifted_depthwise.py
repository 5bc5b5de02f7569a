"""Shifted depthwise convolutions compute what Keras' own do, forward and backward, and leave no trace in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import random_images

from keras_effnet.gradient import value_and_gradient
from keras_effnet.shifted_depthwise import is_faster_shifted, shift_depthwise

layers = keras.layers


def network(**options: Any) -> keras.Model:
    keras.utils.set_random_seed(4)
    image = keras.Input((9, 10, 3))
    return keras.Model(image, layers.DepthwiseConv2D(**options, bias_initializer="glorot_uniform")(image))


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, (3, 5)])
def test_outputs_and_gradients_are_keras_own(kernel: Any, stride: int, padding: str, multiplier: int) -> None:
    model = network(
        kernel_size=kernel, strides=stride, padding=padding, depth_multiplier=multiplier, activation="swish"
    )
    images = random_images(2, 9, 10, 3)

    def energy(x: Any) -> Any:
        return keras.ops.sum(model(x) ** 2)

    before, (value, slope) = np.array(model(images)), value_and_gradient(energy, images)
    assert shift_depthwise(model) == 1
    np.testing.assert_allclose(np.array(model(images)), before, rtol=1e-5, atol=1e-5)
    shifted_value, shifted_slope = value_and_gradient(energy, images)
    assert shifted_value == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(shifted_slope, slope, rtol=1e-4, atol=1e-4)


def test_saved_models_hold_stock_layers(tmp_path: Path) -> None:
    model = network(kernel_size=3)
    images = random_images(2, 9, 10, 3)
    assert shift_depthwise(model) == 1
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert [type(layer) for layer in loaded.layers] == [layers.InputLayer, layers.DepthwiseConv2D]
    assert "call" not in vars(loaded.layers[1])
    np.testing.assert_allclose(np.array(loaded(images)), np.array(model(images)), rtol=1e-5, atol=1e-5)


def test_models_inside_are_searched_and_what_cannot_be_shifted_stays() -> None:
    image = keras.Input((9, 10, 3))
    inner = network(kernel_size=3)
    outer = keras.Model(image, inner(layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(image)))
    assert shift_depthwise(outer) == 1
    assert "call" in vars(inner.layers[1])
    assert "call" not in vars(outer.layers[1])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends have answers of their own")
def test_tensorflow_keeps_its_own_kernels() -> None:
    assert not is_faster_shifted()
