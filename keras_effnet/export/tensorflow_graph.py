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
from keras_effnet.export.layer_weights import Weights, factor_and_shift
from keras_effnet.network import Network
from keras_effnet.ops import (
    Activation,
    ActivationFunction,
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
    Rescale,
    Standardize,
    Window,
    ZeroPad,
)
from keras_effnet.padding import padding_zeros
from keras_effnet.windows import both, reaches

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
    "elu": tf.nn.elu,
    "softplus": tf.nn.softplus,
    "softsign": tf.nn.softsign,
    "exponential": tf.exp,
    "leaky_relu": tf.nn.leaky_relu,
    "silu": lambda x: x * tf.nn.sigmoid(x),
    "swish": lambda x: x * tf.nn.sigmoid(x),
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * (1 / 6),
    "hard_silu": lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    "softmax": tf.nn.softmax,
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "linear": tf.identity,
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
        with tf.name_scope(scope_of(name)) if self.named else nullcontext():
            return self._read(op, name, inputs)

    def _read(self, op: Op, name: str, inputs: tuple[Any, ...]) -> Any:
        x = inputs[0]
        match op:
            case Conv() | Depthwise() | Dense() | ChannelScale():
                return self._weighted(op, name, x)
            case BatchNorm() | Rescale() | Standardize():
                factor, shift = factor_and_shift(op, self.weights[name])
                return x * factor.astype(np.float32) + shift.astype(np.float32)
            case LayerNorm():
                gamma, beta = self.weights[name]
                mean, variance = tf.nn.moments(x, -1, keepdims=True)
                return (x - mean) * tf.math.rsqrt(variance + op.epsilon) * gamma + beta
            case Activation():
                return self.activate(op.activation, name, x)
            case Pool():
                pool = tf.nn.max_pool2d if op.kind == "max" else tf.nn.avg_pool2d
                image, padding = self._padded(op, x)
                return pool(image, op.kernel, op.stride, padding)
            case GlobalPool():
                reduce = tf.reduce_max if op.kind == "max" else tf.reduce_mean
                return reduce(x, (1, 2), keepdims=op.keepdims)
            case Add():
                return inputs[0] + inputs[1]
            case Multiply():
                return inputs[0] * inputs[1]
            case Concat():
                return tf.concat(inputs, -1)
            case Flatten():
                return tf.reshape(x, (-1, x.shape[-1]))
            case ZeroPad():
                return tf.pad(x, ((0, 0), op.rows, op.columns, (0, 0)))
            case Dropout():
                return x
            case Opaque() if op.inert:
                return x
        raise ExportError(
            "an exported file holds the stock layers of image classifiers: replace the layer by some of them.",
            received=f"layer {name!r}",
        )

    def activate(self, activation: ActivationFunction, name: str, x: Any) -> Any:
        """Writes an activation function.

        Raises:
            ExportError: an activation that is not written here.
        """
        if activation is None:
            return x
        if not isinstance(activation, str) or activation not in _ACTIVATIONS:
            raise ExportError(
                f"an activation in an exported file must be one of {', '.join(sorted(_ACTIVATIONS))}.",
                received=f"{activation!r} at {name!r}",
            )
        return _ACTIVATIONS[activation](x)

    def _weighted(self, op: Conv | Depthwise | Dense | ChannelScale, name: str, x: Any) -> Any:
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
                image, padding = self._padded(op, x)
                y = tf.nn.depthwise_conv2d(
                    image, kernel, (1, *both(op.stride), 1), padding, dilations=both(op.dilation)
                )
            case Dense():
                # Over an image the same numbers are a convolution, which engines run without moving it about.
                image = len(x.shape) == 4
                y = tf.nn.conv2d(x, kernel[None, None], 1, "VALID") if image else tf.matmul(x, kernel)
                activation = op.activation
            case ChannelScale():
                y = x * kernel
        return self.activate(activation, name, y + bias[0] if bias else y)

    @staticmethod
    def _padded(op: Window, x: Any) -> tuple[Any, Any]:
        """The image, and the padding that is left to TensorFlow."""
        if op.padding in ("same", "valid"):
            return x, op.padding.upper()
        windows = zip(reaches(op), x.shape[1:3], strict=True)
        sides = (padding_zeros(op.padding, reach, stride, side) for (reach, stride), side in windows)
        return tf.pad(x, ((0, 0), *sides, (0, 0))), "VALID"


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


def tensorflow_function(
    network: Network,
    weights: Weights,
    shapes: Sequence[tuple[int | None, ...]],
    batch: int | None = None,
    channels_first: bool = False,
    named: bool = False,
) -> Any:
    """Writes a recorded network as a TensorFlow function of its inputs.

    Args:
        network: the network.
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
        shapes: shape of each input with the batch, as Keras gives it.
        batch: number of images in a call; None for any.
        channels_first: whether the model's images have their channels first.
        named: whether operations carry the name of their layer, which makes files larger.

    Returns:
        A `tf.function` with one signature.

    Raises:
        ExportError: a layer or an activation that a file cannot hold.
    """
    signature = [
        tf.TensorSpec((batch, *shape[1:]), tf.float32, name=node.name)
        for node, shape in zip(network.inputs, shapes, strict=True)
    ]

    @tf.function(input_signature=signature, autograph=False)
    def compute(*images: Any) -> Any:
        last = [_moved(image, (0, 2, 3, 1)) if channels_first else image for image in images]
        made = network.run(TensorFlowGraph(weights, named), *last)
        outputs = [_moved(output, (0, 3, 1, 2)) if channels_first else output for output in made]
        return outputs[0] if len(outputs) == 1 else outputs

    return compute


def _moved(x: Any, axes: tuple[int, ...]) -> Any:
    """An image with its axes in another order; a vector as it is."""
    return tf.transpose(x, axes) if len(x.shape) == 4 else x
