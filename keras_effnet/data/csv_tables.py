"""CSV tables of images: a path, a label, and optionally a split per line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_effnet.data.folders import check_classes
from keras_effnet.data.image_files import ImageFiles, is_there, open_files
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError

# Names that these columns go by; of several in a header, the first counts.
PATH_COLUMNS = ("path", "filename", "file", "image")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMNS = ("split", "part", "subset")
GROUP_COLUMNS = ("group", "patient", "subject")
DELIMITERS = (",", ";", "\t")  # spreadsheets of some countries write the second one
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class _Entry:
    line: int
    path: Path
    label: str
    split: str
    group: str


def read_table(table: Path, cache: Path) -> RawSplits:
    """Reads a table of images.

    Args:
        table: a CSV file with a header, whose cells are parted by commas, semicolons or tabs. It has a column `path`
            (or filename, file, image), a column `label` (or class, category), and optionally a column `split` (or part,
            subset) with the values train, validation and test, and a column `group` (or patient, subject) of images
            that are held out together or not at all. Paths are relative to the table's folder. Labels are sorted as
            numbers if all are whole numbers, else as text.
        cache: cache folder, see `keras_effnet.data.image_files.open_files`.

    Returns:
        The splits listed in the table.

    Raises:
        DataError: the table cannot be read (the message names the line), lists fewer than two classes, gives an image
            two labels, or has a class without a readable training image.
    """
    entries = list(_entries(table))
    splits = {split: [entry for entry in entries if entry.split == split] for split in ("train", "validation", "test")}
    names = _sorted_labels({entry.label for entry in splits["train"]})
    if len(names) < 2:
        raise DataError(
            f"a table must list training images of at least two classes; {table.name!r} is not a table of images, or "
            "has its labels in another column.",
            received=f"{len(splits['train'])} training images of {list(names)}",
        )
    for entry in entries:
        if entry.label not in names:
            raise DataError(
                "each class must have training images; correct the label, or add training images.",
                received=f"label {entry.label!r} in line {entry.line} of {str(table)!r}",
            )
    _check_some_exist(table, entries)
    _check_one_label(table, entries)
    train = _open(splits["train"], names, cache)
    files = np.bincount([names.index(entry.label) for entry in splits["train"]], minlength=len(names))
    check_classes(names, train.labels, files.tolist(), repr(str(table)))
    others = {split: _open(splits[split], names, cache) for split in ("validation", "test") if splits[split]}
    return RawSplits(train, others.get("validation"), others.get("test"))


def _entries(table: Path) -> Iterator[_Entry]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte-order mark
            header = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(header), strict=True)
            columns = [name.strip().lower() for name in next(reader, [])]
            path, label = _column(table, columns, PATH_COLUMNS), _column(table, columns, LABEL_COLUMNS)
            split, group = (
                next((columns.index(name) for name in columns if name in names), None)
                for names in (SPLIT_COLUMNS, GROUP_COLUMNS)
            )
            for cells in reader:
                if any(cells):
                    yield _entry(table, reader.line_num, cells, len(columns), (path, label, split, group))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the table cannot be read: {error}. It must be a CSV file in UTF-8.", received=repr(str(table))
        ) from error


def _delimiter(header: str) -> str:
    """What parts the cells: that which parts a path's and a label's column, whatever else the header holds."""
    for delimiter in DELIMITERS:
        names = {name.strip().strip('"').strip().lower() for name in header.split(delimiter)}
        if names & {*PATH_COLUMNS} and names & {*LABEL_COLUMNS}:
            return delimiter
    return DELIMITERS[0]


Columns = tuple[int, int, int | None, int | None]


def _entry(table: Path, line: int, cells: Sequence[str], width: int, columns: Columns) -> _Entry:
    where = f"line {line} of {str(table)!r}"
    if len(cells) != width:
        raise DataError(f"each line must have {width} cells, like the header.", received=f"{len(cells)} in {where}")
    path, label, split, group = columns
    if not cells[path].strip() or not cells[label].strip():
        raise DataError(
            "each line must have a path and a label; add them, or remove the line.", received=f"{cells} in {where}"
        )
    use = "train" if split is None else SPLITS.get(cells[split].strip().lower())
    if use is None:
        raise DataError(
            f"the split must be one of {', '.join(sorted(set(SPLITS.values())))}; correct it.",
            received=f"{cells[columns[2] or 0]!r} in {where}",
        )
    # An image without a group is one by itself.
    together = f"line {line}" if group is None or not cells[group].strip() else f"group {cells[group].strip()}"
    return _Entry(line, table.parent / cells[path].strip(), cells[label].strip(), use, together)


def _column(table: Path, columns: Sequence[str], names: Sequence[str]) -> int:
    for name in columns:
        if name in names:
            return columns.index(name)
    raise DataError(
        f"the table's first line must name a column {', '.join(names[:-1])} or {names[-1]}.",
        received=f"{list(columns)} in {str(table)!r}",
    )


def _sorted_labels(labels: set[str]) -> tuple[str, ...]:
    """Labels in order: as numbers if all of them are, since as text "10" would come before "2"."""
    return tuple(sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels))


def _check_some_exist(table: Path, entries: Sequence[_Entry]) -> None:
    if not any(is_there(entry.path) for entry in entries):
        raise DataError(
            f"none of the table's {len(entries)} images exists; paths must be relative to the table's folder.",
            received=f"{str(entries[0].path)!r} in line {entries[0].line} of {str(table)!r}",
        )


def _check_one_label(table: Path, entries: Sequence[_Entry]) -> None:
    seen: dict[Path, _Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.path, entry)
        if first.label != entry.label:
            raise DataError(
                "an image has one class: remove one of the lines, or correct its label.",
                received=f"{str(entry.path)!r} with {first.label!r} in line {first.line} and {entry.label!r} in line "
                f"{entry.line} of {str(table)!r}",
            )


def _open(entries: Sequence[_Entry], names: tuple[str, ...], cache: Path) -> ImageFiles:
    labels = [names.index(entry.label) for entry in entries]
    groups = [entry.group for entry in entries]
    together = groups if any(group.startswith("group ") for group in groups) else None
    return open_files([entry.path for entry in entries], labels, names, cache, groups=together)
