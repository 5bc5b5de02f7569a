"""The graph of a Keras model as data, and parts of it run again on other tensors."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, cast

import keras

from keras_effnet.errors import InheritanceError
from keras_effnet.reading.model_form import in_form
from keras_effnet.reading.opaque_layer import is_code

Tensor = tuple[str, int, int]
"""A tensor of a graph, as Keras' own files name it: layer, number of its call, number of its output."""


class GraphCall(NamedTuple):
    """One call of a layer.

    Args:
        arguments: positional arguments, with Keras tensors in them.
        options: keyword arguments, likewise; `training` among them if a model around the layer is called with it.
        tensors: all tensors that the call reads, in the order in which they stand in both.
        made: all tensors that it makes.
    """

    arguments: tuple[Any, ...]
    options: dict[str, Any]
    tensors: tuple[Tensor, ...]
    made: tuple[Tensor, ...]


@dataclass(frozen=True)
class GraphLayer:
    """A layer (or another operation) of a graph.

    Args:
        name: name of the layer, unique in the graph.
        operation: the layer itself.
        calls: calls of the layer, in order; none for an input.
    """

    name: str
    operation: Any
    calls: tuple[GraphCall, ...]

    @property
    def kind(self) -> str:
        """Name of the layer's class."""
        return type(self.operation).__name__

    @cached_property
    def config(self) -> dict[str, Any]:
        """Options of the layer, as Keras' files hold them."""
        return cast(Any, keras.saving.serialize_keras_object(self.operation))["config"]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that its calls read."""
        return tuple(tensor for call in self.calls for tensor in call.tensors)


@dataclass(frozen=True)
class Graph:
    """A functional model as data.

    Args:
        model: the model.
        layers: all layers by name.
        order: name of the layer and number of each call, each after those whose outputs it reads.
        inputs: the model's inputs.
        outputs: the model's outputs.
        shapes: shapes of all tensors, with the batch.
        tensors: Keras' own tensor of each tensor, inputs included.
    """

    model: keras.Model
    layers: dict[str, GraphLayer]
    order: tuple[tuple[str, int], ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    shapes: dict[Tensor, tuple[int | None, ...]]
    tensors: Mapping[Tensor, Any] = field(default_factory=dict)

    @property
    def operations(self) -> dict[str, Any]:
        """The layers themselves, by name."""
        return {name: layer.operation for name, layer in self.layers.items()}


def has_graph(layer: Any) -> bool:
    """Whether a layer is a model whose layers can be read: functional, or Sequential and built."""
    if not isinstance(layer, keras.Model):
        return False
    return isinstance(layer, keras.Function) or (isinstance(layer, keras.Sequential) and layer.built)


def read_graph(model: keras.Model, unfold: Callable[[Any], bool] = lambda layer: False) -> Graph:
    """Reads the graph of a model.

    Args:
        model: a functional or Sequential model.
        unfold: whether the layers of a model inside the model are read in its place; otherwise it is one layer. A layer
            there whose name is taken gets a number behind it.

    Returns:
        The graph.

    Raises:
        InheritanceError: the model has no graph.

    Example:
        >>> x = keras.Input((8,))
        >>> graph = read_graph(keras.Model(x, keras.layers.Dense(2, name="mine")(x)))
        >>> graph.outputs, graph.layers["mine"].kind
        ((('mine', 0, 0),), 'Dense')
    """
    if not has_graph(model):
        reason = ""
        if isinstance(model, keras.Sequential):
            reason = " A Sequential model has one once it is built: `model.build((None, height, width, channels))`."
        raise InheritanceError(
            "only a functional or Sequential model has a graph that can be read: build the model with keras.Model("
            f"inputs, outputs), or call its layers one by one on a keras.Input.{reason}",
            received=f"{getattr(model, 'name', model)!r}, a {type(model).__name__}",
        )
    walk = _Walk(unfold)
    inputs = tuple((tensor._keras_history.operation.name, 0, 0) for tensor in model.inputs)
    for key, tensor in zip(inputs, model.inputs, strict=True):
        walk.operations[key[0]] = tensor._keras_history.operation
        walk.shapes[key] = tuple(tensor.shape)
        walk.tensors[key] = tensor
    outputs = walk.model(model, inputs)
    layers = {
        name: GraphLayer(name, operation, tuple(walk.calls.get(name, ())))
        for name, operation in walk.operations.items()
    }
    return Graph(model, layers, tuple(walk.order), inputs, tuple(outputs), walk.shapes, walk.tensors)


class _Walk:
    """What was read so far. Keras keeps a record of every call of a layer (`Node`), which its files are made from."""

    def __init__(self, unfold: Callable[[Any], bool]) -> None:
        self.unfold = unfold
        self.operations: dict[str, Any] = {}
        self.calls: dict[str, list[GraphCall]] = {}
        self.order: list[tuple[str, int]] = []
        self.shapes: dict[Tensor, tuple[int | None, ...]] = {}
        self.tensors: dict[Tensor, Any] = {}
        self._names: dict[int, str] = {}

    def model(self, model: Any, given: Collection[Tensor], training: bool | None = None) -> list[Tensor]:
        """Reads one call of a model.

        Args:
            model: the model.
            given: what its inputs stand for.
            training: `training` that it is called with, which Keras hands to each of its layers; None for none.

        Returns:
            What its outputs stand for.
        """
        # Keras writes into each tensor what made it: the operation, the number of its call, and of its output.
        keys = {tensor._keras_history: key for tensor, key in zip(model.inputs, given, strict=True)}
        for node in _nodes(model):
            operation, options = node.operation, dict(node.arguments.kwargs)
            read = tuple([keys[tensor._keras_history] for tensor in node.input_tensors])
            if training is not None and _takes_training(operation):
                options["training"] = training
            if self.unfold(operation) and has_graph(operation):
                made = tuple(self.model(operation, read, options.get("training")))
            else:
                made = self._call(node, options, read)
            for tensor, key in zip(node.outputs, made, strict=True):
                keys[tensor._keras_history] = key
        return [keys[tensor._keras_history] for tensor in model.outputs]

    def _call(self, node: Any, options: dict[str, Any], read: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        name = self._name(node.operation)
        calls = self.calls.setdefault(name, [])
        made = tuple((name, len(calls), place) for place in range(len(node.outputs)))
        self.order.append((name, len(calls)))
        calls.append(GraphCall(tuple(node.arguments.args), options, read, made))
        for key, tensor in zip(made, node.outputs, strict=True):
            self.shapes[key], self.tensors[key] = tuple(tensor.shape), tensor
        return made

    def _name(self, operation: Any) -> str:
        if id(operation) not in self._names:
            name = operation.name
            if name in self.operations:
                name = free_name(name, self.operations)
            self._names[id(operation)] = name
            self.operations[name] = operation
        return self._names[id(operation)]


def _takes_training(operation: Any) -> bool:
    """Whether a layer computes something else while it learns, so that a model hands its own `training` to it."""
    return isinstance(operation, keras.Layer) and "training" in inspect.signature(operation.call).parameters


def _nodes(model: Any) -> Iterator[Any]:
    """The calls of a model's layers, each after those whose outputs it reads."""
    done = {_node(tensor) for tensor in model.inputs}
    left = [_node(tensor) for tensor in reversed(model.outputs)]
    while left:
        node = left[-1]
        if node in done:
            left.pop()
            continue
        new = [made for made in map(_node, node.input_tensors) if made not in done]
        if new:
            left += reversed(new)
        else:
            left.pop()
            done.add(node)
            yield node


def _node(tensor: Any) -> Any:
    made = tensor._keras_history
    return made.operation._inbound_nodes[made.node_index]


def replay(graph: Graph, names: Collection[str], values: dict[Tensor, Any], taken: Collection[str] = ()) -> None:
    """Calls copies of some layers, with the same weights, on other tensors.

    Args:
        graph: the graph.
        names: names of the layers.
        values: the new tensor of each tensor that the layers read; those that they make are added.
        taken: names that a copy must not have: it gets a number then, as Keras gives them.

    Raises:
        InheritanceError: a layer does not take its new tensors, or has weights for others.
    """
    copies: dict[str, Any] = {}
    for name, number in graph.order:
        if name not in names:
            continue
        layer = graph.layers[name]
        first = name not in copies
        if first:
            free = free_name(name, {*taken, *graph.layers}) if name in taken else name
            copies[name] = copy_layer(layer, graph, free)
        try:
            made = call_layer(copies[name], layer.calls[number], values)
        except (ValueError, TypeError) as error:
            raise _unfit(layer, graph, str(error)) from error
        values.update({(name, number, place): tensor for place, tensor in enumerate(keras.tree.flatten(made))})
        if first:
            _copy_weights(layer, graph, copies[name])


def copy_layer(layer: GraphLayer, graph: Graph, name: str, options: Mapping[str, Any] | None = None) -> Any:
    """A new layer like one of a graph, without its weights.

    Args:
        layer: the layer.
        graph: its graph, for messages.
        name: name of the copy.
        options: options of the copy that differ from the layer's.

    Raises:
        InheritanceError: the layer cannot be made anew from its options.
    """
    operation = layer.operation
    if is_code(operation):
        raise _unfit(layer, graph, "what it computes is code, which is never run here.")
    try:
        config = {**operation.get_config(), "name": name, **(options or {})}
        return operation.__class__.from_config(config)
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise _unfit(layer, graph, str(error)) from error


def call_layer(layer: Any, call: GraphCall, values: Mapping[Tensor, Any]) -> Any:
    """What a layer makes, called as another one was called, on other tensors.

    Args:
        layer: the layer.
        call: the call of the other one.
        values: the new tensor of each tensor that the call read.
    """
    left = iter(call.tensors)

    def fill(leaf: Any) -> Any:
        return values[next(left)] if isinstance(leaf, keras.KerasTensor) else leaf

    arguments, options = cast(Any, keras.tree.map_structure(fill, (call.arguments, call.options)))
    return layer(*arguments, **options)


def unfolded(model: keras.Model, unfold: Callable[[Any], bool]) -> keras.Model:
    """The model itself, or a copy with the same weights in which models inside it are unfolded.

    Args:
        model: a functional or Sequential model.
        unfold: which of the layers are unfolded.

    Raises:
        InheritanceError: a layer cannot be copied.
    """
    if not any(unfold(layer) for layer in getattr(model, "layers", ())):
        return model
    graph = read_graph(model, unfold)
    tensors = dict(zip(graph.inputs, graph.model.inputs, strict=True))
    inputs = {key: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=key[0]) for key, tensor in tensors.items()}
    values: dict[Tensor, Any] = dict(inputs)
    replay(graph, graph.layers, values)
    return in_form(model, list(inputs.values()), [values[tensor] for tensor in graph.outputs])


def free_name(name: str, taken: Collection[str]) -> str:
    """A name with the first number that makes it new, as Keras numbers layers.

    Args:
        name: a name that is taken.
        taken: all names that are.

    Example:
        >>> free_name("conv", {"conv", "conv_1"})
        'conv_2'
    """
    return next(each for number in itertools.count(1) if (each := f"{name}_{number}") not in taken)


def _copy_weights(layer: GraphLayer, graph: Graph, copy: Any) -> None:
    old = getattr(layer.operation, "weights", [])
    if not old:
        return
    if [tuple(variable.shape) for variable in old] != [tuple(variable.shape) for variable in copy.weights]:
        raise _unfit(layer, graph, "it has weights for another number of channels.")
    copy.set_weights(layer.operation.get_weights())
    finalize(copy)


def finalize(layer: Any) -> None:
    """Lets a Normalization layer compute with weights that were just assigned: it uses copies of them."""
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def _unfit(layer: GraphLayer, graph: Graph, reason: str) -> InheritanceError:
    return InheritanceError(
        f"layer {layer.name!r} cannot be carried along: {reason} Cut it off, change the network, and add it again.",
        received=f"{graph.model.name!r} with {layer.name!r}, a {layer.kind}",
    )
