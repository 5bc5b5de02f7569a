"""The network of a known spec in a model that nobody tagged, found by what its layers compute.

Whoever built the model, and whatever its layers are called: both networks are brought into canonical terms
(`reading.canonical`), and the number of the spec's last features is looked for among those of the model. From there
both are walked backwards, input by input, which pairs their layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import EmbeddedSpec
from keras_effnet.errors import BuildError, RegistryError, SpecError
from keras_effnet.network import Network, Node, Pooling, record_network
from keras_effnet.ops import (
    Activation,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    Op,
    Opaque,
    Rescale,
    Reuse,
    Standardize,
    ZeroPad,
)
from keras_effnet.reading.canonical import Size, Term, terms_of, weighted_part
from keras_effnet.reading.graph import Graph, Tensor
from keras_effnet.reading.read_model import ReadModel
from keras_effnet.registry import backbones
from keras_effnet.spec import BackboneSpec, Preprocessing
from keras_effnet.weights.imagenet import all_published
from keras_effnet.weights.tensors import arrays_of
from keras_effnet.windows import both

Read = Callable[[str], list[np.ndarray]]
"""From the name of a layer in the spec to its weights, as the spec's layer holds them."""


@dataclass(frozen=True, eq=False)
class Recognised:
    """The network of a spec in a model.

    Args:
        embedded: the spec and the options that the network could have been built from.
        image: the tensor that it reads.
        output: the tensor that it makes.
        inside: names of all layers between the two.
        names: the name in the model of each layer with weights, by the name in the spec.
        read: function from the name in the spec to the layer's weights.
        activation: activation of the classifier; None without one.
    """

    embedded: EmbeddedSpec
    image: Tensor
    output: Tensor
    inside: frozenset[str]
    names: Mapping[str, str]
    read: Read
    activation: Any = None


def known_specs() -> list[BackboneSpec]:
    """All registered backbones, and the variations of them that ImageNet weights are published for.

    Example:
        >>> sorted(spec.stem.width for spec in known_specs() if spec.name == "mobilenet_v1")
        [8, 16, 24, 32]
    """
    found: list[BackboneSpec] = []
    for name in backbones.names():
        try:
            found.append(backbones.get(name))
        except RegistryError:  # a broken plugin: an error where somebody asks for its names
            continue
    # Made for images of another size, a network is the same.
    own, others = (
        {replace(spec, resolution=spec.total_stride): spec for spec in specs}
        for specs in (found, [weights.spec for weights in all_published()])
    )
    return list({**own, **others, **own}.values())


def recognise(model: ReadModel, specs: Iterable[BackboneSpec]) -> Iterator[Recognised]:
    """Finds the network of one of some specs in a model.

    Args:
        model: the model.
        specs: the specs. Larger networks are looked for first, then those whose resolution is the model's.

    Returns:
        All that the network may be seen as: with a classifier first, then with pooled features, then with the last
        features alone. Nothing if it is none of the specs'.

    Example:
        >>> from keras_effnet.reading.read_model import read_layers
        >>> spec = backbones.get("mobilenet_v1")
        >>> theirs = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(32, 32, 3))
        >>> found = next(recognise(read_layers(theirs), [spec]))
        >>> found.embedded.spec == spec, found.embedded.include_top, found.names["conv1"]
        (True, False, 'conv1')
    """
    held = _parts(model.network)
    sides = [side for side in model.graph.shapes[model.graph.inputs[0]][1:] if side is not None]
    fitting = [spec for spec in specs if (parts := _parts_of(spec)) and parts <= held]
    fitting.sort(key=lambda spec: (-_parts_of(spec).total(), spec.resolution not in sides))
    # Pixels may be preprocessed by the user's own layers instead.
    bare = [replace(spec, preprocessing=Preprocessing()) for spec in fitting if spec.preprocessing.in_model]
    search = _Search(model)
    for spec in dict.fromkeys([*fitting, *bare]):
        yield from search.seen(spec)


def _parts(network: Network) -> Counter[Hashable]:
    """How often each layer with weights stands in a network, but for preprocessing."""
    found: Counter[Hashable] = Counter()
    for block in network.blocks:
        for node in block.nodes:
            part = weighted_part(node.op, node.inputs[0].channels) if node.inputs else None
            if part is not None and not isinstance(node.op, Standardize):
                found[part] += block.times
    return found


@lru_cache(512)
def _parts_of(spec: BackboneSpec) -> Counter[Hashable]:
    """The same of a spec without its classifier; nothing if the spec cannot be recorded."""
    try:
        network = record_network(spec, include_top=False, fold=True)
    except Exception:  # a plugin may raise anything
        return Counter()
    return _parts(replace(network, stages=network.stages[:-1]))


class _Search:
    """A model in which specs are looked for.

    Args:
        model: the model.
    """

    def __init__(self, model: ReadModel) -> None:
        self.model = model
        self.keys = {node: key for key, node in model.nodes.items()}
        self.nodes = {node.name: node for node in model.network.nodes if not isinstance(node.op, Reuse)}
        self.readers: dict[Node, list[Node]] = {}
        for node in model.network.nodes:
            for read in node.inputs:
                self.readers.setdefault(read, []).append(node)

    def seen(self, spec: BackboneSpec) -> Iterator[Recognised]:
        """All that the network of a spec may be seen as, where it reads the last tensor that it may read."""
        for image in self._images(spec):
            try:
                place = _Place(self, spec, image)
            except (BuildError, SpecError):  # nothing of this spec reads such images
                continue
            if place.features is not None:
                yield from place.with_top()
                yield from place.without_top()
                return

    def _images(self, spec: BackboneSpec) -> Iterator[Node]:
        """What the first convolution of the network may read, and what stands in front of that and may belong to it."""
        stem = next(node for node in record_network(spec, include_top=False).nodes if _slides(node.op))
        part, done = weighted_part(stem.op, stem.inputs[0].channels), set[Node]()
        for node in self.model.network.nodes:
            if not _slides(node.op) or weighted_part(node.op, node.inputs[0].channels) != part:
                continue
            [x] = node.inputs
            while x not in done:
                done.add(x)
                if len(self.shape(x)) == 4:
                    yield x
                if not _passes_pixels(x.op):
                    break
                [x] = x.inputs

    def shape(self, node: Node) -> tuple[int | None, ...]:
        """The shape of what a node makes, with the batch; empty where it is inside a layer."""
        return self.model.graph.shapes[self.keys[node]] if node in self.keys else ()

    def end_of(self, node: Node) -> tuple[Node, Any]:
        """Where the last layer of a network ends, and its activation.

        Args:
            node: the layer. If nothing else reads what it makes, an activation behind it belongs to it, and a change of
                shape.
        """
        activation = node.op.activation if isinstance(node.op, Conv | Dense) else None
        while node not in self.model.network.outputs and len(self.readers.get(node, ())) == 1:
            [reader] = self.readers[node]
            if isinstance(reader.op, Flatten):
                node = reader
            elif isinstance(reader.op, Activation) and activation is None:
                return reader, reader.op.activation
            else:
                break
        return node, activation


class _Place:
    """A spec at one place of a model.

    Args:
        search: the model.
        spec: the spec.
        image: the node that makes what would be the image.

    Attributes:
        features: the node that makes the spec's last features; None if none does.
    """

    def __init__(self, search: _Search, spec: BackboneSpec, image: Node) -> None:
        self.search, self.spec, self.image = search, spec, image
        shape = search.shape(image)
        height, width = shape[2:] if keras.config.image_data_format() == "channels_first" else shape[1:3]
        self.size: Size = height, width
        self.numbers: dict[Hashable, int] = {}
        network, ours = self._said(include_top=False)
        self.terms, self.theirs = terms_of(search.model.network, self.numbers, image, self.size)
        found = self._makers(ours[network.stages[-1].blocks[0].input])
        self.features = found[0] if found else None

    def _said(self, **options: Any) -> tuple[Network, dict[Node, Term]]:
        """What the spec says, and its terms."""
        network = record_network(self.spec, channels=self.image.channels, size=self.size, **options)
        return network, terms_of(network, self.numbers, network.inputs[0], self.size)[1]

    def _makers(self, term: Term) -> list[Node]:
        """The nodes of the model that make what a term of the spec computes, and nothing more of it."""
        nodes = (self.search.nodes.get(each.name) for each in self.terms.made.get(term.number, ()))
        return [node for node in nodes if node is not None and self.theirs[node].number == term.number]

    def with_top(self) -> Iterator[Recognised]:
        """The network with its classifier, whose class scores may be those of a user's own."""
        nodes = list(self.search.model.network.nodes)
        behind = nodes[nodes.index(self.features) + 1 :] if self.features in nodes else nodes
        for classes in dict.fromkeys(node.op.width for node in behind if isinstance(node.op, Conv | Dense)):
            network, ours = self._said(classes=classes, classifier_activation=None)
            scores = ours[network.outputs[0]]
            for other in self.terms.made.get(scores.number, ()):
                end, activation = self.search.end_of(self.search.nodes[other.name])
                rates = self._dropouts(end)
                if len(rates) > 1 or len(self.search.shape(end)) != 2:
                    continue
                classifier = replace(self.spec.classifier, dropout=rates[0] if rates else 0.0)
                embedded = EmbeddedSpec(replace(self.spec, classifier=classifier), classes=classes)
                yield from self._matched(network, scores, other, end, embedded, activation)

    def without_top(self) -> Iterator[Recognised]:
        """The network that gives features: pooled ones, or an image."""
        poolings: tuple[Pooling | None, ...] = ("avg", "max", None)
        for pooling in poolings:
            network, ours = self._said(include_top=False, pooling=pooling)
            features = ours[network.outputs[0]]
            for node in self._makers(features):
                end = self.search.end_of(node)[0] if pooling and len(self.search.shape(node)) == 4 else node
                if len(self.search.shape(end)) == (2 if pooling else 4):
                    embedded = EmbeddedSpec(self.spec, include_top=False, pooling=pooling)
                    yield from self._matched(network, features, self.theirs[node], end, embedded)

    def _dropouts(self, end: Node) -> list[float]:
        """The rates of dropout between the last features and a node."""
        found, left, done = [], [end], set[Node]()
        while left:
            node = left.pop()
            if node in done or node is self.features:
                continue
            done.add(node)
            left += node.inputs
            if isinstance(node.op, Dropout):
                found.append(node.op.rate)
        return found

    def _matched(
        self, network: Network, ours: Term, theirs: Term, end: Node, embedded: EmbeddedSpec, activation: Any = None
    ) -> Iterator[Recognised]:
        """The network that ends here, if its layers can be paired with the spec's, and each is called once."""
        pairs, model = _paired(ours, theirs), self.search.model
        image, output = self.search.keys[self.image], self.search.keys[end]
        inside = _between(model.graph, image, output)
        if pairs is None or any(len(model.graph.layers[name].calls) != 1 for name in inside):
            return
        sources = {node.name: source.layer for node, source in model.sources.items()}
        nodes = {node.name: node for node in network.nodes}
        held = {one.name: other for one, other in pairs.items() if one.weighted}
        names = {name: sources[term.name] for name, term in held.items()}

        def read(name: str) -> list[np.ndarray]:
            return _arrays(nodes[name], model.weights[held[name].name], held[name].factor)

        yield Recognised(embedded, image, output, inside, names, read, activation)


def _slides(op: Op | None) -> bool:
    return isinstance(op, Conv | Depthwise)


def _passes_pixels(op: Op | None) -> bool:
    """Whether an operation may stand between the image and the first convolution of a network."""
    if isinstance(op, Opaque):
        return op.inert
    return isinstance(op, ZeroPad | Rescale | Standardize | Dropout) or op == Activation(None)


def _paired(ours: Term, theirs: Term) -> dict[Term, Term] | None:
    """Pairs the terms of two equal networks, one to one; None if weights that one has twice are shared in the other."""
    found: dict[Term, Term] = {}
    taken: set[Term] = set()
    left = [(ours, theirs)]
    while left:
        one, other = left.pop()
        if one in found or other in taken:
            if found.get(one) is not other:
                return None
            continue
        found[one] = other
        taken.add(other)
        others = list(other.reads)
        for read in one.reads:
            # Of equal branches that are added, any may be any, but for those that were met before.
            mate = found.get(read)
            if mate is None or mate not in others:
                mate = next(each for each in others if each.number == read.number)
            others.remove(mate)
            left.append((read, mate))
    return found


def _between(graph: Graph, image: Tensor, output: Tensor) -> frozenset[str]:
    """Names of the layers that make a tensor of another one."""
    found, left = set[str](), [output]
    while left:
        tensor = left.pop()
        if tensor != image and tensor[0] not in found:
            found.add(tensor[0])
            left += graph.layers[tensor[0]].tensors
    return frozenset(found)


def _arrays(node: Node, weights: tuple[Any, ...], factor: tuple[float, ...] | None) -> list[np.ndarray]:
    """The weights of a layer as the spec's layer holds them: the same numbers, in another shape perhaps."""
    arrays = arrays_of(weights)
    op, channels = node.op, node.inputs[0].channels
    match op:
        case Conv():
            arrays[0] = arrays[0].reshape(*both(op.kernel), channels // op.groups, op.width)
        case Depthwise():
            arrays[0] = arrays[0].reshape(*both(op.kernel), channels, op.multiplier)
        case Dense():
            arrays[0] = arrays[0].reshape(channels, op.width)
        case Standardize() if factor is not None:
            arrays[1] = (arrays[1] / np.square(factor)).astype(arrays[1].dtype)
    return arrays
