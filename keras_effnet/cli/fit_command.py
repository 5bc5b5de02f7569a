"""`keras-effnet fit NAME --macs 300e6`: the largest network of a family under a budget, as a table and a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from keras_effnet.atomic import check_writable
from keras_effnet.budget import fit_to_budget
from keras_effnet.cli.arguments import backbone_argument
from keras_effnet.cli.parser import quantity
from keras_effnet.cli.printer import print_result
from keras_effnet.explanation import explain
from keras_effnet.export.formats import ENGINES
from keras_effnet.measures import MEASURES, count
from keras_effnet.messages import say
from keras_effnet.registry import resolve_backbone, rules

EXAMPLES = {
    "params": "5M",
    "macs": "300M",
    "activations": "6M",
    "model_bytes": "20MB",
    "peak_bytes": "256kB",
    "latency_ms": "20",
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
    for measure in MEASURES.values():
        option = f"--{measure.name.replace('_', '-')}"
        parser.add_argument(
            option, type=quantity, metavar="LIMIT", help=f"most {measure.unit}, such as {EXAMPLES[measure.name]}"
        )
    parser.add_argument(
        "--engine", choices=ENGINES, default="keras", help="what --latency-ms and --peak-bytes are for (default: keras)"
    )
    parser.add_argument(
        "--device",
        type=Path,
        metavar="FILE",
        help="foretells --latency-ms for another machine, of which `keras-effnet calibrate` made this file",
    )
    parser.add_argument("--rule", help=f"one of {', '.join(rules.names())} (default: compound)")
    parser.add_argument("--resolution", type=int, help="side of the image to keep, in pixels (default: it scales too)")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes (default: 1000)")
    parser.add_argument("--channels", type=int, default=3, help="channels of the image (default: 3)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="writes the spec to this .json file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the fitted network to standard output."""
    base = resolve_backbone(backbone_argument(arguments.backbone))
    limits = {name: getattr(arguments, name) for name in MEASURES if getattr(arguments, name) is not None}
    if arguments.output is not None:
        check_writable(arguments.output)
    options = {"channels": arguments.channels, "classes": arguments.classes}
    shape = {"rule": arguments.rule, "resolution": arguments.resolution, "engine": arguments.engine}
    shape["device"] = arguments.device
    spec = fit_to_budget(base, **limits, **shape, **options)
    made = explain(spec, **options)
    found = {**count(made.cost), "peak_bytes": made.peak.bytes_on(arguments.engine)}
    if arguments.latency_ms is not None and arguments.device is None:
        from keras_effnet.latency.timing import measure_latency

        found["latency_ms"] = measure_latency(spec, engine=arguments.engine, **options).median_ms
    shares = {name: found[name] / limit for name, limit in limits.items() if name in found}
    if arguments.output is not None:
        from keras_effnet.serialization import write_spec

        write_spec(spec, arguments.output)
        say(f"keras-effnet fit: wrote {arguments.output}")
    if arguments.json:
        text = json.dumps({**made.to_dict(), "limits": limits, "used": shares}, indent=2)
    else:
        used = [
            f"{name:<12} {_shown(found[name])} of {_shown(limits[name])}, {share:.1%}" for name, share in shares.items()
        ]
        title = (
            f"{spec.name} at {spec.resolution} px: {made.cost.params:,} parameters, {made.cost.macs:,} multiply-adds"
        )
        text = "\n".join([title, "", str(made), "", *used])
    print_result(text.rstrip() + "\n")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
