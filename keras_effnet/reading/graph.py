"""The graph of a Keras model as data, and parts of it run again on other tensors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, cast

import keras

from keras_effnet.errors import InheritanceError

Tensor = tuple[str, int, int]
"""A tensor of a graph, as Keras' own files name it: layer, number of its call, number of its output."""


@dataclass(frozen=True)
class GraphCall:
    """One call of a layer.

    Args:
        arguments: positional arguments, as Keras' files hold them.
        options: keyword arguments, likewise.
    """

    arguments: Any
    options: dict[str, Any]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that the call reads."""
        return tuple(name for name, _ in _tensors([self.arguments, self.options]))


@dataclass(frozen=True)
class GraphLayer:
    """A layer (or another operation) of a graph.

    Args:
        name: name of the layer.
        kind: name of the layer's class.
        config: options of the layer, as Keras' files hold them.
        calls: calls of the layer, in order.
    """

    name: str
    kind: str
    config: dict[str, Any]
    calls: tuple[GraphCall, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors that its calls read."""
        return tuple(tensor for call in self.calls for tensor in call.tensors)


@dataclass(frozen=True)
class Graph:
    """A functional model as data.

    Args:
        model: the model.
        layers: all layers by name, each after those that it reads.
        inputs: the model's inputs.
        outputs: the model's outputs.
        shapes: shapes of all tensors that layers read or the model returns, with the batch.
    """

    model: keras.Model
    layers: dict[str, GraphLayer]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    shapes: dict[Tensor, tuple[int | None, ...]]


def read_graph(model: keras.Model) -> Graph:
    """Reads the graph of a model.

    Args:
        model: a functional or Sequential model.

    Returns:
        The graph. A model inside the model is one layer of it.

    Raises:
        InheritanceError: the model has no graph.

    Example:
        >>> x = keras.Input((8,))
        >>> graph = read_graph(keras.Model(x, keras.layers.Dense(2, name="mine")(x)))
        >>> graph.outputs, graph.layers["mine"].kind
        ((('mine', 0, 0),), 'Dense')
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    try:
        config = cast(Any, model).get_config()
        layers = {
            entry["name"]: GraphLayer(
                entry["name"],
                entry["class_name"],
                entry["config"],
                tuple(GraphCall(call["args"], call["kwargs"]) for call in entry["inbound_nodes"]),
            )
            for entry in config["layers"]
        }
        inputs, outputs = _ends(config["input_layers"]), _ends(config["output_layers"], _functional(model))
    except (NotImplementedError, AttributeError, KeyError, TypeError) as error:
        raise InheritanceError(
            "only a functional or Sequential model has a graph that can be read: build the model with keras.Model("
            "inputs, outputs).",
            received=f"{model.name!r}, a {type(model).__name__}",
        ) from error
    shapes = {
        key: shape for layer in layers.values() for call in layer.calls for key, shape in _tensors(call.arguments)
    }
    shapes |= {key: tuple(tensor.shape) for key, tensor in zip(outputs, model.outputs, strict=True)}
    return Graph(model, layers, inputs, outputs, shapes)


def replay(
    graph: Graph,
    names: Collection[str],
    values: dict[Tensor, Any],
    unfold: Callable[[Any], bool] = lambda operation: False,
    taken: Collection[str] = (),
) -> None:
    """Calls copies of some layers, with the same weights, on other tensors.

    Args:
        graph: the graph.
        names: names of the layers.
        values: the new tensor of each tensor that the layers read; those that they make are added.
        unfold: whether the layers of a model inside the model are called in its place.
        taken: names that a copy must not have: it gets a number then, as Keras gives them.

    Raises:
        InheritanceError: a layer does not take its new tensors, or has weights for others.
    """
    operations = {operation.name: operation for operation in cast(Any, graph.model).operations}
    for layer in graph.layers.values():
        if layer.name not in names:
            continue
        operation = operations[layer.name]
        inner = read_graph(operation) if unfold(operation) else None
        copy: Any = None
        if inner is None:
            config = operation.get_config()
            if layer.name in taken:
                config = {**config, "name": free_name(layer.name, {*taken, *graph.layers})}
            copy = operation.__class__.from_config(config)
        for number, call in enumerate(layer.calls):
            try:
                if inner is not None:
                    made = _unfolded(inner, call, values, unfold, {*taken, *graph.layers} - {layer.name})
                else:
                    made = copy(*_filled(call.arguments, values), **_filled(call.options, values))
            except (ValueError, TypeError) as error:
                raise _unfit(layer, graph, str(error)) from error
            outputs = keras.tree.flatten(made)
            values.update({(layer.name, number, place): tensor for place, tensor in enumerate(outputs)})
        _copy_weights(layer, graph, operation, copy)


def unfolded(model: keras.Model, unfold: Callable[[Any], bool]) -> keras.Model:
    """The model itself, or a copy with the same weights in which models inside it are unfolded.

    Args:
        model: a functional or Sequential model.
        unfold: which of the layers are unfolded.

    Raises:
        InheritanceError: layers of both have the same names, or the nested model is called with `training=...`.
    """
    if not any(unfold(layer) for layer in getattr(model, "layers", ())):
        return model
    graph = read_graph(model)
    tensors = dict(zip(graph.inputs, graph.model.inputs, strict=True))
    inputs = {key: keras.Input(tensor.shape[1:], dtype=tensor.dtype) for key, tensor in tensors.items()}
    values: dict[Tensor, Any] = dict(inputs)
    replay(graph, [name for name, layer in graph.layers.items() if layer.calls], values, unfold)
    try:
        outputs = structured([values[tensor] for tensor in graph.outputs], graph.model)
        return keras.Model(alone(list(inputs.values())), outputs, name=model.name)
    except ValueError as error:
        raise InheritanceError(
            f"models inside a model cannot be unfolded: {error} Give all layers names of their own.",
            received=repr(model.name),
        ) from error


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


def _copy_weights(layer: GraphLayer, graph: Graph, operation: Any, copy: Any) -> None:
    old = getattr(operation, "weights", [])
    if copy is None or not old:
        return
    if [tuple(variable.shape) for variable in old] != [tuple(variable.shape) for variable in copy.weights]:
        raise _unfit(layer, graph, "it has weights for another number of channels.")
    copy.set_weights(operation.get_weights())
    finalize(copy)


def alone(tensors: list[Any]) -> Any:
    """One tensor instead of a list of one."""
    return tensors[0] if len(tensors) == 1 else tensors


def structured(tensors: list[Any], model: keras.Model) -> Any:
    """Tensors in the form in which a model returns its own: one alone, a list, or a dict."""
    # A Sequential model that was never called does not say.
    form = getattr(model, "output", None)
    return alone(tensors) if form is None else keras.tree.pack_sequence_as(form, tensors)


def finalize(layer: Any) -> None:
    """Lets a Normalization layer compute with weights that were just assigned: it uses copies of them."""
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()


def _unfolded(
    inner: Graph, call: GraphCall, values: dict[Tensor, Any], unfold: Callable[[Any], bool], taken: Collection[str]
) -> Any:
    """What a model inside the model makes, layer by layer."""
    if call.options.get("training") is not None:
        raise InheritanceError(
            f"the network {inner.model.name!r} is called with `training=...`, which would be lost; call it without, "
            "and freeze its layers with `trainable = False`.",
            received=f"training={call.options['training']!r}",
        )
    read = keras.tree.flatten(_filled(call.arguments, values))
    mine = dict(zip(inner.inputs, read, strict=True))
    replay(inner, [name for name, layer in inner.layers.items() if layer.calls], mine, unfold, taken)
    made = [mine[tensor] for tensor in inner.outputs]
    return alone(made)


def _unfit(layer: GraphLayer, graph: Graph, reason: str) -> InheritanceError:
    return InheritanceError(
        f"layer {layer.name!r} cannot be carried along: {reason} Cut it off, change the network, and add it again.",
        received=f"{graph.model.name!r} with {layer.name!r}, a {layer.kind}",
    )


def _tensors(value: Any) -> Iterator[tuple[Tensor, tuple[int | None, ...]]]:
    """All tensors in the arguments of a call, with their shapes."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, call, output = value["config"]["keras_history"]
        yield (name, call, output), tuple(value["config"]["shape"])
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def _filled(value: Any, values: dict[Tensor, Any]) -> Any:
    """The arguments of a call, with new tensors in place of the old ones."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            name, call, output = value["config"]["keras_history"]
            return values[name, call, output]
        if "class_name" in value and "config" in value:
            return keras.saving.deserialize_keras_object(value, safe_mode=True)
        return {key: _filled(each, values) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_filled(each, values) for each in value)
    return value


def _functional(model: keras.Model) -> set[str]:
    """Names of the functional models inside a functional model."""
    inside = cast(Any, model).operations
    return {each.name for each in inside if isinstance(each, keras.Model) and hasattr(each, "operations")}


def _ends(listed: Any, nested: Collection[str] = ()) -> tuple[Tensor, ...]:
    """Inputs or outputs of a model: one stands there alone, and those of a dict by their names.

    There Keras counts the calls of a functional model inside the model from 1, and from 0 everywhere else.
    """
    if isinstance(listed, dict):
        listed = [listed[name] for name in sorted(listed)]  # in this order Keras flattens it
    several = listed if listed and isinstance(listed[0], list | tuple) else [listed]
    return tuple((name, call - (name in nested), output) for name, call, output in several)
