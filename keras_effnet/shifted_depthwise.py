"""Depthwise convolutions as sums of shifted images, for JAX on a processor.

XLA's own depthwise convolution for processors is many times slower than this, forward and backward; on other backends
and on other devices the frameworks' own kernels are faster (docs/evidence/benchmarks.md).
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import keras
from keras import ops

from keras_effnet.padding import padding_zeros


def shift_depthwise(model: keras.Model) -> int:
    """Makes every depthwise convolution of a model a sum of shifted images, in place.

    Outputs stay the same to float32's rounding. Layers, weights and what is saved stay as they are: a loaded or cloned
    model has Keras' own convolutions again. Compile the model afterwards, or again.

    Args:
        model: any Keras model; models inside it are searched too.

    Returns:
        Number of layers that were changed: those with one stride and no dilation whose images have their channels last.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=2, input_shape=(32, 32, 3))
        >>> shift_depthwise(model)
        13
    """
    changed = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            changed += shift_depthwise(layer)
        elif isinstance(layer, keras.layers.DepthwiseConv2D) and _can_shift(layer):
            layer.call = partial(_shifted, layer)
            changed += 1
    return changed


def is_faster_shifted() -> bool:
    """Whether Keras runs on JAX, and JAX on a processor.

    Example:
        >>> is_faster_shifted()
        False
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def _can_shift(layer: Any) -> bool:
    one_step = len({*layer.strides}) == 1 and {*layer.dilation_rate} == {1}
    return layer.data_format == "channels_last" and one_step


def _shifted(layer: Any, inputs: Any) -> Any:
    """What the layer's `call` computes."""
    kernel, stride = layer.kernel, layer.strides[0]
    size, multiplier = layer.kernel_size, layer.depth_multiplier
    x = inputs
    if layer.padding == "same":
        zeros = [padding_zeros("same", k, stride, side) for k, side in zip(size, x.shape[1:3], strict=True)]
        x = cast(Any, ops.pad(x, [(0, 0), *zeros, (0, 0)]))
    height, width = ((side - k) // stride + 1 for k, side in zip(size, x.shape[1:3], strict=True))
    total: Any = None
    for row in range(size[0]):
        for column in range(size[1]):
            # The image as the window's cell in this row and column sees it.
            down, across = row + stride * (height - 1) + 1, column + stride * (width - 1) + 1
            seen = x[:, row:down:stride, column:across:stride, :]
            part = seen[..., None] * kernel[row, column] if multiplier > 1 else seen * kernel[row, column, :, 0]
            total = part if total is None else total + part
    if multiplier > 1:
        total = ops.reshape(total, (-1, height, width, x.shape[-1] * multiplier))
    if layer.use_bias:
        total = total + layer.bias
    return total if layer.activation is None else layer.activation(total)
