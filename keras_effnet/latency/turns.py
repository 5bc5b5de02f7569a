"""The clock of all that is timed in milliseconds: several calls in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, TypeVar

WARM_UP_ROUNDS, ROUNDS = 3, 15
K = TypeVar("K", bound=Hashable)


def time_in_turn(
    calls: Mapping[K, Callable[[], Any]], rounds: int = ROUNDS, warm_up: int = WARM_UP_ROUNDS
) -> dict[K, list[float]]:
    """Times calls one after the other, again and again: a machine that slows down slows all of them.

    Args:
        calls: functions by name.
        rounds: number of rounds that are timed, at least 1.
        warm_up: number of rounds before them, at least 0.

    Returns:
        The milliseconds of each, in the order of the rounds.

    Example:
        >>> found = time_in_turn({"sum": lambda: sum(range(100))}, rounds=2)
        >>> len(found["sum"]), min(found["sum"]) > 0
        (2, True)
    """
    clocks = {name: partial(time_call, call, len(calls) > 1) for name, call in calls.items()}
    return read_in_turn(clocks, rounds, warm_up)


def time_call(call: Callable[[], Any], twice: bool = True) -> float:
    """Times one call.

    Args:
        call: the function.
        twice: whether to call it once before: the threads of what ran last may still be spinning.

    Returns:
        The milliseconds of the call.
    """
    if twice:
        call()
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def read_in_turn(clocks: Mapping[K, Callable[[], float]], rounds: int, warm_up: int) -> dict[K, list[float]]:
    """Reads clocks one after the other, again and again; for what another process times, say.

    Args:
        clocks: functions by name that do something and return the milliseconds that it took.
        rounds: number of rounds that count, at least 1.
        warm_up: number of rounds before them, at least 0.

    Returns:
        The milliseconds of each, in the order of the rounds.
    """
    times: dict[K, list[float]] = {name: [] for name in clocks}
    for number in range(warm_up + rounds):
        for name, read in clocks.items():
            ms = read()
            if number >= warm_up:
                times[name].append(ms)
    return times
