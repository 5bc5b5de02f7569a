"""Pairs the layers of a Keras file with the layers of a model.

Layers are paired as Keras does: by class and count in Keras 3's files, by order in older ones. Two cases are paired by
name: files of models with nested models, whose counts and order differ from those of a flat model, and partial loading,
where one layer more or less would shift the counts of all layers after it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np

from keras_effnet.weights.keras_files import SavedLayer
from keras_effnet.weights.tensors import Tensor, layer_weights

Found = TypeVar("Found")


def keras_tensors(layers: Mapping[str, Any], saved: list[SavedLayer], by_name: bool = False) -> list[Tensor]:
    """Assigns the arrays of a Keras file to layers.

    Args:
        layers: the layers by name, in the order of their model.
        saved: the layers of the file.
        by_name: whether to pair layers by name even if the file's model is flat. Default: False.

    Returns:
        The tensors, in the order of the file.
    """
    wanted, there = _labelled(_weighted_layers(layers), saved, by_name)
    return [
        Tensor(
            source=f"{found.name}/{index}",
            layer=wanted.get(label),
            index=index,
            array=_as_depthwise(layers[wanted[label]], array) if label in wanted else array,
        )
        for label, found in there.items()
        for index, array in enumerate(found.arrays)
    ]


def _labelled(
    wanted: dict[str, str], saved: list[SavedLayer], by_name: bool
) -> tuple[dict[Hashable, str], dict[Hashable, SavedLayer]]:
    """The names of the wanted layers and the layers of the file by label; what has the same label belongs together."""
    if by_name or any("/" in layer.key for layer in saved):
        return (
            _by_name((key, name, name) for key, name in wanted.items()),
            _by_name((layer.key, layer.name, layer) for layer in saved),
        )
    if not any(layer.key for layer in saved):
        return dict(enumerate(wanted.values())), dict(enumerate(saved))
    return dict(wanted.items()), {layer.key: layer for layer in saved}


def _by_name(layers: Iterable[tuple[str, str, Found]]) -> dict[Hashable, Found]:
    """What is given with key and name of each layer, by name.

    Keras numbers default names across all models of a process, so their number is ignored.
    """
    found: dict[Hashable, Found] = {}
    for key, name, layer in layers:
        kind = re.sub(r"_\d+$", "", key.rpartition("/")[2])
        label = kind if kind and re.fullmatch(rf"{kind}(_\d+)?", name) else name
        # No layer may replace another: the second layer of a name remains unpaired.
        found[(key, label) if label in found else label] = layer
    return found


def _weighted_layers(layers: Mapping[str, Any]) -> dict[str, str]:
    """Names of layers with weights, by key in a Keras 3 file: the class in snake case, numbered from the second on."""
    counts: Counter[str] = Counter()
    found = {}
    for name, layer in layers.items():
        words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", layer.__class__.__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        key = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        if layer_weights(layer):
            found[key] = name
    return found


def _as_depthwise(layer: Any, array: np.ndarray) -> np.ndarray:
    """Reshapes the kernel of a convolution with one channel per group, as in Keras' ConvNeXt, to a depthwise one."""
    if not isinstance(layer, keras.layers.DepthwiseConv2D):
        return array
    *window, channels, multiplier = layer.kernel.shape
    return array.reshape(layer.kernel.shape) if array.shape == (*window, 1, channels * multiplier) else array
