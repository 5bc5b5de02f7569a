"""Writes the golden values of the tests: `python scripts/golden.py`. Example at the difference before you keep it.

| file | holds | counted from |
|---|---|---|
| `tests/golden/backbones.json` | each registered backbone | its namesake's graph in keras.applications, or its spec |
| `tests/golden/scaled.json` | some backbones at some phi | the spec |
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras

from keras_effnet import estimate_cost, scale_spec
from keras_effnet.registry import backbones
from keras_effnet.testing import graph_counts

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from support import GOLDEN, flat_layers  # noqa: E402 - the path comes first

NAMESAKES = {
    **{f"efficientnet_b{number}": f"EfficientNetB{number}" for number in range(8)},
    **{f"efficientnet_v2_{size.lower()}": f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")},
    **{f"resnet{depth}": f"ResNet{depth}" for depth in (50, 101, 152)},
    **{f"resnet{depth}_v2": f"ResNet{depth}V2" for depth in (50, 101, 152)},
    **{f"densenet{depth}": f"DenseNet{depth}" for depth in (121, 169, 201)},
    "mobilenet_v1": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    **{f"mobilenet_v3_{size.lower()}": f"MobileNetV3{size}" for size in ("Small", "Large")},
    **{f"mobilenet_v3_{size.lower()}_minimalistic": f"MobileNetV3{size}" for size in ("Small", "Large")},
    **{f"convnext_{size.lower()}": f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
}
SCALED = (("efficientnet_b0", "resnet50", "mobilenet_v1", "mobilenet_v2"), (-3, -1, 0.5, 1, 2, 7))


def backbone(name: str) -> dict[str, Any]:
    if name not in NAMESAKES:
        cost = estimate_cost(name)
        return {"params": cost.params, "macs": cost.macs, "activations": cost.activations, "source": "spec"}
    # MobileNetV3 alone has no size of its own.
    form: dict[str, Any] = {"input_shape": (224, 224, 3)} if name.startswith("mobilenet_v3") else {}
    if name.endswith("_minimalistic"):
        form["minimalistic"] = True
    model = getattr(keras.applications, NAMESAKES[name])(weights=None, **form)
    found = graph_counts(flat_layers(model))
    source = f"keras.applications.{NAMESAKES[name]}"
    return {"params": model.count_params(), "macs": found.macs, "activations": found.activations, "source": source}


def scaled(name: str, phi: float) -> dict[str, Any]:
    spec = scale_spec(name, phi)
    cost = estimate_cost(spec)
    return {
        "resolution": spec.resolution,
        "widths": [stage.width for stage in spec.stages],
        "depths": [stage.depth for stage in spec.stages],
        "params": cost.params,
        "macs": cost.macs,
    }


def write(name: str, values: dict[str, Any]) -> None:
    path = GOLDEN / name
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {len(values)} rows")


def main() -> None:
    write("backbones.json", {name: backbone(name) for name in backbones.names()})
    names, phis = SCALED
    write("scaled.json", {f"{name} phi={phi:g}": scaled(name, phi) for name in names for phi in phis})


if __name__ == "__main__":
    main()
