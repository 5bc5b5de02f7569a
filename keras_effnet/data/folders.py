"""Folders with one subfolder of images per class, optionally already split."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_effnet.data.image_files import open_files
from keras_effnet.data.source import Source
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError
from keras_effnet.printable import is_text

logger = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
# How people call their splits, in any case: those of keras.io's and PyTorch's examples, and of exported data sets.
SPELLINGS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "val", "valid", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
# What tells a folder of results from one of images: files that only this package's runs leave.
_RESULTS = (
    "checkpoint/state.json", "model.keras", "search.db", "features/*.npy", "learning_rate.json",
    "fold-*/checkpoint/state.json", "fold-*/features/*.npy",
)  # fmt: skip


def read_folder(root: Path, cache: Path) -> RawSplits:
    """Reads a folder with one subfolder per class, or with a subfolder for each split that has these.

    Args:
        root: the folder. The sorted names of the class subfolders become the class names. Hidden files and folders are
            ignored, folders with results of this package are left out, and links are followed. Splits may be called
            train or training; validation, val, valid or dev; test or testing, in any case.
        cache: cache folder, see `keras_effnet.data.image_files.open_files`.

    Returns:
        The splits found in the folder.

    Raises:
        DataError: the folder is missing, there are fewer than two classes, or a class has no readable training image.
    """
    splits = _split_folders(root)
    if not splits:
        return RawSplits(_open(class_folders(root), cache))
    folders = class_folders(splits[TRAIN])
    names = [folder.name for folder in folders]
    test = splits.get(TEST)
    if test is not None and not _sub_folders(test) and visible_files(test):
        logger.warning("left out, since its images are not sorted into classes: %s", test)
        del splits[TEST]
    others = {kind: _open_like(folder, splits[TRAIN], names, cache) for kind, folder in splits.items() if kind != TRAIN}
    return RawSplits(_open(folders, cache), others.get(VALIDATION), others.get(TEST))


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
    for folder in folders:
        if not is_text(folder.name):
            raise DataError(
                "a folder's name becomes its class's, in files and on pages, and must be text in UTF-8: rename it.",
                received=f"{folder.name!a} in {str(root)!r}",
            )
    if len(folders) < 2:
        raise DataError(
            f"{str(root)!r} must contain at least two subfolders, one per class. Sort the images into subfolders named "
            "after their classes.",
            received=f"{len(folders)} subfolders {[folder.name for folder in folders]}",
        )
    return folders


def visible_files(folder: Path) -> list[Path]:
    """All files below `folder`, sorted, except hidden ones such as desktops leave behind. Links are followed.

    A link to a folder that it lies in is not. Without such a folder there are no files.
    """
    found: list[Path] = []
    waiting = [(folder, frozenset[tuple[int, int]]())] if folder.is_dir() else []
    while waiting:
        path, above = waiting.pop()
        about = path.stat()
        key = (about.st_dev, about.st_ino)
        if key in above:
            continue
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    waiting.append((Path(entry.path), above | {key}))
                elif entry.is_file():
                    found.append(Path(entry.path))
    return sorted(found)


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
    """The visible subfolders that are not results of this package, which may well lie among the images."""
    found = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [folder for folder in found if not _holds_results(folder)]


def _holds_results(folder: Path) -> bool:
    return any(next(folder.glob(prefix + name), None) is not None for name in _RESULTS for prefix in ("", "*/"))


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split; nothing if the subfolders are classes.

    A class may also be called "train", but then it has no subfolders, or there are only other classes beside it.

    Raises:
        DataError: a split is there twice, or a folder beside the splits is none.
    """
    folders = _sub_folders(root) if root.is_dir() else []
    kinds = [SPELLINGS.get(folder.name.lower()) for folder in folders]
    splits = {kind: folder for kind, folder in zip(kinds, folders, strict=True) if kind is not None}
    others = [folder.name for kind, folder in zip(kinds, folders, strict=True) if kind is None]
    if TRAIN not in splits or not _sub_folders(splits[TRAIN]) or (others and len(splits) == 1):
        return {}
    twice = [folder.name for kind, folder in zip(kinds, folders, strict=True) if kinds.count(kind) > 1 and kind]
    if twice:
        raise DataError(
            "a folder must have one split of each kind; rename or remove one.",
            received=f"{str(root)!r}, which has both {' and '.join(twice)}",
        )
    if others:
        raise DataError(
            "beside the splits there must be nothing else: move the folder away, or call it train, validation or test.",
            received=f"{others[0]!r} in {str(root)!r}, beside {', '.join(folder.name for folder in splits.values())}",
        )
    return splits


def _open(folders: Sequence[Path], cache: Path) -> Source:
    names = tuple(folder.name for folder in folders)
    files = [visible_files(folder) for folder in folders]
    source = _open_lists(names, files, cache)
    check_classes(names, source.labels, [len(part) for part in files], repr(str(folders[0].parent)))
    return source


def _open_like(root: Path, train: Path, names: Sequence[str], cache: Path) -> Source:
    """A validation or test split: it may lack a class of the training split, but has no others."""
    unknown = [folder.name for folder in _sub_folders(root) if folder.name not in names]
    if unknown:
        raise DataError(
            f"each class must have training images. Rename the folder, or add it to {train!s}.",
            received=f"{unknown[0]!r} in {str(root)!r}",
        )
    source = _open_lists(tuple(names), [visible_files(root / name) for name in names], cache)
    if not len(source):
        raise DataError("a split must contain images; add some, or remove the folder.", received=repr(str(root)))
    return source


def _open_lists(names: tuple[str, ...], files: Sequence[Sequence[Path]], cache: Path) -> Source:
    labels = np.repeat(np.arange(len(names)), [len(part) for part in files])
    return open_files([path for part in files for path in part], labels.tolist(), names, cache)
