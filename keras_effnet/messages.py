"""What this package says to people while it works: lines and progress bars, all on standard error.

A program moves standard error itself, which every library prints to, into a file (`startup.keep_screen`). What is said
here still appears on the screen.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from keras_effnet.printable import printable

_screen: list[TextIO] = []


def screen() -> TextIO:
    """The stream for people: standard error, unless a program has moved that."""
    return _screen[-1] if _screen else sys.stderr


@contextmanager
def said_on(stream: TextIO) -> Iterator[None]:
    """Inside, everything is said on another stream.

    Args:
        stream: stream for text.
    """
    _screen.append(stream)
    try:
        yield
    finally:
        _screen.pop()


def say(text: str) -> None:
    """Says a line, above the progress bars that are shown. Where nothing can be said any more, nobody can be told.

    Args:
        text: the line, without its end.

    Example:
        >>> import io
        >>> stream = io.StringIO()
        >>> with said_on(stream):
        ...     say("half done")
        >>> stream.getvalue()
        'half done\\n'
    """
    from tqdm import tqdm

    with suppress(OSError, ValueError):  # a full device, a closed stream
        tqdm.write(printable(text, lines=False), file=screen())
        screen().flush()


def progress_bar(iterable: Iterable[Any] | None = None, **options: Any) -> Any:
    """A progress bar with a rate and what remains; in a notebook, the notebook's own.

    Args:
        iterable: what is gone through; None if the caller counts with `update`.
        **options: arguments of `tqdm.tqdm`, such as `total`, `desc` and `unit`.

    Returns:
        A `tqdm.auto.tqdm`.
    """
    from tqdm.auto import tqdm

    return tqdm(iterable, file=screen(), **options)


class SayingHandler(logging.Handler):
    """Says the messages of a logger as plain lines.

    Args:
        prefix: text before each line.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def emit(self, record: logging.LogRecord) -> None:
        """Says one message."""
        say(f"{self.prefix}{record.getMessage()}")
