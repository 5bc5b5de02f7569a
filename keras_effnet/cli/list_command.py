"""`keras-effnet list`: what there is to choose from. Loads neither keras nor tensorflow."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable
from typing import Any

from keras_effnet.backbones.catalogue import VARIANTS
from keras_effnet.cli.printer import print_result
from keras_effnet.cost import estimate_cost
from keras_effnet.registry import Registry, backbones, blocks, rules
from keras_effnet.tables import aligned

Row = dict[str, str | int | float | None]


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    parser = commands.add_parser(
        "list",
        help="list backbones, scaling rules, blocks and weights",
        description="Lists the backbones of every family with parameters, multiply-adds, resolution and who publishes "
        "weights; or scaling rules, blocks, or the names of the weights. Those of plugins are among them.",
    )
    parser.add_argument(
        "what", nargs="?", choices=sorted(LISTS), default="families", help="what to list (default: families)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the list to standard output."""
    rows = LISTS[arguments.what]()
    if arguments.json:
        print_result(json.dumps(rows, indent=2) + "\n")
        return
    cells = [tuple(name.replace("_", " ") for name in rows[0])]
    cells += [tuple(_text(value) for value in row.values()) for row in rows]
    lines = aligned(cells, text_column=0 if arguments.what == "families" else None)
    print_result("\n".join(line.rstrip() for line in lines) + "\n")


def _families() -> list[Row]:
    """Every backbone, the published sizes of a family one after the other, and plugins' at the end."""
    names = [*VARIANTS, *(name for name in backbones.names() if name not in VARIANTS)]
    rows: list[Row] = []
    for name in names:
        spec, variant = backbones.get(name), VARIANTS.get(name)
        cost = estimate_cost(spec)
        owners = [owner for owner in ("keras", "timm") if variant is not None and getattr(variant, owner)]
        top1 = None if variant is None else variant.top1
        row: Row = {"name": name, "parameters": cost.params, "multiply_adds": cost.macs, "px": spec.resolution}
        rows.append({**row, "top1": top1, "weights": " ".join(owners)})
    return rows


def _weights() -> list[Row]:
    """The networks that somebody publishes weights of, by their names there."""
    return [
        {"name": name, "keras_applications": variant.keras, "timm": variant.timm}
        for name, variant in VARIANTS.items()
        if variant.keras or variant.timm
    ]


def _described(registry: Registry[Any]) -> list[Row]:
    """The names in a registry, each with the first line of what it says about itself."""
    rows: list[Row] = []
    for name in registry.names():
        found = registry.get(name)
        text = inspect.getdoc(found if isinstance(found, type) else type(found)) or ""
        rows.append({"name": name, "description": text.partition("\n")[0]})
    return rows


LISTS: dict[str, Callable[[], list[Row]]] = {
    "families": _families,
    "rules": lambda: _described(rules),
    "blocks": lambda: _described(blocks),
    "weights": _weights,
}


def _text(value: str | int | float | None) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)
