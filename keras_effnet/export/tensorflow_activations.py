"""Activations and functions of single numbers in a TensorFlow graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_effnet.errors import ExportError
from keras_effnet.ops import ActivationFunction

# Of Klambauer et al. 2017, arXiv:1706.02515, equation 14.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _elu(x: Any, alpha: float = 1.0) -> Any:
    return tf.nn.elu(x) if alpha == 1 else tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0.0)) - 1.0)


def _celu(x: Any, alpha: float = 1.0) -> Any:
    return tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0.0) / alpha) - 1.0)


def _relu(x: Any, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0) -> Any:
    """Keras' ReLU with all of its arguments: above the threshold x, at most `max_value`; a slope below."""
    above = x * tf.cast(x > threshold, tf.float32) if threshold else tf.nn.relu(x)
    if max_value is not None:
        above = tf.minimum(above, max_value)
    return above - negative_slope * tf.nn.relu(threshold - x) if negative_slope else above


# LiteRT has no word for some of TensorFlow's functions, which stand here in those that it has.
_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu": _relu,
    "relu6": tf.nn.relu6,
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
    "elu": _elu,
    "celu": _celu,
    "selu": lambda x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
    "softplus": tf.nn.softplus,
    "softsign": tf.nn.softsign,
    "exponential": tf.exp,
    "leaky_relu": lambda x, negative_slope=0.2: tf.nn.leaky_relu(x, negative_slope),
    "silu": lambda x: x * tf.nn.sigmoid(x),
    "swish": lambda x: x * tf.nn.sigmoid(x),
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * (1 / 6),
    "hard_silu": lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    "hard_tanh": lambda x: tf.minimum(tf.maximum(x, -1.0), 1.0),
    "softmax": tf.nn.softmax,
    "log_softmax": tf.nn.log_softmax,
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "log_sigmoid": lambda x: -tf.nn.softplus(-x),
    "tanh_shrink": lambda x: x - tf.tanh(x),
    "clip": lambda x, x_min, x_max: tf.minimum(tf.maximum(x, x_min), x_max),
    "linear": tf.identity,
    "absolute": tf.abs,
    "negative": tf.negative,
    "exp": tf.exp,
    "log": tf.math.log,
    "sqrt": tf.sqrt,
    "rsqrt": tf.math.rsqrt,
    "square": tf.square,
    "reciprocal": lambda x: 1.0 / x,
}


def write_activation(activation: ActivationFunction, name: str, x: Any, **options: Any) -> Any:
    """Writes an activation, or another function of single numbers.

    Args:
        activation: the function.
        name: name of the layer.
        x: what it reads.
        **options: arguments of the function, as `function_of` gives them.

    Returns:
        What it makes.

    Raises:
        ExportError: a function that is not written here.
    """
    if activation is None:
        return x
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise ExportError(
            f"an activation in an exported file must be one of {', '.join(sorted(_ACTIVATIONS))}.",
            received=f"{activation!r} at {name!r}",
        )
    return _ACTIVATIONS[activation](x, **options)
