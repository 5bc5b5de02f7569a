"""Where the network of a spec stands in a model, checked layer by layer, and what surrounds it.

What a model computes is its graph. A spec that it carries (`builder.embedded_spec`) is believed only for the layers
that equal the spec's, options and connections included. Layers in front of them and behind them belong to the user:
they are carried along as they are, or refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, is_carrier, read_embedded_spec
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.errors import InheritanceError
from keras_effnet.network import record_network
from keras_effnet.ops import Op
from keras_effnet.reading.graph import Graph, GraphLayer, Tensor, read_graph, replay, structured, unfolded

# Options of layers that the outputs of a trained model do not depend on.
_IGNORED = ("name", "trainable", "dtype", "seed", "synchronized", "momentum")
_IGNORED_END = "_initializer"


@dataclass(frozen=True)
class EmbeddedNetwork:
    """The network of a spec in a model.

    Args:
        graph: the graph of a flat model: of the one that was looked at, or of a copy with nested models unfolded.
        embedded: the spec and the options that the network was built from.
        image: the tensor that the network reads.
        outputs: the tensors that it makes: one for each level, or one at its end.
        front: names of the layers between the model's inputs and the network.
        behind: names of the layers between the network and the model's outputs.
        names: the name in the model of each of the network's layers, by the name in the spec.
        activation: activation of the classifier; None without one.
    """

    graph: Graph
    embedded: EmbeddedSpec
    image: Tensor
    outputs: tuple[Tensor, ...]
    front: tuple[str, ...]
    behind: tuple[str, ...]
    names: Mapping[str, str]
    activation: Any = None

    @property
    def model(self) -> keras.Model:
        """The flat model."""
        return self.graph.model

    @property
    def layers(self) -> dict[str, Any]:
        """The network's layers, by their names in the spec."""
        there = {layer.name: layer for layer in self.model.layers}
        return {name: there[mine] for name, mine in self.names.items()}

    @property
    def alone(self) -> bool:
        """Whether nothing surrounds the network."""
        return not self.front and not self.behind

    def rebuild(self, build: Callable[..., keras.Model], shape: tuple[int | None, ...], name: str) -> keras.Model:
        """A model with another network in the same surroundings.

        Args:
            build: builds the network; takes `input_shape`, or `input_tensor` if something surrounds it.
            shape: shape of one input of the model.
            name: name of the model.

        Returns:
            The model; the layers around the network are copies with the same weights.

        Raises:
            InheritanceError: a layer cannot be carried along: it has weights for another number of channels, or does
                not take the new shape.
        """
        if self.alone:
            return build(input_shape=shape)
        pixels = keras.Input(shape)
        values = {self.graph.inputs[0]: pixels}
        replay(self.graph, self.front, values)
        core = build(input_tensor=values[self.image])
        if not self.behind:
            return keras.Model(pixels, core.output, name=name)
        values.update(zip(self.outputs, core.outputs, strict=True))
        replay(self.graph, self.behind, values, taken={layer.name for layer in core.layers})
        outputs = structured([values[tensor] for tensor in self.graph.outputs], self.model)
        return keras.Model(pixels, outputs, name=name)


def find_network(model: keras.Model, base: EmbeddedSpec | None = None) -> EmbeddedNetwork:
    """Finds the network of a spec in a model.

    Args:
        model: a functional or Sequential model; the network may stand in a model inside it.
        base: the spec and the options that the network was built from, if the model does not carry them.

    Returns:
        The network and what surrounds it.

    Raises:
        BuildError: the model carries no spec, or several.
        InheritanceError: a layer is not what the spec says, or is connected in another way; or a layer around the
            network reads something inside it. Names the layer.

    Example:
        >>> from keras_effnet import build_model
        >>> inner = build_model("mobilenet_v1", include_top=False, pooling="avg", input_shape=(32, 32, 3))
        >>> model = keras.Sequential([inner, keras.layers.Dense(2, name="mine")])
        >>> find_network(model).behind
        ('mine',)
    """
    graph = read_graph(unfolded(model, _holds_spec))
    embedded = read_embedded_spec(graph.model) if base is None else base
    start = _start(graph)
    first = keras.config.image_data_format() == "channels_first"
    _, *sides = graph.shapes[start]
    channels = sides.pop(0 if first else -1)
    network = record_network(embedded.spec, channels=channels or 0, size=(sides[0], sides[1]), **embedded.ending)
    last = network.outputs[0].name if embedded.include_top else None
    front = _in_front(graph, start)
    matcher = _Matcher(graph, last, {*front, *(name for name, _, _ in graph.inputs)})
    ends = network.run(matcher, start)
    names = matcher.matched
    behind = _behind(graph, {*names.values(), start[0]}, front, ends)
    image = start if start in graph.inputs else graph.layers[start[0]].tensors[0]
    activation = None if last is None else graph.model.get_layer(names[last]).activation
    return EmbeddedNetwork(graph, embedded, image, ends, front, behind, names, activation)


def _holds_spec(layer: Any) -> bool:
    """Whether a layer is a model that carries a spec."""
    return isinstance(layer, keras.Model) and carries_spec(layer)


def _start(graph: Graph) -> Tensor:
    """What the network reads: the output of the layer that carries the spec, or the model's own input."""
    for layer in graph.layers.values():
        if is_carrier(layer.kind, layer.config.get("seed")):
            return layer.name, 0, 0
    if len(graph.inputs) != 1:
        raise InheritanceError(
            "a network reads one image, so that a model which does not say where its network begins must have one "
            "input.",
            received=f"{graph.model.name!r} with {len(graph.inputs)} inputs",
        )
    return graph.inputs[0]


class _Matcher:
    """The reader that compares a graph with a spec.

    Args:
        graph: the graph.
        last: name of the layer whose activation may be any; None for none.
        front: names of the layers in front of the network, which are none of it.

    Attributes:
        matched: the name in the graph of each layer found so far, by its name in the spec.
    """

    def __init__(self, graph: Graph, last: str | None, front: Collection[str]) -> None:
        self.graph = graph
        self.last = last
        self.front = front
        self.matched: dict[str, str] = {}
        self._layers = KerasLayers()
        modes = {layer.name: getattr(layer, "quantization_mode", None) for layer in graph.model.layers}
        self._quantised = {name: mode for name, mode in modes.items() if mode}

    def read(self, op: Op, name: str, *inputs: Tensor) -> Tensor:
        for layer in self._layers.layers_of(op, name, self.graph.shapes[inputs[0]]):
            found = self._found(layer.name, inputs)
            self._compare(layer, found, inputs)
            self.matched[layer.name] = found.name
            inputs = ((found.name, 0, 0),)
        return inputs[0]

    def _found(self, name: str, inputs: tuple[Tensor, ...]) -> GraphLayer:
        """The layer of a name in the spec: it has a number behind it where another layer has its name."""
        own = self.graph.layers.get(name)
        if own is None or _inputs_of(own) != [inputs]:
            for layer in self.graph.layers.values():
                if re.fullmatch(rf"{re.escape(name)}_\d+", layer.name) and _inputs_of(layer) == [inputs]:
                    return layer
        if own is None or name in self.front:
            raise self._error(f"the spec has a layer {name!r}, which the model lacks", name)
        return own

    def _compare(self, layer: Any, found: GraphLayer, inputs: tuple[Tensor, ...]) -> None:
        wanted: Any = keras.saving.serialize_keras_object(layer)
        if found.kind != wanted["class_name"]:
            raise self._error(f"layer {layer.name!r} is a {wanted['class_name']} in the spec", found.kind)
        if found.name in self._quantised:
            reason = f"layer {layer.name!r} is quantised, so that its kernel holds codes: take the model from before"
            raise self._error(reason, f"{layer.name!r} as {self._quantised[found.name]}")
        for option, value in wanted["config"].items():
            free = option in _IGNORED or option.endswith(_IGNORED_END)
            if free or option not in found.config or (layer.name == self.last and option == "activation"):
                continue
            if _plain(found.config[option]) != _plain(value):
                reason = f"`{option}` of layer {layer.name!r} is {value!r} in the spec"
                raise self._error(reason, f"{found.config[option]!r:.200}")
        if _inputs_of(found) != [inputs]:
            read = " and ".join(repr(name) for name, _, _ in inputs)
            theirs = "; ".join(", ".join(name for name, _, _ in call.tensors) for call in found.calls)
            raise self._error(f"layer {layer.name!r} reads {read} in the spec, and is called once", theirs)

    def _error(self, reason: str, received: str) -> InheritanceError:
        return InheritanceError(
            f"the model {self.graph.model.name!r} is not what its spec says: {reason}. What the spec does not say "
            "cannot be followed into another network.",
            received=received,
        )


def _inputs_of(layer: GraphLayer) -> list[tuple[Tensor, ...]]:
    """What each call of a layer reads."""
    return [call.tensors for call in layer.calls]


def _plain(value: Any) -> Any:
    """With lists in place of tuples, as files have them, and one axis in place of a list of one, as before a build."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value] if len(value) != 1 else _plain(value[0])
    return value


def _in_front(graph: Graph, start: Tensor) -> tuple[str, ...]:
    """Names of the layers that make what the network reads, in the order of the graph."""
    found, left = set(), [] if start in graph.inputs else [graph.layers[start[0]]]
    while left:
        read = [graph.layers[name] for name, _, _ in left.pop().tensors if name not in found]
        found |= {layer.name for layer in read}
        left += read
    if len(graph.inputs) != 1:
        raise InheritanceError(
            "a model whose network is changed must have one input.",
            received=f"{graph.model.name!r} with {len(graph.inputs)} inputs",
        )
    return tuple(name for name, layer in graph.layers.items() if name in found and layer.calls)


def _behind(graph: Graph, inside: set[str], front: tuple[str, ...], ends: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Names of all other layers, which may read the network's outputs only."""
    behind = [name for name, layer in graph.layers.items() if layer.calls and name not in inside and name not in front]
    made = {*behind}
    for name in behind:
        for tensor in graph.layers[name].tensors:
            if tensor not in ends and tensor[0] not in made:
                raise InheritanceError(
                    f"layer {name!r} reads {tensor[0]!r}, which is not the output of the network: a changed network "
                    "may have other channels there. Cut it off, change the network, and add it again.",
                    received=f"{graph.model.name!r} with {name!r}",
                )
    for tensor in graph.outputs:
        if tensor not in ends and tensor[0] not in made:
            raise InheritanceError(
                f"the model returns {tensor[0]!r}, which is inside its network, where a changed one may have other "
                "channels. Give a model that returns what stands behind.",
                received=repr(graph.model.name),
            )
    return tuple(behind)
