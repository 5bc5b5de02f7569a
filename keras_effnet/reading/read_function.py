"""Functions of `keras.ops` that stand in the graph of a model, as operations of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np

from keras_effnet.ops import Activation, Add, Concat, GlobalPool, Merge, Multiply, Op
from keras_effnet.reading.opaque_layer import channel_axis
from keras_effnet.reading.steps import Given, axis_is_channels, joined, rescaled, reshaped

_ACTIVATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "Selu": "selu",
}
_JOINING: dict[str, Any] = {
    "Add": Add(),
    "Multiply": Multiply(),
    "Subtract": Merge("subtract"),
    "Maximum": Merge("maximum"),
    "Minimum": Merge("minimum"),
}


def read_function(function: Any, given: Given) -> Op | None:
    """What a function of `keras.ops` does, such as `x + y`, `x * 2` or `keras.ops.silu(x)`.

    Args:
        function: the operation in the graph.
        given: what it is called with.

    Returns:
        The operation; None if the vocabulary has no word for it.

    Example:
        >>> x = keras.Input((8, 8, 3))
        >>> function = (x * 2.0)._keras_history.operation
        >>> read_function(function, Given([(None, 8, 8, 3)], [(None, 8, 8, 3)], [x, 2.0]))
        Rescale(scale=2.0, offset=0.0)
    """
    name = type(function).__name__
    if not type(function).__module__.startswith("keras."):
        return None
    if name in _ACTIVATIONS:
        return Activation(_ACTIVATIONS[name])
    if name in _JOINING and len(given.shapes) == len(given.arguments):
        return joined(_JOINING[name], given.shapes)
    read = _READERS.get(name)
    return None if read is None else read(function, given)


def _with_number(factor: Callable[[Any, bool], tuple[Any, Any]]) -> Callable[[Any, Given], Op | None]:
    """The reader of a tensor and a number.

    Args:
        factor: function from the number, and whether it stands first, to factor and offset of the tensor.
    """

    def read(function: Any, given: Given) -> Op | None:
        if len(given.arguments) != 2 or len(given.shapes) != 1 or given.shapes[0] != given.made[0]:
            return None
        first = not isinstance(given.arguments[0], keras.KerasTensor)
        number = given.arguments[0 if first else 1]
        if number is None or isinstance(number, keras.KerasTensor):
            return None
        try:
            scale, offset = factor(np.asarray(keras.ops.convert_to_numpy(number), float), first)
        except (TypeError, ValueError):
            return None
        return None if scale is None else rescaled(scale, offset, given.shapes[0])

    return read


def _divided(number: Any, first: bool) -> tuple[Any, Any]:
    return (None, None) if first else (1 / number, 0.0)


def _pooled(kind: Any) -> Callable[[Any, Given], Op | None]:
    def read(function: Any, given: Given) -> Op | None:
        shape = given.shapes[0]
        axes = function.axis if isinstance(function.axis, list | tuple) else [function.axis]
        sides = {0, channel_axis(shape)}
        if None in axes or len(shape) != 4 or {axis % 4 for axis in axes} != set(range(4)) - sides:
            return None
        return GlobalPool(kind, bool(function.keepdims))

    return read


def _softmax(function: Any, given: Given) -> Op | None:
    return Activation("softmax") if axis_is_channels(function.axis, given.shapes[0]) else None


def _gelu(function: Any, given: Given) -> Op | None:
    return None if function.approximate else Activation("gelu")


def _concat(function: Any, given: Given) -> Op | None:
    return Concat() if axis_is_channels(function.axis, given.shapes[0]) and len(given.shapes) > 1 else None


def _reshape(function: Any, given: Given) -> Op | None:
    return reshaped(cast(Any, given.shapes[0]), given.made[0])


_READERS: dict[str, Callable[[Any, Given], Op | None]] = {
    "Add": _with_number(lambda number, first: (1.0, number)),
    "Multiply": _with_number(lambda number, first: (number, 0.0)),
    "Subtract": _with_number(lambda number, first: (-1.0, number) if first else (1.0, -number)),
    "Divide": _with_number(_divided),
    "TrueDivide": _with_number(_divided),
    "Mean": _pooled("avg"),
    "Max": _pooled("max"),
    "Softmax": _softmax,
    "Gelu": _gelu,
    "Concatenate": _concat,
    "Reshape": _reshape,
    "Identity": lambda function, given: Activation(None),
}
