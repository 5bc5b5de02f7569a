"""The parser of the program: forgiving where one meaning is left, and brief where none is."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from absl.flags import argparse_flags

from keras_effnet.cli.printer import print_result
from keras_effnet.errors import DataError
from keras_effnet.messages import say

_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*([kmg]?)b?", re.IGNORECASE)


class Parser(argparse_flags.ArgumentParser):
    """A parser whose errors are one line that names the way out."""

    commands: Any = None  # what `add_subparsers` gave, if it was called

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(2, f"{self.prog}: {message}. See `{self.prog} --help`.\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """What argparse prints with: help and versions are results, and errors go to standard error."""
        if file is not sys.stdout:
            if file is not None:
                file.write(message)
            return
        try:
            print_result(message)
        except DataError as error:
            say(f"{self.prog}: {error}")
            sys.exit(1)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parses the words behind the program's name.

        `--batch_size` is `--batch-size`. An option that no command has is an error of the command that was named.
        """
        arguments, unknown = self.parse_known_args([_with_hyphens(word) for word in words])
        if unknown:
            self._named(arguments)._refuse(unknown)
        return arguments

    def _named(self, arguments: argparse.Namespace) -> Parser:
        """The parser of the command, and of the command within it, that the words have named."""
        found: Parser = self
        while found.commands is not None:
            found = found.commands.choices[getattr(arguments, found.commands.dest)]
        return found

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        options = sorted(set(re.findall(r"--[a-z][a-z0-9-]*", self.format_help())))
        near = difflib.get_close_matches(unknown[0].partition("=")[0], options)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        self.error(f"there is no such {'option' if unknown[0][0] == '-' else 'argument'} as {unknown[0]!r}{hint}")


def _with_hyphens(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


def quantity(text: str) -> float:
    """Reads a number that may end in k, M or G, with a B of bytes behind it: 100M, 5MB, 1.5e6.

    Raises:
        ValueError: the text is no such number.

    Example:
        >>> quantity("100M"), quantity("256kB"), quantity("2e6")
        (100000000.0, 256000.0, 2000000.0)
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return float(text)
    return float(found[1]) * _PREFIXES[found[2].lower()]
