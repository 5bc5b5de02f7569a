"""Which layer of a model each layer of a Keras file belongs to.

Layers are paired as Keras pairs them: by class and count in Keras 3's files, by order in older ones. They are paired by
name where the file's model holds others, so that neither its counts nor its order are those of a flat one; and where
only a part is to be loaded: a layer more or less would move all counts after it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import keras
import numpy as np

from keras_effnet.weights.assign import layer_weights
from keras_effnet.weights.keras_files import SavedLayer
from keras_effnet.weights.tensors import Tensor


def keras_tensors(model: keras.Model, saved: list[SavedLayer], by_name: bool = False) -> list[Tensor]:
    """The arrays of a Keras file, each with its place in the model.

    Args:
        model: a flat model.
        saved: the layers of the file.
        by_name: whether only names decide, also in a file of a flat model.

    Returns:
        The tensors, in the order of the file.
    """
    wanted, there = _labelled(_weighted_layers(model), saved, by_name)
    return [
        Tensor(
            source=f"{found.name}/{index}",
            layer=None if label not in wanted else wanted[label].name,
            index=index,
            array=_as_depthwise(wanted.get(label), array),
        )
        for label, found in there.items()
        for index, array in enumerate(found.arrays)
    ]


def _labelled(
    wanted: list[tuple[str, Any]], saved: list[SavedLayer], by_name: bool
) -> tuple[dict[Hashable, Any], dict[Hashable, SavedLayer]]:
    """The layers of the model and of the file under labels; those of one label belong together."""
    if by_name or any("/" in layer.key for layer in saved):
        return _by_name(wanted), _by_name([(layer.key, layer) for layer in saved])
    if not any(layer.key for layer in saved):
        return {number: layer for number, (_, layer) in enumerate(wanted)}, dict(enumerate(saved))
    return dict(wanted), {layer.key: layer for layer in saved}


def _by_name(layers: list[tuple[str, Any]]) -> dict[Hashable, Any]:
    """Layers by name. Names that Keras made up count all layers of a session: of these, only the kind counts."""
    found: dict[Hashable, Any] = {}
    for key, layer in layers:
        kind = re.sub(r"_\d+$", "", key.rpartition("/")[2])
        label = kind if kind and re.fullmatch(rf"{kind}(_\d+)?", layer.name) else layer.name
        # No layer may take the place of another: the second of a name pairs with none.
        found[(key, label) if label in found else label] = layer
    return found


def _weighted_layers(model: keras.Model) -> list[tuple[str, Any]]:
    """Layers with weights, each with its key in a Keras 3 file: its class in snake case, counted from the second on."""
    counts: Counter[str] = Counter()
    found = []
    for layer in model.layers:
        words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", layer.__class__.__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        key = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        if layer_weights(layer):
            found.append((key, layer))
    return found


def _as_depthwise(layer: Any, array: np.ndarray) -> np.ndarray:
    """The kernel of a convolution with a group for each channel, which Keras' ConvNeXt has, as a depthwise one."""
    if not isinstance(layer, keras.layers.DepthwiseConv2D):
        return array
    *window, channels, multiplier = layer.kernel.shape
    return array.reshape(layer.kernel.shape) if array.shape == (*window, 1, channels * multiplier) else array
