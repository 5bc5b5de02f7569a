"""Many images in one file: random access to data that can otherwise only be read from start to end.

The images stay encoded, as JPEG or PNG; an index holds the offset of each. The index is written last and only matches
its own images, so that an interrupted pack does not count as one.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from keras_effnet.data.image_files import log_skipped
from keras_effnet.data.reading import UNREADABLE, inspect_image, read_image, why_unreadable
from keras_effnet.data.source import Skipped, Source
from keras_effnet.errors import DataError
from keras_effnet.json_text import parse_json
from keras_effnet.messages import progress_bar


class PackedImages(Source):
    """Labelled images in a pack.

    Args:
        path: path of the pack, without a suffix.
        indices: numbers of the pack's images that belong to this source, in order; None uses all. Default: None.

    Raises:
        DataError: the pack is missing or incomplete.
    """

    def __init__(self, path: Path, indices: np.ndarray | None = None) -> None:
        index = _read_index(path)
        if index is None:
            raise DataError("the pack of images is missing or incomplete; write it again.", received=repr(str(path)))
        self.path, self._offsets, labels, about = path, *index
        self._indices = np.arange(len(labels)) if indices is None else np.asarray(indices, int)
        self.labels = labels[self._indices]
        self.class_names = tuple(about["class_names"])
        self.skipped = about["skipped"]
        self._bytes = np.memmap(_data_file(path), np.uint8, "r") if len(labels) else np.empty(0, np.uint8)

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        first, last = self._offsets[self._indices[index] :][:2]
        try:
            return read_image(io.BytesIO(self._bytes[first:last].tobytes()), size)
        except UNREADABLE as error:
            raise DataError(
                f"a packed image can no longer be read: {error}. Delete the pack and start again to rewrite it.",
                received=self.name_of(index),
            ) from error

    def name_of(self, index: int) -> str:
        return f"{self.path.name} number {self._indices[index]}"

    def fingerprint(self) -> str:
        digest = sha256(repr((self.path.name, self.class_names)).encode())
        for part in (self._offsets, self.labels, self._indices):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> PackedImages:
        return PackedImages(self.path, self._indices[np.asarray(indices, int)])


def is_packed(path: Path, total: int | None = None) -> bool:
    """Whether there is a complete pack; if `total` is not None, of that number of examples, readable or not."""
    index = _read_index(path)
    return index is not None and total in (None, len(index[1]) + len(index[2]["skipped"]))


def write_pack(
    path: Path, examples: Iterable[tuple[bytes, int]], class_names: Sequence[str], total: int | None = None
) -> None:
    """Packs encoded images; those that cannot be decoded are left out, logged once and listed.

    Args:
        path: path of the pack, without a suffix; its folder is created if missing.
        examples: pairs of an encoded image and its class number.
        class_names: name of each class, indexed by class number.
        total: number of examples, for the progress bar; None if unknown. Default: None.

    Raises:
        DataError: the pack cannot be written.
    """
    offsets, labels, skipped = [0], [], []
    # Another process may be packing the same set: each writes to its own file, and the results are equal.
    part = path.with_name(f"part-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for number, (encoded, label) in enumerate(
                progress_bar(examples, desc=f"packing {path.name}", total=total, unit="image")
            ):
                try:
                    inspect_image(io.BytesIO(encoded))
                except UNREADABLE as error:
                    skipped.append(Skipped(f"{path.name} number {number}", why_unreadable(error)))
                    continue
                file.write(encoded)
                offsets.append(offsets[-1] + len(encoded))
                labels.append(label)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, _data_file(path))
        about = json.dumps({"class_names": list(class_names), "skipped": skipped})
        with part.open("wb") as file:
            np.savez(file, offsets=np.array(offsets), labels=np.array(labels, np.int32), about=np.array(about))
        os.replace(part, _index_file(path))
    except OSError as error:
        raise DataError(
            f"the images cannot be packed: {error}. Free some space, or use another cache folder.",
            received=repr(str(path)),
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    if skipped:
        log_skipped(skipped)


def _read_index(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]] | None:
    try:
        with np.load(_index_file(path), allow_pickle=False) as index:
            offsets, labels, about = index["offsets"], index["labels"], parse_json(str(index["about"]))
        about["skipped"] = tuple(Skipped(*each) for each in about["skipped"])
        whole = _data_file(path).stat().st_size == offsets[-1]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return (offsets, labels, about) if whole else None


def _data_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.images")


def _index_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.npz")
