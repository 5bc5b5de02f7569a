"""Checks of single values, so that each rule and its message are written once.

Numbers may be NumPy's wherever Python's may stand: checks return Python's, and dataclasses hold them (`store_plain`).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection
from dataclasses import fields, replace
from functools import cache
from operator import is_
from typing import Any

from keras_effnet.errors import KerasEffnetError

# Far beyond any network, and so small that no count of one overflows a float.
MAX_SIZE = 10**40

# A hundred times what published networks have. Each stage is counted and drawn by itself, unlike equal blocks in one.
MAX_STAGES = 1_000

# What NumPy's and Python's generators and `keras.utils.set_random_seed` all take: 32 bits.
MAX_SEED = 2**32 - 1

# With a suffix behind it, a name is still one that a file can have: 255 bytes on every common file system.
MAX_NAME = 200
# TensorFlow's names of operations (`_VALID_OP_NAME_REGEX` in its framework/ops.py), but for what parts them: / \\ >.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# PyTorch's modules have parameters by the names of layers, and refuse a point in them.
_LAYER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

# Types whose values are plain already; most fields hold one of them.
_PLAIN = frozenset({int, float, bool, str, type(None)})


def plain(value: Any) -> Any:
    """Replaces NumPy's numbers by Python's, so that values are equal, hashable and written as JSON.

    Args:
        value: any value. Scalars and arrays are known by their method `tolist`, so that NumPy need not be imported.

    Returns:
        A Python number for a scalar or an array without dimensions, a tuple for an array or a list, a tuple or a dict
        with its items replaced; everything else as it is.

    Example:
        >>> import numpy as np
        >>> plain(np.float32(0.5)), plain([np.int64(1), 2]), plain(np.arange(4).reshape(2, 2)), plain("b0")
        (0.5, (1, 2), ((0, 1), (2, 3)), 'b0')
    """
    kind = type(value)
    if kind in _PLAIN or isinstance(value, type):
        return value
    if kind is list:
        return tuple(map(plain, value))
    if kind is tuple:
        items = tuple(map(plain, value))
        return value if all(map(is_, items, value)) else items
    if kind is dict:
        changed = {key: new for key, item in value.items() if (new := plain(item)) is not item}
        return {**value, **changed} if changed else value
    return plain(value.tolist()) if _is_array(kind) else value


@cache
def _is_array(kind: type) -> bool:
    return hasattr(kind, "tolist")


def is_keras_model(value: Any) -> bool:
    """Whether a value is a keras.Model, without importing keras: who has a model has imported it."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.Model)


def store_plain(instance: Any) -> None:
    """Makes every field of a dataclass `plain`; the first line of a `__post_init__`."""
    for name, value in _changed(instance).items():
        object.__setattr__(instance, name, value)


def with_plain_fields(instance: Any) -> Any:
    """Returns a dataclass object with every field `plain`: itself, where they are already."""
    changed = _changed(instance)
    return replace(instance, **changed) if changed else instance


def _changed(instance: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not plain, made so."""
    changed = {}
    for name in _field_names(type(instance)):
        value = getattr(instance, name)
        if type(value) not in _PLAIN and (new := plain(value)) is not value:
            changed[name] = new
    return changed


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def check_int(error: type[KerasEffnetError], name: str, value: Any, low: int, high: int | None = None) -> int:
    """Returns `value` as a Python integer; raises `error` unless it is one (no bool) with `low <= value <= high`.

    Without `high`, it may be as large as `MAX_SIZE`.
    """
    number = plain(value)
    most = MAX_SIZE if high is None else high
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= most:
        beyond = isinstance(number, int) and number > MAX_SIZE
        rule = f"at least {low}{' and at most 1e40' if beyond else ''}" if high is None else f"from {low} to {high}"
        raise error(f"`{name}` must be an integer {rule}.", received=f"{name}={_shown(value)}")
    return number


def check_seed(error: type[KerasEffnetError], value: Any, *, more: int = 0) -> int:
    """Returns a seed as a Python integer; raises `error` unless it is one of 32 bits, from 0 to 4294967295.

    Args:
        error: class of the error.
        value: the seed.
        more: number of seeds that are counted up from it, at least 0. Default: 0.
    """
    return check_int(error, "seed", value, 0, MAX_SEED - more)


def check_name(error: type[KerasEffnetError], name: str, value: Any, *, layer: bool = False) -> str:
    """Returns `value`; raises `error` unless a network (or a `layer`) can be called so on every backend."""
    pattern = _LAYER_NAME if layer else _NAME
    if not isinstance(value, str) or len(value) > MAX_NAME or pattern.fullmatch(value) is None:
        signs = "_ and -" if layer else "_, - and ."
        raise error(
            f"`{name}` must be a word of at most {MAX_NAME} letters (A to Z), digits and the signs {signs}, and begin "
            "with a letter or a digit: backends take no other names.",
            received=f"{name}={_shown(value):.{MAX_NAME}}",
        )
    return value


def check_bool(error: type[KerasEffnetError], name: str, value: Any) -> bool:
    """Returns `value` as a Python bool; raises `error` unless it is True or False."""
    flag = plain(value)
    if not isinstance(flag, bool):
        raise error(f"`{name}` must be True or False.", received=f"{name}={value!r}")
    return flag


def check_number(
    error: type[KerasEffnetError],
    name: str,
    value: Any,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
) -> float:
    """Returns `value` as a Python number; raises `error` unless it is finite and in [low, high].

    With `open_low` the interval is (low, high]. An integer stays one, and a bool is no number.
    """
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not _is_finite(number):
        raise error(f"`{name}` must be a finite number.", received=f"{name}={_shown(value)}")
    if number < low or number > high or (open_low and number == low):
        bound = f"greater than {low:g}" if open_low else f"at least {low:g}"
        limit = "" if high == math.inf else f" and at most {high:g}"
        raise error(f"`{name}` must be {bound}{limit}.", received=f"{name}={value!r}")
    return number


def check_rate(error: type[KerasEffnetError], name: str, value: Any) -> float:
    """Returns `value` as a Python number; raises `error` unless it is in [0, 1)."""
    rate = check_number(error, name, value, 0, 1)
    if rate == 1:
        raise error(f"`{name}` must be below 1: nothing would be left.", received=f"{name}={value!r}")
    return rate


def check_choice(error: type[KerasEffnetError], name: str, value: Any, choices: Collection[object]) -> Any:
    """Returns `value`, as Python's where it is NumPy's; raises `error` unless it is one of `choices`."""
    choice = plain(value)
    if choice not in choices:
        raise error(f"`{name}` must be one of {', '.join(map(repr, choices))}.", received=f"{name}={value!r}")
    return choice


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
