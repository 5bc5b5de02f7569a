"""`keras-effnet benchmark NETWORK... --engine litert onnx`: how long networks take in the engines of devices."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.checks import check_int
from keras_effnet.cli.arguments import backbone_argument, check_model_file
from keras_effnet.cli.printer import print_result
from keras_effnet.errors import ExportError
from keras_effnet.export.formats import ENGINES
from keras_effnet.extras import require
from keras_effnet.messages import say

if TYPE_CHECKING:
    import keras

DESCRIPTION = """Exports each network to each engine and times all of them in turn, on pieces of photographs: median and
spread of a call, images a second, size. Networks need no training for that."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the parser of this command."""
    parser = commands.add_parser("benchmark", help="time networks in the engines of devices", description=DESCRIPTION)
    parser.add_argument(
        "networks",
        metavar="NETWORK",
        nargs="+",
        help="a trained model (.keras, .h5), a spec file, or a backbone's name",
    )
    parser.add_argument(
        "--engine", nargs="+", choices=ENGINES, default=["litert", "keras"], help="(default: litert keras)"
    )
    parser.add_argument("--batch", nargs="+", type=int, default=[1], help="numbers of images in a call (default: 1)")
    parser.add_argument("--threads", type=int, help="number of threads of an engine (default: all processors)")
    parser.add_argument(
        "--stages", action="store_true", help="also ask the profilers of ONNX Runtime and OpenVINO where the time goes"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write all numbers to this .json file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the times into this .png file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the times."""
    specs = {
        name: None if Path(name).suffix in (".keras", ".h5") else backbone_argument(name)
        for name in dict.fromkeys(arguments.networks)
    }
    for name, spec in specs.items():
        if spec is None:
            check_model_file(Path(name))
    for batch in arguments.batch:
        check_int(ExportError, "batch", batch, 1)
    if arguments.threads is not None:
        check_int(ExportError, "threads", arguments.threads, 1)
    for path in filter(None, (arguments.output, arguments.plot)):
        check_writable(path)
    if arguments.plot is not None:
        require("train", "a plot")
    from keras_effnet.builder.model import build_model
    from keras_effnet.latency.engine_latency import latency_table, stage_table, time_engines, write_latency_plot
    from keras_effnet.latency.timing import describe_machine

    models = {Path(name).stem: _load(name) if spec is None else build_model(spec) for name, spec in specs.items()}
    rows = time_engines(
        models,
        list(dict.fromkeys(arguments.engine)),
        batches=arguments.batch,
        threads=arguments.threads,
        stages=arguments.stages,
        progress=lambda text: say(f"keras-effnet benchmark: {text}"),
    )
    content = {"machine": describe_machine(), "threads": arguments.threads, "rows": [row.to_dict() for row in rows]}
    as_json = json.dumps(content, indent=2) + "\n"
    if arguments.output is not None:
        atomic_write(arguments.output, lambda path: path.write_text(as_json, encoding="utf-8"))
    if arguments.plot is not None:
        atomic_write(arguments.plot, lambda path: write_latency_plot(rows, path))
    table = "\n".join(filter(None, (latency_table(rows), stage_table(rows))))
    print_result(as_json if arguments.json else table)


def _load(name: str) -> keras.Model:
    from keras_effnet.inheritance.scaled_model import load_model

    return load_model(name)
