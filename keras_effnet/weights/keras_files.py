"""What is in a weight file: Keras' three layouts read into one form. Nothing is executed, nothing is unpickled.

| file | written by | layers are told apart by |
|---|---|---|
| `.weights.h5` | `model.save_weights`, Keras 3 | class and count: `conv2d_3` |
| `.keras` | `model.save`, Keras 3: a zip with a `.weights.h5` in it | the same |
| `.h5` | older Keras: the published ImageNet weights | their order |

A model in a model (Keras' ConvNeXt holds its stem in one) is read as the layers in it: their keys are paths, such as
`sequential/conv2d`.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_effnet.errors import WeightsError

# Floats hardly compress. A file that claims to hold more than this many times its size was made to fill memory.
MAX_EXPANSION = 100
_INNER = "model.weights.h5"
# All that h5py and zipfile were seen to raise on files that are broken somewhere (scripts/fuzz.py).
_BROKEN = (
    *(OSError, EOFError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError),
    *(ArithmeticError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class SavedLayer:
    """The weights of one layer in a file.

    Args:
        key: the layer's place in the file, with a "/" inside another model; "" where only the order counts.
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
                if archive.getinfo(_INNER).file_size > MAX_EXPANSION * path.stat().st_size:
                    raise ValueError(f"it would take over {MAX_EXPANSION} times its size in memory")
                content = io.BytesIO(archive.read(_INNER))
            with h5py.File(content, "r") as file:
                return _read(file)
        with h5py.File(path, "r") as file:
            return _read(file)
    except _BROKEN as error:
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


def _read_keras3(layers: Any, outer: str = "") -> list[SavedLayer]:
    found = []
    for key in layers:
        variables = layers[key].get("vars", {})
        if len(variables):
            arrays = tuple(_array(variables[str(number)]) for number in range(len(variables)))
            found.append(SavedLayer(outer + key, _text(variables.attrs.get("name", key)), arrays))
        found += _read_keras3(layers[key].get("layers", {}), f"{outer}{key}/")
    return found


def _read_legacy(root: Any) -> list[SavedLayer]:
    found = []
    for name in map(_text, _attribute(root, "layer_names")):
        # Weights are called "layer/kernel:0": an entry with those of several layers is a model.
        parts: dict[str, list[np.ndarray]] = {}
        for weight in map(_text, _attribute(root[name], "weight_names")):
            parts.setdefault(weight.rpartition("/")[0], []).append(_array(root[name][weight]))
        for part, arrays in parts.items():
            found.append(SavedLayer("", part if len(parts) > 1 else name, tuple(arrays)))
    return found


def _array(dataset: Any) -> np.ndarray:
    """The numbers of a dataset that lies in the file itself and is no larger than the file can make it."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its weights lie in other files")
    if dataset.dtype.kind in "OSU":
        raise ValueError("its weights are no numbers")
    if dataset.nbytes > MAX_EXPANSION * dataset.file.id.get_filesize():
        raise ValueError(f"it would take over {MAX_EXPANSION} times its size in memory")
    return np.asarray(dataset)


def _attribute(group: Any, name: str) -> list[Any]:
    """A list attribute; HDF5 limits the size of one, so that Keras cuts long lists into `name0`, `name1`, ...

    The texts lie in a heap of the file. In one that is broken on purpose the HDF5 library can search for ever, which
    no program can see from outside: weight files of strangers belong into a process that may be killed.
    """
    if name in group.attrs:
        return list(group.attrs[name])
    values, number = [], 0
    while f"{name}{number}" in group.attrs:
        values += list(group.attrs[f"{name}{number}"])
        number += 1
    return values


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
