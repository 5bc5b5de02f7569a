"""Checks of single values, so that each rule and its message are written once."""

from __future__ import annotations

import math
from collections.abc import Collection

from keras_effnet.errors import KerasEffnetError

# Far beyond any network, and so small that no count of one overflows a float.
MAX_SIZE = 10**40

# A hundred times what published networks have. Each stage is counted and drawn by itself; equal blocks in one are not.
MAX_STAGES = 1_000


def check_int(error: type[KerasEffnetError], name: str, value: object, low: int, high: int | None = None) -> None:
    """Raises `error` unless `value` is an integer (not a bool) with `low <= value <= high`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        rule = f"at least {low}" if high is None else f"from {low} to {high}"
        raise error(f"`{name}` must be an integer {rule}. Received: {name}={_shown(value)}")


def check_bool(error: type[KerasEffnetError], name: str, value: object) -> None:
    """Raises `error` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise error(f"`{name}` must be True or False. Received: {name}={value!r}")


def check_number(
    error: type[KerasEffnetError],
    name: str,
    value: object,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
) -> None:
    """Raises `error` unless `value` is a finite real number in [low, high], or in (low, high] with `open_low`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise error(f"`{name}` must be a finite number. Received: {name}={_shown(value)}")
    if value < low or value > high or (open_low and value == low):
        bound = f"greater than {low:g}" if open_low else f"at least {low:g}"
        limit = "" if high == math.inf else f" and at most {high:g}"
        raise error(f"`{name}` must be {bound}{limit}. Received: {name}={value!r}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return f"a {type(value).__name__} too long to print"


def check_rate(error: type[KerasEffnetError], name: str, value: object) -> None:
    """Raises `error` unless `value` is a number in [0, 1)."""
    check_number(error, name, value, 0, 1)
    if value == 1:
        raise error(f"`{name}` must be below 1: nothing would be left. Received: {name}={value!r}")


def check_choice(error: type[KerasEffnetError], name: str, value: object, choices: Collection[object]) -> None:
    """Raises `error` unless `value` is one of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise error(f"`{name}` must be one of {listed}. Received: {name}={value!r}")
