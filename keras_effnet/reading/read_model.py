"""A Keras model as a recorded network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import keras

from keras_effnet.counting import Shape, sized
from keras_effnet.errors import BuildError, ScalingError
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage
from keras_effnet.ops import Depthwise, Op, Opaque, Reuse
from keras_effnet.reading.graph import Graph, GraphLayer, Tensor, has_graph, read_graph
from keras_effnet.reading.opaque_layer import cells_of, channels_of
from keras_effnet.reading.read_layer import read_layer
from keras_effnet.reading.steps import PREVIOUS, Given
from keras_effnet.trace import is_unknown


class Source(NamedTuple):
    """Where a node of a read network comes from.

    Args:
        layer: name of the layer in the graph.
        call: number of the layer's call.
        weights: the layer's weights that are the node's.
    """

    layer: str
    call: int
    weights: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class ReadModel:
    """A Keras model that was read.

    Args:
        graph: the graph of the model, with the models inside it unfolded.
        network: the recorded network; its nodes have the names of the model's layers.
        sources: where each node comes from.
        nodes: the node that makes each tensor of the graph.
    """

    graph: Graph
    network: Network
    sources: Mapping[Node, Source]
    nodes: Mapping[Tensor, Node]

    @property
    def opaque(self) -> tuple[str, ...]:
        """Names of the layers that the vocabulary has no word for, and that do something when the model predicts."""
        return tuple(node.name for node in self.network.nodes if is_unknown(node.op))

    @property
    def images(self) -> tuple[Shape, ...]:
        """The shape of each input; 0 for a side that is unknown."""
        return tuple(Shape(*cells_of(self.graph.shapes[key])) for key in self.graph.inputs)

    @cached_property
    def weights(self) -> dict[str, tuple[Any, ...]]:
        """The weights of each node, as Keras variables, by its name."""
        return {node.name: source.weights for node, source in self.sources.items() if not isinstance(node.op, Reuse)}


def read_model(model: keras.Model) -> Network:
    """Reads a Keras model into a recorded network: what every reader can be run over, whoever built the model.

    What is read is what the model computes when it predicts (`training=False`). Models inside it are flattened; a layer
    that is called again is a `Reuse` of the first call. A layer that the vocabulary has no word for is an `Opaque`
    operation. Nothing is computed: no layer is called.

    Args:
        model: a functional or Sequential model with any number of inputs and outputs.

    Returns:
        The network. Its nodes have the names of the model's layers; the first of two operations of one layer has more
        behind that name, as in "sepconv_depthwise". Its one stage holds everything.

    Raises:
        InheritanceError: the model has no graph, as subclassed models have none, or was never built; or it has
            recurrent layers, or layers for volumes.

    Example:
        >>> pixels = keras.Input((32, 32, 3))
        >>> x = keras.layers.Conv2D(8, 3, name="stem")(pixels)
        >>> network = read_model(keras.Model(pixels, keras.layers.Permute((2, 1, 3), name="turned")(x)))
        >>> [(node.name, type(node.op).__name__) for node in network.nodes]
        [('stem', 'Conv'), ('turned', 'Opaque')]
    """
    return read_layers(model).network


def read_layers(model: keras.Model) -> ReadModel:
    """Reads a Keras model as `read_model` does, and keeps where each node comes from.

    Args:
        model: as in `read_model`.

    Raises:
        InheritanceError: as `read_model`.
    """
    reading = _Reading(read_graph(model, has_graph))
    graph = reading.graph
    inputs = tuple(reading.input(key) for key in graph.inputs)
    for name, number in graph.order:
        reading.call(graph.layers[name], number)
    outputs = tuple(reading.nodes[key] for key in graph.outputs)
    block = RecordedBlock(inputs[0], list(reading.sources), outputs[-1])
    stage = RecordedStage("network", type(model).__name__, "", [block])
    return ReadModel(graph, Network(model.name, inputs, outputs, (stage,)), reading.sources, reading.nodes)


class _Reading:
    """What was read so far.

    Args:
        graph: graph of the model, with the models inside it unfolded.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sources: dict[Node, Source] = {}
        self.nodes: dict[Tensor, Node] = {}
        self._ops: dict[str, Op] = {}

    def input(self, key: Tensor) -> Node:
        """An input of the model."""
        self.nodes[key] = Node(None, key[0], (), channels_of(self.graph.shapes[key]))
        return self.nodes[key]

    def call(self, layer: GraphLayer, number: int) -> None:
        """One call of a layer."""
        call, shapes = layer.calls[number], self.graph.shapes
        made = [shapes[key] for key in call.made]
        read = tuple([self.nodes[key] for key in call.tensors])
        given = Given([shapes[key] for key in call.tensors], made)
        if not isinstance(layer.operation, keras.Layer):
            given = given._replace(arguments=keras.tree.flatten((call.arguments, call.options)))
        node: Node | None = None
        steps = read_layer(layer.operation, given)
        for step in steps:
            last, reads = step is steps[-1], step.reads
            inputs = read if node is None else (node,)
            if reads is not None:
                inputs = tuple(cast(Node, node) if each == PREVIOUS else read[each] for each in reads)
            channels = channels_of(made[0]) if last else _channels(step.op, inputs[0])
            source = Source(layer.name, number, step.weights)
            node = self._node(step.op, f"{layer.name}{step.suffix}", inputs, channels, source)
        self.nodes[call.made[0]] = whole = cast(Node, node)
        for key in call.made[1:]:
            # What else a layer makes is a node of its own, so that each node makes one thing.
            part = Opaque(_no_layer, cells_of(shapes[key]))
            source = Source(layer.name, number, ())
            self.nodes[key] = self._node(part, f"{layer.name}_output_{key[2]}", (whole,), part.shape[2], source)

    def _node(self, op: Op, name: str, inputs: tuple[Any, ...], channels: int, source: Source) -> Node:
        if name in self._ops:
            op = Reuse(self._ops[name])
        else:
            self._ops[name] = op
        node = Node(op, name, inputs, channels)
        self.sources[node] = source
        return node


def _channels(op: Op, x: Node) -> int:
    """Channels of what the first of several operations of a layer makes."""
    return x.channels * op.multiplier if isinstance(op, Depthwise) else x.channels


def _no_layer(name: str) -> Any:
    raise BuildError(
        "an output of a layer with several cannot be built by itself: only the whole layer can.", received=repr(name)
    )


def image_shapes(model: ReadModel) -> tuple[Shape, ...]:
    """The shape of each input of a model, with 0 for a side that may have any length.

    Args:
        model: the model.

    Raises:
        ScalingError: an input has no number of channels of its own.
    """
    graph = model.graph
    if not all(image.channels for image in model.images):
        raise ScalingError(
            "the model takes any number of channels: build it for one, `keras.Input((height, width, channels))`.",
            received=f"{graph.model.name!r} with inputs {[graph.shapes[key][1:] for key in graph.inputs]}",
        )
    return model.images


def some_images(model: ReadModel) -> tuple[Shape, ...]:
    """The shape of each input of a model, with a side of 256 cells where it takes any."""
    return tuple(map(sized, model.images))
