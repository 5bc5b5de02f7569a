"""Files whose tensors have names: where each belongs, told by a walk through the spec.

A layout brings three things: the modules of a section (a block, a stem, a head, a classifier) in the order in which our
blocks write their layers, what a module's tensors are called, and how a kernel's axes are turned into Keras'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.errors import WeightsError
from keras_effnet.ops import Conv, Dense, Depthwise, Op, Standardize
from keras_effnet.spec import BackboneSpec, Preprocessing
from keras_effnet.trace import TracedBlock, TracedNode, trace_network
from keras_effnet.weights.tensors import Tensor

_STATISTICS = "ImageNet's statistics of pixels"


@dataclass(frozen=True)
class Stored:
    """A tensor of a file.

    Args:
        name: in the file.
        array: as it lies there.
    """

    name: str
    array: np.ndarray


@dataclass(frozen=True)
class Naming:
    """What the tensors of a layout are called.

    Args:
        name: of the layout, for people.
        modules: the names of a section's modules, one for each of its layers with weights; raises WeightsError for
            what the layout does not have.
        tensors: names of a layer's tensors after the module's name, in the order of Keras' weights, by the type of its
            operation.
        kernel: a kernel in Keras' layout, from the layer and the file's array.
    """

    name: str
    modules: Callable[[BackboneSpec, TracedBlock], list[str]]
    tensors: Mapping[type[Op], tuple[str, ...]]
    kernel: Callable[[Op, np.ndarray], np.ndarray]


def named_tensors(model: keras.Model, spec: BackboneSpec, stored: Mapping[str, Stored], naming: Naming) -> list[Tensor]:
    """The tensors of a file, each with its place in the model, and those that the file lacks.

    Args:
        model: built from `spec`, with or without its top.
        spec: the architecture.
        stored: the file's tensors by the names that the layout has for them.
        naming: of the layout.

    Returns:
        The tensors: those of the model in its order, then the others.

    Raises:
        WeightsError: the layout has no names for a block of the spec.
    """
    whole = tensor_places(spec, naming, include_top=True)
    names = {layer.name for layer in model.layers}
    top = trace_network(spec).blocks[-1]
    has_top = any(node.name in names for node in top.nodes if node.has_weights)
    places = whole if has_top else tensor_places(spec, naming, include_top=False)
    found = [
        Tensor(stored[name].name, node.name, index, _in_keras_layout(naming, node, index, stored[name].array))
        if name in stored
        else Tensor(name, node.name, index)
        for name, (node, index) in places.items()
    ]
    rest = [
        Tensor(each.name, array=each.array, unwanted="the model has no classifier" if name in whole else "")
        for name, each in stored.items()
        if name not in places
    ]
    return [*_pixel_statistics(model, spec.preprocessing), *found, *rest]


def tensor_places(spec: BackboneSpec, naming: Naming, include_top: bool) -> dict[str, tuple[TracedNode, int]]:
    """From the name of each tensor to its layer and its place among that layer's weights."""
    places = {}
    for section in trace_network(spec, include_top=include_top).blocks:
        nodes = [node for node in section.nodes if node.has_weights and not isinstance(node.op, Standardize)]
        modules = naming.modules(spec, section) if nodes else []
        if len(modules) != len(nodes):
            raise unnamed(naming.name, spec)
        for module, node in zip(modules, nodes, strict=True):
            parts = naming.tensors[type(node.op)][: None if getattr(node.op, "bias", True) else 1]
            places |= {module + part: (node, index) for index, part in enumerate(parts)}
    return places


def _in_keras_layout(naming: Naming, node: TracedNode, index: int, array: np.ndarray) -> np.ndarray:
    return naming.kernel(node.op, array) if isinstance(node.op, Conv | Depthwise | Dense) and index == 0 else array


def _pixel_statistics(model: keras.Model, pixels: Preprocessing) -> list[Tensor]:
    """Those of the Normalization layer of EfficientNet, which these files leave to the caller."""
    if not pixels.standardize:
        return []
    imagenet = IMAGENET_PIXELS
    mean, variance = np.array(imagenet.mean), np.array(imagenet.variance)
    # ImageNet's are of pixels as they are scaled there.
    factor = pixels.scale / imagenet.scale
    # In the order of Keras' weights; the count is read by nobody who does not adapt the layer further.
    arrays: list[Any] = [mean * factor + pixels.offset, variance * factor**2, np.array(0)]
    return [Tensor(_STATISTICS, "normalization", index, array) for index, array in enumerate(arrays)]


def unnamed(layout: str, spec: BackboneSpec) -> WeightsError:
    """The error for a network that a layout has no names for."""
    blocks = dict.fromkeys(type(stage.block).__name__ for stage in spec.parts)
    return WeightsError(
        f"{layout} has no names for the layers of this network. Load a file of Keras (.weights.h5, .h5, .keras), or "
        f"give the `spec` that the model was built from. Received: {spec.name!r} of {', '.join(blocks)}"
    )
