"""Folders with one subfolder of images per class, optionally already split."""

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
    """Reads a folder with one subfolder per class, or with `train/`, `test/` and `validation/` (or `val/`) that do.

    Args:
        root: the folder. The sorted names of the class subfolders become the class names. Hidden files and folders are
            ignored.
        cache: cache folder, see `keras_effnet.data.image_files.open_files`.

    Returns:
        The splits found in the folder.

    Raises:
        DataError: the folder is missing, there are fewer than two classes, or a class has no readable training image.
    """
    if not _is_split(root):
        return RawSplits(_open(class_folders(root), cache))
    folders = class_folders(root / "train")
    names = [folder.name for folder in folders]
    found = {name: _open_like(root / name, names, cache) for name in SPLIT_NAMES[1:] if (root / name).is_dir()}
    if len(found.keys() & set(VALIDATION_NAMES)) > 1:
        raise DataError(
            "a folder must have one validation split; rename or remove one.",
            received=(f"{str(root)!r}, which has both {' and '.join(VALIDATION_NAMES)}"),
        )
    validation = next((found[name] for name in VALIDATION_NAMES if name in found), None)
    return RawSplits(_open(folders, cache), validation, found.get("test"))


def class_folders(root: Path) -> list[Path]:
    """The class subfolders of `root`, sorted by name.

    Raises:
        DataError: `root` is not a folder, or has fewer than two subfolders.
    """
    if not root.is_dir():
        raise DataError(
            "the folder of images must exist and contain one subfolder per class; check the path.",
            received=f"{str(root)!r}, which is {'a file' if root.exists() else 'missing'}",
        )
    folders = _sub_folders(root)
    if len(folders) < 2:
        raise DataError(
            f"{str(root)!r} must contain at least two subfolders, one per class. Sort the images into subfolders named "
            "after their classes.",
            received=f"{len(folders)} subfolders {[folder.name for folder in folders]}",
        )
    return folders


def visible_files(folder: Path) -> list[Path]:
    """All files below `folder`, sorted, except hidden ones such as desktops leave behind."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def check_classes(class_names: Sequence[str], labels: np.ndarray, files: Sequence[int], where: str) -> None:
    """Raises DataError unless each class has a readable image.

    Args:
        class_names: name of each class.
        labels: label of each readable image.
        files: number of files of each class, readable or not.
        where: the folder or table to add images to, for the message.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    for name, count, total in zip(class_names, counts, files, strict=True):
        if count == 0:
            raise DataError(
                f"class {name!r} needs at least one readable image. Add images to {where}, or remove the class.",
                received=f"{total} files, none of which Pillow can read",
            )


def _sub_folders(root: Path) -> list[Path]:
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _is_split(root: Path) -> bool:
    """Whether the subfolders are splits. A class may also be called "train", but then it has no subfolders, or there
    are other classes beside it."""
    names = {folder.name for folder in _sub_folders(root)} if root.is_dir() else set()
    return "train" in names and names <= set(SPLIT_NAMES) and bool(_sub_folders(root / "train"))


def _open(folders: Sequence[Path], cache: Path) -> Source:
    names = tuple(folder.name for folder in folders)
    files = [visible_files(folder) for folder in folders]
    source = _open_lists(names, files, cache)
    check_classes(names, source.labels, [len(part) for part in files], repr(str(folders[0].parent)))
    return source


def _open_like(root: Path, names: Sequence[str], cache: Path) -> Source:
    """A validation or test split: it may lack a class of the training split, but has no others."""
    unknown = [folder.name for folder in _sub_folders(root) if folder.name not in names]
    if unknown:
        raise DataError(
            f"each class must have training images. Rename the folder, or add it to {root.with_name('train')!s}.",
            received=f"{unknown[0]!r} in {str(root)!r}",
        )
    source = _open_lists(tuple(names), [visible_files(root / name) for name in names], cache)
    if not len(source):
        raise DataError("a split must contain images; add some, or remove the folder.", received=repr(str(root)))
    return source


def _open_lists(names: tuple[str, ...], files: Sequence[Sequence[Path]], cache: Path) -> Source:
    labels = np.repeat(np.arange(len(names)), [len(part) for part in files])
    return open_files([path for part in files for path in part], labels.tolist(), names, cache)
