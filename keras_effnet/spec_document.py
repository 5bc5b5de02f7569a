"""A spec as a JSON document with a version, which is safe to read from anywhere.

    {"schema": 1, "backbone": {"name": "mine", "stem": {"block": {"block": "conv"}, "width": 16, "stride": 2}, ...}}

This module does not import specs: `keras_effnet.spec` calls it with its own type, whose fields define what a document
may contain (`keras_effnet.codecs`). The standard library parses the JSON, and nothing in it is executed.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar

from keras_effnet.checks import MAX_SIZE
from keras_effnet.codecs import RecordCodec, shortened, shown
from keras_effnet.errors import SpecError
from keras_effnet.json_text import parse_json

SCHEMA = 1
# EfficientNet-B0 takes 2 KB; a backbone with the most stages allowed, every field written out, takes 0.6 MB.
MAX_BYTES = 1_000_000

T = TypeVar("T")


def write_document(backbone: Any) -> str:
    """Encodes a backbone as JSON; `read_document` decodes it to an equal one.

    Args:
        backbone: a dataclass whose fields `keras_effnet.codecs` can write.

    Returns:
        The text, indented by 2; fields at their defaults are omitted.

    Raises:
        SpecError: the class of a block, norm or classifier is not registered, or a value cannot be written as JSON.
    """
    try:
        data = RecordCodec(type(backbone)).write(backbone, "backbone")
        return json.dumps({"schema": SCHEMA, "backbone": data}, indent=2, allow_nan=False)
    except RecursionError as error:  # blocks in blocks, which no file could give back
        raise SpecError("a spec must not be nested so deeply.", received="more levels than Python can write") from error


def read_document(text: str, kind: type[T]) -> T:
    """Decodes a backbone from JSON.

    Args:
        text: the document, at most a million characters.
        kind: dataclass of the backbone.

    Returns:
        The backbone.

    Raises:
        SpecError: the text is not JSON, too long, of another schema version, or does not describe a valid `kind`. The
            message names the place in the document.
    """
    if not isinstance(text, str):
        raise SpecError("a spec is read from a string.", received=shown(text))
    return _read_backbone(_parse(text), kind)


def _read_backbone(document: Any, kind: type[T]) -> T:
    if not isinstance(document, dict):
        raise SpecError("a spec must be an object with the keys 'schema' and 'backbone'.", received=shown(document))
    schema = document.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise SpecError(f"schema must be {SCHEMA}, the only one this version can read.", received=shown(schema))
    if set(document) != {"schema", "backbone"}:
        keys = list(document)
        raise SpecError("a spec has only the keys 'schema' and 'backbone'.", received=f"keys {shown(keys)}")
    return RecordCodec(kind).read(document["backbone"], "backbone")


def _parse(text: str) -> Any:
    """Parses JSON more strictly than Python does: no duplicate keys, no numbers without bounds."""
    try:
        return parse_json(
            text,
            limit=MAX_BYTES,
            object_pairs_hook=_unique,
            parse_constant=_not_finite,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except SpecError:
        raise
    except ValueError as error:
        raise SpecError(f"the text is not valid JSON for a spec: {error}.", received=shown(text)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in pairs:
        if key in found:
            raise SpecError("a key appears twice in one object.", received=shown(key))
        found[key] = item
    return found


def _not_finite(word: str) -> NoReturn:
    raise SpecError("every number must be finite.", received=word)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _not_finite(shortened(digits))


def _bounded(digits: str) -> int:
    # Check before int(), whose time grows with the square of the number of digits, and which refuses more than 4,300.
    if len(digits) > len(str(MAX_SIZE)) + 1:
        raise SpecError("every integer must be within 1e40 of 0.", received=shortened(digits))
    return int(digits)
