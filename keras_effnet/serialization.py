"""Specs as files: JSON that people read and write, and that no file can do harm with.

    {"schema": 1, "backbone": {"name": "mine", "stem": {"block": {"block": "conv"}, "width": 16, "stride": 2}, ...}}

What stands at its default is left out. The types of the dataclasses say what a file may hold (`keras_effnet.codecs`);
`keras_effnet/spec.schema.json` says the same to editors. The standard library parses: nothing is executed.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from keras_effnet.codecs import Record, shown
from keras_effnet.errors import SpecError
from keras_effnet.spec import BackboneSpec
from keras_effnet.spec_document import MAX_BYTES, SCHEMA

_SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"


def read_spec(path: str | PathLike[str]) -> BackboneSpec:
    """Reads a spec from a file.

    Args:
        path: of a JSON file of at most a megabyte, in UTF-8.

    Returns:
        The spec.

    Raises:
        SpecError: there is no such file, or it holds no spec; names the file.

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
        if not place.is_file():
            # A directory, or a device that never ends.
            raise SpecError(f"there is no such spec file. Received: {str(path)!r}")
        with place.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"the spec file cannot be read: {error}. Received: {shown(str(path))}") from error
    if len(content) > MAX_BYTES:
        raise SpecError(f"a spec file must have at most {MAX_BYTES:,} bytes. Received: {str(path)!r}, which has more")
    try:
        text = content.decode("utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        raise SpecError(f"a spec file must be UTF-8 text: {error}. Received: {str(path)!r}") from error
    try:
        return BackboneSpec.from_json(text)
    except SpecError as error:
        rule, _, received = str(error).partition(" Received: ")
        raise SpecError(f"{path}: {rule} Received: {received}") from error


def write_spec(spec: BackboneSpec, path: str | PathLike[str]) -> None:
    """Writes a spec to a file, in UTF-8; `read_spec` has an example.

    Args:
        spec: the spec.
        path: of the file; one that is there is overwritten.

    Raises:
        SpecError: the spec cannot be written as JSON, or the file cannot be written.
    """
    text = spec.to_json()
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SpecError(f"the spec file cannot be written: {error}. Received: {shown(str(path))}") from error


def spec_schema() -> dict[str, Any]:
    """JSON Schema of a spec file, with what is registered now.

    It knows names, types and words; ranges and how fields go together, only `BackboneSpec.from_json` knows. Objects
    with a name that it does not know (a plugin's) pass.

    Returns:
        The schema (draft 2020-12) as JSON values.

    Example:
        >>> spec_schema()["required"]
        ['schema', 'backbone']
    """
    named: dict[str, Any] = {}
    root = Record(BackboneSpec).schema(named)
    return {
        "$schema": _SCHEMA_URL,
        "title": "A backbone of keras-effnet",
        "type": "object",
        "properties": {"schema": {"const": SCHEMA}, "backbone": root},
        "required": ["schema", "backbone"],
        "additionalProperties": False,
        "$defs": dict(sorted(named.items())),
    }
