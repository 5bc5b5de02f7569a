"""The reader that writes an ONNX graph: one operation, one ONNX node or two.

ONNX keeps channels first, Keras usually last: one transposition stands behind the input, and none inside the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

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
from keras_effnet.windows import both, reaches, sides_behind

# The first version that has LayerNormalization; every later engine reads it (onnx.ai, operator changelog).
OPSET = 17

# Activations that are one ONNX node with these attributes; Keras' hard sigmoid is relu6(x + 3) / 6.
_ONE_NODE: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
}


class OnnxValue(NamedTuple):
    """What flows between the nodes.

    Args:
        name: name of the value in the graph.
        sides: height and width of an image, None for one that is known only when the model runs; () for a vector.
    """

    name: str
    sides: tuple[int | None, ...]


class OnnxGraph:
    """The reader; `nodes` and `constants` hold what it has written.

    Args:
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def read(self, op: Op, name: str, *inputs: OnnxValue) -> OnnxValue:
        """Writes the nodes of one operation.

        Raises:
            ExportError: ONNX has no node for it.
        """
        x = inputs[0]
        match op:
            case Conv() | Depthwise():
                return self._convolution(op, name, x)
            case Dense():
                return self._dense(op, name, x)
            case BatchNorm():
                gamma, beta, mean, variance = self.weights[name]
                values = [
                    self.constant(f"{name}_{index}", each) for index, each in enumerate((gamma, beta, mean, variance))
                ]
                return self.node("BatchNormalization", name, x, *values, epsilon=op.epsilon)
            case LayerNorm():
                return self._layer_norm(op, name, x)
            case ChannelScale():
                return self.node("Mul", name, x, self.per_channel(name, self.weights[name][0], x))
            case Activation():
                return self.activate(op.activation, name, x)
            case Pool():
                return self._pool(op, name, x)
            case GlobalPool():
                made = self.node("GlobalMaxPool" if op.kind == "max" else "GlobalAveragePool", name, x)._replace(
                    sides=(1, 1)
                )
                return made if op.keepdims else self._flatten(f"{name}_flat", made)
            case Add():
                return self.node("Add", name, *inputs)
            case Multiply():
                # Squeeze-and-excitation: the image stands before the factors.
                return self.node("Mul", name, *inputs)
            case Concat():
                return self.node("Concat", name, *inputs, axis=1)
            case Flatten():
                return self._flatten(name, x)
            case ZeroPad():
                return self._zero_pad(op, name, x)
            case Rescale() | Standardize():
                return self._pixels(op, name, x)
            case Dropout():
                return x
            case Opaque() if op.inert:
                return x
        raise ExportError(
            "an ONNX file holds the stock layers of image classifiers: replace the layer by some of them, or export to "
            "litert or saved_model.",
            received=f"layer {name!r}",
        )

    def node(self, kind: str, name: str, *inputs: OnnxValue | str, **attributes: Any) -> OnnxValue:
        """Writes one node, whose output is as large as its first input."""
        from onnx import helper

        read = [each.name if isinstance(each, OnnxValue) else each for each in inputs]
        self.nodes.append(helper.make_node(kind, read, [name], name=name, **attributes))
        first = inputs[0]
        return OnnxValue(name, first.sides if isinstance(first, OnnxValue) else ())

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Writes a constant, and returns its name."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def per_channel(self, name: str, values: Any, x: OnnxValue) -> str:
        """A constant with one number per channel of an image, or of a vector."""
        shape = (1, -1, *(1 for _ in x.sides))
        return self.constant(f"{name}_values", np.reshape(np.asarray(values, np.float32), shape))

    def activate(self, activation: ActivationFunction, name: str, x: OnnxValue) -> OnnxValue:
        """Writes an activation function.

        Raises:
            ExportError: an activation that ONNX cannot be told.
        """
        if activation in (None, "linear"):
            return x
        if isinstance(activation, str) and activation in _ONE_NODE:
            kind, attributes = _ONE_NODE[activation]
            return self.node(kind, name, x, **attributes)
        match activation:
            case "relu6":
                low, high = self.constant(f"{name}_low", 0.0), self.constant(f"{name}_high", 6.0)
                return self.node("Clip", name, x, low, high)
            case "silu" | "swish":
                return self.node("Mul", name, x, self.node("Sigmoid", f"{name}_sigmoid", x))
            case "softmax":
                return self.node("Softmax", name, x, axis=1)
            case "gelu":
                # x / 2 (1 + erf(x / sqrt(2))): engines know the pattern.
                scaled = self.node("Div", f"{name}_scaled", x, self.constant(f"{name}_root", math.sqrt(2)))
                error = self.node("Erf", f"{name}_erf", scaled)
                raised = self.node("Add", f"{name}_raised", error, self.constant(f"{name}_one", 1.0))
                product = self.node("Mul", f"{name}_product", x, raised)
                return self.node("Mul", name, product, self.constant(f"{name}_half", 0.5))
        known = ", ".join(sorted([*_ONE_NODE, "relu6", "silu", "softmax", "gelu"]))
        raise ExportError(
            f"an activation in an ONNX file must be one of {known}.", received=f"{activation!r} at {name!r}"
        )

    def _convolution(self, op: Conv | Depthwise, name: str, x: OnnxValue) -> OnnxValue:
        kernel, *bias = self.weights[name]
        if isinstance(op, Conv):
            groups, kernel = op.groups, np.transpose(kernel, (3, 2, 0, 1))
        else:
            # (rows, columns, channels, multiplier): the filters of one channel stand side by side.
            groups = kernel.shape[2]
            kernel = np.transpose(kernel, (2, 3, 0, 1)).reshape(-1, 1, *both(op.kernel))
        weights = [self.constant(f"{name}_kernel", kernel)]
        if op.bias:
            weights.append(self.constant(f"{name}_bias", bias[0]))
        activation = op.activation if isinstance(op, Conv) else None
        inner = name if activation is None else f"{name}_linear"
        window = self._window(op, x)
        made = self.node("Conv", inner, x, *weights, group=groups, **window)._replace(sides=self._sides(op, x))
        return self.activate(activation, name, made)

    def _pool(self, op: Pool, name: str, x: OnnxValue) -> OnnxValue:
        kind = "MaxPool" if op.kind == "max" else "AveragePool"
        return self.node(kind, name, x, **self._window(op, x))._replace(sides=self._sides(op, x))

    @staticmethod
    def _window(op: Window, x: OnnxValue) -> dict[str, Any]:
        window: dict[str, Any] = {"kernel_shape": both(op.kernel), "strides": both(op.stride)}
        if not isinstance(op, Pool) and op.dilation != 1:
            window["dilations"] = both(op.dilation)
        if op.padding == "same" and op.stride != 1 and None in x.sides:
            return {**window, "auto_pad": "SAME_UPPER"}  # TensorFlow's rule
        windows = zip(reaches(op), x.sides, strict=True)
        (top, bottom), (left, right) = (
            padding_zeros(op.padding, reach, stride, side) for (reach, stride), side in windows
        )
        return {**window, "pads": [top, left, bottom, right]}

    @staticmethod
    def _sides(op: Window, x: OnnxValue) -> tuple[int | None, ...]:
        height, width = x.sides
        return sides_behind(op, (height, width))

    def _dense(self, op: Dense, name: str, x: OnnxValue) -> OnnxValue:
        """A matrix for vectors; over an image the same numbers are a convolution with a kernel of 1."""
        kernel, *bias = self.weights[name]
        inner = name if op.activation is None else f"{name}_linear"
        if x.sides:
            kernel = np.transpose(kernel)[:, :, None, None]
        weights = [self.constant(f"{name}_kernel", kernel)]
        weights += [self.constant(f"{name}_bias", bias[0])] if op.bias else []
        made = self.node("Conv" if x.sides else "Gemm", inner, x, *weights)
        return self.activate(op.activation, name, made)

    def _layer_norm(self, op: LayerNorm, name: str, x: OnnxValue) -> OnnxValue:
        gamma, beta = self.weights[name]
        weights = [self.constant(f"{name}_gamma", gamma), self.constant(f"{name}_beta", beta)]
        if not x.sides:
            return self.node("LayerNormalization", name, x, *weights, axis=-1, epsilon=op.epsilon)
        last = self.node("Transpose", f"{name}_last", x, perm=[0, 2, 3, 1])
        made = self.node("LayerNormalization", f"{name}_normal", last, *weights, axis=-1, epsilon=op.epsilon)
        return self.node("Transpose", name, made, perm=[0, 3, 1, 2])

    def _flatten(self, name: str, x: OnnxValue) -> OnnxValue:
        return self.node("Flatten", name, x, axis=1)._replace(sides=())

    def _zero_pad(self, op: ZeroPad, name: str, x: OnnxValue) -> OnnxValue:
        (top, bottom), (left, right) = op.rows, op.columns
        pads = self.constant(f"{name}_pads", [0, 0, top, left, 0, 0, bottom, right], np.int64)
        sides = tuple(
            None if side is None else side + sum(zeros)
            for side, zeros in zip(x.sides, (op.rows, op.columns), strict=True)
        )
        return self.node("Pad", name, x, pads)._replace(sides=sides)

    def _pixels(self, op: Rescale | Standardize, name: str, x: OnnxValue) -> OnnxValue:
        factor, shift = factor_and_shift(op, self.weights[name])
        scaled = self.node("Mul", f"{name}_scaled", x, self.per_channel(f"{name}_factor", factor, x))
        return self.node("Add", name, scaled, self.per_channel(f"{name}_shift", shift, x))


def onnx_model(
    network: Network,
    weights: Weights,
    shapes: Sequence[tuple[int | None, ...]],
    metadata: dict[str, str],
    batch: int | None = None,
    channels_first: bool = False,
) -> Any:
    """Writes a recorded network as an ONNX model.

    Args:
        network: the network.
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
        shapes: shape of each input with the batch, as Keras gives it.
        metadata: texts by name, which travel in the file.
        batch: number of images in a call; None for any.
        channels_first: whether the model's images have their channels first.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ExportError: a layer or an activation that ONNX cannot hold.
    """
    from onnx import TensorProto, helper

    graph = OnnxGraph(weights)
    given, inputs = [], []
    for node, (_, *shape) in zip(network.inputs, shapes, strict=True):
        dims = [
            "batch" if batch is None else batch,
            *(side or f"{node.name}_{axis}" for axis, side in enumerate(shape)),
        ]
        given.append(helper.make_tensor_value_info(node.name, TensorProto.FLOAT, dims))
        image = OnnxValue(node.name, tuple(shape[1:] if channels_first else shape[:-1]) if len(shape) == 3 else ())
        if len(shape) == 3 and not channels_first:
            image = graph.node("Transpose", f"{node.name}_channels_first", image, perm=[0, 3, 1, 2])
        inputs.append(image)
    made = network.run(graph, *inputs)
    outputs = []
    for number, tensor in enumerate(made):
        name = "output" if len(made) == 1 else f"output_{number}"
        if tensor.sides and not channels_first:
            graph.node("Transpose", name, tensor, perm=[0, 2, 3, 1])
        else:
            graph.node("Identity", name, tensor)
        dims = [batch or "batch", *(None for _ in range(3 if tensor.sides else 1))]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    written = helper.make_graph(graph.nodes, network.name, given, outputs, graph.constants)
    model = helper.make_model(written, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="keras-effnet")
    model.ir_version = 8  # what opset 17 came with; older engines refuse newer ones
    helper.set_model_props(model, metadata)
    return model
