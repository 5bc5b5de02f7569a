"""CSV tables of images: a path, what is to be learned, and optionally a split and a group per line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_effnet.data.folders import check_classes
from keras_effnet.data.image_files import ImageFiles, is_there, open_files
from keras_effnet.data.splits import RawSplits
from keras_effnet.data.targets import CLASS_COLUMNS, LABELS_COLUMNS, Line, Targets, find_targets
from keras_effnet.errors import DataError
from keras_effnet.vision_tasks import VisionTask

# Names that these columns go by; of several in a header, the first counts.
PATH_COLUMNS = ("path", "filename", "file", "image")
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
    line: Line
    path: Path
    split: str
    group: str


def read_table(table: Path, cache: Path, task: VisionTask | None = None, targets: Sequence[str] = ()) -> RawSplits:
    """Reads a table of images.

    Args:
        table: a CSV file with a header, whose cells are parted by commas, semicolons or tabs. It has a column `path`
            (or filename, file, image), relative to the table's folder, and one of these: a column `label` (or class,
            category); a column `labels` (or classes, categories, tags) of several labels, parted by `|`, `;`, commas or
            spaces; or nothing else but a column of 0 and 1 for each label. It may have a column `split` (or part,
            subset) with the values train, validation and test, and a column `group` (or patient, subject) of images
            that are held out together or not at all. Labels are sorted as numbers if all are whole numbers, else as
            text.
        cache: cache folder, see `keras_effnet.data.image_files.open_files`.
        task: what is to be learned: "classification", "multilabel" or "regression"; by default what the columns tell.
            With "multilabel", lines of the same image are put together.
        targets: names of the columns to learn from; by default those above, with "regression" all that are left.

    Returns:
        The splits listed in the table.

    Raises:
        DataError: the table cannot be read (the message names the line), lists fewer than two classes, gives an image
            two labels where it can have one, or has a class without a readable training image.
    """
    header, taken, entries = _read(table, targets)
    train = [entry for entry in entries if entry.split == "train"]
    columns = [name.lower() for name in targets]
    lines = [entry.line for entry in train]
    found = find_targets(header, lines, taken, task, columns, repr(str(table)))
    labels = found.read([entry.line for entry in entries])
    _check_some_exist(table, entries)
    entries, labels = _without_doubles(entries, labels, found)
    return _open_splits(table, entries, labels, found, cache)


def _open_splits(
    table: Path, entries: Sequence[_Entry], labels: np.ndarray, targets: Targets, cache: Path
) -> RawSplits:
    sources: dict[str, ImageFiles] = {}
    for split in ("train", "validation", "test"):
        rows = [number for number, entry in enumerate(entries) if entry.split == split]
        if rows or split == "train":
            sources[split] = _open([entries[row] for row in rows], labels[rows], targets, cache)
        if split == "train":
            _check_labels(table, targets, labels[rows], sources[split])
    return RawSplits(sources["train"], sources.get("validation"), sources.get("test"))


def _check_labels(table: Path, targets: Targets, listed: np.ndarray, train: ImageFiles) -> None:
    """Checks that each class or label has a readable training image."""
    if targets.task == "classification":
        files = np.bincount(listed, minlength=len(targets.names))
        check_classes(targets.names, train.labels, files.tolist(), repr(str(table)))
    elif not len(train):
        raise DataError("a table must list readable training images.", received=f"none in {str(table)!r}")
    elif targets.task == "multilabel":
        absent = [name for name, count in zip(targets.names, train.images_per_class, strict=True) if not count]
        if absent:
            raise DataError(
                "each label must have a readable training image; add one, or remove the label.",
                received=f"{', '.join(absent):.200} in {str(table)!r}",
            )


def _read(table: Path, targets: Sequence[str]) -> tuple[list[str], list[int], list[_Entry]]:
    """The names of the columns, the numbers of those with a path, a split or a group, and the lines."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte-order mark
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=_delimiter(first, targets), strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            path = _column(header, PATH_COLUMNS)
            if path is None:
                raise DataError(
                    f"the table's first line must name a column {', '.join(PATH_COLUMNS[:-1])} or {PATH_COLUMNS[-1]}.",
                    received=f"{header} in {str(table)!r}",
                )
            places = (path, _column(header, SPLIT_COLUMNS), _column(header, GROUP_COLUMNS))
            entries = list(_entries(table, reader, len(header), places))
            return header, [place for place in places if place is not None], entries
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the table cannot be read: {error}. It must be a CSV file in UTF-8.", received=repr(str(table))
        ) from error


def _delimiter(header: str, targets: Sequence[str]) -> str:
    """What parts the cells: that which parts a path's column from another one, whatever else the header holds."""
    wanted = {*CLASS_COLUMNS, *LABELS_COLUMNS, *map(str.lower, targets)}
    parted = {
        delimiter: {name.strip().strip('"').strip().lower() for name in header.split(delimiter)}
        for delimiter in DELIMITERS
    }
    found = [delimiter for delimiter, names in parted.items() if names & {*PATH_COLUMNS} and len(names) > 1]
    return next((delimiter for delimiter in found if parted[delimiter] & wanted), [*found, DELIMITERS[0]][0])


Places = tuple[int, int | None, int | None]


def _entries(table: Path, reader: Iterator[Sequence[str]], width: int, places: Places) -> Iterator[_Entry]:
    path, split, group = places
    for cells in reader:
        if not any(cells):
            continue
        where = f"line {reader.line_num} of {str(table)!r}"  # pyright: ignore[reportAttributeAccessIssue] - of csv
        if len(cells) != width:
            raise DataError(f"each line must have {width} cells, like the header.", received=f"{len(cells)} in {where}")
        line = Line(where, tuple(cell.strip() for cell in cells))
        if not line.cells[path]:
            raise DataError(
                "each line must have a path and a label; add them, or remove the line.", received=f"{cells} in {where}"
            )
        use = "train" if split is None else SPLITS.get(line.cells[split].lower())
        if use is None:
            raise DataError(
                f"the split must be one of {', '.join(sorted(set(SPLITS.values())))}; correct it.",
                received=f"{cells[split or 0]!r} in {where}",
            )
        # An image without a group is one by itself.
        together = where if group is None or not line.cells[group] else f"group {line.cells[group]}"
        yield _Entry(line, table.parent / line.cells[path], use, together)


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((number for number, name in enumerate(header) if name in names), None)


def _check_some_exist(table: Path, entries: Sequence[_Entry]) -> None:
    if not any(is_there(entry.path) for entry in entries):
        raise DataError(
            f"none of the table's {len(entries)} images exists; paths must be relative to the table's folder.",
            received=f"{str(entries[0].path)!r} in {entries[0].line.where}",
        )


def _without_doubles(
    entries: Sequence[_Entry], labels: np.ndarray, targets: Targets
) -> tuple[list[_Entry], np.ndarray]:
    """One line for each image of several labels; other images that contradict themselves are an error."""
    first: dict[tuple[Path, str], int] = {}
    merged = targets.separator is not None
    kept: list[int] = []
    for number, entry in enumerate(entries):
        earlier = first.setdefault((entry.path, entry.split if merged else ""), number)
        if merged and earlier != number:
            labels[earlier] = np.maximum(labels[earlier], labels[number])
            continue
        kept.append(number)
        if earlier != number and not np.array_equal(labels[earlier], labels[number]):
            told = [_told(labels[row], targets) for row in (earlier, number)]
            raise DataError(
                "an image has one class, or one line of labels or numbers: remove one of the lines, or correct it; if "
                "images may have several labels, choose the task 'multilabel'.",
                received=f"{str(entry.path)!r} with {told[0]} in {entries[earlier].line.where} and {told[1]} in "
                f"{entry.line.where}",
            )
    return [entries[number] for number in kept], labels[kept]


def _told(label: np.ndarray, targets: Targets) -> str:
    return repr(targets.names[int(label)]) if targets.task == "classification" else str(label.tolist())


def _open(entries: Sequence[_Entry], labels: np.ndarray, targets: Targets, cache: Path) -> ImageFiles:
    groups = [entry.group for entry in entries]
    together = groups if any(group.startswith("group ") for group in groups) else None
    paths = [entry.path for entry in entries]
    return open_files(paths, labels, targets.names, cache, groups=together, task=targets.task)
