"""`keras-effnet calibrate --output phone.json`: what a device needs for networks, for budgets in milliseconds."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keras_effnet.atomic import check_writable
from keras_effnet.checks import check_int
from keras_effnet.cli.printer import print_result
from keras_effnet.errors import BudgetError, ExportError
from keras_effnet.latency.device import DEVICE_ENGINES, write_probes
from keras_effnet.messages import say

DESCRIPTION = """Exports a few networks, times them, and writes a file that `keras-effnet fit --latency-ms 20 --device
FILE` reads. For a device that is not this machine, write them into a folder with --probes, copy it there, and run its
measure_probes.py, which needs only NumPy and the engine."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the parser of this command."""
    parser = commands.add_parser("calibrate", help="tell what a device needs for networks", description=DESCRIPTION)
    parser.add_argument("--engine", choices=DEVICE_ENGINES, default="litert", help="what runs there (default: litert)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="times them here, and writes this .json file")
    parser.add_argument("--probes", type=Path, metavar="FOLDER", help="writes them into this folder, for elsewhere")
    parser.add_argument("--threads", type=int, help="number of threads, with --output (default: all processors)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the file, the folder, or both."""
    if arguments.output is None and arguments.probes is None:
        raise BudgetError(
            "say what to write: --output FILE to time networks here, --probes FOLDER to time them elsewhere.",
            received="neither",
        )
    if arguments.threads is not None:
        check_int(ExportError, "threads", arguments.threads, 1)
    if arguments.output is not None:
        check_writable(arguments.output)
    if arguments.probes is not None:
        check_writable(arguments.probes, folder=True)

    with TemporaryDirectory() as folder:
        script = write_probes(
            arguments.probes or folder, arguments.engine, lambda text: say(f"keras-effnet calibrate: exporting {text}")
        )
        if arguments.probes is not None:
            print_result(f"{script}\n")
        if arguments.output is None:
            return
        threads = [] if arguments.threads is None else ["--threads", str(arguments.threads)]
        output = arguments.output.resolve()
        command = [sys.executable, str(script), "--output", str(output), *threads]
        _measure(command)
        print_result(f"{arguments.output}\n")


def _measure(command: list[str]) -> None:
    """Runs our script, and passes on what it says, but not what its engine says."""
    from keras_effnet.latency.measure_probes import SPEAKER  # imports NumPy, which not every command needs

    last = ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own script
        for line in process.stderr or ():
            last = line.strip() or last
            if line.startswith(SPEAKER):
                say(f"keras-effnet calibrate: {last.removeprefix(SPEAKER)}")
            else:
                sys.stderr.write(line)
    if process.returncode:
        raise ExportError(
            f"the networks could not be timed; the last that was said is {last!r}.",
            received=f"status {process.returncode}",
        )
