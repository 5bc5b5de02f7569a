"""A Keras model as what is counted: its network, the images that it reads, and the weights that it has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from keras_effnet.builder.embedded_spec import carries_spec, read_embedded_spec
from keras_effnet.counting import CostCounter, LayerCost, Shape, count_nodes, layer_cost, uncounted
from keras_effnet.errors import BuildError
from keras_effnet.network import Network, Node, RecordedStage, record_network
from keras_effnet.ops import Op, Reuse
from keras_effnet.reading.opaque_layer import cells_of
from keras_effnet.reading.read_model import ReadModel, read_layers
from keras_effnet.resolution import Resolution, check_resolution, sides_of
from keras_effnet.resolution_stages import cut_by_resolution


@dataclass(frozen=True, eq=False)
class CountedModel:
    """A Keras model as what is counted.

    Args:
        read: the model as it was read.
        images: shape of each input.
        weights: numbers of trained and of untrained weights of each node, by its name. A weight that several layers
            share is the first one's.
        rest: numbers of weights that belong to the model and to none of these layers.
    """

    read: ReadModel
    images: tuple[Shape, ...]
    weights: Mapping[str, tuple[int, int]]
    rest: tuple[int, int]

    @property
    def network(self) -> Network:
        """The network, in the order of the model."""
        return self.read.network

    @cached_property
    def costs(self) -> dict[Node, LayerCost]:
        """The cost of each node."""
        return count_nodes(self.network, *self.images, count=self.layer_cost)

    @cached_property
    def stages(self) -> tuple[RecordedStage, ...]:
        """Its stages, which begin where its resolution changes."""
        return cut_by_resolution(self.network, {node: cost.shape for node, cost in self.costs.items()}).stages

    @cached_property
    def opaque(self) -> tuple[str, ...]:
        """Names of the layers whose multiply-adds nobody knows."""
        return uncounted(self.network)

    @property
    def resolution(self) -> tuple[int, int] | None:
        """(height, width) of the first image; None for a model that reads vectors alone."""
        return next((shape[:2] for shape in self.images if shape[:2] != (1, 1)), None)

    def layer_cost(self, op: Op, name: str, *inputs: Shape) -> LayerCost:
        """Counts one operation, with the weights that its layer has.

        Args:
            op: the operation.
            name: name of its node.
            *inputs: shapes of what it reads.

        Raises:
            SpecError: the operation is impossible on these shapes.
        """
        cost = layer_cost(op, name, *inputs)
        if isinstance(op, Reuse) or name not in self.weights:
            return cost
        return LayerCost(cost.shape, *self.weights[name], cost.macs, cost.activations)

    def counter(self) -> CostCounter:
        """A reader that counts with these weights, and has read nothing yet."""
        return CostCounter(self.layer_cost)

    def spec_network(self) -> Network | None:
        """The network of the spec that the model carries, for the same image; None if it carries none."""
        model = self.read.graph.model
        image, *others = self.images
        if others or not carries_spec(model):
            return None
        try:
            found = read_embedded_spec(model)
        except BuildError:  # several specs, or one from a later version: the model itself is counted all the same
            return None
        height, width, channels = image
        return record_network(found.spec, channels=channels, size=(height, width), **found.ending)


def read_counted(model: keras.Model, resolution: Resolution | None = None) -> CountedModel:
    """Reads a Keras model to count it. Nothing is computed.

    Args:
        model: a functional or Sequential model.
        resolution: side of its images in pixels, or (height, width); by default the model's. With several images, those
            of other sides keep their proportion to the first; vectors stay as they are.

    Raises:
        BuildError: sides that are unknown, no images to give a resolution to, or one that leaves no whole sides.
        InheritanceError: as `read_model`.
    """
    read = read_layers(model)
    return CountedModel(read, _images(read, resolution), *_weights(read))


def _weights(read: ReadModel) -> tuple[dict[str, tuple[int, int]], tuple[int, int]]:
    """Numbers of trained and untrained weights by node, and of those that are left; each variable once."""
    model, found = read.graph.model, {}
    left, trains = {id(variable): variable for variable in model.weights}, model.trainable

    def size(variables: Any) -> tuple[int, int]:
        trained = untrained = 0
        for variable in variables:
            number = math.prod(variable.shape)
            if trains and variable.trainable:
                trained += number
            else:
                untrained += number
        return trained, untrained

    for name, variables in read.weights.items():
        if variables:
            found[name] = size([left.pop(id(variable)) for variable in variables if id(variable) in left])
    return found, size(left.values())


def _images(read: ReadModel, resolution: Resolution | None) -> tuple[Shape, ...]:
    """The shape of each input."""
    model, shapes = read.graph.model, [read.graph.shapes[key] for key in read.graph.inputs]
    known = [Shape(*cells_of(shape)) for shape in shapes]
    places = [place for place, shape in enumerate(shapes) if len(shape) == 4]
    if resolution is None and carries_spec(model) and len(places) == 1 and 0 in known[places[0]]:
        height, width, _ = known[places[0]]
        own = read_embedded_spec(model).spec.resolution
        resolution = (height or own, width or own)
    if resolution is not None:
        resolution = check_resolution(BuildError, "resolution", resolution, 1)
        if not places:
            raise BuildError(
                "`resolution` is of images, and the model reads none: leave it out.",
                received=f"{resolution=} for inputs of {' and '.join(map(str, shapes))}",
            )
        first, sides = known[places[0]], sides_of(resolution)
        for place in places:
            known[place] = _resized(known[place], first, sides)
    for shape, cells in zip(shapes, known, strict=True):
        if 0 in cells:
            raise BuildError(
                "a model of images of any size is counted at one of them: give `resolution`."
                if len(shape) == 4 and cells.channels
                else "a model is counted with inputs of known size: build it on a keras.Input with all sides.",
                received=f"{model.name!r} with an input of {shape}",
            )
    return tuple(known)


def _resized(image: Shape, first: Shape, sides: tuple[int, int]) -> Shape:
    """An image's shape when the first image gets other sides: in proportion, where it has others than that."""
    made = []
    for side, old, new in zip(image[:2], first[:2], sides, strict=True):
        if 0 in (side, old):
            made.append(side or new)
        elif side * new % old:
            raise BuildError(
                f"another image of the model has {side} cells where the first has {old}, and keeps that proportion: "
                "give a `resolution` that leaves whole cells.",
                received=f"resolution={sides}",
            )
        else:
            made.append(side * new // old)
    return Shape(made[0], made[1], image.channels)
