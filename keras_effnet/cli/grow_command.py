"""`keras-effnet grow MODEL.keras --phi 1 --output BIGGER.keras`: scales a trained model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.checks import check_int, check_number
from keras_effnet.cli.arguments import backbone_argument, check_model_file, phi_value, resolution_value
from keras_effnet.cli.printer import print_result
from keras_effnet.cost import estimate_cost
from keras_effnet.errors import InheritanceError, ScalingError, WeightsError
from keras_effnet.registry import rules
from keras_effnet.resolution import check_resolution, resolution_text, sides_of
from keras_effnet.tables import aligned


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the parser of this command."""
    parser = commands.add_parser(
        "grow",
        help="scale a trained model and keep what it has learned",
        description="Scales a trained model by phi, or to a given spec. A larger model computes the same function; a "
        "smaller one keeps a selection of the weights. Prints both sizes and how much was inherited.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="a .keras or .h5 file of a model from this package")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--phi", type=phi_value, help="change of size: above 0 grows the model, below 0 shrinks it")
    size.add_argument("--spec", metavar="NAME", help="the new size: name of a backbone, or a spec file (.json)")
    parser.add_argument("--rule", help=f"scaling rule: {', '.join(rules.names())} (default: compound)")
    parser.add_argument("--output", type=Path, metavar="FILE", required=True, help=".keras file to write the model to")
    parser.add_argument(
        "--allow-inexact", action="store_true", help="accept a larger model that does not compute the same function"
    )
    parser.add_argument(
        "--select",
        choices=("magnitude", "prefix", "uniform"),
        default="magnitude",
        help="which channels and blocks a smaller model keeps (default: magnitude)",
    )
    parser.add_argument("--classes", type=int, help="number of classes of a new classifier (default: keep the old one)")
    parser.add_argument("--channels", type=int, help="number of image channels (default: the model's)")
    parser.add_argument(
        "--resolution",
        type=resolution_value,
        help="side of the new model's images in pixels, or HEIGHTxWIDTH such as 96x160 (default: it scales with the "
        "model, unless that takes no squares)",
    )
    parser.add_argument("--verbose", action="store_true", help="also print what each layer inherited")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Writes the model and prints its report to standard output."""
    if arguments.output.suffix != ".keras":
        raise WeightsError("`--output` must end in .keras.", received=repr(str(arguments.output)))
    check_model_file(arguments.model)
    check_writable(arguments.output)
    if isinstance(arguments.phi, float):
        check_number(ScalingError, "phi", arguments.phi, -1000)
    if arguments.rule is not None:
        rules.get(rules.spelled(arguments.rule))
    spec = None if arguments.spec is None else backbone_argument(arguments.spec)
    for name in ("classes", "channels"):
        if getattr(arguments, name) is not None:
            check_int(InheritanceError, name, getattr(arguments, name), 1)
    if arguments.resolution is not None:
        check_resolution(InheritanceError, "resolution", arguments.resolution, 1)
    from keras_effnet.inheritance.grow import grow_model
    from keras_effnet.inheritance.scaled_model import load_model, scale_model

    model = load_model(arguments.model)
    options: dict[str, Any] = {
        "exact": not arguments.allow_inexact,
        "select": arguments.select,
        "classes": arguments.classes,
        "channels": arguments.channels,
    }
    if arguments.resolution is not None:
        options["input_shape"] = (*sides_of(arguments.resolution), arguments.channels or model.input_shape[-1])
    if spec is None:
        grown, report = scale_model(model, arguments.phi, rule=arguments.rule, return_report=True, **options)
    else:
        grown, report = grow_model(model, spec, return_report=True, **options)
    atomic_write(arguments.output, grown.save)
    sizes = {"before": _size(model), "after": _size(grown)}
    if arguments.json:
        text = json.dumps({**sizes, "output": str(arguments.output), **report.to_dict()}, indent=2)
    else:
        text = "\n".join([*_compared(**sizes), "", str(report) if arguments.verbose else report.summary])
        text += f"\n\nwrote {arguments.output}"
    print_result(text + "\n")


def _size(model: Any) -> dict[str, Any]:
    """What a model is called, and how large it is."""
    from keras_effnet.inheritance.embedded_network import spec_in

    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or len(model.inputs) > 1:
        return {
            "name": model.name,
            "params": model.count_params(),
            "macs": estimate_cost(model).macs,
            "resolution": None,
        }
    height, width, channels = shape
    if height is None or width is None:
        embedded = spec_in(model)
        size = None if embedded is None else embedded.spec.resolution
        height, width = height or size, width or size
    resolution: Any = height if height == width else (height, width)
    sizes = {"params": model.count_params(), "macs": estimate_cost(model, resolution=resolution).macs}
    return {"name": model.name, **sizes, "resolution": resolution, "channels": channels}


def _compared(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    rows = [("", "parameters", "multiply-adds", "images")]
    for title, size in (("before", before), ("after", after)):
        images = "several" if size["resolution"] is None else f"{resolution_text(size['resolution'])} px"
        rows.append((title, f"{size['params']:,}", f"{size['macs']:,}", images))
    lines = aligned(rows, text_column=0)
    if before["resolution"] is None:
        return lines
    sides = resolution_text(before["resolution"]), resolution_text(after["resolution"])
    if sides[0] != sides[1]:
        lines.append(
            f"The images go from {sides[0]} to {sides[1]} px, which a network must get used to: train on, or keep them "
            f"with `--resolution {sides[0]}`."
        )
    return lines
