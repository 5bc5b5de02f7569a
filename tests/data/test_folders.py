"""Folders of class folders, whole or split."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from data_files import values, write_classes, write_image

from keras_effnet.data.folders import class_folders, read_folder, visible_files
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError


def test_a_plain_folder_is_all_to_train_on(tmp_path: Path) -> None:
    splits = read_folder(write_classes(tmp_path / "data", {"cat": 2, "ant": 3}), tmp_path)
    assert splits.validation is None
    assert splits.test is None
    assert splits.train.class_names == ("ant", "cat")
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert values(splits.train) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["validation", "val", "Valid", "DEV"])
def test_a_split_folder_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    write_classes(root / "train", {"ant": 3, "cat": 2})
    write_classes(root / name, {"cat": 1})  # none of the other class
    write_classes(root / ("Testing" if name.isupper() else "test"), {"ant": 1, "cat": 2})
    splits = load_data(str(root), cache=tmp_path)
    assert splits.test is not None
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [5, 1, 3]
    assert splits.validation.labels.tolist() == [1]
    assert splits.test.labels.tolist() == [0, 1, 1]
    assert splits.validation.class_names == splits.test.class_names == ("ant", "cat")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    splits = read_folder(write_classes(tmp_path / "a", {"train": 1, "bus": 1}), tmp_path)
    assert splits.train.class_names == ("bus", "train")
    splits = read_folder(write_classes(tmp_path / "b", {"train": 1, "test": 1}), tmp_path)
    assert splits.train.class_names == ("test", "train")
    write_image(tmp_path / "a" / "train" / "steam" / "1.png")  # images below a class folder are of that class
    assert len(read_folder(tmp_path / "a", tmp_path).train) == 3


def test_a_class_that_is_not_trained_on_is_an_error(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", {"ant": 1, "cat": 1})
    write_classes(tmp_path / "test", {"dog": 1})
    with pytest.raises(DataError, match=r"must have training images.*Received: 'dog'"):
        read_folder(tmp_path, tmp_path / "cache")


def test_a_split_without_images_is_an_error(tmp_path: Path) -> None:
    write_classes(tmp_path / "data" / "train", {"ant": 1, "cat": 1})
    (tmp_path / "data" / "test").mkdir()
    with pytest.raises(DataError, match="must contain images"):
        read_folder(tmp_path / "data", tmp_path)


def test_two_validation_splits_are_an_error(tmp_path: Path) -> None:
    for name in ("train", "val", "validation"):
        write_classes(tmp_path / "data" / name, {"ant": 1, "cat": 1})
    with pytest.raises(DataError, match=r"one split of each kind.*Received: .*val and validation"):
        read_folder(tmp_path / "data", tmp_path)


def test_a_folder_beside_the_splits_is_an_error_that_names_it(tmp_path: Path) -> None:
    for name in ("Train", "valid", "extra"):
        write_classes(tmp_path / "data" / name, {"ant": 1, "cat": 1})
    with pytest.raises(DataError, match=r"beside the splits.*Received: 'extra' in .*beside Train, valid"):
        read_folder(tmp_path / "data", tmp_path)


def test_test_images_that_are_not_sorted_are_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_classes(tmp_path / "data" / "train", {"ant": 1, "cat": 1})
    write_image(tmp_path / "data" / "test" / "1.png")
    splits = read_folder(tmp_path / "data", tmp_path)
    assert splits.test is None
    assert len(splits.train) == 2
    assert "not sorted into classes" in caplog.text


def test_results_among_the_images_are_no_class(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"ant": 2, "cat": 1})
    write_image(root / "results" / "finetune" / "curves.png")
    before = read_folder(root, tmp_path)
    assert before.train.class_names == ("ant", "cat", "results"), "else this test shows nothing"
    folds, rate = "other/finetune/fold-2/checkpoint/state.json", "rate/learning_rate.json"
    for mark in ("results/finetune/checkpoint/state.json", "out/model.keras", "own/features/0.npy", folds, rate):
        (root / mark).parent.mkdir(parents=True, exist_ok=True)
        (root / mark).touch()
    assert read_folder(root, tmp_path).train.class_names == ("ant", "cat")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    elsewhere = write_classes(tmp_path / "elsewhere", {"cat": 2})
    root = write_classes(tmp_path / "data", {"ant": 1})
    (root / "cat").symlink_to(elsewhere / "cat")
    (root / "ant" / "more").symlink_to(elsewhere / "cat")
    (elsewhere / "cat" / "loop").symlink_to(elsewhere)
    splits = read_folder(root, tmp_path)
    assert splits.train.class_names == ("ant", "cat")
    assert splits.train.labels.tolist().count(1) == 2
    assert len(visible_files(tmp_path / "data" / "ant")) == 3


def test_the_same_images_unpacked_elsewhere_are_the_same(tmp_path: Path) -> None:
    prints = []
    for name, first in (("one", 0), ("two", 0), ("other", 7)):
        write_classes(tmp_path / name, {"ant": 2, "cat": 1})
        write_image(tmp_path / name / "ant" / "000.png", first)
        prints.append(read_folder(tmp_path / name, tmp_path / "cache").train.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_a_class_of_broken_files_is_an_error(tmp_path: Path) -> None:
    write_classes(tmp_path / "data", {"ant": 1, "cat": 1})
    (tmp_path / "data" / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"class 'cat' needs at least one readable.*Received: 1 files"):
        read_folder(tmp_path / "data", tmp_path)


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"ant": 1, "cat": 1})
    write_image(root / "ant" / ".thumbnails" / "x.png")
    write_image(root / ".trash" / "x.png")
    assert len(read_folder(root, tmp_path).train) == 2


def test_a_class_whose_name_is_no_text_is_refused_before_the_work(tmp_path: Path) -> None:
    for name in (b"Bern", b"Z\xfcrich"):
        (tmp_path / os.fsdecode(name)).mkdir()
    with pytest.raises(DataError, match=r"text in UTF-8.*Received: 'Z\\udcfcrich'"):
        class_folders(tmp_path)
