"""Addresses of databases and services as others may read them: in messages, reports and pages."""

from __future__ import annotations

import re

HIDDEN = "***"
_PASSWORD = re.compile(r"(://[^:/?#@\s]*:)\S*@")
# Where the number of a port should be: a password whose "@" was forgotten.
_NO_PORT = re.compile(r"(://(?:\S*@)?[^:/?#@\s\[]*:)(?!\d*(?:[/?#\s]|$))[^/?#@\s]*(?!\S*@)")
_VALUES = re.compile(r"([?&][^=&\s]+=)[^&\s]*")


def without_secrets(text: str) -> str:
    """A text in which passwords in addresses, and all values behind their `?`, are hidden.

    Args:
        text: an address, or a command that holds some. One that looks like an address, but is none (a letter may be
            missing), loses all that may be a name or a password.

    Example:
        >>> without_secrets("postgresql://me:secret@host/trials?sslmode=require")
        'postgresql://me:***@host/trials?sslmode=***'
        >>> without_secrets("postgresql//me:secret@host/trials")
        '***@host/trials'
    """
    if "://" not in text and "@" in text:
        text = f"{HIDDEN}@{text.rpartition('@')[2]}"
    elif "://" not in text and ":" in text:
        text = HIDDEN
    for pattern, shown in ((_PASSWORD, rf"\1{HIDDEN}@"), (_NO_PORT, rf"\1{HIDDEN}"), (_VALUES, rf"\1{HIDDEN}")):
        text = pattern.sub(shown, text)
    return text
