"""Folders with a sub-folder of images for each class, whole or already split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_effnet.data.image_files import open_files
from keras_effnet.data.source import Source
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError

VALIDATION_NAMES = ("validation", "val")
SPLIT_NAMES = ("train", "test", *VALIDATION_NAMES)


def read_folder(root: Path, cache: Path) -> RawSplits:
    """Reads a folder with class sub-folders, or with `train/`, `test/` and `validation/` (or `val/`) that hold them.

    Args:
        root: the folder. The names of the class sub-folders, sorted, become the class names. Hidden entries are
            ignored.
        cache: see `keras_effnet.data.image_files.open_files`.

    Returns:
        What the folder holds.

    Raises:
        DataError: no folder, fewer than two classes, a class without a readable image to train on, or a class that
            there is nothing to train on for.
    """
    if not _is_split(root):
        return RawSplits(_open(class_folders(root), cache))
    folders = class_folders(root / "train")
    names = [folder.name for folder in folders]
    found = {name: _open_like(root / name, names, cache) for name in SPLIT_NAMES[1:] if (root / name).is_dir()}
    if len(found.keys() & set(VALIDATION_NAMES)) > 1:
        raise DataError(f"a folder has one validation part; rename or remove one. Received: {str(root)!r} with both")
    validation = next((found[name] for name in VALIDATION_NAMES if name in found), None)
    return RawSplits(_open(folders, cache), validation, found.get("test"))


def class_folders(root: Path) -> list[Path]:
    """The class sub-folders of `root`, sorted by name.

    Raises:
        DataError: no folder, or fewer than two of them.
    """
    if not root.is_dir():
        raise DataError(
            "The folder of images must exist and hold one sub-folder per class. Check the path. "
            f"Received: {str(root)!r}, which is {'a file' if root.exists() else 'missing'}"
        )
    folders = _sub_folders(root)
    if len(folders) < 2:
        raise DataError(
            f"{str(root)!r} must hold at least two sub-folders of images, one per class. Sort the images "
            f"into sub-folders named after their classes. Received: {len(folders)} sub-folders "
            f"{[folder.name for folder in folders]}"
        )
    return folders


def visible_files(folder: Path) -> list[Path]:
    """Every file below `folder`, sorted, without the hidden ones which desktops leave behind."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def check_classes(class_names: Sequence[str], labels: np.ndarray, files: Sequence[int], where: str) -> None:
    """Raises DataError unless each class has an image.

    Args:
        class_names: of the classes.
        labels: of the readable images.
        files: how many there are of each class, readable or not.
        where: what a user may change.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    for name, count, total in zip(class_names, counts, files, strict=True):
        if count == 0:
            raise DataError(
                f"Class {name!r} has no readable image; each class needs at least one. Add images to {where}, or "
                f"remove the class. Received: {total} files, none of which Pillow can read"
            )


def _sub_folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _is_split(root: Path) -> bool:
    """Whether the folder holds parts. A class may be called "train": then it has no folders in it, or others beside it
    that are no parts."""
    names = {folder.name for folder in _sub_folders(root)} if root.is_dir() else set()
    return "train" in names and names <= set(SPLIT_NAMES) and bool(_sub_folders(root / "train"))


def _open(folders: Sequence[Path], cache: Path) -> Source:
    names = tuple(folder.name for folder in folders)
    files = [visible_files(folder) for folder in folders]
    source = _open_lists(names, files, cache)
    check_classes(names, source.labels, [len(part) for part in files], repr(str(folders[0].parent)))
    return source


def _open_like(root: Path, names: Sequence[str], cache: Path) -> Source:
    """A part that is not trained on: it may lack a class, and has none that is not trained."""
    unknown = [folder.name for folder in _sub_folders(root) if folder.name not in names]
    if unknown:
        raise DataError(
            f"a class to test on must be trained on too. Rename the folder, or add it to {root.with_name('train')!s}"
            f". Received: {unknown[0]!r} in {str(root)!r}"
        )
    source = _open_lists(tuple(names), [visible_files(root / name) for name in names], cache)
    if not len(source):
        raise DataError(f"a part to test on must hold images; fill it, or remove it. Received: {str(root)!r}")
    return source


def _open_lists(names: tuple[str, ...], files: Sequence[Sequence[Path]], cache: Path) -> Source:
    labels = np.repeat(np.arange(len(names)), [len(part) for part in files])
    return open_files([path for part in files for path in part], labels.tolist(), names, cache)
