"""`keras-effnet explain NAME --phi X`: the stage table of a scaled backbone, or of any Keras model.

Only a model's file needs Keras.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from keras_effnet.cli.arguments import backbone_argument, check_model_file, phi_value, resolution_value
from keras_effnet.cli.printer import print_result
from keras_effnet.errors import BuildError
from keras_effnet.explanation import explain
from keras_effnet.layer_table import explain_layers
from keras_effnet.registry import backbones, rules
from keras_effnet.scaling import scale_spec


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "explain",
        help="print the stages, coefficients and cost of a backbone at any phi, or of any Keras model",
        description="Prints the stages of a backbone at any phi in the layout of the EfficientNet paper's Table 1, "
        "its nominal and realised coefficients, and what it costs; or those of any Keras model.",
    )
    parser.add_argument(
        "backbone",
        metavar="NAME",
        help="a spec file (.json), any functional or Sequential Keras model (.keras, .h5), or one of "
        f"{', '.join(backbones.names())}",
    )
    parser.add_argument("--phi", type=phi_value, help="any number; 0 is the network as it is (default: no scaling)")
    parser.add_argument("--rule", help=f"one of {', '.join(rules.names())} (default: compound)")
    parser.add_argument("--classes", type=int, help="number of classes (default: the model's, else 1000)")
    parser.add_argument("--channels", type=int, help="channels of the image (default: the model's, else 3)")
    parser.add_argument(
        "--resolution",
        type=resolution_value,
        help="side of the image in pixels, or height and width such as 96x160 (default: the backbone's or the model's)",
    )
    parser.add_argument("--layers", action="store_true", help="print a line for each layer instead of each stage")
    parser.add_argument("--csv", metavar="FILE", help="write the table of layers into a file, for spreadsheets")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the explanation to standard output."""
    network = _network(arguments.backbone)
    asked = {name: getattr(arguments, name) for name in ("classes", "channels", "resolution")}
    given = {name: value for name, value in asked.items() if value is not None}
    made: Any = None
    if arguments.layers or arguments.csv:
        layers = _layers(network, arguments, given)
        if arguments.csv:
            layers.to_csv(arguments.csv)
        made = layers if arguments.layers else None
    if made is None:
        made = explain(network, arguments.phi, rule=arguments.rule, **given)
    text = json.dumps(made.to_dict(), indent=2) if arguments.json else str(made)
    print_result(text + "\n")


def _network(text: str) -> Any:
    path = Path(text)
    if path.suffix not in (".keras", ".h5"):
        return backbone_argument(text)
    check_model_file(path)
    from keras_effnet.inheritance.scaled_model import load_model

    return load_model(path)


def _layers(network: Any, arguments: argparse.Namespace, given: dict[str, Any]) -> Any:
    if arguments.phi is None and arguments.rule is None:
        return explain_layers(network, **given)
    from keras_effnet.checks import is_keras_model

    if is_keras_model(network):
        raise BuildError(
            "a model's layers are those that it has: leave --phi and --rule out, or grow the model first.",
            received=f"--phi {arguments.phi} with a model",
        )
    return explain_layers(scale_spec(network, arguments.phi, rule=arguments.rule), **given)
