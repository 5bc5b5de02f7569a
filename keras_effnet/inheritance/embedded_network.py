"""Where the network of a spec stands in a model, checked layer by layer, and what surrounds it.

What a model computes is its graph. A spec that it carries (`builder.embedded_spec`) is believed only for the layers
that equal the spec's, options and connections included. In a model that carries none, the network of a known spec is
found by what its layers compute (`inheritance.recognition`). Layers in front of the network and behind it belong to the
user: they are carried along as they are, or refused by name.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, is_carrier, read_embedded_spec
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.errors import BuildError, InheritanceError
from keras_effnet.inheritance.recognition import Read, known_specs, recognise
from keras_effnet.network import record_network
from keras_effnet.ops import Op
from keras_effnet.reading.graph import Graph, GraphLayer, Tensor, read_graph, replay
from keras_effnet.reading.model_form import structured
from keras_effnet.reading.read_model import read_layers
from keras_effnet.reading.training_calls import check_training
from keras_effnet.spec import BackboneSpec
from keras_effnet.trace import trace_network
from keras_effnet.weights.tensors import arrays_of, layer_weights

logger = logging.getLogger(__name__)

# Options of layers that the outputs of a trained model do not depend on.
_IGNORED = ("name", "trainable", "dtype", "seed", "synchronized", "momentum")
_IGNORED_END = "_initializer"


@dataclass(frozen=True)
class EmbeddedNetwork:
    """The network of a spec in a model.

    Args:
        graph: the graph of the model that was looked at, with the model inside it that holds the network unfolded.
        embedded: the spec and the options that the network was built from.
        image: the tensor that the network reads.
        outputs: the tensors that it makes: one for each level, or one at its end.
        front: names of the layers between the model's inputs and the network.
        behind: names of the layers between the network and the model's outputs.
        names: the name in the model of each of the network's layers with weights, by the name in the spec; of all
            layers, if the model carries the spec.
        read: function from a layer's name in the spec to its weights, as the spec's layer holds them.
        activation: activation of the classifier; None without one.
    """

    graph: Graph
    embedded: EmbeddedSpec
    image: Tensor
    outputs: tuple[Tensor, ...]
    front: tuple[str, ...]
    behind: tuple[str, ...]
    names: Mapping[str, str]
    read: Read
    activation: Any = None

    @property
    def model(self) -> keras.Model:
        """The model that was looked at."""
        return self.graph.model

    @property
    def layers(self) -> dict[str, Any]:
        """The layers in `names`."""
        return {name: self.graph.layers[mine].operation for name, mine in self.names.items()}

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


def known_spec(model: keras.Model) -> EmbeddedSpec:
    """What a model was built from: what it carries, or what it is recognised as.

    Args:
        model: a functional or Sequential model.

    Raises:
        BuildError, InheritanceError: as `find_network`.

    Example:
        >>> known_spec(keras.applications.MobileNet(weights=None, classes=10)).classes
        10
    """
    return read_embedded_spec(model) if carries_spec(model) else find_network(model).embedded


def known_network(model: keras.Model) -> EmbeddedNetwork | None:
    """Finds the network in a model as `find_network` does; None if it is none that is known.

    A model that carries a spec but is something else by now is not known either, which a warning says.

    Args:
        model: a functional or Sequential model.

    Raises:
        BuildError: the model carries several specs, or one that cannot be read.
    """
    try:
        return find_network(model)
    except BuildError:
        if carries_spec(model):
            raise
    except InheritanceError as error:
        if carries_spec(model):
            logger.warning("%s is not what its spec says, and is taken for what its graph says: %s", model.name, error)
    return None


def spec_in(model: keras.Model) -> EmbeddedSpec | None:
    """The spec of the network in a model, and how it was built; None as in `known_network`.

    Args:
        model: a functional or Sequential model.

    Raises:
        BuildError: as `known_network`.

    Example:
        >>> spec_in(keras.applications.MobileNet(weights=None)).spec.name
        'mobilenet_v1'
    """
    found = known_network(model)
    return None if found is None else found.embedded


def find_network(model: keras.Model, base: BackboneSpec | None = None) -> EmbeddedNetwork:
    """Finds the network of a spec in a model.

    Args:
        model: a functional or Sequential model; the network may stand in a model inside it.
        base: the spec that the network was built from, if the model does not carry it. None: the one that it carries,
            or else any registered backbone.

    Returns:
        The network and what surrounds it.

    Raises:
        BuildError: the model carries no spec, or several, and is no registered backbone.
        InheritanceError: a layer is not what the spec says, or is connected in another way; or a layer around the
            network reads something inside it. Names the layer.

    Example:
        >>> from keras_effnet import build_model
        >>> inner = build_model("mobilenet_v1", include_top=False, pooling="avg", input_shape=(32, 32, 3))
        >>> model = keras.Sequential([inner, keras.layers.Dense(2, name="mine")])
        >>> find_network(model).behind
        ('mine',)
    """
    graph = read_graph(model, _holds_spec)
    if base is None and not carries_spec(model):
        return _recognised(model, known_specs(), _unknown(model))
    try:
        return _named(graph, read_embedded_spec(model) if base is None else _without_spec(model, base))
    except InheritanceError as error:
        if base is None:
            raise
        return _recognised(model, [base], error)


def _recognised(model: keras.Model, specs: list[BackboneSpec], unknown: Exception) -> EmbeddedNetwork:
    """The network of one of some specs, by what its layers compute; raises `unknown` if it is none of theirs."""
    layers = read_layers(model)
    graph = layers.graph
    for found in recognise(layers, specs):
        front = _in_front(graph, found.image)
        try:
            behind = _behind(graph, found.inside, front, (found.output,))
        except InheritanceError as error:
            unknown = error
            continue
        check_training(graph, found.inside)
        ends, around = (found.image, (found.output,)), (front, behind)
        return EmbeddedNetwork(graph, found.embedded, *ends, *around, found.names, found.read, found.activation)
    raise unknown


def _unknown(model: keras.Model) -> BuildError:
    return BuildError(
        "the model must know its spec: one built here carries it if all its blocks are registered, and a registered "
        "backbone is recognised by what its layers compute. Pass the spec that it was built from as `base`, or scale "
        "the model from its graph, with `scale_model`.",
        received=f"{model.name!r}, which carries 0 specs and is no registered backbone",
    )


def _without_spec(model: keras.Model, base: BackboneSpec) -> EmbeddedSpec:
    """What a model without a tag was built from, as the names of its layers show it."""
    names = {layer.name for layer in model.layers}
    top = {node.name for node in trace_network(base).blocks[-1].nodes if node.has_weights}
    output = model.output if isinstance(model, keras.Function) else None
    if isinstance(output, dict):
        return EmbeddedSpec(base, include_top=False, features=tuple(output))
    pooled = len(model.output_shape) == 2
    classes = model.output_shape[-1]
    if top and top <= names:
        return EmbeddedSpec(base, classes=classes)
    return EmbeddedSpec(base, include_top=False, pooling="avg" if pooled else None)


def _named(graph: Graph, embedded: EmbeddedSpec) -> EmbeddedNetwork:
    """The network of a spec, by the names of its layers."""
    start = _start(graph)
    image = start if start in graph.inputs else graph.layers[start[0]].tensors[0]
    first = keras.config.image_data_format() == "channels_first"
    _, *sides = graph.shapes[start]
    channels = sides.pop(0 if first else -1)
    network = record_network(embedded.spec, channels=channels or 0, size=(sides[0], sides[1]), **embedded.ending)
    last = network.outputs[0].name if embedded.include_top else None
    front = _in_front(graph, image)
    matcher = _Matcher(graph, last, {*front, *(name for name, _, _ in graph.inputs)})
    ends = network.run(matcher, start)
    names = matcher.matched
    behind = _behind(graph, {*names.values(), start[0]}, front, ends)
    check_training(graph, names.values())
    activation = None if last is None else graph.layers[names[last]].operation.activation

    def read(name: str) -> list[np.ndarray]:
        return arrays_of(layer_weights(graph.layers[names[name]].operation))

    return EmbeddedNetwork(graph, embedded, image, ends, front, behind, names, read, activation)


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
        modes = {name: getattr(each, "quantization_mode", None) for name, each in graph.operations.items()}
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


def _in_front(graph: Graph, image: Tensor) -> tuple[str, ...]:
    """Names of the layers that make what the network reads, in the order of the graph."""
    found, left = set[str](), [image[0]]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [read for read, _, _ in graph.layers[name].tensors]
    if len(graph.inputs) != 1:
        raise InheritanceError(
            "a model whose network is changed must have one input.",
            received=f"{graph.model.name!r} with {len(graph.inputs)} inputs",
        )
    return tuple(name for name, layer in graph.layers.items() if name in found and layer.calls)


def _behind(graph: Graph, inside: Collection[str], front: tuple[str, ...], ends: tuple[Tensor, ...]) -> tuple[str, ...]:
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
