"""`keras-effnet calibrate --output phone.json`: what a device needs for networks, for budgets in milliseconds."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keras_effnet.errors import BudgetError, ExportError
from keras_effnet.latency.device import DEVICE_ENGINES, write_probes

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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its build do not concern users

    def say(text: str) -> None:
        sys.stderr.write(f"keras-effnet calibrate: {text}\n")

    with TemporaryDirectory() as folder:
        script = write_probes(arguments.probes or folder, arguments.engine, lambda text: say(f"exporting {text}"))
        if arguments.probes is not None:
            sys.stdout.write(f"{script}\n")
        if arguments.output is None:
            return
        threads = [] if arguments.threads is None else ["--threads", str(arguments.threads)]
        output = arguments.output.resolve()
        command = [sys.executable, str(script), "--output", str(output), *threads]
        done = subprocess.run(command, check=False)  # noqa: S603 - our own script
        if done.returncode:
            raise ExportError("the networks could not be timed; see above.", received=f"status {done.returncode}")
        sys.stdout.write(f"{arguments.output}\n")
