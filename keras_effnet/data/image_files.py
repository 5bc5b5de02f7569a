"""Images in single files: a source that reads them on demand, and a check of all files before training.

One broken file among many must not end a night of training. All files are therefore decoded once before it starts, and
unreadable ones are left out and named. A file that breaks later is an error that names it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TextIO

import numpy as np

from keras_effnet.data.reading import UNREADABLE, is_readable, read_rgb
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError
from keras_effnet.messages import progress_bar
from keras_effnet.vision_tasks import VisionTask

logger = logging.getLogger(__name__)

NAMES_SHOWN = 10  # names of skipped files in the log: enough to see a pattern without flooding the terminal
THREADS = os.cpu_count() or 1  # decoding releases Python's global lock, so that threads run in parallel
CHUNK = 1024  # files handed to the threads at once, so that a million files do not become a million queued tasks

DIGEST_BYTES = 16  # 128 bits: two files of any collection have different ones

State = tuple[str, int, int]  # a file's path, size in bytes and time of last modification in nanoseconds


class ImageFiles(Source):
    """Labelled images in single files, all of which were readable when they were checked.

    Args:
        paths: path of each image.
        labels: class number of each image, or its row of labels or numbers.
        class_names: name of each class, label or number.
        skipped: paths of the files that were left out. Default: none.
        banner: rows of pixels to cut off at the bottom of each image, at least 0. Default: 0.
        digests: digest of each file's content, as `find_readable` gives them; None to read the files when they are
            asked for.
        groups: name of the group of each image, such as a patient; None if they have none.
        task: what the labels are: "classification", "multilabel" or "regression". Default: "classification".
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: np.ndarray,
        class_names: tuple[str, ...],
        skipped: tuple[str, ...] = (),
        banner: int = 0,
        digests: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        task: VisionTask = "classification",
    ) -> None:
        self.paths = tuple(paths)
        self.task = task
        self.labels = np.asarray(labels, np.int32 if task == "classification" else np.float32)
        self.class_names = class_names
        self.skipped = skipped
        self.banner = banner
        self._digests = digests
        self.groups = None if groups is None else tuple(groups)

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
        # Neither names nor times: the same images, unpacked anew or elsewhere, are the same.
        digests = self.digests()
        digest = sha256(repr((self.class_names, self.banner)).encode())
        for content, label in zip(digests, self.labels.tolist(), strict=True):
            digest.update(f"{content} {label}\n".encode())
        return digest.hexdigest()

    def digests(self) -> list[str | None]:
        """A digest of the content of each file; None for one that cannot be read."""
        return [_digest(path) for path in self.paths] if self._digests is None else [*self._digests]

    def take(self, indices: Sequence[int] | np.ndarray) -> ImageFiles:
        paths, labels = [self.paths[index] for index in indices], self.labels[np.asarray(indices, int)]
        digests = None if self._digests is None else [self._digests[index] for index in indices]
        groups = None if self.groups is None else [self.groups[index] for index in indices]
        return ImageFiles(paths, labels, self.class_names, self.skipped, self.banner, digests, groups, self.task)


def open_files(
    paths: Sequence[Path],
    labels: Sequence[int] | np.ndarray,
    class_names: tuple[str, ...],
    cache: Path,
    *,
    banner: int = 0,
    groups: Sequence[str] | None = None,
    task: VisionTask = "classification",
) -> ImageFiles:
    """Opens the readable ones among some image files; the others are logged once and listed in `skipped`.

    Args:
        paths: path of each image.
        labels: class number of each image, or its row of labels or numbers.
        class_names: name of each class, label or number.
        cache: folder that remembers which files are readable, so that no unchanged file is checked twice.
        banner: rows of pixels to cut off at the bottom of each image, at least 0. Default: 0.
        groups: name of the group of each image; None if they have none. Default: None.
        task: what the labels are: "classification", "multilabel" or "regression". Default: "classification".

    Returns:
        A source of the readable images.
    """
    found = dict(enumerate(find_readable(paths, cache)))
    digests = {number: digest for number, digest in found.items() if digest is not None}
    kept = list(digests)
    skipped = tuple(str(path) for number, path in enumerate(paths) if number not in digests)
    if skipped:
        log_skipped(skipped)
    fine = [paths[number] for number in kept]
    known = None if groups is None else [groups[number] for number in kept]
    labelled = np.asarray(labels)[kept]
    return ImageFiles(fine, labelled, class_names, skipped, banner, list(digests.values()), known, task)


def log_skipped(skipped: Sequence[str]) -> None:
    """Logs one warning for all images that were left out."""
    shown = ", ".join(skipped[:NAMES_SHOWN]) + (", ..." if len(skipped) > NAMES_SHOWN else "")
    logger.warning("Skipped %d unreadable files: %s", len(skipped), shown)


def find_readable(paths: Sequence[Path], cache: Path) -> list[str | None]:
    """Checks which files are images that can be decoded completely, and takes a digest of their contents.

    Args:
        paths: the files to check.
        cache: folder that remembers the results by path, size and modification time.

    Returns:
        The digest of each readable file and None for the others, in the order of `paths`.
    """
    record = cache / "images.jsonl"
    states, known = [_state(path) for path in paths], _read_record(record)
    unknown = [number for number, state in enumerate(states) if state is not None and state not in known]
    if unknown:
        with (
            _open_record(record) as file,
            progress_bar(total=len(unknown), desc="checking images", unit="file") as progress,
        ):
            for number, digest in _check(paths, unknown):
                known[states[number]] = digest
                file.write(json.dumps([*(states[number] or ()), digest]) + "\n")
                progress.update()
    return [None if state is None else known[state] for state in states]


def _check(paths: Sequence[Path], numbers: Sequence[int]) -> Iterator[tuple[int, str | None]]:
    with ThreadPoolExecutor(THREADS) as threads:
        for first in range(0, len(numbers), CHUNK):
            chunk = numbers[first : first + CHUNK]
            yield from zip(chunk, threads.map(_digest_if_readable, [paths[number] for number in chunk]), strict=True)


def _digest_if_readable(path: Path) -> str | None:
    return _digest(path) if is_readable(path) else None


def _digest(path: Path) -> str | None:
    """A digest of a file's content; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=DIGEST_BYTES)).hexdigest()
    except OSError:
        return None


def is_there(path: Path) -> bool:
    """Whether there is such a file; a path that no file can have, too long or with a NUL, is none."""
    return _state(path) is not None


def _state(path: Path) -> State | None:
    """A value that changes when the file does; None if the file is missing."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def _read_record(record: Path) -> dict[State | None, str | None]:
    """Earlier results. Lines that are incomplete, such as a killed process leaves, or damaged are ignored."""
    known: dict[State | None, str | None] = {}
    with suppress(OSError), record.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError, TypeError, RecursionError):
                path, size, changed, digest = json.loads(line)
                if digest is None or (isinstance(digest, str) and len(digest) == 2 * DIGEST_BYTES):
                    known[(path, size, changed)] = digest
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
