"""`keras-effnet fit NAME --macs 300e6`: the largest network of a family under a budget, as a table and a file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from keras_effnet.budget import LIMITS, counted, fit_to_budget
from keras_effnet.cli.arguments import backbone_argument
from keras_effnet.explanation import explain
from keras_effnet.registry import resolve_backbone, rules

_UNITS = {
    "macs": "multiply-adds an image",
    "params": "weights",
    "activations": "outputs of convolutions and dense layers",
    "model_bytes": "bytes of the weights as float32",
    "latency_ms": "milliseconds an image on this machine, measured",
}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "fit",
        help="find the largest network of a family under a budget",
        description="Finds the largest network of a family at or under every limit given, prints its stages and how "
        "much of each limit it uses, and writes it as a spec file that every other command takes.",
    )
    parser.add_argument("backbone", metavar="NAME", help="the base: a registered name or a spec file (.json)")
    for limit in LIMITS:
        parser.add_argument(f"--{limit.replace('_', '-')}", type=float, metavar="LIMIT", help=_UNITS[limit])
    parser.add_argument("--rule", help=f"one of {', '.join(rules.names())} (default: compound)")
    parser.add_argument("--resolution", type=int, help="keeps this side of the image, in pixels (default: scales it)")
    parser.add_argument("--classes", type=int, default=1000, help="of the classifier (default: 1000)")
    parser.add_argument("--channels", type=int, default=3, help="of the image (default: 3)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="writes the spec to this .json file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the fitted network to standard output."""
    base = resolve_backbone(backbone_argument(arguments.backbone))
    limits = {name: getattr(arguments, name) for name in LIMITS if getattr(arguments, name) is not None}
    options = {"channels": arguments.channels, "classes": arguments.classes}
    spec = fit_to_budget(base, **limits, rule=arguments.rule, resolution=arguments.resolution, **options)
    made = explain(spec, **options)
    found = counted(made.cost)
    shares = {name: found[name] / limit for name, limit in limits.items() if name in found}
    if arguments.output is not None:
        from keras_effnet.serialization import write_spec

        write_spec(spec, arguments.output)
    if arguments.json:
        text = json.dumps({**made.to_dict(), "limits": limits, "used": shares}, indent=2)
    else:
        used = [f"{name:<12} {found[name]:,.0f} of {limits[name]:,.0f}, {share:.1%}" for name, share in shares.items()]
        text = "\n".join([str(made), "", *used])
    sys.stdout.write(text.rstrip() + "\n")
