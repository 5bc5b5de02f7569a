"""Files that break: found before the training, named, and not looked at twice."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from data_files import values, write_image, write_noise

from keras_effnet.data import image_files, reading
from keras_effnet.data.image_files import CheckedFile, ImageFiles, check_files, open_files
from keras_effnet.data.source import Skipped
from keras_effnet.errors import DataError


@pytest.fixture
def five(tmp_path: Path) -> list[Path]:
    """Two whole images around three files that are none."""
    whole = write_noise(tmp_path / "whole.jpg").read_bytes()
    paths = [
        write_image(tmp_path / "0.png", 50),
        tmp_path / "half.jpg",
        tmp_path / "empty.png",
        tmp_path / "gone.png",
    ]
    paths[1].write_bytes(whole[: len(whole) // 2])
    paths[2].write_bytes(b"")
    return [*paths, write_image(tmp_path / "4.png", 90)]


def fine(checked: list[CheckedFile]) -> list[bool]:
    for each in checked:
        assert bool(each.digest) != bool(each.reason)
    return [not each.reason for each in checked]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    original = reading.inspect_image
    monkeypatch.setattr(image_files, "inspect_image", lambda path: (read.append(path), original(path))[1])
    return read


def test_broken_files_are_left_out_listed_and_logged_once(
    five: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        source = open_files(five, [0, 1, 1, 0, 1], ("a", "b"), tmp_path / "cache")
    assert values(source) == [50, 90]
    assert source.labels.tolist() == [0, 1]
    assert [each.name for each in source.skipped] == list(map(str, five[1:4]))
    reasons = [each.reason for each in source.skipped]
    assert "truncated" in reasons[0]
    assert reasons[1:] == ["no image of a format that Pillow reads", "there is no such file"]
    [record] = caplog.records
    assert "Skipped 3 files" in record.getMessage()
    assert all(str(each) in record.getMessage() for each in source.skipped)


def test_no_unchanged_file_is_checked_twice(five: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_reads(monkeypatch)
    first = check_files(five, tmp_path / "cache")
    assert fine(first) == [True, False, False, False, True]
    assert sorted(read) == sorted(path for path in five if path.exists())
    read.clear()
    assert check_files(five, tmp_path / "cache") == first
    assert read == []
    write_image(five[2], 7)
    os.utime(five[0], ns=(1, 1))
    assert fine(check_files(five, tmp_path / "cache")) == [True, False, True, False, True]
    assert sorted(read) == sorted([five[0], five[2]])


def test_a_record_that_was_cut_costs_only_what_was_lost(
    five: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    check_files(five[:2], cache)
    record = cache / "images.jsonl"
    record.write_text(record.read_text()[:-10])  # the process was killed while it wrote the last line
    read = count_reads(monkeypatch)
    check_files(five, cache)
    assert sorted(read) == sorted([five[1], five[2], five[4]])
    read.clear()
    check_files(five, cache)
    assert read == []
    # Nor is a line that is damaged a reason to stop.
    for line in ("[[1], 2, 3, null]", "7", "[" * 99999, '["a", 1, 2, "short", "", [3], 0]', "\udcff"):
        record.write_bytes(record.read_bytes() + line.encode(errors="surrogateescape") + b"\n")
    check_files(five, cache)
    assert read == []


def test_each_file_is_written_down_as_soon_as_it_is_known(five: list[Path], tmp_path: Path) -> None:
    checked = image_files._check(five, [0, 1])
    record = tmp_path / "cache" / "images.jsonl"
    with image_files._open_record(record) as file:
        next(checked)
        file.write(json.dumps(["a", 1, 2, True]) + "\n")
        assert record.read_text().endswith('["a", 1, 2, true]\n')


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    five: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert check_files(five, tmp_path / "file")[0].digest
    assert "list of readable files cannot be written" in caplog.text


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_what_breaks_later_is_an_error_with_its_name(five: list[Path], tmp_path: Path, how: str) -> None:
    source = open_files(five, [0, 1, 1, 0, 1], ("a", "b"), tmp_path / "cache")
    if how == "gone":
        five[4].unlink()
    else:
        five[4].write_bytes(five[4].read_bytes()[:50])
    assert source.read(0).shape == (10, 12, 3)
    with pytest.raises(DataError, match=r"no longer is.*Received: .*4\.png"):
        source.read(1)


def test_parts_keep_their_files(five: list[Path]) -> None:
    source = ImageFiles([five[0], five[4]], np.array([0, 1]), ("a", "b"), (Skipped("lost.png", "broken"),))
    taken = source.take([1, 1, 0])
    assert [taken.name_of(index) for index in range(3)] == [str(five[4]), str(five[4]), str(five[0])]
    assert values(taken) == [90, 90, 50]
    assert taken.labels.tolist() == [1, 1, 0]
    assert (taken.class_names, taken.skipped) == (("a", "b"), (("lost.png", "broken"),))


def test_a_fingerprint_changes_with_files_labels_and_names(five: list[Path]) -> None:
    def prints(paths: list[Path], labels: list[int], names: tuple[str, ...] = ("a", "b")) -> str:
        return ImageFiles(paths, np.array(labels), names).fingerprint()

    two = [five[0], five[4]]
    first = prints(two, [0, 1])
    assert prints(two, [0, 1]) == first
    others = {prints(two[::-1], [0, 1]), prints(two, [1, 1]), prints(two, [0, 1], ("a", "c"))}
    write_image(five[4], 91, (13, 10))
    others.add(prints(two, [0, 1]))
    assert len(others | {first}) == 5
