"""Files are complete or absent: on a full disk, in a read-only folder, after Ctrl-C. Folders have one writer."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from keras_effnet.atomic import LOCK_FILE, atomic_write, folder_lock
from keras_effnet.errors import DataError


def write_old(path: Path) -> None:
    atomic_write(path, lambda part: part.write_text("old"))


def assert_left_alone(path: Path) -> None:
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name], "no part-file is left"


def test_a_file_is_written_under_another_name_of_the_same_suffix(tmp_path: Path) -> None:
    path = tmp_path / "new" / "weights.h5"
    seen = []

    def write(part: Path) -> None:
        seen.append((part.suffix, part.parent, path.exists()))
        part.write_bytes(b"1234")

    atomic_write(path, write)
    assert seen == [(".h5", path.parent, False)]
    assert path.read_bytes() == b"1234"
    assert os.listdir(path.parent) == ["weights.h5"]


def test_a_full_disk_is_said_and_leaves_the_old_file(tmp_path: Path) -> None:
    """/dev/full is a file of Linux's on a disk that is always full."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    path = tmp_path / "state.json"
    write_old(path)
    (tmp_path / "part-state.json").symlink_to("/dev/full")
    with pytest.raises(DataError, match=rf"No space left.*free some space.*Received: {re.escape(repr(str(path)))}"):
        atomic_write(path, lambda part: part.write_text("new"))
    assert_left_alone(path)


@pytest.fixture
def short_files() -> Iterator[None]:
    """No file of this process may grow beyond a thousand bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("kind", ["text", "numpy"])
def test_a_disk_that_fills_up_half_way(tmp_path: Path, short_files: None, kind: str) -> None:
    path = tmp_path / "many.npy"
    write_old(path)
    array = np.zeros(10_000)
    write = {"text": lambda part: part.write_bytes(array.tobytes()), "numpy": lambda part: np.save(part, array)}
    with pytest.raises(DataError, match=r"cannot be written: .*Received: "):
        atomic_write(path, write[kind])
    assert_left_alone(path)


def test_numpys_own_words_for_a_full_disk_are_explained(tmp_path: Path, short_files: None) -> None:
    with pytest.raises(DataError, match="the disk may be full"):
        atomic_write(tmp_path / "many.npy", lambda part: np.save(part, np.zeros(10_000)))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    for path in (tmp_path / "results" / "a.txt", tmp_path / "results" / "deeper" / "a.txt"):
        with pytest.raises(DataError, match=r"a file has the name .*Received: "):
            atomic_write(path, lambda part: part.write_text("new"))


def test_a_folder_that_nobody_can_write_to() -> None:
    """Not even root, for whom permissions do not hold."""
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc here")
    with pytest.raises(DataError, match=r"cannot be written: .*Received: '/proc/"):
        atomic_write(Path("/proc/self/metrics.json"), lambda part: part.write_text("new"))
    with pytest.raises(DataError, match=r"cannot be written: .*Received: '/proc/"), folder_lock(Path("/proc/self")):
        pass


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_read_only_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / "a.txt"
    write_old(path)

    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=r"name a folder that can be written to\. Received: "):
        atomic_write(path, lambda part: part.write_text("new"))
    assert_left_alone(path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_no_matter_of_files_is_passed_on(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_old(path)

    def write(part: Path) -> None:
        part.write_text("half")
        raise error

    with pytest.raises(error):
        atomic_write(path, write)
    assert_left_alone(path)


def test_all_of_a_file_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    replace, sync = os.replace, os.fsync

    def sync_noted(descriptor: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
        calls.append((name, os.fstat(descriptor).st_size if name.startswith("part-") else None))
        sync(descriptor)

    def replace_noted(part: Path, path: Path) -> None:
        calls.append((path.name, None))
        replace(part, path)

    monkeypatch.setattr(os, "fsync", sync_noted)
    monkeypatch.setattr(os, "replace", replace_noted)
    atomic_write(tmp_path / "a.txt", lambda part: part.write_text("12345"))
    assert calls == [("part-a.txt", 5), ("a.txt", None), (tmp_path.name, None)]


def is_locked(folder: Path) -> bool:
    try:
        with FileLock(folder / LOCK_FILE, timeout=0):
            return False
    except Timeout:
        return True


def test_a_folder_has_one_writer_and_a_killed_one_leaves_it_to_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    hold = (
        "import sys, time; from pathlib import Path; from keras_effnet.atomic import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])):\n    print('mine', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", hold, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "mine\n"
        assert is_locked(folder)
        first.send_signal(signal.SIGKILL)
    with folder_lock(folder):
        assert is_locked(folder)
    assert not is_locked(folder)


def test_what_fails_while_a_folder_is_locked_is_passed_on_and_unlocks_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the block"), folder_lock(tmp_path):
        raise OSError("of the block")
    assert not is_locked(tmp_path)


def test_a_process_that_is_killed_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text("old")
    write = (
        "import os, sys; from pathlib import Path; from keras_effnet.atomic import atomic_write\n"
        "def half(part):\n    part.write_text('ha')\n    os.kill(os.getpid(), 9)\n"
        "atomic_write(Path(sys.argv[1]), half)"
    )
    assert subprocess.run([sys.executable, "-c", write, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    write_old(path)
    assert_left_alone(path)
