"""A Keras model as a recorded network."""

from __future__ import annotations

from typing import Any, cast

import keras

from keras_effnet.errors import InheritanceError
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage
from keras_effnet.ops import Op
from keras_effnet.reading.graph import Graph, GraphLayer, Tensor, read_graph
from keras_effnet.reading.read_layer import read_layer


def read_model(model: keras.Model) -> Network:
    """Reads a Keras model into a recorded network: what every reader can be run over, whoever built the model.

    What is read is what the model computes when it predicts (`training=False`). Models inside it are flattened. A layer
    that the vocabulary has no word for is an `Opaque` operation.

    Args:
        model: a functional or Sequential model that calls each of its layers once.

    Returns:
        The network. Its nodes have the names of the model's layers.

    Raises:
        InheritanceError: the model has no graph, as subclassed models have none; a layer is called twice or has several
            outputs; or layers of nested models have one name.

    Example:
        >>> pixels = keras.Input((32, 32, 3))
        >>> x = keras.layers.Conv2D(8, 3, name="stem")(pixels)
        >>> network = read_model(keras.Model(pixels, keras.layers.Resizing(8, 8, name="smaller")(x)))
        >>> [(node.name, type(node.op).__name__) for node in network.nodes]
        [('stem', 'Conv'), ('smaller', 'Opaque')]
    """
    reading = _Reading(read_graph(model))
    inputs = tuple(
        Node(None, name, (), _channels(tensor.shape))
        for (name, _, _), tensor in zip(reading.graph.inputs, model.inputs, strict=True)
    )
    outputs = reading.read(reading.graph, inputs)
    stage = RecordedStage("network", type(model).__name__, "", [RecordedBlock(inputs[0], reading.nodes, outputs[-1])])
    return Network(model.name, inputs, tuple(outputs), (stage,))


class _Reading:
    """What was read so far.

    Args:
        graph: graph of the whole model.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self._names: set[str] = set()

    def read(self, graph: Graph, inputs: tuple[Node, ...]) -> list[Node]:
        """Reads a model, or one inside it.

        Args:
            graph: its graph.
            inputs: what its inputs stand for.

        Returns:
            One node for each of its outputs.
        """
        operations = {operation.name: operation for operation in cast(Any, graph.model).operations}
        values: dict[Tensor, Node] = dict(zip(graph.inputs, inputs, strict=True))
        for name, layer in graph.layers.items():
            if not layer.calls:
                continue
            self._check(layer)
            read = tuple(values[tensor] for tensor in layer.tensors)
            operation = operations[name]
            if isinstance(operation, keras.Sequential | keras.Model):
                made = self.read(read_graph(operation), read)
            else:
                made = [self._layer(operation, [graph.shapes[tensor] for tensor in layer.tensors], read)]
            values.update({(name, 0, place): node for place, node in enumerate(made)})
        return [values[tensor] for tensor in graph.outputs]

    def _layer(self, layer: Any, shapes: list[tuple[int | None, ...]], read: tuple[Node, ...]) -> Node:
        if isinstance(layer.output, list | tuple):
            raise self._error("has several outputs", layer.name)
        made = None
        for name, op in read_layer(layer, shapes):
            if name in self._names:
                raise self._error("has the name of another one, in a model inside the model,", name)
            self._names.add(name)
            made = self._add(op, name, read if made is None else (made,), _channels(layer.output.shape))
        return cast(Node, made)

    def _add(self, op: Op, name: str, read: tuple[Node, ...], channels: int) -> Node:
        self.nodes.append(Node(op, name, read, channels))
        return self.nodes[-1]

    def _check(self, layer: GraphLayer) -> None:
        if len(layer.calls) != 1:
            raise self._error(f"is called {len(layer.calls)} times", layer.name)

    def _error(self, reason: str, name: str) -> InheritanceError:
        return InheritanceError(
            f"a layer {reason}, which cannot be read: build the model with one call, one output and one name for each "
            "layer.",
            received=f"{self.graph.model.name!r} with {name!r}",
        )


def _channels(shape: tuple[int | None, ...]) -> int:
    axis = 1 if keras.config.image_data_format() == "channels_first" and len(shape) == 4 else -1
    return shape[axis] or 0
