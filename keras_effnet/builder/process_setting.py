"""Settings of the whole process that some work needs, where several threads may do such work at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

S = TypeVar("S")


class ProcessSetting(Generic[S]):
    """A context manager: the first that enters changes the setting, and the last that leaves puts it back.

    Args:
        change: changes the setting, and returns what it was.
        restore: puts back what `change` returned.

    Example:
        >>> import sys
        >>> limit = sys.getrecursionlimit()
        >>> higher = ProcessSetting(lambda: sys.setrecursionlimit(9_999) or limit, sys.setrecursionlimit)
        >>> with higher():
        ...     with higher():
        ...         pass
        ...     sys.getrecursionlimit()
        9999
        >>> sys.getrecursionlimit() == limit
        True
    """

    def __init__(self, change: Callable[[], S], restore: Callable[[S], object]) -> None:
        self._change = change
        self._restore = restore
        self._lock = Lock()
        self._users = 0
        self._before: list[S] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Inside, the setting is changed, in all threads."""
        with self._lock:
            if not self._users:
                self._before.append(self._change())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._restore(self._before.pop())
