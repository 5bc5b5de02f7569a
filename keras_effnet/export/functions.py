"""Functions of single numbers that stand outside the vocabulary, by name and arguments."""

from __future__ import annotations

from typing import Any

from keras_effnet.ops import Op, Opaque

# Keras has some as a layer, and as a function of `keras.ops` in the graph.
_NAMES = {
    "LeakyReLU": "leaky_relu",
    "LeakyRelu": "leaky_relu",
    "ReLU": "relu",
    "ELU": "elu",
    "Elu": "elu",
    "Celu": "celu",
    "Clip": "clip",
    "Identity": "linear",
    "LogSigmoid": "log_sigmoid",
    "HardTanh": "hard_tanh",
    "TanhShrink": "tanh_shrink",
}
_ARGUMENTS = ("max_value", "negative_slope", "threshold", "alpha", "x_min", "x_max")


def is_function(op: Op) -> bool:
    """Whether an operation is a function of single numbers without weights."""
    return isinstance(op, Opaque) and op.elementwise and not op.params


def function_of(op: Opaque, name: str) -> tuple[str, dict[str, Any]]:
    """What a function of single numbers is called, and its arguments.

    Args:
        op: the operation.
        name: name of its layer.

    Returns:
        The name of one of Keras' activations, or else of the function, and its arguments by name.

    Example:
        >>> import keras
        >>> function_of(Opaque(lambda name: keras.layers.LeakyReLU(0.25, name=name), (8, 8, 3)), "leaky")
        ('leaky_relu', {'negative_slope': 0.25})
    """
    layer = op.make(name)
    kind = type(layer).__name__
    if kind == "Gelu":
        return "gelu_tanh" if layer.approximate else "gelu", {}
    given = {argument: getattr(layer, argument) for argument in _ARGUMENTS if hasattr(layer, argument)}
    return _NAMES.get(kind, kind.lower()), {argument: value for argument, value in given.items() if value is not None}
