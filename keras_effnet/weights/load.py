"""Puts a weight file into a model: every array, or none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import WeightsError
from keras_effnet.weights.files import SavedLayer, read_weight_file


def load_weights(model: keras.Model, path: Path, variance_factors: tuple[float, ...] | None = None) -> None:
    """Loads a weight file of the same architecture into `model`.

    Layers are paired as Keras pairs them: by class and count in Keras 3's files, by order in older ones; and by name
    where the file's model holds others, so that neither its counts nor its order are those of a flat one. All shapes
    are compared before the first value is assigned.

    Args:
        model: a flat model.
        path: of a `.weights.h5`, `.h5` or `.keras` file.
        variance_factors: what to multiply the variances of the Normalization layer by, one for each channel.

    Raises:
        WeightsError: the file is broken, or of another architecture: names the first layer that differs. The model is
            unchanged.
    """
    pairs = _pair(model, read_weight_file(path), path)
    if variance_factors is not None:
        pairs = [(layer, _with_variance(layer, arrays, variance_factors)) for layer, arrays in pairs]
    for layer, arrays in pairs:
        for variable, array in zip(_variables(layer), arrays, strict=True):
            variable.assign(array)
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _pair(model: keras.Model, saved: list[SavedLayer], path: Path) -> list[tuple[Any, tuple[np.ndarray, ...]]]:
    """Pairs the model's layers with the file's, or says where they part."""
    wanted, there = _labelled(_weighted_layers(model), saved)
    pairs = []
    for label, layer in wanted.items():
        shapes = [tuple(variable.shape) for variable in _variables(layer)]
        found = there.get(label)
        if found is None:
            difference = f"layer {layer.name!r} {shapes} is not in the file, which has {len(saved)} layers"
            raise _mismatch(model, path, difference)
        arrays = tuple(_as_depthwise(layer, array) for array in found.arrays)
        if [array.shape for array in arrays] != shapes:
            shapes_there = [array.shape for array in found.arrays]
            difference = f"layer {layer.name!r} has {shapes}, the file's {found.name!r} has {shapes_there}"
            raise _mismatch(model, path, difference)
        pairs.append((layer, arrays))
    for label, extra in there.items():
        if label not in wanted:
            shapes_there = [array.shape for array in extra.arrays]
            raise _mismatch(model, path, f"the file's layer {extra.name!r} {shapes_there} is not in the model")
    return pairs


def _labelled(
    wanted: list[tuple[str, Any]], saved: list[SavedLayer]
) -> tuple[dict[Hashable, Any], dict[Hashable, SavedLayer]]:
    """The layers of the model and of the file under labels; those of one label belong together."""
    if not any(layer.key for layer in saved):
        return {number: layer for number, (_, layer) in enumerate(wanted)}, dict(enumerate(saved))
    if not any("/" in layer.key for layer in saved):
        return dict(wanted), {layer.key: layer for layer in saved}
    return _by_name(wanted), _by_name([(layer.key, layer) for layer in saved])


def _by_name(layers: list[tuple[str, Any]]) -> dict[Hashable, Any]:
    """Layers by name. Names that Keras made up count all layers of a session: of these, only the kind counts."""
    found: dict[Hashable, Any] = {}
    for key, layer in layers:
        kind = re.sub(r"_\d+$", "", key.rpartition("/")[2])
        label = kind if re.fullmatch(rf"{kind}(_\d+)?", layer.name) else layer.name
        # No layer may take the place of another: the second of a name pairs with none.
        found[(key, label) if label in found else label] = layer
    return found


def _as_depthwise(layer: Any, array: np.ndarray) -> np.ndarray:
    """The kernel of a convolution with a group for each channel, which Keras' ConvNeXt has, as a depthwise one."""
    if not isinstance(layer, keras.layers.DepthwiseConv2D):
        return array
    *window, channels, multiplier = layer.kernel.shape
    return array.reshape(layer.kernel.shape) if array.shape == (*window, 1, channels * multiplier) else array


def _mismatch(model: keras.Model, path: Path, difference: str) -> WeightsError:
    return WeightsError(
        f"the weight file is of another architecture than {model.name!r}; nothing was loaded. First difference: "
        f"{difference}. Build the model that the file was saved from. Received: {str(path)!r}"
    )


def _weighted_layers(model: keras.Model) -> list[tuple[str, Any]]:
    """Layers with weights, each with its key in a Keras 3 file: its class in snake case, counted from the second on."""
    counts: Counter[str] = Counter()
    found = []
    for layer in model.layers:
        words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", layer.__class__.__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        key = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        if _variables(layer):
            found.append((key, layer))
    return found


def _variables(layer: Any) -> list[Any]:
    """What a file holds of a layer; not the seed of a Dropout."""
    return [variable for variable in layer.weights if "seed_generator" not in variable.path]


def _with_variance(layer: Any, arrays: tuple[np.ndarray, ...], factors: tuple[float, ...]) -> tuple[np.ndarray, ...]:
    if not isinstance(layer, keras.layers.Normalization):
        return arrays
    mean, variance, count = arrays
    return mean, variance * np.asarray(factors, variance.dtype), count
