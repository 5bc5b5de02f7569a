"""A CSV table of images: a path, a label, and if there is one a column that says what each is for."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_effnet.data.folders import check_classes
from keras_effnet.data.image_files import ImageFiles, open_files
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError

# What people call these columns; the first of each kind in the header counts.
PATH_COLUMNS = ("path", "filename", "file", "image")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMNS = ("split", "part", "subset")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class _Row:
    line: int
    path: Path
    label: str
    split: str


def read_table(table: Path, cache: Path) -> RawSplits:
    """Reads a table of images.

    Args:
        table: a CSV file with a header: a column `path` (or filename, file, image), one `label` (or class, category),
            and if wanted `split` (or part, subset) with train, validation or test. Paths are relative to the table.
            Labels that are all whole numbers are sorted as numbers, others as text.
        cache: see `keras_effnet.data.image_files.open_files`.

    Returns:
        What the table lists.

    Raises:
        DataError: a table that cannot be read, with the line; fewer than two classes; a class without a readable
            image to train on.
    """
    rows = list(_rows(table))
    parts = {split: [row for row in rows if row.split == split] for split in ("train", "validation", "test")}
    names = _sorted_labels({row.label for row in parts["train"]})
    if len(names) < 2:
        raise DataError(
            f"a table must list images of at least two classes to train on; {table.name!r} is a table of something "
            f"else, or its label column is not what it seems. Received: {len(parts['train'])} rows of {list(names)}"
        )
    for row in rows:
        if row.label not in names:
            raise DataError(
                f"a class to test on must be trained on too; correct the label, or add rows to train on. Received: "
                f"label {row.label!r} in line {row.line} of {str(table)!r}"
            )
    _check_some_exist(table, rows)
    train = _open(parts["train"], names, cache)
    files = np.bincount([names.index(row.label) for row in parts["train"]], minlength=len(names))
    check_classes(names, train.labels, files.tolist(), repr(str(table)))
    others = {split: _open(parts[split], names, cache) for split in ("validation", "test") if parts[split]}
    return RawSplits(train, others.get("validation"), others.get("test"))


def _rows(table: Path) -> Iterator[_Row]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a mark at the start
            header = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=";" if ";" in header and "," not in header else ",", strict=True)
            columns = [name.strip().lower() for name in next(reader, [])]
            path, label = _column(table, columns, PATH_COLUMNS), _column(table, columns, LABEL_COLUMNS)
            split = next((columns.index(name) for name in columns if name in SPLIT_COLUMNS), None)
            for cells in reader:
                if any(cells):
                    yield _row(table, reader.line_num, cells, len(columns), (path, label, split))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the table cannot be read: {error}. It must be a CSV file in UTF-8. Received: {str(table)!r}"
        ) from error


def _row(table: Path, line: int, cells: Sequence[str], width: int, columns: tuple[int, int, int | None]) -> _Row:
    where = f"line {line} of {str(table)!r}"
    if len(cells) != width:
        raise DataError(f"each line must have {width} cells, as the header. Received: {len(cells)} in {where}")
    path, label, split = columns
    if not cells[path].strip() or not cells[label].strip():
        raise DataError(f"a line must have a path and a label; fill them, or remove it. Received: {cells} in {where}")
    use = "train" if split is None else SPLITS.get(cells[split].strip().lower())
    if use is None:
        raise DataError(
            f"a line is for one of {', '.join(sorted(set(SPLITS.values())))}; correct it. "
            f"Received: {cells[columns[2] or 0]!r} in {where}"
        )
    return _Row(line, table.parent / cells[path].strip(), cells[label].strip(), use)


def _column(table: Path, columns: Sequence[str], names: Sequence[str]) -> int:
    for name in columns:
        if name in names:
            return columns.index(name)
    raise DataError(
        f"the first line of a table names its columns, and one must be called {', '.join(names[:-1])} or {names[-1]}. "
        f"Received: {list(columns)} in {str(table)!r}"
    )


def _sorted_labels(labels: set[str]) -> tuple[str, ...]:
    """As numbers where all are; else "10" would come before "2"."""
    return tuple(sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels))


def _check_some_exist(table: Path, rows: Sequence[_Row]) -> None:
    if not any(row.path.exists() for row in rows):
        raise DataError(
            f"none of the {len(rows)} images of the table is there: paths are relative to the folder of the table. "
            f"Received: {str(rows[0].path)!r} in line {rows[0].line} of {str(table)!r}"
        )


def _open(rows: Sequence[_Row], names: tuple[str, ...], cache: Path) -> ImageFiles:
    return open_files([row.path for row in rows], [names.index(row.label) for row in rows], names, cache)
