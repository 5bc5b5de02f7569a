"""Feature maps of any Keras model at a finer stride: its own layers, with dilation in place of strides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.dilation import dilated_nodes
from keras_effnet.errors import BuildError
from keras_effnet.levels import keep_nodes
from keras_effnet.ops import Conv, Crop, Depthwise, Op, Pool, ZeroPad, first_call
from keras_effnet.reading.graph import call_layer, copy_layer, finalize, free_name
from keras_effnet.reading.model_form import alone, structured
from keras_effnet.reading.read_model import ReadModel
from keras_effnet.recorded import Node


def dilate_model(read: ReadModel, output_stride: int, levels: Mapping[str, Node], name: str) -> keras.Model:
    """Builds the part of a model that makes some levels with no map coarser than `output_stride`.

    Args:
        read: the model.
        output_stride: pixels from one cell of the coarsest map to the next: 8, 16 or 32.
        levels: node of the read network that makes each level, by the level's name.
        name: name of the new model.

    Returns:
        The new model, uncompiled, with the weights of the old one; its output is a dict of maps by level.

    Raises:
        BuildError: as `dilate_network`; or an operation without options, which cannot be called with dilation.
        InheritanceError: a layer cannot be made anew.

    Example:
        >>> from keras_effnet.reading.read_model import read_layers
        >>> vgg = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> read = read_layers(vgg)
        >>> maps: dict = dilate_model(read, 8, {"P5": read.network.outputs[0]}, "dilated").output
        >>> maps["P5"].shape
        (None, 8, 8, 512)
    """
    network = keep_nodes(read.network, tuple(levels.values()))
    height, width, _ = read.images[0]
    became = dilated_nodes(network, output_stride, (height or None, width or None))
    model = read.graph.model
    inputs = [
        keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=key[0])
        for key, tensor in zip(read.graph.inputs, model.inputs, strict=True)
    ]
    builder = _Builder(read, became, dict(zip(network.inputs, inputs, strict=True)))
    with paused_garbage_collection(), deep_recursion():
        for node in network.nodes:
            builder.build(node)
        outputs = {level: builder.values[node] for level, node in levels.items()}
        return keras.Model(structured(inputs, model, "input"), outputs, name=name)


class _Builder:
    """Calls copies of a model's layers, node by node.

    Args:
        read: the model.
        became: the operations that each node of its network became; none for one that does nothing any more.
        values: the new tensor of each node; those that are made are added.
    """

    def __init__(self, read: ReadModel, became: Mapping[Node, list[Node]], values: dict[Node, Any]) -> None:
        self.read = read
        self.became = became
        self.values = values
        self._copies: dict[str, Any] = {}
        self._new = KerasLayers()
        self._nodes: dict[tuple[str, int], list[Node]] = {}
        for node, source in read.sources.items():
            self._nodes.setdefault((source.layer, source.call), []).append(node)

    def build(self, node: Node) -> None:
        """Calls the layer of one node, once for all nodes of the call."""
        if node in self.values:
            return
        placed = self.became[node]
        if not placed:
            self.values[node] = self.values[node.inputs[0]]
        elif type(placed[-1].op) is not type(node.op):
            self.values[node] = self._in_words(node, placed)
        else:
            source = self.read.sources[node]
            self._call(source.layer, source.call, self._in_words(node, placed[:-1]))

    def _in_words(self, node: Node, placed: list[Node]) -> Any:
        """What new operations make of what a node reads."""
        x, made = self.values[node.inputs[0]], dict[Node, Any]()
        for each in placed:
            taken = each.name != node.name and each.name in self.read.graph.layers
            name = free_name(each.name, self.read.graph.layers) if taken else each.name
            given = [made.get(one, x) for one in each.inputs]
            [layer] = self._new.layers_of(first_call(each.op), name, given[0].shape)
            made[each] = layer(alone(given))
        return made[placed[-1]] if placed else x

    def _call(self, name: str, number: int, given: Any) -> None:
        """Calls a layer; `given`: what it reads, with its zeros, if it is a window."""
        graph, nodes = self.read.graph, self._nodes[name, number]
        layer, call = graph.layers[name], graph.layers[name].calls[number]
        first = name not in self._copies
        if first:
            options: dict[str, Any] = {}
            for node in filter(self.became.get, nodes):
                op = self.became[node][-1].op
                options |= {} if op == node.op else _options(op)
            if options and not set(options) <= set(layer.operation.get_config()):
                raise BuildError(
                    f"{name!r} is a function that stands in the graph, which cannot be called with dilation: put a "
                    "layer in its place, or leave `output_stride` out.",
                    received=f"{graph.model.name!r} with {name!r}, a {layer.kind}",
                )
            self._copies[name] = copy_layer(layer, graph, name, options)
        copy = self._copies[name]
        read = {key: self.values[self.read.nodes[key]] for key in call.tensors}
        if len(read) == 1:
            read = dict.fromkeys(read, given)
        tensors = keras.tree.flatten(call_layer(copy, call, read))
        if first and getattr(copy, "weights", ()):
            copy.set_weights(layer.operation.get_weights())
            finalize(copy)
        self.values.update(dict.fromkeys(nodes, tensors[0]))
        self.values.update({self.read.nodes[key]: tensor for key, tensor in zip(call.made, tensors, strict=True)})


def _options(op: Op | None) -> dict[str, Any]:
    """The options of a layer whose window or border changed."""
    match op:
        case Conv() | Depthwise():
            return {"strides": op.stride, "padding": op.padding, "dilation_rate": op.dilation}
        case Pool():
            return {"strides": op.stride, "padding": op.padding}
        case ZeroPad():
            return {"padding": (op.rows, op.columns)}
        case Crop():
            return {"cropping": (op.rows, op.columns)}
    return {}
