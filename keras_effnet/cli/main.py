"""The entry point: parses the command line, runs the command, and turns errors into one line and an exit status.

| status | meaning |
|---|---|
| 0 | done |
| 1 | an error of this package, reported on standard error |
| 2 | the command line is wrong |
| 130 | interrupted; the same command continues where it stopped |
| 141 | nobody reads the results any more: the other end of the pipe is closed |
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
import traceback
from collections.abc import Sequence

from absl import app

from keras_effnet import __version__
from keras_effnet.cli import (
    benchmark_command,
    calibrate_command,
    compare_command,
    evaluate_command,
    explain_command,
    explore_command,
    export_command,
    finetune_command,
    fit_command,
    grow_command,
    list_command,
    predict_command,
    search_command,
    transfer_command,
)
from keras_effnet.cli.parser import Parser
from keras_effnet.errors import KerasEffnetError
from keras_effnet.extras import as_missing_extra
from keras_effnet.messages import SayingHandler, say
from keras_effnet.startup import import_less, keep_output, keep_screen

COMMANDS = (
    transfer_command,
    list_command,
    explain_command,
    explore_command,
    fit_command,
    compare_command,
    grow_command,
    finetune_command,
    predict_command,
    evaluate_command,
    export_command,
    benchmark_command,
    calibrate_command,
    search_command,
)


def make_parser() -> Parser:
    """The parser for all commands; making it imports neither keras nor tensorflow."""
    parser = Parser(
        prog="keras-effnet", description="Any convolutional backbone, any size: compound scaling for Keras."
    )
    parser.add_argument("--version", action="version", version=f"keras-effnet {__version__}")
    commands = parser.commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands).set_defaults(run=command.run)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses `argv`, whose first item is the program's name."""
    return make_parser().read(argv[1:])


def main(arguments: argparse.Namespace) -> int:
    """Runs the command and returns the exit status."""
    try:
        arguments.run(arguments)
    except KerasEffnetError as error:
        say(f"keras-effnet {arguments.command}: {' '.join(str(error).splitlines())}")
        return 1
    except ModuleNotFoundError as error:
        missing = as_missing_extra(error)
        if missing is None:
            raise
        say(f"keras-effnet {arguments.command}: {missing}")
        return 1
    except KeyboardInterrupt:
        say("")  # what the terminal shows of Ctrl-C, or a progress bar, stands before it
        say(f"keras-effnet {arguments.command}: interrupted; the same command continues from here")
        return 130
    return 0


def _program(arguments: argparse.Namespace) -> int:
    """Runs the command with the screen to itself. What libraries print is kept if the command fails unexpectedly."""
    own = logging.getLogger("keras_effnet")
    own.addHandler(SayingHandler(f"keras-effnet {arguments.command}: "))
    own.setLevel(logging.INFO)
    own.propagate = False  # absl's handler would say it again, with a prefix that means nothing to a user
    with keep_screen() as log:
        try:
            return main(arguments)
        except Exception as error:
            if log is None:
                raise
            traceback.print_exc()
            said = f"{type(error).__name__}: {error!s:.300}".splitlines()[0]
            say(
                f"keras-effnet {arguments.command}: failed in a way that it should not, with {said}. All that was "
                f"printed is in {log}; please report it."
            )
            log = None
            return 1
        finally:
            if log is not None:
                log.unlink(missing_ok=True)


def run() -> None:
    """The entry point of `keras-effnet`."""
    import_less()
    keep_output()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # After minutes of work no name may be what the output cannot hold.
        sys.stdout.reconfigure(errors="backslashreplace")
    app.run(_program, flags_parser=parse)
