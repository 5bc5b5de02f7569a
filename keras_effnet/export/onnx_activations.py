"""Activations and functions of single numbers as ONNX nodes."""

from __future__ import annotations

import math
from typing import Any

from keras_effnet.errors import ExportError
from keras_effnet.export.onnx_writer import OnnxValue, OnnxWriter
from keras_effnet.ops import ActivationFunction

# Activations that are one ONNX node with these attributes; Keras' hard sigmoid is relu6(x + 3) / 6.
_ONE_NODE: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {}),
    "celu": ("Celu", {}),
    "selu": ("Selu", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "softmax": ("Softmax", {"axis": 1}),
    "log_softmax": ("LogSoftmax", {"axis": 1}),
    "absolute": ("Abs", {}),
    "negative": ("Neg", {}),
    "exp": ("Exp", {}),
    "log": ("Log", {}),
    "sqrt": ("Sqrt", {}),
    "reciprocal": ("Reciprocal", {}),
}
_CLIPPED = {"relu6": (0.0, 6.0), "hard_tanh": (-1.0, 1.0)}
_SEVERAL = ("linear", "clip", "silu", "mish", "gelu", "gelu_tanh", "square", "rsqrt", "log_sigmoid", "tanh_shrink")


def write_activation(
    writer: OnnxWriter, activation: ActivationFunction, name: str, x: OnnxValue, **options: Any
) -> OnnxValue:
    """Writes an activation, or another function of single numbers.

    Args:
        writer: what it is written with.
        activation: the function.
        name: name of the layer.
        x: what it reads.
        **options: arguments of the function, as `function_of` gives them.

    Returns:
        What it makes.

    Raises:
        ExportError: a function that ONNX cannot be told.
    """
    if activation in (None, "linear"):
        return x
    if activation == "relu" and options:
        return _relu(writer, name, x, **options)
    if isinstance(activation, str) and activation in _ONE_NODE:
        kind, attributes = _ONE_NODE[activation]
        own = list(options.values())  # a slope or a factor: no other function here has arguments
        return writer.node(kind, name, x, **({"alpha": own[0]} if own else attributes))
    match activation:
        case "relu6" | "hard_tanh":
            return _clip(writer, name, x, *_CLIPPED[activation])
        case "silu" | "swish":
            return writer.node("Mul", name, x, writer.node("Sigmoid", f"{name}_sigmoid", x))
        case "mish":
            soft = writer.node("Softplus", f"{name}_softplus", x)
            return writer.node("Mul", name, x, writer.node("Tanh", f"{name}_tanh", soft))
        case "tanh_shrink":
            return writer.node("Sub", name, x, writer.node("Tanh", f"{name}_tanh", x))
        case "log_sigmoid":
            opposite = writer.node("Neg", f"{name}_opposite", x)
            return writer.node("Neg", name, writer.node("Softplus", f"{name}_softplus", opposite))
        case "square":
            return writer.node("Mul", name, x, x)
        case "rsqrt":
            return writer.node("Reciprocal", name, writer.node("Sqrt", f"{name}_root", x))
        case "clip":
            return _clip(writer, name, x, options["x_min"], options["x_max"])
        case "gelu":
            # x / 2 (1 + erf(x / sqrt(2))): engines know the pattern.
            scaled = writer.node("Div", f"{name}_scaled", x, writer.constant(f"{name}_root", math.sqrt(2)))
            return _half_raised(writer, name, x, writer.node("Erf", f"{name}_erf", scaled))
        case "gelu_tanh":
            return _gelu_tanh(writer, name, x)
    raise ExportError(
        f"an activation in an ONNX file must be one of {', '.join(sorted((*_ONE_NODE, *_CLIPPED, *_SEVERAL)))}.",
        received=f"{activation!r} at {name!r}",
    )


def _gelu_tanh(writer: OnnxWriter, name: str, x: OnnxValue) -> OnnxValue:
    """x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2)."""
    square = writer.node("Mul", f"{name}_square", x, x)
    bent = writer.node("Mul", f"{name}_bent", square, writer.constant(f"{name}_cubic", 0.044715))
    factor = writer.node("Add", f"{name}_factor", bent, writer.constant(f"{name}_one", 1.0))
    inside = writer.node("Mul", f"{name}_inside", x, factor)
    scaled = writer.node("Mul", f"{name}_scaled", inside, writer.constant(f"{name}_root", math.sqrt(2 / math.pi)))
    return _half_raised(writer, name, x, writer.node("Tanh", f"{name}_tanh", scaled))


def _half_raised(writer: OnnxWriter, name: str, x: OnnxValue, y: OnnxValue) -> OnnxValue:
    """x / 2 (1 + y)."""
    raised = writer.node("Add", f"{name}_raised", y, writer.constant(f"{name}_one", 1.0))
    product = writer.node("Mul", f"{name}_product", x, raised)
    return writer.node("Mul", name, product, writer.constant(f"{name}_half", 0.5))


def _clip(writer: OnnxWriter, name: str, x: OnnxValue, low: float, high: float) -> OnnxValue:
    return writer.node("Clip", name, x, writer.constant(f"{name}_low", low), writer.constant(f"{name}_high", high))


def _relu(
    writer: OnnxWriter,
    name: str,
    x: OnnxValue,
    max_value: float | None = None,
    negative_slope: float = 0.0,
    threshold: float = 0.0,
) -> OnnxValue:
    """Keras' ReLU with all of its arguments: above the threshold x, at most `max_value`; a slope below."""
    above = writer.node("ThresholdedRelu", f"{name}_above", x, alpha=threshold)
    if max_value is not None:
        above = _clip(writer, f"{name}_cut", above, 0.0, max_value)
    lower = writer.node("Sub", f"{name}_lower", writer.constant(f"{name}_threshold", threshold), x)
    below = writer.node("Relu", f"{name}_below", lower)._replace(sides=x.sides)
    sloped = writer.node("Mul", f"{name}_sloped", below, writer.constant(f"{name}_slope", negative_slope))
    return writer.node("Sub", name, above, sloped)
