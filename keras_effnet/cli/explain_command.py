"""`keras-effnet explain NAME --phi X`: the stage table of a scaled backbone. Loads neither keras nor tensorflow."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from keras_effnet.cli.arguments import backbone_argument, phi_value
from keras_effnet.explanation import explain
from keras_effnet.registry import backbones, rules


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "explain",
        help="print the stages, coefficients and cost of a backbone at any phi",
        description="Prints the stages of a backbone at any phi in the layout of the EfficientNet paper's Table 1, "
        "its nominal and realised coefficients, and what it costs.",
    )
    parser.add_argument(
        "backbone", metavar="NAME", help=f"a spec file (.json), or one of {', '.join(backbones.names())}"
    )
    parser.add_argument("--phi", type=phi_value, help="any number; 0 is the backbone as it is (default: no scaling)")
    parser.add_argument("--rule", help=f"one of {', '.join(rules.names())} (default: compound)")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes (default: 1000)")
    parser.add_argument("--channels", type=int, default=3, help="channels of the image (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the explanation to standard output."""
    made = explain(
        backbone_argument(arguments.backbone),
        arguments.phi,
        rule=arguments.rule,
        classes=arguments.classes,
        channels=arguments.channels,
    )
    text = json.dumps(made.to_dict(), indent=2) if arguments.json else str(made)
    sys.stdout.write(text + "\n")
