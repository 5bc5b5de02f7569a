"""`keras-effnet explain NAME --phi X`: the stage table of a scaled backbone. Only a model's file needs Keras."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_effnet.cli.arguments import backbone_argument, check_model_file, phi_value
from keras_effnet.explanation import explain
from keras_effnet.registry import backbones, rules
from keras_effnet.spec import BackboneSpec


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "explain",
        help="print the stages, coefficients and cost of a backbone at any phi",
        description="Prints the stages of a backbone at any phi in the layout of the EfficientNet paper's Table 1, "
        "its nominal and realised coefficients, and what it costs.",
    )
    parser.add_argument(
        "backbone",
        metavar="NAME",
        help=f"a spec file (.json), a model built here (.keras, .h5), or one of {', '.join(backbones.names())}",
    )
    parser.add_argument("--phi", type=phi_value, help="any number; 0 is the backbone as it is (default: no scaling)")
    parser.add_argument("--rule", help=f"one of {', '.join(rules.names())} (default: compound)")
    parser.add_argument("--classes", type=int, help="number of classes (default: the model's, else 1000)")
    parser.add_argument("--channels", type=int, help="channels of the image (default: the model's, else 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the explanation to standard output."""
    path, total = Path(arguments.backbone), None
    if path.suffix in (".keras", ".h5"):
        spec, shape, total = _of_model(path)
    else:
        spec, shape = backbone_argument(arguments.backbone), {}
    asked: dict[str, Any] = {name: getattr(arguments, name) for name in ("classes", "channels")}
    given = {name: value for name, value in asked.items() if value is not None}
    made = explain(spec, arguments.phi, rule=arguments.rule, **{**shape, **given})
    around = total is not None and total != made.cost.params and arguments.phi is None
    text = json.dumps(made.to_dict(), indent=2) if arguments.json else str(made)
    if around and not arguments.json:
        text += (
            f"\n\nThe model has {total:,} parameters: the table is of the whole network that it was built from, and it "
            "has another classifier, or layers around that."
        )
    sys.stdout.write(text + "\n")


def _of_model(path: Path) -> tuple[BackboneSpec, dict[str, Any], int]:
    """The spec that a model was built from, at the size of its images; its classes and channels; its parameters."""
    check_model_file(path)
    from keras_effnet.builder.embedded_spec import counted_arguments
    from keras_effnet.inheritance.scaled_model import load_model

    model = load_model(path)
    counted = counted_arguments(model)
    shape = {name: counted[name] for name in ("classes", "channels")}
    height, width = counted["resolution"]
    if height != width:
        return counted["spec"], {**shape, "resolution": (height, width)}, model.count_params()
    return replace(counted["spec"], resolution=height), shape, model.count_params()
