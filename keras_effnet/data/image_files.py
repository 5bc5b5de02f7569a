"""Images in single files: a source that reads them on demand, and a check of all files before training.

One broken file among many must not end a night of training. All files are therefore decoded once before it starts, and
unreadable ones are left out and named, with the reason. A file that breaks later is an error that names it.
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
from typing import Any, NamedTuple, TextIO

import numpy as np

from keras_effnet.data.reading import UNREADABLE, inspect_image, read_image, why_unreadable
from keras_effnet.data.source import Skipped, Source
from keras_effnet.errors import DataError, MissingExtraError
from keras_effnet.json_text import parse_json
from keras_effnet.messages import progress_bar
from keras_effnet.vision_tasks import VisionTask

logger = logging.getLogger(__name__)

NAMES_SHOWN = 10  # skipped files in the log: enough to see a pattern without flooding the terminal
THREADS = os.cpu_count() or 1  # decoding releases Python's global lock, so that threads run in parallel
CHUNK = 1024  # files handed to the threads at once, so that a million files do not become a million queued tasks

DIGEST_BYTES = 16  # 128 bits: two files of any collection have different ones

State = tuple[str, int, int]  # a file's path, size in bytes and time of last modification in nanoseconds


class CheckedFile(NamedTuple):
    """What was found out about a file.

    Args:
        digest: a digest of its content; None if it is no image that can be read.
        reason: why it cannot be read; "" if it can.
        channels: the numbers of channels that it can be read as, in rising order.
        peak: its largest value if it has 16 bits; 0 for all others.
    """

    digest: str | None
    reason: str = ""
    channels: tuple[int, ...] = (1, 3)
    peak: int = 0


class ImageFiles(Source):
    """Labelled images in single files, all of which were readable when they were checked.

    Args:
        paths: path of each image.
        labels: class number of each image, or its row of labels or numbers.
        class_names: name of each class, label or number.
        skipped: the files that were left out. Default: none.
        banner: rows of pixels to cut off at the bottom of each image, at least 0. Default: 0.
        checked: what `check_files` found of each file; None to look at the files when it is asked for.
        groups: name of the group of each image, such as a patient; None if they have none.
        task: what the labels are: "classification", "multilabel" or "regression". Default: "classification".
        channels: number of channels that images are read with: 3 (RGB), or that of all files' bands. Default: 3.
        bits: number of bits that images of 16 bits use; None if it is unknown, which is 16. Default: None.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: np.ndarray,
        class_names: tuple[str, ...],
        skipped: tuple[Skipped, ...] = (),
        banner: int = 0,
        checked: Sequence[CheckedFile] | None = None,
        groups: Sequence[str] | None = None,
        task: VisionTask = "classification",
        *,
        channels: int = 3,
        bits: int | None = None,
    ) -> None:
        self.paths = tuple(paths)
        self.task = task
        self.labels = np.asarray(labels, np.int32 if task == "classification" else np.float32)
        self.class_names = class_names
        self.skipped = skipped
        self.banner = banner
        self._checked = checked
        self.groups = None if groups is None else tuple(groups)
        self.channels = channels
        self.bits = bits

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        options: Any = {"channels": self.channels, "bits": self.bits or 16, "banner": self.banner}
        try:
            return read_image(self.paths[index], size, **options)
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
        told = () if (self.channels, self.bits) == (3, None) else (self.channels, self.bits)
        digest = sha256(repr((self.class_names, self.banner, *told)).encode())
        for content, label in zip(digests, self.labels.tolist(), strict=True):
            digest.update(f"{content} {label}\n".encode())
        return digest.hexdigest()

    def digests(self) -> list[str | None]:
        """A digest of the content of each file; None for one that cannot be read."""
        if self._checked is None:
            return [_digest(path) for path in self.paths]
        return [each.digest for each in self._checked]

    @property
    def peak(self) -> int:
        """The largest value among the images of 16 bits; 0 if there are none, or if the files were not checked."""
        return max((each.peak for each in self._checked or ()), default=0)

    def take(self, indices: Sequence[int] | np.ndarray) -> ImageFiles:
        return self._copy([int(index) for index in indices], self.skipped, self.channels, self.bits)

    def with_channels(self, channels: int, bits: int | None = None) -> ImageFiles:
        """The images that can be read with so many channels; the others are listed in `skipped`.

        Args:
            channels: 1 (gray) or 3 (RGB), or the number of bands that the files have.
            bits: number of bits that images of 16 bits use; None if there are none, or if it is unknown.
        """
        checked = self._checked or [CheckedFile(None)] * len(self)
        skipped = [
            Skipped(str(path), _other_channels(each.channels, channels))
            for path, each in zip(self.paths, checked, strict=True)
            if channels not in each.channels
        ]
        kept = [index for index, each in enumerate(checked) if channels in each.channels]
        # Gray is made of RGB when images are resized.
        return self._copy(kept, (*self.skipped, *skipped), 3 if channels == 1 else channels, bits)

    def _copy(
        self, indices: Sequence[int], skipped: tuple[Skipped, ...], channels: int, bits: int | None
    ) -> ImageFiles:
        paths, labels = [self.paths[index] for index in indices], self.labels[np.asarray(indices, int)]
        checked = None if self._checked is None else [self._checked[index] for index in indices]
        groups = None if self.groups is None else [self.groups[index] for index in indices]
        shape: Any = {"channels": channels, "bits": bits}
        return ImageFiles(paths, labels, self.class_names, skipped, self.banner, checked, groups, self.task, **shape)


def _other_channels(found: tuple[int, ...], asked: int) -> str:
    own = " or ".join(map(str, found))
    return f"it has {own} channels, and {asked} are read: {found[-1]} would take it"


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
    checked = check_files(paths, cache)
    kept = [number for number, each in enumerate(checked) if each.digest is not None]
    skipped = [Skipped(str(path), each.reason) for path, each in zip(paths, checked, strict=True) if each.reason]
    if skipped:
        log_skipped(skipped)
    fine = [paths[number] for number in kept]
    known = None if groups is None else [groups[number] for number in kept]
    labelled = np.asarray(labels)[kept]
    files = [checked[number] for number in kept]
    return ImageFiles(fine, labelled, class_names, tuple(skipped), banner, files, known, task)


def log_skipped(skipped: Sequence[Skipped]) -> None:
    """Logs one warning for all images that were left out, with the reasons."""
    shown = "; ".join(map(str, skipped[:NAMES_SHOWN])) + ("; ..." if len(skipped) > NAMES_SHOWN else "")
    logger.warning("Skipped %d files: %s", len(skipped), shown)


def check_files(paths: Sequence[Path], cache: Path) -> list[CheckedFile]:
    """Checks which files are images that can be decoded completely, and takes a digest of their contents.

    Args:
        paths: the files to check.
        cache: folder that remembers the results by path, size and modification time.

    Returns:
        What was found out about each file, in the order of `paths`.
    """
    record = cache / "images.jsonl"
    states, known = [_state(path) for path in paths], _read_record(record)
    unknown = [number for number, state in enumerate(states) if state is not None and state not in known]
    if unknown:
        with (
            _open_record(record) as file,
            progress_bar(total=len(unknown), desc="checking images", unit="file") as progress,
        ):
            for number, (found, lasting) in _check(paths, unknown):
                known[states[number]] = found
                if lasting:
                    file.write(json.dumps([*(states[number] or ()), *found]) + "\n")
                progress.update()
    missing = CheckedFile(None, "there is no such file")
    return [missing if state is None else known[state] for state in states]


def _check(paths: Sequence[Path], numbers: Sequence[int]) -> Iterator[tuple[int, tuple[CheckedFile, bool]]]:
    with ThreadPoolExecutor(THREADS) as threads:
        for first in range(0, len(numbers), CHUNK):
            chunk = numbers[first : first + CHUNK]
            yield from zip(chunk, threads.map(_checked, [paths[number] for number in chunk]), strict=True)


def _checked(path: Path) -> tuple[CheckedFile, bool]:
    """What a file is, and whether it will be the same the next time, whatever is installed then."""
    try:
        facts = inspect_image(path)
    except UNREADABLE as error:
        return CheckedFile(None, why_unreadable(error)), not isinstance(error, MissingExtraError)
    digest = _digest(path)
    return CheckedFile(digest, "" if digest else "it can no longer be read", *facts), True


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


def _read_record(record: Path) -> dict[State | None, CheckedFile]:
    """Earlier results. Lines that are incomplete, such as a killed process leaves, or damaged are ignored."""
    known: dict[State | None, CheckedFile] = {}
    with suppress(OSError), record.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError, TypeError):
                path, size, changed, digest, reason, channels, peak = parse_json(line)
                if (isinstance(digest, str) and len(digest) == 2 * DIGEST_BYTES) or (digest is None and reason):
                    known[(path, size, changed)] = CheckedFile(digest, reason, tuple(channels), peak)
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
