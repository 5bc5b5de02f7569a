"""The reader that writes an ONNX graph: one operation, one ONNX node or two.

ONNX keeps channels first, Keras usually last: one transposition stands behind the input, and none inside the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_effnet.errors import ExportError
from keras_effnet.export.functions import function_of, is_function
from keras_effnet.export.layer_weights import Weights, factor_and_shift, slopes
from keras_effnet.export.onnx_activations import write_activation
from keras_effnet.export.onnx_normalization import write_norm
from keras_effnet.export.onnx_reshaping import flatten, write_reshaping
from keras_effnet.export.onnx_writer import OnnxValue, OnnxWriter
from keras_effnet.network import Network
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
from keras_effnet.windows import both, reaches, sides_behind, sides_behind_transposed

# The first version that has LayerNormalization; every later engine reads it (onnx.ai, operator changelog).
OPSET = 17

_MERGES = {"average": "Mean", "maximum": "Max", "minimum": "Min"}


class OnnxGraph(OnnxWriter):
    """The reader.

    Args:
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
        taken: names that the inputs and outputs of the graph have.
    """

    def __init__(self, weights: Weights, taken: set[str]) -> None:
        super().__init__(taken)
        self.weights = weights

    def read(self, op: Op, name: str, *inputs: OnnxValue) -> OnnxValue:
        """Writes the nodes of one operation.

        Raises:
            ExportError: ONNX has no node for it.
        """
        x = inputs[0]
        match op:
            case Conv() | Depthwise():
                return self._convolution(op, name, x)
            case TransposedConv():
                return self._transposed(op, name, x)
            case Dense():
                return self._dense(op, name, x)
            case BatchNorm() | LayerNorm() | GroupNorm() | RMSNorm() | UnitNorm():
                return write_norm(self, op, self.weights.get(name, []), name, x)
            case ChannelScale():
                return self.node("Mul", name, x, self.per_channel(name, self.weights[name][0], x))
            case PReLU():
                slope = slopes(self.weights[name])
                return self.node("PRelu", name, x, self.constant(f"{name}_slope", np.moveaxis(slope, -1, 0)))
            case Activation():
                return write_activation(self, op.activation, name, x)
            case Pool():
                return self._pool(op, name, x)
            case GlobalPool():
                kind = "GlobalMaxPool" if op.kind == "max" else "GlobalAveragePool"
                made = self.node(kind, name, x)._replace(sides=(1, 1))
                return made if op.keepdims else flatten(self, f"{name}_flat", made)
            case Add() | Multiply() | Merge() | Concat():
                return self._joined(op, name, *inputs)
            case Flatten() | Unflatten() | ZeroPad() | Crop() | UpSample() | Resize():
                return write_reshaping(self, op, name, x)
            case Rescale() | Standardize():
                return self._pixels(op, name, x)
            case Reuse():
                return self.read(op.op, name, *inputs)
            case Dropout():
                return x
            case Opaque() if op.inert:
                return x
            case Opaque() if is_function(op):
                function, options = function_of(op, name)
                return write_activation(self, function, name, x, **options)
        raise ExportError(
            "an ONNX file holds the stock layers of image classifiers: replace the layer by some of them, or export to "
            "litert or saved_model.",
            received=f"layer {name!r}",
        )

    def _joined(self, op: Joining, name: str, *inputs: OnnxValue) -> OnnxValue:
        """Writes what is made of several images, or of images and vectors, which are images of one cell there."""
        if any(each.sides for each in inputs) and not isinstance(op, Concat):
            inputs = tuple(each if each.sides else self.read(Unflatten(), f"{name}_image", each) for each in inputs)
        # A side of one cell is as long as the others; one that is unknown stays so where no other is known.
        pairs = zip(*(each.sides for each in inputs), strict=True)
        sides = tuple(next((side for side in pair if side not in (1, None)), min(pair, key=bool)) for pair in pairs)
        match op:
            case Concat():
                return self.node("Concat", name, *inputs, axis=1)
            case Merge(kind="subtract"):
                return self.node("Sub", name, *inputs)._replace(sides=sides)
            case Merge():
                return self.node(_MERGES[op.kind], name, *inputs)._replace(sides=sides)
        made, *others = inputs
        for number, other in enumerate(others, 1):
            whole = number == len(others)
            kind = "Add" if isinstance(op, Add) else "Mul"
            made = self.node(kind, name if whole else f"{name}_part", made, other)._replace(sides=sides)
        return made

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
        return write_activation(self, activation, name, made)

    def _transposed(self, op: TransposedConv, name: str, x: OnnxValue) -> OnnxValue:
        kernel, *bias = self.weights[name]
        weights = [self.constant(f"{name}_kernel", np.transpose(kernel, (3, 2, 0, 1)))]
        weights += [self.constant(f"{name}_bias", bias[0])] if op.bias else []
        pads, more = [], []
        for reach, stride in zip(both(op.kernel), both(op.stride), strict=True):
            # TensorFlow's rule: what stands over the edges is cut off, an odd row at the end.
            cut = max(reach - stride, 0) if op.padding == "same" else 0
            pads.append((cut // 2, cut - cut // 2))
            more.append(max(stride - reach, 0))
        (top, bottom), (left, right) = pads
        made = self.node(
            "ConvTranspose",
            name if op.activation is None else f"{name}_linear",
            x,
            *weights,
            kernel_shape=both(op.kernel),
            strides=both(op.stride),
            pads=[top, left, bottom, right],
            output_padding=more,
        )
        made = made._replace(sides=sides_behind_transposed(op, x.sides))
        return write_activation(self, op.activation, name, made)

    def _pool(self, op: Pool, name: str, x: OnnxValue) -> OnnxValue:
        kind, window = "MaxPool" if op.kind == "max" else "AveragePool", self._window(op, x)
        if op.kind == "avg" and op.padding in ("even", "symmetric"):
            window["count_include_pad"] = 1  # Keras gets these zeros from a layer in front, and averages them too
        return self.node(kind, name, x, **window)._replace(sides=self._sides(op, x))

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
        return write_activation(self, op.activation, name, made)

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
    names: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Any:
    """Writes a recorded network as an ONNX model.

    Args:
        network: the network.
        weights: arrays of each layer by the layer's name, as `read_weights` gives them.
        shapes: shape of each input with the batch, as Keras gives it.
        metadata: texts by name, which travel in the file.
        batch: number of images in a call; None for any.
        channels_first: whether the model's images have their channels first.
        names: names of the inputs and outputs, each once; by default those of the network's nodes.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ExportError: a layer or an activation that ONNX cannot hold.
    """
    from onnx import TensorProto, helper

    read, returned = names or named_ends(network)
    graph = OnnxGraph(weights, {*read, *returned})
    given, inputs = [], []
    for name, (_, *shape) in zip(read, shapes, strict=True):
        dims = ["batch" if batch is None else batch, *(side or f"{name}_{axis}" for axis, side in enumerate(shape))]
        given.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        image = OnnxValue(name, tuple(shape[1:] if channels_first else shape[:-1]) if len(shape) == 3 else ())
        if len(shape) == 3 and not channels_first:
            image = graph.node("Transpose", f"{name}_channels_first", image, perm=[0, 3, 1, 2])
        inputs.append(image)
    made = network.run(graph, *inputs)
    outputs = []
    for name, tensor in zip(returned, made, strict=True):
        if tensor.sides and not channels_first:
            graph.write("Transpose", name, tensor, perm=[0, 2, 3, 1])
        else:
            graph.write("Identity", name, tensor)
        dims = [batch or "batch", *(None for _ in range(3 if tensor.sides else 1))]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
    written = helper.make_graph(graph.nodes, network.name, given, outputs, list(graph.constants.values()))
    model = helper.make_model(written, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="keras-effnet")
    model.ir_version = 8  # what opset 17 came with; older engines refuse newer ones
    helper.set_model_props(model, metadata)
    return model
