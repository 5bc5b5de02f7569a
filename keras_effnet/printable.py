"""Text that a terminal shows, and does not obey: names of files and classes may hold anything."""

from __future__ import annotations

import re

# Control characters and lone surrogates (bytes that are no UTF-8), what else ends a line, and what turns its direction
# round (Boucher and Anderson 2021, arXiv:2111.00169).
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, lines: bool = True) -> str:
    r"""The text with what a terminal would obey written as Python writes it.

    Args:
        text: the text.
        lines: whether line ends and tabs stay. Default: True.

    Example:
        >>> printable("red: \x1b[31m"), printable("two\nlines", lines=False)
        ('red: \\x1b[31m', 'two\\nlines')
    """
    text = _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text if lines else text.replace("\n", "\\n").replace("\t", "\\t")


def is_text(text: str) -> bool:
    r"""Whether a name is text that every file can hold: one that is no UTF-8 has lone surrogates in place of bytes.

    Args:
        text: the name.

    Example:
        >>> is_text("Z\u00fcrich"), is_text("Z\udcfcrich")
        (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
