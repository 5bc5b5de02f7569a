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


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_are_parted_by_what_parts_the_columns_that_count(tmp_path: Path, delimiter: str) -> None:
    other = ";" if delimiter == "," else ","
    rows = [(f"note{other} free", "path", "label"), ("x", "p/0.png", "a"), ("y", "p/1.png", "b")]
    text = "\n".join(map(delimiter.join, rows))
    train = read_table(table(tmp_path, text), tmp_path).train
    assert train.class_names == ("a", "b")
    assert values(train) == [0, 1]


def test_paths_that_no_file_can_have_are_listed_with_the_others(tmp_path: Path) -> None:
    text = f"path,label\np/0.png,a\np/1.png,b\n{'x' * 300}.png,b\np/no\0ne.png,a"
    train = read_table(table(tmp_path, text), tmp_path).train
    assert values(train) == [0, 1]
    assert len(train.skipped) == 2


def test_groups_are_held_out_whole(tmp_path: Path) -> None:
    rows = [f"p/{number}.png,{'ab'[number % 2]},{number // 4}" for number in range(40)]
    path = table(tmp_path, "\n".join(["path,label,patient", *rows]), images=40)
    for seed in range(3):
        splits = load_data(path, validation=0.2, seed=seed, cache=tmp_path)
        held = {value // 4 for value in values(splits.validation)}
        assert len(splits.validation) == 4 * len(held) == 8
        assert held.isdisjoint(value // 4 for value in values(splits.train))
        assert set(splits.validation.labels) == {0, 1}
    assert len({tuple(values(load_data(path, seed=seed, cache=tmp_path).validation)) for seed in range(6)}) > 1
    single = table(
        tmp_path, "\n".join(["path,label,group", *(f"p/{number}.png,{number % 2},x" for number in range(4))])
    )
    with pytest.raises(DataError, match=r"at least two groups.*Received: 1 group of 4 images"):
        load_data(single, cache=tmp_path)


def test_a_file_in_two_splits_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = ["p/0.png,a,train", "p/1.png,b,train", "p/2.png,a,val", "p/3.png,b,test", "p/copy.png,a,test"]
    path = table(tmp_path, "\n".join(["path,label,split", *rows]))
    (tmp_path / "p" / "copy.png").write_bytes((tmp_path / "p" / "0.png").read_bytes())
    load_data(path, cache=tmp_path)
    [warning] = [record.message for record in caplog.records if "too, by their content" in record.message]
    assert warning.startswith("1 test images are training images too")
    assert "copy.png = " in warning
    assert "p/0.png" in warning


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
    assert [Path(each.name).name for each in train.skipped] == ["2.png", "nowhere.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must name"),
        ("a,b\n1,2", r"first line must name.*path, filename, file or image\. Received: \['a', 'b'\]"),
        ("path,b\n1,2", r"label, class or category; .*Received: \['path', 'b'\]"),
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
        (
            "path,label\np/0.png,a\np/1.png,b\np/0.png,b",
            r"has one class.*Received: '.*0\.png' with 'a' in line 2 of .* and 'b' in line 4 of",
        ),
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
