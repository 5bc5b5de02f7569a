"""The size of the images that a network takes: a side of a square, or height and width; and how images get there."""

from __future__ import annotations

from typing import Any, Literal

from keras_effnet.checks import check_int, plain
from keras_effnet.errors import KerasEffnetError

Resolution = int | tuple[int, int]
"""The side of a square in pixels, or (height, width)."""

Resize = Literal["stretch", "pad", "crop"]
"""How an image of other proportions gets there: stretched; whole, with black beside it; or its middle."""


def check_resolution(
    error: type[KerasEffnetError], name: str, value: Any, low: int, high: int | None = None
) -> Resolution:
    """Returns `value` as one side, or as (height, width) where they differ.

    Args:
        error: what to raise.
        name: name of the argument, for the message.
        value: an integer, or a pair of them.
        low: smallest side.
        high: largest side; None for any.

    Raises:
        KerasEffnetError: `error`, unless `value` is a side, or a pair of them.

    Example:
        >>> from keras_effnet.errors import DataError
        >>> check_resolution(DataError, "resolution", [96, 160], 1)
        (96, 160)
        >>> check_resolution(DataError, "resolution", (224, 224), 1)
        224
    """
    sides = plain(value)
    if not isinstance(sides, tuple):
        return check_int(error, name, sides, low, high)
    if len(sides) != 2:
        raise error(f"`{name}` must be one side, or (height, width).", received=f"{name}={value!r:.100}")
    height, width = (check_int(error, f"sides of {name}", side, low, high) for side in sides)
    return height if height == width else (height, width)


def sides_of(resolution: Resolution) -> tuple[int, int]:
    """Height and width in pixels.

    Example:
        >>> sides_of(224), sides_of((96, 160))
        ((224, 224), (96, 160))
    """
    return resolution if isinstance(resolution, tuple) else (resolution, resolution)


def resolution_text(resolution: Resolution) -> str:
    """What people read, and the command line takes.

    Example:
        >>> resolution_text(224), resolution_text((96, 160))
        ('224', '96x160')
    """
    return "x".join(map(str, resolution)) if isinstance(resolution, tuple) else str(resolution)
