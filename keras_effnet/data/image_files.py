"""Images in single files: a source that reads them on demand, and a check of all files before training.

One broken file among many must not end a night of training. All files are therefore decoded once before it starts, and
unreadable ones are left out and named. A file that breaks later is an error that names it.
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

from keras_effnet.data.reading import UNREADABLE, is_readable, read_rgb
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError
from keras_effnet.messages import progress_bar

logger = logging.getLogger(__name__)

NAMES_SHOWN = 10  # names of skipped files in the log: enough to see a pattern without flooding the terminal
THREADS = os.cpu_count() or 1  # decoding releases Python's global lock, so that threads run in parallel
CHUNK = 1024  # files handed to the threads at once, so that a million files do not become a million queued tasks

State = tuple[str, int, int]  # a file's path, size in bytes and time of last modification in nanoseconds


class ImageFiles(Source):
    """Labelled images in single files, all of which were readable when they were checked.

    Args:
        paths: path of each image.
        labels: class number of each image.
        class_names: name of each class, indexed by label.
        skipped: paths of the files that were left out. Default: none.
        banner: rows of pixels to cut off at the bottom of each image, at least 0. Default: 0.
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
                f"an image that was readable no longer is: {error}. Put the file back, or start again to leave it out.",
                received=repr(str(self.paths[index])),
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
    """Opens the readable ones among some image files; the others are logged once and listed in `skipped`.

    Args:
        paths: path of each image.
        labels: class number of each image.
        class_names: name of each class, indexed by label.
        cache: folder that remembers which files are readable, so that no unchanged file is checked twice.
        banner: rows of pixels to cut off at the bottom of each image, at least 0. Default: 0.

    Returns:
        A source of the readable images.
    """
    readable = find_readable(paths, cache)
    kept = [number for number, is_fine in enumerate(readable) if is_fine]
    skipped = tuple(str(path) for path, is_fine in zip(paths, readable, strict=True) if not is_fine)
    if skipped:
        log_skipped(skipped)
    fine = [paths[number] for number in kept]
    return ImageFiles(fine, np.array(labels, np.int32)[kept], class_names, skipped, banner)


def log_skipped(skipped: Sequence[str]) -> None:
    """Logs one warning for all images that were left out."""
    shown = ", ".join(skipped[:NAMES_SHOWN]) + (", ..." if len(skipped) > NAMES_SHOWN else "")
    logger.warning("Skipped %d unreadable files: %s", len(skipped), shown)


def find_readable(paths: Sequence[Path], cache: Path) -> list[bool]:
    """Checks which files are images that can be decoded completely.

    Args:
        paths: the files to check.
        cache: folder that remembers the results by path, size and modification time.

    Returns:
        Whether each file is readable, in the order of `paths`.
    """
    record = cache / "readable.jsonl"
    states, known = [_state(path) for path in paths], _read_record(record)
    unknown = [number for number, state in enumerate(states) if state is not None and state not in known]
    if unknown:
        with (
            _open_record(record) as file,
            progress_bar(total=len(unknown), desc="checking images", unit="file") as progress,
        ):
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
    """A value that changes when the file does; None if the file is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def _read_record(record: Path) -> dict[State | None, bool]:
    """Earlier results. Incomplete lines, such as a killed process leaves, are ignored."""
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
        file = record.open("a", encoding="utf-8", buffering=1)  # flush every line, in case the process is killed
        file.write("\n")  # the last line may be incomplete
    except OSError as error:
        logger.warning("The list of readable files cannot be written; they will be checked again next time: %s", error)
        return Path(os.devnull).open("w", encoding="utf-8")
    return file
