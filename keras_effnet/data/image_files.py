"""Images in files of their own: a source that reads each when it is asked for, and the check before the training.

One broken file among many must not end a night of training. So all are decoded once before it starts; what cannot be
read is left out and named. What breaks later is an error that names the file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TextIO

import numpy as np
from tqdm import tqdm

from keras_effnet.data.reading import UNREADABLE, is_readable, read_rgb
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError

logger = logging.getLogger(__name__)

NAMES_SHOWN = 10  # of skipped files in the log: enough to see a pattern without flooding the terminal
THREADS = os.cpu_count() or 1  # decoding leaves Python's lock, so that threads decode side by side
CHUNK = 1024  # files handed to the threads at once, so that a million of them need no million of waiting tasks

State = tuple[str, int, int]  # of a file: path, size, time of its last change


class ImageFiles(Source):
    """Labelled images in files of their own, which were all readable when they were checked.

    Args:
        paths: one for each image.
        labels: the number of the class of each.
        class_names: one name for each class, in the order of the labels.
        skipped: the paths that were left out.
        banner: rows at the lower edge of each that are no part of the image.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: np.ndarray,
        class_names: tuple[str, ...],
        skipped: tuple[str, ...] = (),
        banner: int = 0,
    ) -> None:
        self.paths = tuple(paths)
        self.labels = np.asarray(labels, np.int32)
        self.class_names = class_names
        self.skipped = skipped
        self.banner = banner

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        try:
            return read_rgb(self.paths[index], size, self.banner)
        except UNREADABLE as error:
            raise DataError(
                f"an image that could be read before cannot be read any more: {error}. Put the file back, or start "
                f"again, which leaves it out. Received: {str(self.paths[index])!r}"
            ) from error

    def name_of(self, index: int) -> str:
        return str(self.paths[index])

    def fingerprint(self) -> str:
        digest = sha256(repr((self.class_names, self.banner)).encode())
        for path, label in zip(self.paths, self.labels, strict=True):
            digest.update(f"{_state(path)} {label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> ImageFiles:
        paths = [self.paths[index] for index in indices]
        return ImageFiles(paths, self.labels[np.asarray(indices, int)], self.class_names, self.skipped, self.banner)


def open_files(
    paths: Sequence[Path], labels: Sequence[int], class_names: tuple[str, ...], cache: Path, *, banner: int = 0
) -> ImageFiles:
    """The readable ones of some files; the others are logged once and listed in `skipped`.

    Args:
        paths: of images.
        labels: the number of the class of each.
        class_names: one name for each class.
        cache: folder for the list of what was found readable, so that no unchanged file is checked twice.
        banner: see `ImageFiles`.

    Returns:
        The source.
    """
    readable = find_readable(paths, cache)
    kept = [number for number, is_fine in enumerate(readable) if is_fine]
    skipped = tuple(str(path) for path, is_fine in zip(paths, readable, strict=True) if not is_fine)
    if skipped:
        log_skipped(skipped)
    fine = [paths[number] for number in kept]
    return ImageFiles(fine, np.array(labels, np.int32)[kept], class_names, skipped, banner)


def log_skipped(skipped: Sequence[str]) -> None:
    """One warning for all images that were left out."""
    shown = ", ".join(skipped[:NAMES_SHOWN]) + (", ..." if len(skipped) > NAMES_SHOWN else "")
    logger.warning("Skipped %d unreadable files: %s", len(skipped), shown)


def find_readable(paths: Sequence[Path], cache: Path) -> list[bool]:
    """Which of some files hold an image that can be decoded to its last byte.

    Args:
        paths: of the files.
        cache: folder for the list of what was found, by path, size and time of the last change.

    Returns:
        One truth value for each path.
    """
    record = cache / "readable.jsonl"
    states, known = [_state(path) for path in paths], _read_record(record)
    unknown = [number for number, state in enumerate(states) if state is not None and state not in known]
    if unknown:
        with _open_record(record) as file, tqdm(total=len(unknown), desc="checking images", unit="file") as progress:
            for number, fine in _check(paths, unknown):
                known[states[number]] = fine
                file.write(json.dumps([*(states[number] or ()), fine]) + "\n")
                progress.update()
    return [state is not None and known[state] for state in states]


def _check(paths: Sequence[Path], numbers: Sequence[int]) -> Iterator[tuple[int, bool]]:
    with ThreadPoolExecutor(THREADS) as threads:
        for first in range(0, len(numbers), CHUNK):
            chunk = numbers[first : first + CHUNK]
            yield from zip(chunk, threads.map(is_readable, [paths[number] for number in chunk]), strict=True)


def _state(path: Path) -> State | None:
    """What changes when a file does; None for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def _read_record(record: Path) -> dict[State | None, bool]:
    """What was found before. A line that was cut, as a killed process leaves it, counts for nothing."""
    known: dict[State | None, bool] = {}
    with suppress(OSError), record.open(encoding="utf-8") as lines:
        for line in lines:
            with suppress(ValueError):
                path, size, changed, fine = json.loads(line)
                known[(path, size, changed)] = fine
    return known


def _open_record(record: Path) -> TextIO:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        file = record.open("a", encoding="utf-8", buffering=1)  # each line at once, whole even if we are killed
        file.write("\n")  # the line before may have been cut
    except OSError as error:
        logger.warning("What is found readable cannot be written down, and is checked again next time: %s", error)
        return Path(os.devnull).open("w", encoding="utf-8")
    return file
