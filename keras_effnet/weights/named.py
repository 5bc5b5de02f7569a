"""Files that identify tensors by name: a walk through the spec finds the weight of each.

A layout defines three things: the names of the modules in a section (a block, the stem, the head or the classifier) in
the order in which our blocks create their layers, the names of a module's tensors, and how to transpose a kernel to
Keras' axes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.errors import WeightsError
from keras_effnet.ops import Conv, Dense, Depthwise, Op, Standardize
from keras_effnet.spec import BackboneSpec, Preprocessing
from keras_effnet.trace import TracedBlock, TracedNode, trace_network
from keras_effnet.weights.tensors import Tensor

_STATISTICS = "ImageNet's pixel statistics"


@dataclass(frozen=True)
class Stored:
    """A tensor of a file.

    Attributes:
        name: name of the tensor in the file.
        array: content of the tensor, in the layout of the file.
    """

    name: str
    array: np.ndarray


@dataclass(frozen=True)
class Naming:
    """The names of the tensors in a layout.

    Attributes:
        name: name of the layout, for messages.
        modules: returns the names of a block's modules, one per layer with weights; raises WeightsError for blocks
            that the layout does not support.
        tensors: maps the type of a layer's operation to the suffixes of its tensors' names, in the order of Keras'
            weights.
        kernel: converts the file's array of a layer's kernel to Keras' layout.
    """

    name: str
    modules: Callable[[BackboneSpec, TracedBlock], list[str]]
    tensors: Mapping[type[Op], tuple[str, ...]]
    kernel: Callable[[Op, np.ndarray], np.ndarray]


def named_tensors(
    layers: Collection[str], spec: BackboneSpec, stored: Mapping[str, Stored], naming: Naming
) -> list[Tensor]:
    """Assigns the tensors of a file to the layers of a network, and adds those that the file lacks.

    Args:
        layers: names of the layers that were built from `spec`, with or without its top.
        spec: the architecture of the model.
        stored: tensors of the file by their names in the layout.
        naming: names of the layout.

    Returns:
        The tensors of the network in its order, then all others.

    Raises:
        WeightsError: the layout does not support a block of the spec.
    """
    whole = tensor_places(spec, naming, include_top=True)
    top = trace_network(spec).blocks[-1]
    has_top = any(node.name in layers for node in top.nodes if node.has_weights)
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
    return [*_pixel_statistics(spec.preprocessing), *found, *rest]


def tensor_places(spec: BackboneSpec, naming: Naming, include_top: bool) -> dict[str, tuple[TracedNode, int]]:
    """Maps the name of each tensor to its layer and its index among the weights of that layer."""
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


def _pixel_statistics(pixels: Preprocessing) -> list[Tensor]:
    """The weights of EfficientNet's Normalization layer, which these files do not contain."""
    if not pixels.standardize:
        return []
    imagenet = IMAGENET_PIXELS
    mean, variance = np.array(imagenet.mean), np.array(imagenet.variance)
    # ImageNet's statistics refer to pixels with another scale.
    factor = pixels.scale / imagenet.scale
    # In the order of Keras' weights; the count (0) only matters to those who adapt the layer further.
    arrays: list[Any] = [mean * factor + pixels.offset, variance * factor**2, np.array(0)]
    return [Tensor(_STATISTICS, "normalization", index, array) for index, array in enumerate(arrays)]


def unnamed(layout: str, spec: BackboneSpec) -> WeightsError:
    """The error for a network that a layout does not support."""
    blocks = dict.fromkeys(type(stage.block).__name__ for stage in spec.parts)
    return WeightsError(
        f"{layout} has no names for the layers of this network. Load a Keras file (.weights.h5, .h5, .keras), or pass "
        "the `spec` that the model was built from.",
        received=f"{spec.name!r} with {', '.join(blocks)}",
    )
