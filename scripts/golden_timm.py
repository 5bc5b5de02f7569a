"""Counts our backbones' namesakes in timm: `python scripts/golden_timm.py [backbone ...]`, all of them by default.

Needs torch and timm 1.0.31, which are no dependencies of this project: `pip install timm==1.0.31`. Only names and
resolutions come from this package, no counts. Rows of other backbones stay as they are.

| in `tests/golden/timm.json` | is |
|---|---|
| `params` | number of trainable weights in timm's model |
| `macs` | multiply-adds of convolutions and linear layers in one forward pass at the spec's resolution |
| `note` | why our count differs, if it does |
"""

from __future__ import annotations

import json
import sys
from math import prod
from pathlib import Path
from typing import Any

import timm  # pyright: ignore[reportMissingImports]
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from keras_effnet.backbones.catalogue import VARIANTS  # noqa: E402 - the path comes first

FILE = ROOT / "tests" / "golden" / "timm.json"

# The name in timm of each backbone that has one.
NAMES = {name: variant.timm for name, variant in sorted(VARIANTS.items()) if variant.timm is not None}
# Why our count of a backbone differs from timm's, by our name.
NOTES: dict[str, str] = {}


def count(model: torch.nn.Module, resolution: int) -> tuple[int, int]:
    """(params, macs). On the meta device tensors have shapes and no values, so that counting costs nothing."""
    macs = 0

    def hook(module: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal macs
        # Each number of a kernel is used once for each cell of the output.
        is_conv = isinstance(module, torch.nn.Conv2d)
        macs += module.weight.numel() * prod(output.shape[2:] if is_conv else output.shape[1:-1])

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            module.register_forward_hook(hook)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, resolution, resolution, device="meta"))
    return sum(parameter.numel() for parameter in model.parameters()), macs


def row(name: str) -> dict[str, Any]:
    resolution = VARIANTS[name].spec.resolution
    with torch.device("meta"):
        model = timm.create_model(NAMES[name], pretrained=False)
    params, macs = count(model, resolution)
    note = {"note": NOTES[name]} if name in NOTES else {}
    source = f"timm {timm.__version__}"
    return {
        "timm": NAMES[name],
        "params": params,
        "macs": macs,
        "resolution": resolution,
        "source": source,
        **note,
    }


def main(names: list[str]) -> None:
    rows = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    rows |= {name: row(name) for name in names or NAMES}
    FILE.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n", encoding="utf-8")
    print(f"{FILE}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1:])
