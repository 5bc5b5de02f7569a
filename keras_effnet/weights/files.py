"""What is in a weight file: Keras' three layouts read into one form. Nothing is executed, nothing is unpickled.

| file | written by | layers are told apart by |
|---|---|---|
| `.weights.h5` | `model.save_weights`, Keras 3 | class and count: `conv2d_3` |
| `.keras` | `model.save`, Keras 3: a zip with a `.weights.h5` in it | the same |
| `.h5` | older Keras: the published ImageNet weights | their order |
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_effnet.errors import WeightsError


@dataclass(frozen=True)
class SavedLayer:
    """The weights of one layer in a file.

    Args:
        key: the layer's place in the file; "" where only the order counts.
        name: the layer had when it was saved.
        arrays: in the layer's own order.
    """

    key: str
    name: str
    arrays: tuple[np.ndarray, ...]


def read_weight_file(path: Path) -> list[SavedLayer]:
    """Reads all layers that have weights.

    Args:
        path: of a `.weights.h5`, `.h5` or `.keras` file.

    Returns:
        The layers; in the network's order where the layout keeps it.

    Raises:
        WeightsError: the file is broken or of another kind.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(content, "r") as file:
                return _read(file)
        with h5py.File(path, "r") as file:
            return _read(file)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        # What h5py raises on a truncated or foreign file depends on where it breaks.
        raise WeightsError(
            f"the weight file cannot be read: {error}. It must be a whole .weights.h5, .h5 or .keras file written by "
            f"Keras. Received: {str(path)!r}"
        ) from error


def _read(file: Any) -> list[SavedLayer]:
    root = file.get("model_weights", file)
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return _read_legacy(root)
    if "layers" in root:
        return _read_keras3(root["layers"])
    raise ValueError("it holds no Keras layers")


def _read_keras3(layers: Any) -> list[SavedLayer]:
    found = []
    for key in layers:
        variables = layers[key].get("vars", {})
        if len(variables):
            arrays = tuple(np.asarray(variables[str(number)]) for number in range(len(variables)))
            found.append(SavedLayer(key, _text(variables.attrs.get("name", key)), arrays))
    return found


def _read_legacy(root: Any) -> list[SavedLayer]:
    found = []
    for name in map(_text, _attribute(root, "layer_names")):
        arrays = tuple(np.asarray(root[name][_text(weight)]) for weight in _attribute(root[name], "weight_names"))
        if arrays:
            found.append(SavedLayer("", name, arrays))
    return found


def _attribute(group: Any, name: str) -> list[Any]:
    """A list attribute; HDF5 limits the size of one, so that Keras cuts long lists into `name0`, `name1`, ..."""
    if name in group.attrs:
        return list(group.attrs[name])
    values, number = [], 0
    while f"{name}{number}" in group.attrs:
        values += list(group.attrs[f"{name}{number}"])
        number += 1
    return values


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
