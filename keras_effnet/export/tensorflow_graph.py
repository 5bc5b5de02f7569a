"""The reader that writes a TensorFlow graph of constants: what SavedModel and LiteRT files are made from.

It needs TensorFlow, whichever backend Keras runs on, and no Keras layer: dropout is left out, weights are constants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from keras_effnet.errors import ExportError
from keras_effnet.export.functions import function_of, is_function
from keras_effnet.export.layer_weights import Weights, factor_and_shift, gamma_and_beta, slopes
from keras_effnet.export.tensorflow_activations import write_activation
from keras_effnet.export.tensorflow_reshaping import write_reshaping
from keras_effnet.network import Network
from keras_effnet.normalization import SHORTEST
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
    Multiply,
    Op,
    Opaque,
    Pool,
    PReLU,
    Rescale,
    Resize,
    Reuse,
    RMSNorm,
    Standardize,
    TransposedConv,
    Unflatten,
    UnitNorm,
    UpSample,
    Window,
    ZeroPad,
)
from keras_effnet.padding import padding_zeros
from keras_effnet.tensor_names import named_ends
from keras_effnet.windows import both, reaches, sides_behind_transposed

AGAIN = ".again"
"""End of the name of a layer's operations where it is called once more."""
_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": tf.add,
    "Multiply": tf.multiply,
    "subtract": tf.subtract,
    "average": tf.add,
    "maximum": tf.maximum,
    "minimum": tf.minimum,
}


class TensorFlowGraph:
    """The reader.

    Args:
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
        named: whether operations carry the name of their layer, which makes files larger.
    """

    def __init__(self, weights: Weights, named: bool = False) -> None:
        self.weights = weights
        self.named = named

    def read(self, op: Op, name: str, *inputs: Any) -> Any:
        """Writes one operation; images have their channels last.

        Raises:
            ExportError: a layer or an activation that is not written here.
        """
        scope = scope_of(name) + (AGAIN if isinstance(op, Reuse) else "")
        with tf.name_scope(scope) if self.named else nullcontext():
            return self._read(op, name, inputs)

    def _read(self, op: Op, name: str, inputs: tuple[Any, ...]) -> Any:
        x = inputs[0]
        match op:
            case Conv() | TransposedConv() | Depthwise() | Dense() | ChannelScale():
                return self._weighted(op, name, x)
            case BatchNorm() | Rescale() | Standardize():
                factor, shift = factor_and_shift(op, self.weights[name])
                return x * factor.astype(np.float32) + shift.astype(np.float32)
            case LayerNorm() | GroupNorm() | RMSNorm() | UnitNorm():
                return self._norm(op, name, x)
            case PReLU():
                return tf.nn.relu(x) + -slopes(self.weights[name]) * tf.nn.relu(-x)  # LiteRT knows the pattern
            case Activation():
                return write_activation(op.activation, name, x)
            case Pool():
                pool = tf.nn.max_pool2d if op.kind == "max" else tf.nn.avg_pool2d
                image, padding = self._padded(op, x)
                return pool(image, op.kernel, op.stride, padding)
            case GlobalPool():
                reduce = tf.reduce_max if op.kind == "max" else tf.reduce_mean
                return reduce(x, (1, 2), keepdims=op.keepdims)
            case Add() | Multiply() | Merge() | Concat():
                return self._joined(op, inputs)
            case Flatten() | Unflatten() | ZeroPad() | Crop() | UpSample() | Resize():
                return write_reshaping(op, name, x)
            case Reuse():
                return self._read(op.op, name, inputs)
            case Dropout():
                return x
            case Opaque() if op.inert:
                return x
            case Opaque() if is_function(op):
                function, options = function_of(op, name)
                return write_activation(function, name, x, **options)
        raise ExportError(
            "an exported file holds the stock layers of image classifiers: replace the layer by some of them.",
            received=f"layer {name!r}",
        )

    def _norm(self, op: LayerNorm | GroupNorm | RMSNorm | UnitNorm, name: str, x: Any) -> Any:
        match op:
            case UnitNorm():
                return x * tf.minimum(tf.math.rsqrt(tf.reduce_sum(x * x, -1, keepdims=True)), 1 / SHORTEST)
            case RMSNorm():
                mean = tf.reduce_mean(x * x, -1, keepdims=True)
                return x * tf.math.rsqrt(mean + op.epsilon) * self.weights[name][0]
            case LayerNorm():
                mean, variance = tf.nn.moments(x, -1, keepdims=True)
                y = (x - mean) * tf.math.rsqrt(variance + op.epsilon)
            case GroupNorm():
                channels = x.shape[-1]
                cells = 1 if len(x.shape) == 2 else -1 if None in x.shape[1:3] else x.shape[1] * x.shape[2]
                images = tf.shape(x)[0] if cells == -1 else -1
                groups = tf.reshape(x, (images, cells, op.groups, channels // op.groups))
                mean, variance = tf.nn.moments(groups, (1, 3), keepdims=True)
                y = (groups - mean) * tf.math.rsqrt(variance + op.epsilon)
                sides = x.shape[1:] if None not in x.shape[1:] else tf.shape(x)[1:]
                y = tf.reshape(y, tf.concat(((images,), sides), 0) if cells == -1 else (-1, *sides))
        gamma, beta = gamma_and_beta(op, self.weights.get(name, []))
        y = y if gamma is None else y * gamma
        return y if beta is None else y + beta

    @staticmethod
    def _joined(op: Joining, inputs: tuple[Any, ...]) -> Any:
        """What is made of several images, or of images and vectors, which are images of one cell there."""
        if isinstance(op, Concat):
            return tf.concat(inputs, -1)
        most = max(len(each.shape) for each in inputs)
        made, *others = (each if len(each.shape) == most else each[:, None, None, :] for each in inputs)
        kind = op.kind if isinstance(op, Merge) else type(op).__name__
        for other in others:
            made = _JOINS[kind](made, other)
        return made / len(inputs) if kind == "average" else made

    def _weighted(self, op: Conv | TransposedConv | Depthwise | Dense | ChannelScale, name: str, x: Any) -> Any:
        kernel: Any
        kernel, *bias = self.weights[name]
        y: Any = x
        activation = None
        match op:
            case Conv():
                image, padding = self._padded(op, x)
                convolve: Any = tf.nn.conv2d if op.groups == 1 else _grouped_conv2d
                y, activation = convolve(image, kernel, op.stride, padding, dilations=op.dilation), op.activation
            case Depthwise():
                y = self._depthwise(op, kernel, x)
            case TransposedConv():
                shape: Any = tf.shape(x)
                sides: Any = x.shape[1:3] if None not in x.shape[1:3] else (shape[1], shape[2])
                size = tf.stack((shape[0], *sides_behind_transposed(op, tuple(sides)), op.width))
                padding: Any = op.padding.upper()
                y = tf.nn.conv2d_transpose(x, kernel, size, op.stride, padding)
                activation = op.activation
            case Dense():
                # Over an image the same numbers are a convolution, which engines run without moving it about.
                image = len(x.shape) == 4
                y = tf.nn.conv2d(x, kernel[None, None], 1, "VALID") if image else tf.matmul(x, kernel)
                activation = op.activation
            case ChannelScale():
                y = x * kernel
        return write_activation(activation, name, y + bias[0] if bias else y)

    def _depthwise(self, op: Depthwise, kernel: Any, x: Any) -> Any:
        (down, right), dilation = both(op.stride), both(op.dilation)
        if down == right and (down == 1 or dilation == (1, 1)):
            image, padding = self._padded(op, x)
            return tf.nn.depthwise_conv2d(image, kernel, (1, down, right, 1), padding, dilations=dilation)
        # TensorFlow steps as far down as to the right, and in windows without gaps alone: it computes all cells here,
        # and those that the window steps on are kept.
        every = tf.nn.depthwise_conv2d(_with_zeros(op, x), kernel, (1, 1, 1, 1), "VALID", dilations=dilation)
        return every[:, ::down, ::right]

    @staticmethod
    def _padded(op: Window, x: Any) -> tuple[Any, Any]:
        """The image, and the padding that is left to TensorFlow."""
        return (x, op.padding.upper()) if op.padding in ("same", "valid") else (_with_zeros(op, x), "VALID")


def _with_zeros(op: Window, x: Any) -> Any:
    windows = zip(reaches(op), x.shape[1:3], strict=True)
    sides = (padding_zeros(op.padding, reach, stride, side) for (reach, stride), side in windows)
    return tf.pad(x, ((0, 0), *sides, (0, 0)))


@tf.function(jit_compile=True, autograph=False)
def _grouped_conv2d(image: Any, kernel: Any, stride: Any, padding: Any, dilations: Any) -> Any:
    """By XLA: TensorFlow's own kernel for processors cannot convolve in groups where an activation follows."""
    return tf.nn.conv2d(image, kernel, stride, padding, dilations=dilations)


def scope_of(layer: str) -> str:
    """The name that a layer's operations have in the graph.

    Args:
        layer: name of the layer.

    Example:
        >>> scope_of("my layer/1")
        'my.layer.1'
    """
    return re.sub(r"[^A-Za-z0-9_.-]|^[_-]", ".", layer)


def first_scope(scope: str) -> str:
    """The name that a layer's operations have where it is called first.

    Args:
        scope: a name, maybe of another call.

    Example:
        >>> first_scope("conv.again_1"), first_scope("conv_1")
        ('conv', 'conv_1')
    """
    return re.sub(rf"{re.escape(AGAIN)}(_\d+)?$", "", scope)


def tensorflow_function(
    network: Network,
    weights: Weights,
    shapes: Sequence[tuple[int | None, ...]],
    batch: int | None = None,
    channels_first: bool = False,
    names: tuple[Sequence[str], Sequence[str]] | None = None,
    named: bool = False,
) -> Any:
    """Writes a recorded network as a TensorFlow function of its inputs.

    Args:
        network: the network.
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
        shapes: shape of each input with the batch, as Keras gives it.
        batch: number of images in a call; None for any.
        channels_first: whether the model's images have their channels first.
        names: names of the inputs and outputs, each once; by default inputs have those of the network's nodes, and
            outputs none.
        named: whether operations carry the name of their layer, which makes files larger.

    Returns:
        A `tf.function` with one signature, which returns one output alone, and several as a dict by name, or as a list
        if they have none.

    Raises:
        ExportError: a layer or an activation that a file cannot hold.
    """
    read, _ = names or named_ends(network)
    signature = [
        tf.TensorSpec((batch, *shape[1:]), tf.float32, name=name) for name, shape in zip(read, shapes, strict=True)
    ]

    @tf.function(input_signature=signature, autograph=False)
    def compute(*images: Any) -> Any:
        last = [_moved(image, (0, 2, 3, 1)) if channels_first else image for image in images]
        made = network.run(TensorFlowGraph(weights, named), *last)
        outputs = [_moved(output, (0, 3, 1, 2)) if channels_first else output for output in made]
        several = outputs if names is None else dict(zip(names[1], outputs, strict=True))
        return outputs[0] if len(outputs) == 1 else several

    return compute


def _moved(x: Any, axes: tuple[int, ...]) -> Any:
    """An image with its axes in another order; a vector as it is."""
    return tf.transpose(x, axes) if len(x.shape) == 4 else x
