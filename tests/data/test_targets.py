"""Several labels and numbers from tables: how they are found, read and split, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import values, write_image

from keras_effnet.data.batches import Batches
from keras_effnet.data.csv_tables import read_table
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError
from keras_effnet.vision_tasks import VisionTask


def table(root: Path, text: str, images: int = 6) -> Path:
    for number in range(images):
        write_image(root / "p" / f"{number}.png", number)
    path = root / "t.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("mark", ["|", ";", ", ", " "])
@pytest.mark.parametrize("column", ["labels", "Tags"])
def test_several_labels_of_a_cell_are_parted(tmp_path: Path, mark: str, column: str) -> None:
    rows = [f'p/0.png,"cat{mark}dog"', 'p/1.png,"dog"', 'p/2.png,""', f'p/3.png,"bird{mark}cat"']
    train = read_table(table(tmp_path, "\n".join([f"path,{column}", *rows])), tmp_path).train
    assert (train.task, train.class_names) == ("multilabel", ("bird", "cat", "dog"))
    assert train.labels.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert train.labels.dtype == np.float32


def test_a_space_parts_labels_only_where_nothing_else_does(tmp_path: Path) -> None:
    train = read_table(table(tmp_path, "path,labels\np/0.png,red car|bus\np/1.png,red car"), tmp_path).train
    assert train.class_names == ("bus", "red car")


def test_a_column_for_each_label(tmp_path: Path) -> None:
    text = "cat,path,dog,split\n1,p/0.png,0,train\n0,p/1.png,1.0,train\ntrue,p/2.png,1,test\n0,p/3.png,false,val"
    splits = read_table(table(tmp_path, text), tmp_path)
    assert splits.validation is not None
    assert splits.test is not None
    assert (splits.train.task, splits.train.class_names) == ("multilabel", ("cat", "dog"))
    parts = (splits.train, splits.validation, splits.test)
    assert [part.labels.tolist() for part in parts] == [[[1, 0], [0, 1]], [[0, 0]], [[1, 1]]]


def test_numbers_are_learned_where_they_are_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, "path,age,weight\np/0.png,31,2.5\np/1.png,-7,1e3\np/2.png,4.5,0")
    train = read_table(path, tmp_path, "regression").train
    assert (train.task, train.class_names) == ("regression", ("age", "weight"))
    assert train.labels.tolist() == [[31, 2.5], [-7, 1000], [4.5, 0]]
    assert read_table(path, tmp_path, "regression", ["Weight"]).train.labels.tolist() == [[2.5], [1000], [0]]


def test_any_column_can_hold_the_class(tmp_path: Path) -> None:
    path = table(tmp_path, "path,species,label\np/0.png,cat,x\np/1.png,dog,x\np/2.png,dog,x\np/3.png,cat,x")
    found = load_data(path, targets="species", cache=tmp_path, validation=0.5)
    assert (found.train.task, found.train.class_names) == ("classification", ("cat", "dog"))
    numbers = table(tmp_path, "path,grade\np/0.png,10\np/1.png,9")
    assert read_table(numbers, tmp_path, "classification", ["grade"]).train.class_names == ("9", "10")


def test_lines_of_an_image_are_put_together_where_it_may_have_several_labels(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\np/0.png,a\np/1.png,b\np/0.png,b\np/2.png,c")
    train = read_table(path, tmp_path, "multilabel").train
    assert values(train) == [0, 1, 2]
    assert train.labels.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_rare_labels_are_on_both_sides_of_a_split(tmp_path: Path) -> None:
    rows = [f"p/{number}.png,common{'|rare' if number % 10 == 0 else ''}" for number in range(40)]
    path = table(tmp_path, "\n".join(["path,labels", *rows]), images=40)
    for seed in range(3):
        splits = load_data(path, validation=0.25, seed=seed, cache=tmp_path)
        assert splits.validation.labels.sum(axis=0).tolist() == [10, 1]
        assert sorted([*values(splits.train), *values(splits.validation)]) == list(range(40))
    few = load_data(path, labels_per_class=2, cache=tmp_path)
    assert few.train.labels.sum(axis=0).tolist() == [4, 2]


def test_labels_and_numbers_go_into_batches_as_they_are(tmp_path: Path) -> None:
    path = table(tmp_path, "path,age,weight\np/0.png,31,2.5\np/1.png,-7,1e3\np/2.png,4.5,0")
    train = read_table(path, tmp_path, "regression").train
    batches = Batches(train, resolution=8, batch_size=2, shuffle=True)
    images, labels = batches[0]
    for image, label in zip(images, labels, strict=True):
        assert label.tolist() == train.labels[int(image[0, 0, 0])].tolist()


def test_the_fingerprint_tells_other_labels(tmp_path: Path) -> None:
    first = read_table(table(tmp_path, "path,age\np/0.png,31\np/1.png,4"), tmp_path, "regression").train
    same = read_table(table(tmp_path, "path,age\np/0.png,31\np/1.png,4"), tmp_path, "regression").train
    other = read_table(table(tmp_path, "path,age\np/0.png,31\np/1.png,4.5"), tmp_path, "regression").train
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("text", "task", "targets", "message"),
    [
        ("path,age\np/0.png,31", None, (), r"a column of 0 and 1.*task 'regression'.*Received: \['path', 'age'\]"),
        ("path,age\np/0.png,31", None, ("age",), r"'classification' or 'regression'.*Received: the columns age of"),
        ("path,age\np/0.png,31", None, ("ages",), r"must be one of age\. Received: 'ages'"),
        ("path,age\np/0.png,old", "regression", (), "must be finite.*Received: 'old' in line 2 of"),
        ("path,age\np/0.png,nan", "regression", (), "must be finite.*Received: 'nan' in line 2 of"),
        ("path\np/0.png", "regression", (), "first line must name"),
        ("path,a,b\np/0.png,1,0\np/1.png,0,-1", "multilabel", ("a", "b"), "1 for the images.*Received: '-1' in line 3"),
        ("path,a,b\np/0.png,1,0\np/1.png,1,0", "multilabel", (), "each label must have a readable.*Received: b in"),
        ("path,a,b\np/0.png,1,0", "classification", ("a", "b"), "stands in one column.*Received: the columns a, b of"),
        ("path,age\np/0.png,1\np/0.png,2", "regression", (), r"has one class.*\[1.0\] in line 2.*\[2.0\] in line 3"),
        ("path,labels,split\np/0.png,a,train\np/1.png,b,test", None, (), "have training images.*'b' in line 3"),
        ("path,labels\np/0.png,\np/1.png,", None, (), "at least two classes.*Received: 2 training images of"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_an_error(
    tmp_path: Path, text: str, task: VisionTask | None, targets: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path, text), tmp_path, task, targets)


def test_only_tables_have_other_tasks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"come from tables.*Received: task='regression'"):
        load_data("digits", task="regression")
    with pytest.raises(DataError, match="`task` must be one of"):
        load_data("digits", task="ranking")  # pyright: ignore[reportArgumentType]
    path = table(tmp_path, "path,age\np/0.png,31\np/1.png,4\np/2.png,5")
    with pytest.raises(DataError, match="no classes to choose from"):
        load_data(path, task="regression", labels_per_class=1, cache=tmp_path)
