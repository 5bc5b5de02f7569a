"""Counts our backbones' namesakes in timm: `python scripts/golden_timm.py [backbone ...]`, all of them by default.

Needs torch and timm 1.0.31, which are no dependencies of this project: `pip install timm==1.0.31`. Of this package it
takes only the names and resolutions of the specs, never its counts. Rows of other backbones stay as they are.

| in `tests/golden/timm.json` | is |
|---|---|
| `params` | numbers in all of timm's parameters: weights that are trained |
| `macs` | multiply-adds of convolutions and linear layers in one forward pass at the spec's resolution |
| `note` | why ours differs, where it does |
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

from keras_effnet.registry import backbones  # noqa: E402 - the path comes first

FILE = ROOT / "tests" / "golden" / "timm.json"

# Our name to timm's.
NAMES = {
    **{f"efficientnet_{size}": f"tf_efficientnet_{size}" for size in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7")},
    **{f"efficientnet_{size}": f"tf_efficientnet_{size}" for size in ("b8", "l2")},
    **{f"efficientnet_lite{size}": f"tf_efficientnet_lite{size}" for size in range(5)},
    **{f"efficientnet_edgetpu_{size}": f"tf_efficientnet_e{size}" for size in ("s", "m", "l")},
    **{f"efficientnet_v2_{size}": f"tf_efficientnetv2_{size}" for size in ("b0", "b1", "b2", "b3")},
    **{f"efficientnet_v2_{size}": f"tf_efficientnetv2_{size}" for size in ("s", "m", "l", "xl")},
    **{f"tinynet_{size}": f"tinynet_{size}" for size in ("a", "b", "c", "d", "e")},
    "mnasnet_a1": "semnasnet_100",
    "mnasnet_b1": "mnasnet_100",
    "mnasnet_small": "mnasnet_small",
    **{f"resnet_rs{depth}": f"resnetrs{depth}" for depth in (50, 101, 152, 200, 270, 350, 420)},
    "resnext50": "resnext50_32x4d",
    **{
        f"regnet_{kind}_{size}": f"regnet{kind}_{number}"
        for kind in ("x", "y")
        for size, number in (("400mf", "004"), ("800mf", "008"), ("1_6gf", "016"), ("4_0gf", "040"))
    },
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 169, 201)},
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
}
# Our name to why our count is another one.
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
    resolution = backbones.get(name).resolution
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
