"""Numbers, JSON and commands as texts for people."""

from __future__ import annotations

import json
import re
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from keras_effnet.redaction import without_secrets

NOTHING = "\N{EN DASH}"


def percent(share: float | None) -> str:
    r"""A share in percent.

    Example:
        >>> percent(0.1234).replace("\N{NO-BREAK SPACE}", " ")
        '12.3 %'
    """
    return NOTHING if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def count(number: float) -> str:
    r"""A number with its thousands set apart.

    Example:
        >>> count(1234567).replace("\N{NARROW NO-BREAK SPACE}", " ")
        '1 234 567'
    """
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def short(number: float) -> str:
    """Three digits and a unit.

    Example:
        >>> short(5_288_548), short(389e6), short(17)
        ('5.29 M', '389 M', '17')
    """
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.4g}"


def digits(number: float | None) -> str:
    """A metric or reward: four decimals for an accuracy, five digits for larger numbers.

    Example:
        >>> digits(0.5), digits(1234567)
        ('0.5000', '1.2346e+06')
    """
    if number is None:
        return NOTHING
    return f"{number:.4f}" if abs(number) < 10 else f"{number:.5g}"


def duration(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    Example:
        >>> duration(3725.4)
        '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))


def side_lengths(model: dict[str, Any]) -> tuple[int, int]:
    """Height and width of a network's images in pixels.

    Args:
        model: what metrics.json says of the network: its "resolution" is a side, or height and width.
    """
    found = model["resolution"]
    return (found, found) if isinstance(found, int) else (found[0], found[1])


def pixels_text(model: dict[str, Any]) -> str:
    """The size of a network's images, "224" or "96x160".

    Args:
        model: what metrics.json says of the network.
    """
    height, width = side_lengths(model)
    return str(height) if height == width else f"{height}x{width}"


def json_text(content: dict[str, Any]) -> str:
    """Indented JSON in which a row of numbers stays on one line, as a confusion matrix has hundreds."""
    text = json.dumps(content, indent=2)
    # Within a JSON text no line ends, so that this finds lists alone.
    return re.sub(r"\[\n[-+.\deE\s,]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def this_command() -> str:
    """The command that runs, this package's own or a script's; without passwords: others read what it stands in."""
    script, *words = sys.argv
    ours = Path(script).stem == "keras-effnet" or Path(script).parts[-2:] == ("keras_effnet", "__main__.py")
    shown = [without_secrets(word) if "://" in word else word for word in words]
    return shlex.join(["keras-effnet", *shown] if ours else ["python", script, *shown])
