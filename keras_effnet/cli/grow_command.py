"""`keras-effnet grow MODEL.keras --phi 1 --output BIGGER.keras`: a trained model in another size."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from keras_effnet.cli.arguments import backbone_argument, phi_value
from keras_effnet.errors import WeightsError
from keras_effnet.registry import rules


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "grow",
        help="scale a trained model with what it has learned",
        description="Scales a trained model to another phi (or to a spec): a larger one computes the same function, a "
        "smaller one keeps a selection. Prints what each layer inherited.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model built by this package: .keras or .h5")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--phi", type=phi_value, help="from the size that the model has: above 0 grows, below 0 shrinks")
    size.add_argument("--spec", metavar="NAME", help="the new size outright: a registered name or a spec file (.json)")
    parser.add_argument("--rule", help=f"one of {', '.join(rules.names())} (default: compound)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", required=True, help="writes the model to this .keras file"
    )
    parser.add_argument("--allow-inexact", action="store_true", help="also where what grows does not compute the same")
    parser.add_argument(
        "--select",
        choices=("magnitude", "prefix", "uniform"),
        default="magnitude",
        help="what a smaller model keeps (default: magnitude)",
    )
    parser.add_argument("--classes", type=int, help="of a fresh classifier (default: the model's own)")
    parser.add_argument("--channels", type=int, help="of the images (default: the model's own)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the model and prints its report to standard output."""
    if arguments.output.suffix != ".keras":
        raise WeightsError(f"`--output` must end in .keras. Received: {str(arguments.output)!r}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its build say nothing to a user
    from keras_effnet.inheritance.grow import grow_model
    from keras_effnet.inheritance.scaled_model import load_model, scale_model

    model = load_model(arguments.model)
    options: dict[str, Any] = {
        "exact": not arguments.allow_inexact,
        "select": arguments.select,
        "classes": arguments.classes,
        "channels": arguments.channels,
    }
    if arguments.spec is None:
        grown, report = scale_model(model, arguments.phi, rule=arguments.rule, return_report=True, **options)
    else:
        grown, report = grow_model(model, backbone_argument(arguments.spec), return_report=True, **options)
    try:
        grown.save(arguments.output)
    except OSError as error:
        raise WeightsError(f"the model cannot be written: {error}. Received: {str(arguments.output)!r}") from error
    text = json.dumps(report.to_dict(), indent=2) if arguments.json else str(report)
    sys.stdout.write(text + "\n")
