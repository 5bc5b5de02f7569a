"""JSON that anybody may have written: its length and its nesting are checked before Python's parser sees it.

That parser calls itself for each level. It is stopped by Python's limit of calls, which is for the whole process: where
another thread builds a model meanwhile, the limit is so high that deep JSON ends the process (`deep_recursion` in
`builder.initialization`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# Parsed, the densest JSON ("[],[],[]") takes 22 times as much memory: 220 MB. A run's state, the longest of ours, takes
# 1 MB for thousands of classes and epochs.
MAX_BYTES = 10_000_000
# Ten times what a spec needs, the deepest document of ours: document, backbone, stages, stage, block, norm.
MAX_NESTING = 64

# Texts, whose brackets do not count (the last one may have no end), and brackets. Every character is looked at once.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def parse_json(text: str, *, limit: int = MAX_BYTES, **hooks: Any) -> Any:
    """Parses a JSON text. Nothing in it is executed.

    Args:
        text: the text.
        limit: number of characters that it may have. Default: 10,000,000.
        **hooks: arguments of `json.loads`, such as `object_pairs_hook`.

    Returns:
        Dicts, lists, texts, numbers, True, False and None.

    Raises:
        ValueError: the text is no JSON, is too long, or is nested more than 64 levels deep.

    Example:
        >>> parse_json('{"widths": [16, 24]}')
        {'widths': [16, 24]}
    """
    if len(text) > limit:
        raise ValueError(f"it has {len(text):,} characters, more than {limit:,}")
    _check_nesting(text)
    return json.loads(text, **hooks)


def read_json(path: Path, *, limit: int = MAX_BYTES) -> Any:
    """Parses a JSON file in UTF-8, as `parse_json` does a text.

    Args:
        path: the file; it may begin with a byte-order mark, as some editors write.
        limit: number of bytes that it may have. Default: 10,000,000.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: as `parse_json`, or the file is no text in UTF-8.
    """
    return parse_json(read_text(path, limit=limit))


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The text of a regular file in UTF-8: no folder, and no device, which may never end.

    Args:
        path: the file; a byte-order mark at its beginning is left out.
        limit: number of bytes that it may have. Default: 10,000,000.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: the file is too long, or is no text in UTF-8.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is no regular file")
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    return content.decode("utf-8-sig")


def through_json(value: Any, **options: Any) -> Any:
    """A value as it comes back from JSON: tuples are lists, and keys are texts.

    Args:
        value: what `json.dumps` takes.
        **options: arguments of `json.dumps`, such as `default`.

    Example:
        >>> through_json({1: (2, 3)})
        {'1': [2, 3]}
    """
    return json.loads(json.dumps(value, **options))


def _check_nesting(text: str) -> None:
    level = 0
    for token in _TOKEN.finditer(text):
        sign = text[token.start()]
        if sign in "[{":
            level += 1
            if level > MAX_NESTING:
                raise ValueError(f"it is nested more than {MAX_NESTING} levels deep")
        elif sign in "]}":
            level -= 1
