"""The entry point: parses the command line, runs the command, and turns errors into one line and an exit status.

| status | meaning |
|---|---|
| 0 | done |
| 1 | an error of this package, reported on standard error |
| 2 | the command line is wrong |
| 130 | interrupted; the same command continues where it stopped |
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from absl import app
from absl.flags import argparse_flags

from keras_effnet import __version__
from keras_effnet.cli import (
    benchmark_command,
    calibrate_command,
    evaluate_command,
    explain_command,
    export_command,
    finetune_command,
    fit_command,
    grow_command,
    predict_command,
    search_command,
    transfer_command,
)
from keras_effnet.errors import KerasEffnetError
from keras_effnet.startup import import_less

COMMANDS = (
    transfer_command,
    explain_command,
    fit_command,
    grow_command,
    finetune_command,
    predict_command,
    evaluate_command,
    export_command,
    benchmark_command,
    calibrate_command,
    search_command,
)


def make_parser() -> argparse.ArgumentParser:
    """The parser for all commands; making it imports neither keras nor tensorflow."""
    parser = argparse_flags.ArgumentParser(
        prog="keras-effnet", description="Any convolutional backbone, any size: compound scaling for Keras."
    )
    parser.add_argument("--version", action="version", version=f"keras-effnet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands).set_defaults(run=command.run)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses `argv`, whose first item is the program's name."""
    return make_parser().parse_args(argv[1:])


def main(arguments: argparse.Namespace) -> int:
    """Runs the command and returns the exit status."""
    try:
        arguments.run(arguments)
    except KerasEffnetError as error:
        sys.stderr.write(f"keras-effnet {arguments.command}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"\nkeras-effnet {arguments.command}: interrupted; the same command continues from here\n")
        return 130
    return 0


def run() -> None:
    """The entry point of `keras-effnet`."""
    import_less()
    app.run(main, flags_parser=parse)
