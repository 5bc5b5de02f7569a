"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from keras_effnet.errors import DataError

LOCK_FILE = ".lock"
# What to do about the errors that a user can do something about; of the others the system's own words must do.
_ADVICE = {
    # NumPy's own error when it could write only a part has no number.
    None: "the disk may be full: free some space on it, or name a folder on another, and start again",
    errno.ENOSPC: "free some space on that disk, or name a folder on another, and start again",
    errno.EDQUOT: "free some of your quota on that disk, or name a folder on another, and start again",
    errno.EROFS: "name a folder that can be written to",
    errno.EACCES: "name a folder that can be written to",
    errno.EPERM: "name a folder that can be written to",
    errno.EEXIST: "a file has the name that its folder should have: name another folder",
    errno.ENOTDIR: "a file has the name that its folder should have: name another folder",
}


def atomic_write(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file under another name first, so that there is never half of it under its own.

    The file is on the disk, not on its way to it, before it takes the place of an older one: no loss of power leaves
    an empty file. Where something fails, the older one stays, and nothing else does.

    Args:
        path: of the file; its folder is made if missing.
        write: writes everything to the path that it is given, which has the same suffix.

    Raises:
        DataError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     atomic_write(Path(folder) / "new" / "note.txt", lambda path: path.write_text("all of it"))
        ...     (Path(folder) / "new" / "note.txt").read_text()
        'all of it'
    """
    part = path.with_name(f"part-{path.name}")
    with as_data_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            _to_disk(part)
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)  # half of a large file would fill the disk for the next attempt, too
            raise
        _folder_to_disk(path.parent)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing to a folder at the same time: each waits for its turn.

    Windows has no lock of this kind: there, one process at a time may write.

    Args:
        folder: made if missing; holds an empty file for the lock from then on.

    Raises:
        DataError: the folder cannot be written to.
    """
    path = folder / LOCK_FILE
    with ExitStack() as stack:
        with as_data_error(path):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open("ab"))  # as it is closed the lock ends, also by a kill
            if find_spec("fcntl") is not None:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def as_data_error(path: Path) -> Iterator[None]:
    """Tells the system's errors in words that say what to do.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno)
        hint = f"; {advice}" if advice else ""
        raise DataError(f"the file cannot be written: {error}{hint}. Received: {str(path)!r}") from error


def _to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    """So that a file's new name is kept, too."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows, which cannot open a folder, and keeps its names by itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
