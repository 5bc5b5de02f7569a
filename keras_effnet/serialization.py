"""Specs as files: JSON that people read and write, and that no file can do harm with.

    {"schema": 1, "backbone": {"name": "mine", "stem": {"block": {"block": "conv"}, "width": 16, "stride": 2}, ...}}

What stands at its default is left out. The types of the dataclasses say what a file may hold (`keras_effnet.codecs`);
`keras_effnet/spec.schema.json` says the same to editors. The standard library parses: nothing is executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from keras_effnet.codecs import Record, shortened, shown
from keras_effnet.errors import SpecError
from keras_effnet.spec import MAX_SIZE, BackboneSpec

SCHEMA = 1
# EfficientNet-B0 takes 2 KB, and the most stages that a backbone may have, with every field of theirs, 0.6 MB.
MAX_BYTES = 1_000_000
_SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"
_ROOT = Record(BackboneSpec)

T = TypeVar("T")


def write_json(spec: BackboneSpec) -> str:
    """The spec as JSON; `read_json` gives an equal one back.

    Args:
        spec: the spec.

    Returns:
        The text of a spec file.

    Raises:
        SpecError: a block, norm or classifier whose class is not registered, or a value that no file can hold.

    Example:
        >>> from keras_effnet.applications import efficientnet_b0_spec
        >>> read_json(write_json(efficientnet_b0_spec)) == efficientnet_b0_spec
        True
    """

    def text() -> str:
        return json.dumps({"schema": SCHEMA, "backbone": _ROOT.write(spec, "backbone")}, indent=2, allow_nan=False)

    return _within_depth(text)


def read_json(text: str) -> BackboneSpec:
    """The spec that `text` describes.

    Args:
        text: of a spec file, at most a million characters.

    Returns:
        The spec.

    Raises:
        SpecError: the text is no JSON, too long or of another schema, or describes no spec; names the place in it.

    Example:
        >>> stem = '{"block": {"block": "conv"}, "width": 16, "stride": 2}'
        >>> stage = '{"block": {"block": "mbconv", "kernel": 5}, "width": 24, "depth": 2}'
        >>> backbone = f'{{"name": "mine", "stem": {stem}, "stages": [{stage}], "resolution": 64}}'
        >>> read_json(f'{{"schema": 1, "backbone": {backbone}}}').stages[0].depth
        2
    """
    if not isinstance(text, str):
        raise SpecError(f"a spec is read from text. Received: {shown(text)}")
    if len(text) > MAX_BYTES:
        raise SpecError(f"a spec must have at most {MAX_BYTES:,} characters. Received: {len(text):,} characters")
    return _within_depth(lambda: _read_document(_parse(text)))


def _read_document(document: Any) -> BackboneSpec:
    if not isinstance(document, dict):
        raise SpecError(f"a spec is an object with the keys 'schema' and 'backbone'. Received: {shown(document)}")
    schema = document.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise SpecError(f"schema must be {SCHEMA}, the only one that this version reads. Received: {shown(schema)}")
    if set(document) != {"schema", "backbone"}:
        keys = list(document)
        raise SpecError(f"a spec has the keys 'schema' and 'backbone', and no others. Received: keys {shown(keys)}")
    return _ROOT.read(document["backbone"], "backbone")


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
        return read_json(text)
    except SpecError as error:
        raise SpecError(f"{path}: {error.rule}", received=error.received) from error


def write_spec(spec: BackboneSpec, path: str | PathLike[str]) -> None:
    """Writes a spec to a file, in UTF-8; `read_spec` has an example.

    Args:
        spec: the spec.
        path: of the file; one that is there is overwritten.

    Raises:
        SpecError: the spec cannot be written as JSON, or the file cannot be written.
    """
    text = write_json(spec)
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SpecError(f"the spec file cannot be written: {error}. Received: {shown(str(path))}") from error


def spec_schema() -> dict[str, Any]:
    """JSON Schema of a spec file, with what is registered now.

    It knows names, types and words; ranges and how fields go together, only `read_json` knows. Objects with a name that
    it does not know (a plugin's) pass.

    Returns:
        The schema (draft 2020-12) as JSON values.

    Example:
        >>> spec_schema()["required"]
        ['schema', 'backbone']
    """
    named: dict[str, Any] = {}
    root = _ROOT.schema(named)
    return {
        "$schema": _SCHEMA_URL,
        "title": "A backbone of keras-effnet",
        "type": "object",
        "properties": {"schema": {"const": SCHEMA}, "backbone": root},
        "required": ["schema", "backbone"],
        "additionalProperties": False,
        "$defs": dict(sorted(named.items())),
    }


def _within_depth(work: Callable[[], T]) -> T:
    try:
        return work()
    except RecursionError as error:
        raise SpecError("a spec must not be nested so deeply. Received: more levels than Python can hold") from error


def _parse(text: str) -> Any:
    """JSON without what Python's parser lets through: keys that stand twice, numbers beyond all bounds."""
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_not_finite,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except json.JSONDecodeError as error:
        raise SpecError(f"the text is no JSON: {error}. Received: {shown(text)}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in pairs:
        if key in found:
            raise SpecError(f"a key stands twice in one object. Received: {shown(key)}")
        found[key] = item
    return found


def _not_finite(word: str) -> NoReturn:
    raise SpecError(f"every number must be finite. Received: {word}")


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _not_finite(shortened(digits))


def _bounded(digits: str) -> int:
    # Before int(), which takes the square of the number of digits, or refuses above 4,300.
    if len(digits) > len(str(MAX_SIZE)) + 1:
        raise SpecError(f"every integer must be within 1e40 of 0. Received: {shortened(digits)}")
    return int(digits)
