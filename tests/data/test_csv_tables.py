"""Tables of images, and what is said of those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_files import values, write_image

from keras_effnet.data.csv_tables import read_table
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError


def table(root: Path, text: str, images: int = 6, name: str = "t.csv") -> Path:
    """A table next to a folder of numbered images."""
    for number in range(images):
        write_image(root / "p" / f"{number}.png", number)
    path = root / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("header", ["path,label", "Filename, Class ", "image,category", "id,file,label"])
def test_columns_are_found_by_their_names(tmp_path: Path, header: str) -> None:
    extra = "7," if header.startswith("id") else ""
    rows = [f"{extra}p/3.png,dog", f"{extra}p/1.png,cat", f"{extra}p/2.png,dog"]
    train = read_table(table(tmp_path, "\n".join([header, *rows])), tmp_path).train
    assert train.class_names == ("cat", "dog")
    assert train.labels.tolist() == [1, 0, 1]
    assert values(train) == [3, 1, 2]


def test_a_spreadsheets_habits_are_understood(tmp_path: Path) -> None:
    text = f'\ufeffpath;label\r\n"p/0.png";"cat, or not"\r\n\r\n{tmp_path / "p" / "1.png"};dog\r\n'
    train = read_table(table(tmp_path, text), tmp_path).train
    assert train.class_names == ("cat, or not", "dog")
    assert values(train) == [0, 1]


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    text = "path,label\np/0.png,10\np/1.png,9\np/2.png,2"
    assert read_table(table(tmp_path, text), tmp_path).train.class_names == ("2", "9", "10")


def test_a_column_says_what_each_is_for(tmp_path: Path) -> None:
    rows = ["p/0.png,a,train", "p/1.png,b,Training", "p/2.png,a,val", "p/3.png,b,test", "p/4.png,b,validation"]
    splits = load_data(str(table(tmp_path, "\n".join(["path,label,split", *rows]))), cache=tmp_path)
    assert splits.test is not None
    assert [values(part) for part in (splits.train, splits.validation, splits.test)] == [[0, 1], [2, 4], [3]]
    assert splits.test.labels.tolist() == [1]


def test_what_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\np/0.png,a\np/1.png,b\np/2.png,b\np/nowhere.png,b")
    (tmp_path / "p" / "2.png").write_bytes(b"broken")
    train = read_table(path, tmp_path).train
    assert values(train) == [0, 1]
    assert [Path(name).name for name in train.skipped] == ["2.png", "nowhere.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must name"),
        ("a,b\n1,2", r"first line must name.*path, filename, file or image\. Received: \['a', 'b'\]"),
        ("path,b\n1,2", r"label, class or category\. Received: \['path', 'b'\]"),
        ("path,label\np/0.png,a\np/1.png", "must have 2 cells.*Received: 1 in line 3 of"),
        ("path,label\np/0.png,a\np/1.png,", "a path and a label.*in line 3 of"),
        ("path,label,split\np/0.png,a,train\np/1.png,b,holdout", "'holdout' in line 3 of"),
        (
            "path,label,split\np/0.png,a,train\np/1.png,b,train\np/2.png,c,test",
            "have training images.*'c' in line 4",
        ),
        ("path,label\np/0.png,a\np/1.png,a", r"at least two classes.*Received: 2 training images of \['a'\]"),
        ("path,label\nq/0.png,a\nq/1.png,b", "none of the table's 2 images.*relative.*line 2"),
        ('path,label\np/0.png,a\np/1.png,"b', "cannot be read"),
    ],
)
def test_a_wrong_table_is_an_error_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path, text), tmp_path)


def test_a_class_without_a_readable_image_is_an_error(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\np/0.png,a\np/1.png,b")
    (tmp_path / "p" / "1.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"class 'b' needs at least one readable.*Received: 1 files"):
        read_table(path, tmp_path)


def test_a_table_of_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = table(tmp_path, "")
    path.write_bytes("path,label\np/0.png,Kätzchen".encode("latin-1"))
    with pytest.raises(DataError, match="CSV file in UTF-8"):
        read_table(path, tmp_path)


def test_a_missing_table_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder or file.*Received: .*nowhere\.csv"):
        load_data(str(tmp_path / "nowhere.csv"), cache=tmp_path)
