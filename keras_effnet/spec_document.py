"""The JSON text of a spec: a document with a version around it, read so that no text can do harm.

    {"schema": 1, "backbone": {"name": "mine", "stem": {"block": {"block": "conv"}, "width": 16, "stride": 2}, ...}}

This module knows no spec: `keras_effnet.spec` calls it with its own type, whose fields say what a document may hold
(`keras_effnet.codecs`). The standard library parses: nothing is executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from keras_effnet.checks import MAX_SIZE
from keras_effnet.codecs import Record, shortened, shown
from keras_effnet.errors import SpecError

SCHEMA = 1
# EfficientNet-B0 takes 2 KB, and the most stages that a backbone may have, with every field of theirs, 0.6 MB.
MAX_BYTES = 1_000_000

T = TypeVar("T")


def write_document(backbone: Any) -> str:
    """The JSON text of a backbone; `read_document` gives an equal one back.

    Args:
        backbone: a dataclass of fields that `keras_effnet.codecs` can write.

    Returns:
        The text, indented by 2; fields at their defaults are left out.

    Raises:
        SpecError: a block, norm or classifier of a class that is not registered, or a value that JSON cannot hold.
    """

    def text() -> str:
        data = Record(type(backbone)).write(backbone, "backbone")
        return json.dumps({"schema": SCHEMA, "backbone": data}, indent=2, allow_nan=False)

    return _within_depth(text)


def read_document(text: str, kind: type[T]) -> T:
    """The backbone that a JSON text describes.

    Args:
        text: a document, at most a million characters.
        kind: dataclass of the backbone.

    Raises:
        SpecError: the text is no JSON, too long, of another schema version, or describes no `kind`; names the place in
            it.
    """
    if not isinstance(text, str):
        raise SpecError(f"a spec is read from text. Received: {shown(text)}")
    if len(text) > MAX_BYTES:
        raise SpecError(f"a spec must have at most {MAX_BYTES:,} characters. Received: {len(text):,} characters")
    return _within_depth(lambda: _read_backbone(_parse(text), kind))


def _read_backbone(document: Any, kind: type[T]) -> T:
    if not isinstance(document, dict):
        raise SpecError(f"a spec is an object with the keys 'schema' and 'backbone'. Received: {shown(document)}")
    schema = document.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise SpecError(f"schema must be {SCHEMA}, the only one that this version reads. Received: {shown(schema)}")
    if set(document) != {"schema", "backbone"}:
        keys = list(document)
        raise SpecError(f"a spec has the keys 'schema' and 'backbone', and no others. Received: keys {shown(keys)}")
    return Record(kind).read(document["backbone"], "backbone")


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
