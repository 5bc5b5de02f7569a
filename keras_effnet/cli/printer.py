"""Results on standard output: the only place that writes there."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from keras_effnet.errors import DataError
from keras_effnet.printable import printable

# What a shell says of a program that wrote to a pipe which nobody read any more: 128 + SIGPIPE.
PIPE_CLOSED = 141


def print_result(text: str) -> None:
    """Writes a result to standard output at once, where characters that a terminal would obey are escaped.

    If the other end of a pipe is closed, as `head` leaves it, the program ends quietly with status 141.

    Args:
        text: the result, with the ends of its lines.

    Raises:
        DataError: standard output is closed, or cannot be written to.
    """
    stream = sys.stdout
    if stream is None:
        raise DataError(
            "standard output must be open: send it to a file, or to /dev/null if nobody wants the result.",
            received="a closed standard output",
        )
    try:
        stream.write(printable(text))
        stream.flush()
    except BrokenPipeError:
        _give_up(stream)
        sys.exit(PIPE_CLOSED)
    except OSError as error:
        _give_up(stream)
        raise DataError(f"the result cannot be printed: {error}.", received="standard output") from error


def _give_up(stream: TextIO) -> None:
    """Sends what is left nowhere: Python would try to write it once more when it ends, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
