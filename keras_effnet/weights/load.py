"""Puts a weight file into a model: every array, or none."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import WeightsError
from keras_effnet.weights.files import SavedLayer, read_weight_file


def load_weights(model: keras.Model, path: Path, variance_factors: tuple[float, ...] | None = None) -> None:
    """Loads a weight file of the same architecture into `model`.

    Layers are paired as Keras pairs them: by class and count in Keras 3's files, by order in older ones. All shapes are
    compared before the first value is assigned.

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
    wanted = _weighted_layers(model)
    by_key = {layer.key: layer for layer in saved if layer.key}
    pairs = []
    for number, (key, layer) in enumerate(wanted):
        shapes = [tuple(variable.shape) for variable in _variables(layer)]
        found = by_key.get(key) if by_key else (saved[number] if number < len(saved) else None)
        if found is None:
            difference = f"layer {layer.name!r} {shapes} is not in the file, which has {len(saved)} layers"
            raise _mismatch(model, path, difference)
        if [array.shape for array in found.arrays] != shapes:
            there = [array.shape for array in found.arrays]
            raise _mismatch(model, path, f"layer {layer.name!r} has {shapes}, the file's {found.name!r} has {there}")
        pairs.append((layer, found.arrays))
    if len(saved) > len(wanted):
        keys = {key for key, _ in wanted}
        extra = next(layer for layer in saved if layer.key not in keys) if by_key else saved[len(wanted)]
        there = [array.shape for array in extra.arrays]
        raise _mismatch(model, path, f"the file's layer {extra.name!r} {there} is not in the model")
    return pairs


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
