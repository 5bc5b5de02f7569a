"""Specs as files: JSON that people can read and edit, and that is safe to load from anywhere.

    {"schema": 1, "backbone": {"name": "mine", "stem": {"block": {"block": "conv"}, "width": 16, "stride": 2}, ...}}

Fields at their defaults are omitted. The types of the dataclasses define what a file may contain
(`keras_effnet.codecs`); `keras_effnet/spec.schema.json` tells editors the same. The standard library parses the JSON,
and nothing in it is executed.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write
from keras_effnet.codecs import RecordCodec, shown
from keras_effnet.errors import DataError, SpecError
from keras_effnet.json_text import read_text
from keras_effnet.spec import BackboneSpec
from keras_effnet.spec_document import MAX_BYTES, SCHEMA

_SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"


def read_spec(path: str | PathLike[str]) -> BackboneSpec:
    """Reads a spec from a file.

    Args:
        path: a JSON file in UTF-8, at most one megabyte.

    Returns:
        The spec.

    Raises:
        SpecError: the file is missing, or does not contain a valid spec. The message names the file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from keras_effnet.applications import resnet50_spec
        >>> with TemporaryDirectory() as folder:
        ...     write_spec(resnet50_spec, f"{folder}/mine.json")
        ...     read_spec(f"{folder}/mine.json") == resnet50_spec
        True
    """
    place = Path(path)
    try:
        text = read_text(place, limit=MAX_BYTES)
    except FileNotFoundError as error:
        raise SpecError("there is no such spec file.", received=repr(str(path))) from error
    except (OSError, ValueError) as error:
        raise SpecError(
            f"a spec file is JSON in UTF-8 of at most {MAX_BYTES:,} bytes; this cannot be read: {error}.",
            received=shown(str(path)),
        ) from error
    try:
        return BackboneSpec.from_json(text)
    except SpecError as error:
        raise SpecError(f"{path}: {error.rule}", received=error.received) from error


def write_spec(spec: BackboneSpec, path: str | PathLike[str]) -> None:
    """Writes a spec to a file in UTF-8; see `read_spec` for an example.

    Args:
        spec: the spec to write.
        path: the file to write, and its folder if that is missing; an existing file is replaced once the new one is
            whole.

    Raises:
        SpecError: the spec cannot be written as JSON, or the file cannot be written.
    """
    text = spec.to_json()
    try:
        atomic_write(Path(path), lambda part: part.write_text(text + "\n", encoding="utf-8"))
    except DataError as error:
        raise SpecError(error.rule, received=error.received) from error


def spec_schema() -> dict[str, Any]:
    """The JSON Schema of spec files, with all currently registered blocks, norms and classifiers.

    It covers names, types and choices; only `BackboneSpec.from_json` checks ranges and how fields combine. Objects with
    an unknown name, such as a plugin's, pass.

    Returns:
        The schema (draft 2020-12) as JSON data.

    Example:
        >>> spec_schema()["required"]
        ['schema', 'backbone']
    """
    named: dict[str, Any] = {}
    root = RecordCodec(BackboneSpec).schema(named)
    return {
        "$schema": _SCHEMA_URL,
        "title": "A backbone of keras-effnet",
        "type": "object",
        "properties": {"schema": {"const": SCHEMA}, "backbone": root},
        "required": ["schema", "backbone"],
        "additionalProperties": False,
        "$defs": dict(sorted(named.items())),
    }
