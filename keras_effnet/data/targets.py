"""What a table says of its images: a class, several labels, or numbers."""

from __future__ import annotations

import copy
import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.errors import DataError
from keras_effnet.vision_tasks import VisionTask

logger = logging.getLogger(__name__)

# Names that these columns go by; of several in a header, the first counts.
CLASS_COLUMNS = ("label", "class", "category")
LABELS_COLUMNS = ("labels", "classes", "categories", "tags")
# What parts the labels of a cell: the first of these that any cell holds. Spaces come last: they may be within a label.
LONGEST_NUMBER = 300  # digits of a label that is taken as a number; Python itself reads at most 4,300
SEPARATORS = ("|", ";", ",", " ")
_YES_OR_NO = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Args:
        where: the line's number and its table, for messages.
        cells: its cells, stripped.
    """

    where: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Targets:
    """What a network is to learn from a table.

    Args:
        task: what the images are labelled with.
        columns: numbers of the columns that hold it.
        names: name of each class, label or number, in the order of the network's outputs.
        separator: what parts the labels of a cell; None where each has a column of its own.
    """

    task: VisionTask
    columns: tuple[int, ...]
    names: tuple[str, ...]
    separator: str | None = None

    def read(self, lines: Sequence[Line]) -> np.ndarray:
        """The labels of some lines, as `Source.labels` holds them.

        Raises:
            DataError: a cell cannot be one, or holds a label without training images; names the line.
        """
        if self.task == "regression":
            numbers = [[_number(line, column) for column in self.columns] for line in lines]
            return np.array(numbers, np.float32).reshape(len(lines), len(self.names))
        if self.separator is None and self.task == "multilabel":
            chosen = [[_yes_or_no(line, column) for column in self.columns] for line in lines]
            return np.array(chosen, np.float32).reshape(len(lines), len(self.names))
        place = {name: number for number, name in enumerate(self.names)}
        found = [[self._place(place, label, line) for label in self._labels(line)] for line in lines]
        if self.task == "classification":
            return np.array([places[0] for places in found], np.int32)
        labels = np.zeros((len(lines), len(self.names)), np.float32)
        for row, places in enumerate(found):
            labels[row, places] = 1
        return labels

    def _labels(self, line: Line) -> list[str]:
        cell = line.cells[self.columns[0]]
        if self.separator is None:
            return [cell]
        return [label.strip() for label in cell.split(self.separator) if label.strip()]

    @staticmethod
    def _place(places: dict[str, int], label: str, line: Line) -> int:
        if label not in places:
            raise DataError(
                "each class must have training images; correct the label, or add training images.",
                received=f"label {label!r} in {line.where}",
            )
        return places[label]


def find_targets(
    header: Sequence[str],
    lines: Sequence[Line],
    taken: Sequence[int],
    task: VisionTask | None,
    columns: Sequence[str],
    table: str,
) -> Targets:
    """Finds out what a table says of its images.

    Args:
        header: names of the table's columns, in lower case.
        lines: lines of the training images.
        taken: numbers of the columns that hold something else, such as the path.
        task: what is to be learned; None for what the columns tell.
        columns: names of the columns that hold it, in lower case; none for those that are named after it.
        table: the table, for messages.

    Raises:
        DataError: no column or another one holds it, a cell cannot be one, or there are fewer than two classes.
    """
    chosen: tuple[int, ...] = _columns(header, taken, task, columns, table)
    if task is None:
        task = _task_of(header, lines, chosen, asked=bool(columns), table=table)
    first, names = chosen[0], tuple(header[column] for column in chosen)
    if task == "regression":
        return Targets(task, chosen, names)
    named = header[first] in (*CLASS_COLUMNS, *LABELS_COLUMNS)
    if task == "multilabel" and (len(chosen) > 1 or (not named and _all(lines, chosen, _is_yes_or_no))):
        return Targets(task, chosen, names)
    if len(chosen) > 1:
        raise DataError(
            "a class stands in one column; for a column for each label choose the task 'multilabel'.",
            received=f"the columns {', '.join(names):.200} of {table}",
        )
    for line in lines:
        if task == "classification" and not line.cells[first]:
            raise DataError(
                "each line must have a path and a label; add them, or remove the line.",
                received=f"{list(line.cells)} in {line.where}",
            )
    separator = _separator([line.cells[first] for line in lines]) if task == "multilabel" else None
    whole = Targets(task, chosen, (), separator)
    labels = _sorted_labels({label for line in lines for label in whole._labels(line)})
    if (len(labels) < 2 and task == "classification") or not labels:
        raise DataError(
            f"a table must list training images of at least two classes; {table} is not a table of images, or has its "
            "labels in another column.",
            received=f"{len(lines)} training images of {list(labels)}",
        )
    return Targets(task, chosen, labels, separator)


def _columns(
    header: Sequence[str], taken: Sequence[int], task: VisionTask | None, asked: Sequence[str], table: str
) -> tuple[int, ...]:
    """The columns that are asked for, or that are called so, or all that are left."""
    free = [number for number in range(len(header)) if number not in taken]
    missing = [name for name in asked if name not in [header[number] for number in free]]
    if missing:
        raise DataError(
            f"a column to learn from must be one of {', '.join(header[number] for number in free)}.",
            received=f"{missing[0]!r} for {table}",
        )
    if asked:
        return tuple(header.index(name) for name in asked)
    usual = {None: (CLASS_COLUMNS, LABELS_COLUMNS), "classification": (CLASS_COLUMNS,), "regression": ()}
    for names in usual.get(task, (LABELS_COLUMNS, CLASS_COLUMNS)):
        for number in free:
            if header[number] in names:
                return (number,)
    if not free or task == "classification":
        raise DataError(_NO_COLUMN, received=f"{list(header)} in {table}")
    return tuple(free)


_NO_COLUMN = (
    f"the table's first line must name a column {', '.join(CLASS_COLUMNS[:-1])} or {CLASS_COLUMNS[-1]}; "
    f"{LABELS_COLUMNS[0]} for several labels; or nothing but the path and a column of 0 and 1 for each label. Other "
    "columns are named by `targets`, and numbers are learned with the task 'regression'."
)


def _task_of(
    header: Sequence[str], lines: Sequence[Line], chosen: tuple[int, ...], *, asked: bool, table: str
) -> VisionTask:
    if header[chosen[0]] in LABELS_COLUMNS and len(chosen) == 1:
        return "multilabel"
    if header[chosen[0]] in CLASS_COLUMNS or (asked and len(chosen) == 1 and not _all(lines, chosen, _is_number)):
        return "classification"
    if len(chosen) > 1 and lines and _all(lines, chosen, _is_yes_or_no):
        logger.info("%s has a column for each of the labels %s", table, ", ".join(header[column] for column in chosen))
        return "multilabel"
    if asked:
        raise DataError(
            "a column of numbers may hold classes or quantities: say which by the task, 'classification' or "
            "'regression'.",
            received=f"the columns {', '.join(header[column] for column in chosen):.200} of {table}",
        )
    raise DataError(_NO_COLUMN, received=f"{list(header)} in {table}")


def _all(lines: Sequence[Line], columns: Sequence[int], holds: Callable[[str], bool]) -> bool:
    return all(holds(line.cells[column]) for line in lines for column in columns)


def _is_yes_or_no(cell: str) -> bool:
    return _plain(cell) in _YES_OR_NO


def _plain(cell: str) -> str:
    return re.sub(r"\.0*$", "", cell.lower())


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _number(line: Line, column: int) -> float:
    if not _is_number(line.cells[column]):
        raise DataError(
            "each number to learn must be finite; correct it, or remove the line.",
            received=f"{line.cells[column]!r} in {line.where}",
        )
    return float(line.cells[column])


def _yes_or_no(line: Line, column: int) -> float:
    cell = _plain(line.cells[column])
    if cell not in _YES_OR_NO:
        raise DataError(
            "a label's column must hold 1 for the images that have it and 0 for the others; correct the cell, or "
            "remove the line.",
            received=f"{line.cells[column]!r} in {line.where}",
        )
    return _YES_OR_NO[cell]


def _separator(cells: Sequence[str]) -> str:
    return next((mark for mark in SEPARATORS if any(mark in cell for cell in cells)), SEPARATORS[0])


def _sorted_labels(labels: set[str]) -> tuple[str, ...]:
    """Labels in order: as numbers if all of them are, since as text "10" would come before "2"."""
    numbers = all(label.isdecimal() and len(label) <= LONGEST_NUMBER for label in labels)
    return tuple(sorted(labels, key=int) if numbers else sorted(labels))


def relabelled(source: Source, labels: np.ndarray) -> Source:
    """The same images with other labels.

    Args:
        source: the images.
        labels: array of labels of the same shape.
    """
    other = copy.copy(source)
    other.labels = labels
    return other
