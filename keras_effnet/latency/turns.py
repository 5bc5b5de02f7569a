"""The clock of all that is timed in milliseconds: several calls in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
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
    times: dict[K, list[float]] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            if len(calls) > 1:
                call()  # the threads of the one before may still be spinning
            started = time.perf_counter()
            call()
            if number >= warm_up:
                times[name].append((time.perf_counter() - started) * 1e3)
    return times
