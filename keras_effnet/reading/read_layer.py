"""Stock Keras layers as operations of the vocabulary."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    ChannelScale,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Multiply,
    Op,
    Opaque,
    Pool,
    PoolKind,
    Rescale,
    Standardize,
    ZeroPad,
)

Shape = tuple[int | None, ...]

# Layers that pass on what they read when the network is not training: they have this mark, or are one of these.
_INERT = (layers.GaussianNoise, layers.GaussianDropout, layers.SpatialDropout2D, layers.ActivityRegularization)


def read_layer(layer: Any, shapes: list[Shape]) -> list[tuple[str, Op]]:
    """What a layer does, as operations in a row.

    Args:
        layer: a layer of a Keras model, built.
        shapes: shapes of the tensors that it reads, with the batch.

    Returns:
        The name and the operation of each step: two for a layer with an activation that its operation has no field
        for. A layer that the vocabulary has no word for is one `Opaque`.

    Example:
        >>> read_layer(keras.layers.ReLU(6, name="cut"), [(None, 8, 8, 3)])
        [('cut', Activation(activation='relu6'))]
    """
    # A quantised layer has codes in place of its kernel, whatever its class.
    read = None if getattr(layer, "quantization_mode", None) else _READERS.get(type(layer))
    op = None if read is None else read(layer, shapes)
    if op is None:
        return [(layer.name, _opaque(layer))]
    steps = [(layer.name, op)]
    if isinstance(op, Depthwise) and layer.activation is not keras.activations.linear:
        steps.append((f"{layer.name}_activation", Activation(_activation(layer))))
    return steps


def _opaque(layer: Any) -> Opaque:
    shape = getattr(layer.output, "shape", (None,))  # a layer with several outputs has a list of them
    sides = [side or 0 for side in shape[1:]]
    height, width, channels = sides if len(sides) == 3 else (1, 1, math.prod(sides))
    config = keras.saving.serialize_keras_object(layer)

    def make(name: str) -> Any:
        made: Any = keras.saving.deserialize_keras_object(config, safe_mode=True)
        return made

    return Opaque(
        make,
        (height, width, channels),
        sum(math.prod(weight.shape) for weight in layer.weights) if hasattr(layer, "weights") else 0,
        sum(math.prod(weight.shape) for weight in layer.trainable_weights) if hasattr(layer, "weights") else 0,
        inert=isinstance(layer, _INERT) or type(layer).__name__.startswith("Random"),
    )


def _channel_axis(shape: Shape) -> int:
    """The axis of the channels: the last one, also of a vector."""
    first = keras.config.image_data_format() == "channels_first" and len(shape) == 4
    return 1 if first else len(shape) - 1


def _axis_is_channels(axis: Any, shape: Shape) -> bool:
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return [each % len(shape) for each in axes] == [_channel_axis(shape)]


def _square(*pairs: Any) -> bool:
    return all(isinstance(pair, int) or len(set(pair)) == 1 for pair in pairs)


def _side(pair: Any) -> int:
    return pair if isinstance(pair, int) else pair[0]


def _activation(layer: Any) -> Any:
    """The activation of a layer: its name if Keras knows one, None for none."""
    if layer.activation is None or layer.activation is keras.activations.linear:
        return None
    name = keras.activations.serialize(layer.activation)
    return name if isinstance(name, str) else layer.activation


def _conv(layer: Any, shapes: list[Shape]) -> Op | None:
    if not _square(layer.kernel_size, layer.strides, layer.dilation_rate) or _side(layer.dilation_rate) != 1:
        return None
    kernel, stride = _side(layer.kernel_size), _side(layer.strides)
    return Conv(layer.filters, kernel, stride, layer.padding, layer.groups, layer.use_bias, _activation(layer))


def _depthwise(layer: Any, shapes: list[Shape]) -> Op | None:
    if not _square(layer.kernel_size, layer.strides, layer.dilation_rate) or _side(layer.dilation_rate) != 1:
        return None
    kernel, stride = _side(layer.kernel_size), _side(layer.strides)
    return Depthwise(kernel, stride, layer.padding, layer.depth_multiplier, layer.use_bias)


def _dense(layer: Any, shapes: list[Shape]) -> Op | None:
    return Dense(layer.units, _activation(layer), layer.use_bias)


def _batch_norm(layer: Any, shapes: list[Shape]) -> Op | None:
    if not (layer.center and layer.scale and _axis_is_channels(layer.axis, shapes[0])):
        return None
    return BatchNorm(layer.epsilon, layer.momentum)


def _layer_norm(layer: Any, shapes: list[Shape]) -> Op | None:
    if not (layer.center and layer.scale and _axis_is_channels(layer.axis, shapes[0])):
        return None
    return LayerNorm(layer.epsilon)


def _relu(layer: Any, shapes: list[Shape]) -> Op | None:
    names = {None: "relu", 6.0: "relu6"}
    if layer.negative_slope or layer.threshold or layer.max_value not in names:
        return None
    return Activation(names[layer.max_value])


def _softmax(layer: Any, shapes: list[Shape]) -> Op | None:
    return Activation("softmax") if layer.axis in (-1, len(shapes[0]) - 1) else None


def _pool(layer: Any, shapes: list[Shape]) -> Op | None:
    padding: Any = layer.padding
    if not _square(layer.pool_size, layer.strides):
        return None
    kind: PoolKind = "max" if isinstance(layer, layers.MaxPooling2D) else "avg"
    return Pool(_side(layer.pool_size), _side(layer.strides), kind, padding)


def _global_pool(layer: Any, shapes: list[Shape]) -> Op | None:
    return GlobalPool("max" if isinstance(layer, layers.GlobalMaxPooling2D) else "avg", layer.keepdims)


def _zero_pad(layer: Any, shapes: list[Shape]) -> Op | None:
    rows, columns = layer.padding
    return ZeroPad(tuple(rows), tuple(columns))


def _joining(op: Op) -> Callable[[Any, list[Shape]], Op | None]:
    def read(layer: Any, shapes: list[Shape]) -> Op | None:
        same = len(shapes) == 2 and (isinstance(op, Multiply) or shapes[0] == shapes[1])
        return op if same else None

    return read


def _concat(layer: Any, shapes: list[Shape]) -> Op | None:
    return Concat() if len(shapes) == 2 and _axis_is_channels(layer.axis, shapes[0]) else None


def _flatten(layer: Any, shapes: list[Shape]) -> Op | None:
    """Of a 1x1 image alone: else the order of the cells would count."""
    given = shapes[0]
    vector = len(layer.output.shape) == 2 and len(given) == 4
    channels = given[_channel_axis(given)]
    return Flatten() if vector and math.prod(side or 0 for side in given[1:]) == channels else None


def _rescale(layer: Any, shapes: list[Shape]) -> Op | None:
    channels = shapes[0][-1] if _channel_axis(shapes[0]) == len(shapes[0]) - 1 else None
    numbers = [np.asarray(value, float) for value in (layer.scale, layer.offset)]
    if any(value.shape not in ((), (1,), (channels,)) for value in numbers):
        return None
    if all(value.size == 1 for value in numbers):
        return Rescale(*(value.item() for value in numbers))
    return Rescale(*(tuple(np.broadcast_to(value, (channels or 1,)).tolist()) for value in numbers))


def _standardize(layer: Any, shapes: list[Shape]) -> Op | None:
    if layer.invert or not _axis_is_channels(layer.axis, shapes[0]):
        return None
    if layer.input_mean is None:
        return Standardize()
    channels = shapes[0][_channel_axis(shapes[0])] or 1
    mean, variance = (
        tuple(np.broadcast_to(np.ravel(value), (channels,)).tolist())
        for value in (layer.input_mean, layer.input_variance)
    )
    return Standardize(mean, variance)


def _dropout(layer: Any, shapes: list[Shape]) -> Op | None:
    noise = layer.noise_shape
    if noise is not None and tuple(noise)[1:] != (1,) * (len(shapes[0]) - 1):
        return None
    return Dropout(layer.rate, noise is not None)


def _channel_scale(layer: Any, shapes: list[Shape]) -> Op | None:
    equation = "abcd,b->abcd" if _channel_axis(shapes[0]) == 1 else "abcd,d->abcd"
    plain = layer.equation == equation and layer.bias_axes is None and _activation(layer) is None
    return ChannelScale(getattr(layer.kernel_initializer, "value", 1.0)) if plain else None


_READERS: dict[type, Callable[[Any, list[Shape]], Op | None]] = {
    layers.Conv2D: _conv,
    layers.DepthwiseConv2D: _depthwise,
    layers.Dense: _dense,
    layers.EinsumDense: _channel_scale,
    layers.BatchNormalization: _batch_norm,
    layers.LayerNormalization: _layer_norm,
    layers.Activation: lambda layer, shapes: Activation(_activation(layer)),
    layers.ReLU: _relu,
    layers.Softmax: _softmax,
    layers.MaxPooling2D: _pool,
    layers.AveragePooling2D: _pool,
    layers.GlobalMaxPooling2D: _global_pool,
    layers.GlobalAveragePooling2D: _global_pool,
    layers.ZeroPadding2D: _zero_pad,
    layers.Add: _joining(Add()),
    layers.Multiply: _joining(Multiply()),
    layers.Concatenate: _concat,
    layers.Reshape: _flatten,
    layers.Flatten: _flatten,
    layers.Rescaling: _rescale,
    layers.Normalization: _standardize,
    layers.Dropout: _dropout,
}
