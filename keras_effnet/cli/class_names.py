"""The names of a model's classes, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_effnet.errors import DataError
from keras_effnet.json_text import parse_json, read_text
from keras_effnet.printable import is_text


def read_names(path: Path) -> list[Any]:
    """Reads the class names in a file: one per line, a JSON list, or a JSON object of numbers by name.

    Args:
        path: the file.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = read_text(path)
        names = parse_json(text) if text.lstrip()[:1] in ("[", "{") else text.splitlines()
        if isinstance(names, dict):  # the `class_indices` of Keras' generators
            names = sorted(names, key=lambda name: int(names[name]))
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"the class names cannot be read: {error}.", received=repr(str(path))) from error
    return _without_blank_end(names)


def names_of(path: Path, classes: int) -> tuple[str, ...]:
    """The names in a file, which must be as many as the classes.

    Args:
        path: the file.
        classes: number of classes.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    found = read_names(path)
    if len(found) != classes or not all(isinstance(name, str) and is_text(name) for name in found):
        raise DataError(
            f"there must be {classes} class names: one per line, a JSON list, or a JSON object of numbers by name.",
            received=f"{len(found)} in {str(path)!r}",
        )
    return tuple(found)


def _without_blank_end(names: Sequence[Any]) -> list[Any]:
    found = list(names)
    while found and found[-1] == "":
        found.pop()
    return found
