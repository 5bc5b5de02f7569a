"""Files that are complete or absent, whatever happens while they are written; and folders with one writer at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from keras_effnet.errors import DataError

LOCK_FILE = ".lock"
# Advice for the errors that a user can fix; for all others the system's own message has to do.
_ADVICE = {
    # NumPy's own error after a partial write has no number.
    None: "the disk may be full: free some space on it, or name a folder on another disk, and start again",
    errno.ENOSPC: "free some space on that disk, or name a folder on another disk, and start again",
    errno.EDQUOT: "free some of your quota on that disk, or name a folder on another disk, and start again",
    errno.EROFS: "name a folder that can be written to",
    errno.EACCES: "name a folder that can be written to",
    errno.EPERM: "name a folder that can be written to",
    errno.EEXIST: "a file has the name of a folder that is needed: name another folder",
    errno.ENOTDIR: "a file has the name of a folder that is needed: name another folder",
}


def atomic_write(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file under a temporary name, then renames it, so that no half-written file ever has its name.

    The content is flushed to disk before the rename: a power cut does not leave an empty file. On failure an existing
    file stays as it was, and the temporary one is deleted.

    Args:
        path: the file to write; its folder is created if missing.
        write: called with a temporary path in the same folder and with the same suffix; writes the whole content there.

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
            _flush_file(part)
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)  # half of a large file would fill the disk for the next attempt, too
            raise
        _flush_folder(path.parent)


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Finds out whether a file or a folder can be written, before the work that it is for. Writes nothing.

    Args:
        path: the file or the folder, whether it is there or not.
        folder: whether `path` is a folder.

    Raises:
        DataError: it cannot be written.
    """
    with as_data_error(path):
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        with suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)  # tells a name that is too long
        whole = Path(os.path.abspath(path if folder else path.parent))
        nearest = next(each for each in (whole, *whole.parents) if os.path.lexists(each))
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Lets one process at a time write to a folder; the others wait for their turn.

    The operating system releases the lock when its holder ends, even if the holder is killed.

    Args:
        folder: the folder to lock; created if missing. An empty file, `.lock`, stays in it.

    Raises:
        DataError: the folder cannot be written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, folder_lock(Path(folder)):
        ...     _ = (Path(folder) / "note.txt").write_text("written by one process at a time")
    """
    from filelock import FileLock  # only searches lock folders

    path = folder / LOCK_FILE
    with ExitStack() as stack:
        with as_data_error(path):
            folder.mkdir(parents=True, exist_ok=True)
            path.touch()  # filelock would wait forever in a folder where no file can be created
            stack.enter_context(FileLock(path))
        yield


@contextmanager
def as_data_error(path: Path) -> Iterator[None]:
    """Turns an OSError raised inside the block into a DataError with advice on how to fix it.

    Args:
        path: the file being written, named in the message.

    Raises:
        DataError: the file cannot be written, or no file can have this name.
    """
    if "\0" in str(path):
        raise DataError("no file can have a name with a zero byte.", received=repr(str(path)))
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno)
        hint = f"; {advice}" if advice else ""
        raise DataError(f"the file cannot be written: {error}{hint}.", received=repr(str(path))) from error


def _flush_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Flushes a folder's entries to disk, so that a rename survives a power cut."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows can neither open a folder nor needs to
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
