"""Keras' own layers as operations of the vocabulary, class by class."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers

from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    ChannelScale,
    Concat,
    Conv,
    Crop,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    GroupNorm,
    Joining,
    LayerNorm,
    Merge,
    MergeKind,
    Multiply,
    Op,
    Pool,
    PoolKind,
    PReLU,
    Rescale,
    Resize,
    RMSNorm,
    Sides,
    Standardize,
    TransposedConv,
    UnitNorm,
    UpSample,
    ZeroPad,
)
from keras_effnet.reading.opaque_layer import channel_axis
from keras_effnet.reading.steps import (
    PREVIOUS,
    Given,
    Step,
    activation_of,
    axis_is_channels,
    joined,
    rescaled,
    reshaped,
)


def _sides(pair: Any) -> Sides:
    """One number where both are equal."""
    if isinstance(pair, int):
        return pair
    rows, columns = pair
    return rows if rows == columns else (rows, columns)


def _activation(layer: Any) -> str | None:
    return activation_of(layer.activation)


Read = Callable[[Any, Given], "Op | list[Step] | None"]


def _known(read: Read) -> Read:
    """The reader of a layer with an activation: of one with a function of somebody's own, nothing is known."""

    def checked(layer: Any, given: Given) -> Op | list[Step] | None:
        try:
            return read(layer, given)
        except LookupError:
            return None

    return checked


def _conv(layer: Any, given: Given) -> Op | None:
    if layer.padding not in ("same", "valid"):
        return None
    kernel, stride, dilation = map(_sides, (layer.kernel_size, layer.strides, layer.dilation_rate))
    return Conv(
        layer.filters, kernel, stride, layer.padding, layer.groups, layer.use_bias, _activation(layer), dilation
    )


def _depthwise(layer: Any, given: Given) -> Op | None:
    _activation(layer)
    kernel, stride, dilation = map(_sides, (layer.kernel_size, layer.strides, layer.dilation_rate))
    return Depthwise(kernel, stride, layer.padding, layer.depth_multiplier, layer.use_bias, dilation)


def _separable(layer: Any, given: Given) -> list[Step]:
    kernel, stride, dilation = map(_sides, (layer.kernel_size, layer.strides, layer.dilation_rate))
    first, second, *bias = layer.weights
    filters = Depthwise(kernel, stride, layer.padding, layer.depth_multiplier, dilation=dilation)
    mixed = Conv(layer.filters, bias=layer.use_bias, activation=_activation(layer))
    return [Step(filters, "_depthwise", (first,)), Step(mixed, weights=(second, *bias))]


def _transposed(layer: Any, given: Given) -> Op | None:
    if layer.output_padding is not None or _sides(layer.dilation_rate) != 1:
        return None
    kernel, stride = _sides(layer.kernel_size), _sides(layer.strides)
    return TransposedConv(layer.filters, kernel, stride, layer.padding, layer.use_bias, _activation(layer))


def _dense(layer: Any, given: Given) -> Op | None:
    if channel_axis(given.shapes[0]) != len(given.shapes[0]) - 1:
        return None
    return Dense(layer.units, _activation(layer), layer.use_bias)


def _batch_norm(layer: Any, given: Given) -> Op | None:
    if not axis_is_channels(layer.axis, given.shapes[0]):
        return None
    return BatchNorm(layer.epsilon, layer.momentum, layer.center, layer.scale)


def _layer_norm(layer: Any, given: Given) -> Op | None:
    if not axis_is_channels(layer.axis, given.shapes[0]):
        return None
    return LayerNorm(layer.epsilon, layer.center, layer.scale)


def _group_norm(layer: Any, given: Given) -> Op | None:
    shape = given.shapes[0]
    channels = shape[channel_axis(shape)]
    if not axis_is_channels(layer.axis, shape) or channels is None:
        return None
    # Keras puts the number of channels in place of -1 once the layer is built.
    instance = layer.groups in (-1, channels)
    return GroupNorm(channels if instance else layer.groups, layer.epsilon, layer.center, layer.scale, instance)


def _rms_norm(layer: Any, given: Given) -> Op | None:
    # Keras multiplies along the last axis, whichever it divides over.
    shape = given.shapes[0]
    last = channel_axis(shape) == len(shape) - 1
    return RMSNorm(layer.epsilon) if last and axis_is_channels(layer.axis, shape) else None


def _unit_norm(layer: Any, given: Given) -> Op | None:
    return UnitNorm() if axis_is_channels(layer.axis, given.shapes[0]) else None


def _relu(layer: Any, given: Given) -> Op | None:
    names = {None: "relu", 6.0: "relu6"}
    if layer.negative_slope or layer.threshold or layer.max_value not in names:
        return None
    return Activation(names[layer.max_value])


def _softmax(layer: Any, given: Given) -> Op | None:
    shape = given.shapes[0]
    return Activation("softmax") if layer.axis in (-1, len(shape) - 1) and axis_is_channels(-1, shape) else None


def _prelu(layer: Any, given: Given) -> Op | None:
    shape, axis = given.shapes[0], channel_axis(given.shapes[0])
    alpha = tuple(layer.alpha.shape)
    if alpha[axis - 1] != shape[axis]:
        return None
    cells = math.prod(alpha) // alpha[axis - 1]
    whole = math.prod(side or 0 for side in shape[1:]) // alpha[axis - 1]
    return PReLU(cells) if cells in (1, whole) else None


def _pool(layer: Any, given: Given) -> Op | None:
    kind: PoolKind = "max" if isinstance(layer, layers.MaxPooling2D) else "avg"
    padding: Any = layer.padding
    return Pool(_sides(layer.pool_size), _sides(layer.strides), kind, padding)


def _global_pool(layer: Any, given: Given) -> Op | None:
    return GlobalPool("max" if isinstance(layer, layers.GlobalMaxPooling2D) else "avg", layer.keepdims)


def _zero_pad(layer: Any, given: Given) -> Op | None:
    rows, columns = layer.padding
    return ZeroPad(tuple(rows), tuple(columns))


def _crop(layer: Any, given: Given) -> Op | None:
    rows, columns = layer.cropping
    return Crop(tuple(rows), tuple(columns))


def _up_sample(layer: Any, given: Given) -> Op | None:
    rows, columns = layer.size
    return UpSample(rows, columns, layer.interpolation)


def _resize(layer: Any, given: Given) -> Op | None:
    plain = not (layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio)
    return Resize(layer.height, layer.width, layer.interpolation, layer.antialias, plain)


def _joining(op: Joining) -> Read:
    return lambda layer, given: joined(op, given.shapes)


def _merge(kind: MergeKind) -> Read:
    return _joining(Merge(kind))


def _concat(layer: Any, given: Given) -> Op | None:
    return Concat() if axis_is_channels(layer.axis, given.shapes[0]) else None


def _reshape(layer: Any, given: Given) -> Op | None:
    return reshaped(given.shapes[0], given.made[0])


def _flatten(layer: Any, given: Given) -> Op | None:
    """Unlike `Reshape`, it puts the channels last before."""
    op = reshaped(given.shapes[0], given.made[0])
    return Flatten(op.cells) if isinstance(op, Flatten) else op


def _rescale(layer: Any, given: Given) -> Op | None:
    return rescaled(layer.scale, layer.offset, given.shapes[0])


def _standardize(layer: Any, given: Given) -> Op | None:
    shape = given.shapes[0]
    if layer.invert or not axis_is_channels(layer.axis, shape):
        return None
    if layer.input_mean is None:
        return Standardize()
    channels = shape[channel_axis(shape)] or 1
    mean, variance = (
        tuple(np.broadcast_to(np.ravel(value), (channels,)).tolist())
        for value in (layer.input_mean, layer.input_variance)
    )
    return Standardize(mean, variance)


def _dropout(layer: Any, given: Given) -> Op | None:
    noise = layer.noise_shape
    if noise is not None and tuple(noise)[1:] != (1,) * (len(given.shapes[0]) - 1):
        return None
    return Dropout(layer.rate, noise is not None)


def _channel_scale(layer: Any, given: Given) -> Op | None:
    equation = "abcd,b->abcd" if channel_axis(given.shapes[0]) == 1 else "abcd,d->abcd"
    plain = layer.equation == equation and layer.bias_axes is None and _activation(layer) is None
    return ChannelScale(getattr(layer.kernel_initializer, "value", 1.0)) if plain else None


def _scaled_sum(layer: Any, given: Given) -> list[Step] | None:
    """x + scale * y (keras.applications.inception_resnet_v2)."""
    if joined(Add(), given.shapes) is None or len(given.shapes) != 2:
        return None
    return [Step(Rescale(layer.scale, 0.0), "_factor", reads=(1,)), Step(Add(), reads=(0, PREVIOUS))]


# Layers of keras.applications that are no public layers of Keras.
APPLICATIONS: dict[str, Read] = {
    "CustomScaleLayer": _scaled_sum,
    "LayerScale": lambda layer, given: ChannelScale(float(layer.init_values)),
    "StochasticDepth": lambda layer, given: Dropout(float(layer.drop_path_rate), per_sample=True),
}

READERS: dict[type, Read] = {
    layers.Conv2D: _known(_conv),
    layers.Conv2DTranspose: _known(_transposed),
    layers.DepthwiseConv2D: _known(_depthwise),
    layers.SeparableConv2D: _known(_separable),
    layers.Dense: _known(_dense),
    layers.EinsumDense: _known(_channel_scale),
    layers.BatchNormalization: _batch_norm,
    layers.LayerNormalization: _layer_norm,
    layers.GroupNormalization: _group_norm,
    layers.RMSNormalization: _rms_norm,
    layers.UnitNormalization: _unit_norm,
    layers.Activation: _known(lambda layer, given: Activation(_activation(layer))),
    layers.Identity: lambda layer, given: Activation(None),
    layers.ReLU: _relu,
    layers.ELU: lambda layer, given: Activation("elu") if layer.alpha == 1 else None,
    layers.Softmax: _softmax,
    layers.PReLU: _prelu,
    layers.MaxPooling2D: _pool,
    layers.AveragePooling2D: _pool,
    layers.GlobalMaxPooling2D: _global_pool,
    layers.GlobalAveragePooling2D: _global_pool,
    layers.ZeroPadding2D: _zero_pad,
    layers.Cropping2D: _crop,
    layers.UpSampling2D: _up_sample,
    layers.Resizing: _resize,
    layers.Add: _joining(Add()),
    layers.Multiply: _joining(Multiply()),
    layers.Subtract: _merge("subtract"),
    layers.Average: _merge("average"),
    layers.Maximum: _merge("maximum"),
    layers.Minimum: _merge("minimum"),
    layers.Concatenate: _concat,
    layers.Reshape: _reshape,
    layers.Flatten: _flatten,
    layers.Rescaling: _rescale,
    layers.Normalization: _standardize,
    layers.Dropout: _dropout,
}
