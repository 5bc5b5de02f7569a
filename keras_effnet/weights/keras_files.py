"""Reads Keras' three layouts of weight files. Nothing is executed, and nothing is unpickled.

| file | written by | layers are identified by |
|---|---|---|
| `.weights.h5` | `model.save_weights`, Keras 3 | class and count: `conv2d_3` |
| `.keras` | `model.save`, Keras 3: a ZIP archive that contains a `.weights.h5` | class and count |
| `.h5` | older Keras: the published ImageNet weights | their order |

A nested model (Keras' ConvNeXt has its stem in one) is read as its layers, with paths such as `sequential/conv2d` as
keys.
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
from keras_effnet.weights.tensors import from_bfloat16

# Floats hardly compress: a file that claims to contain more than this many times its size was made to exhaust memory.
MAX_EXPANSION = 100
_INNER = "model.weights.h5"
# All errors that h5py and zipfile were seen to raise on broken files (scripts/fuzz.py).
_BROKEN = (
    *(OSError, EOFError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError),
    *(ArithmeticError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class SavedLayer:
    """The weights of one layer in a file.

    Attributes:
        key: key of the layer in the file, with a "/" inside nested models; "" in layouts where only the order counts.
        name: name of the layer when it was saved.
        arrays: weights, in the order of the layer's `weights`.
    """

    key: str
    name: str
    arrays: tuple[np.ndarray, ...]


def read_weight_file(path: Path) -> list[SavedLayer]:
    """Reads all layers that have weights.

    Args:
        path: a `.weights.h5`, `.h5` or `.keras` file.

    Returns:
        The layers, in the order of the network if the layout preserves it.

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
        # The error that h5py raises on a truncated or foreign file depends on where it breaks.
        raise WeightsError(
            f"the weight file cannot be read: {error}. It must be a complete .weights.h5, .h5 or .keras file written "
            "by Keras.",
            received=repr(str(path)),
        ) from error


def _read(file: Any) -> list[SavedLayer]:
    root = file.get("model_weights", file)
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return _read_legacy(root)
    if "layers" in root:
        return _read_keras3(root["layers"])
    raise ValueError("it contains no Keras layers")


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
        # Weights are named "layer/kernel:0": an entry with the weights of several layers is a nested model.
        parts: dict[str, list[np.ndarray]] = {}
        for weight in map(_text, _attribute(root[name], "weight_names")):
            parts.setdefault(weight.rpartition("/")[0], []).append(_array(root[name][weight]))
        for part, arrays in parts.items():
            found.append(SavedLayer("", part if len(parts) > 1 else name, tuple(arrays)))
    return found


def _array(dataset: Any) -> np.ndarray:
    """The content of a dataset; raises ValueError unless it is numbers in the file itself, of a plausible size."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("its weights are in other files")
    if dataset.dtype.kind in "OSU":
        raise ValueError("its weights are not numbers")
    if dataset.nbytes > MAX_EXPANSION * dataset.file.id.get_filesize():
        raise ValueError(f"it would take over {MAX_EXPANSION} times its size in memory")
    if dataset.dtype.kind != "V":
        return np.asarray(dataset)
    # Numbers that HDF5 has no type for are opaque bytes there. Keras has one such type of two bytes.
    if dataset.dtype.itemsize != 2 or dataset.dtype.names is not None:
        raise ValueError(f"its weights are {dataset.dtype}, not numbers of float16, bfloat16, float32 or float64")
    return from_bfloat16(np.asarray(dataset).view(np.uint16))


def _attribute(group: Any, name: str) -> list[Any]:
    """A list attribute. HDF5 limits its size, so Keras splits long lists into `name0`, `name1`, ...

    The strings are in a heap of the file. If that heap is broken on purpose, the HDF5 library can loop forever, and no
    caller can interrupt it: load untrusted weight files in a process that can be killed.
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
