"""Writes the golden values of the tests: `python scripts/golden.py`. Look at the difference before you keep it.

| file | holds | counted from |
|---|---|---|
| `tests/golden/backbones.json` | each registered backbone | its namesake's graph in keras.applications, or its spec |
| `tests/golden/scaled.json` | some backbones at some phi | the spec |
| `tests/golden/peer_counts.json` | all builders of keras.applications | `benchmarks/peer_counts.py`, 4 minutes |
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras

from keras_effnet import estimate_cost, scale_spec
from keras_effnet.backbones.catalogue import VARIANTS
from keras_effnet.testing import graph_counts

TESTS = Path(__file__).parents[1] / "tests"
BENCHMARKS = TESTS.with_name("benchmarks")
sys.path.insert(0, str(TESTS))

from support import GOLDEN, flat_layers  # noqa: E402 - the path comes first

SCALED = (("efficientnet_b0", "resnet50", "mobilenet_v1", "mobilenet_v2"), (-3, -1, 0.5, 1, 2, 7))


def backbone(name: str) -> dict[str, Any]:
    builder = VARIANTS[name].keras
    if builder is None:
        cost = estimate_cost(name)
        return {"params": cost.params, "macs": cost.macs, "activations": cost.activations, "source": "spec"}
    # MobileNetV3 alone has no default size.
    options: dict[str, Any] = {"input_shape": (224, 224, 3)} if name.startswith("mobilenet_v3") else {}
    if name.endswith("_minimalistic"):
        options["minimalistic"] = True
    model = getattr(keras.applications, builder)(weights=None, **options)
    found = graph_counts(flat_layers(model))
    source = f"keras.applications.{builder}"
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


def peer_counts(backend: str) -> dict[str, dict[str, int]]:
    """What the counter of a backend says of every builder, by the kind of operation."""
    done = subprocess.run(  # noqa: S603 - a program of our own
        [sys.executable, BENCHMARKS / "peer_counts.py", "smallest", "1"],
        env={**os.environ, "KERAS_BACKEND": backend, "KERAS_TORCH_DEVICE": "meta"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {row["builder"]: row["peer"] for row in map(json.loads, done.stdout.splitlines())}


def write(name: str, values: dict[str, Any]) -> None:
    path = GOLDEN / name
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: {len(values)} rows")


def main() -> None:
    write("backbones.json", {name: backbone(name) for name in sorted(VARIANTS)})
    names, phis = SCALED
    write("scaled.json", {f"{name} phi={phi:g}": scaled(name, phi) for name in names for phi in phis})
    write("peer_counts.json", {backend: peer_counts(backend) for backend in ("tensorflow", "torch")})


if __name__ == "__main__":
    main()
