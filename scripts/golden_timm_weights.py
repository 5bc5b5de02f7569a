"""Writes `tests/golden/timm_weights.json` from timm: `python scripts/golden_timm_weights.py [name ...]`, or all names.

Needs torch and timm 1.0.31, which are no dependencies of this project: `pip install timm==1.0.31`. Only the names come
from this package. Rows of other names stay as they are.

| in the file | is |
|---|---|
| `tensors` | a checksum of the names and shapes in timm's state dict, for 10 classes |
| `mean`, `std` | mean and deviation of pixels in timm's default configuration |
| `gain` | factor of the random kernels with which different images give different logits |
| `logits` | of two images of `side` x (`side` + 32) px, with random weights and statistics; for some names |

Weights and images follow from names and shapes alone (`tests/random_tensors.py`), so none are stored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import timm  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from random_tensors import CLASSES, digest  # noqa: E402 - the path comes first
from timm_reference import random_logits, shapes_of, unbuilt  # noqa: E402

from keras_effnet.backbones.timm_specs import timm_names  # noqa: E402

FILE = ROOT / "tests" / "golden" / "timm_weights.json"
SIDE = 64
# One of each kind: each block, padding and epsilon.
WITH_LOGITS = (
    *("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_es", "tf_efficientnet_es", "tf_efficientnet_lite0"),
    *("efficientnetv2_s", "tf_efficientnetv2_b0", "tinynet_e", "mnasnet_small", "mnasnet_050", "semnasnet_075"),
    *("mobilenetv2_100", "mobilenetv2_110d", "mobilenetv3_small_050", "mobilenetv3_small_100"),
    *("mobilenetv3_large_100", "tf_mobilenetv3_small_100", "tf_mobilenetv3_small_minimal_100"),
    *("resnet18", "resnet26", "resnet50", "seresnet50", "resnext50_32x4d", "resnetrs50", "regnetx_004", "regnety_004"),
    *("convnext_atto", "convnext_tiny"),
    *("mobilenetv4_conv_small", "mobilenetv4_conv_medium", "ghostnet_100", "repvgg_a0", "mobileone_s0", "mobileone_s4"),
)


def row(name: str) -> dict[str, Any]:
    config = timm.get_pretrained_cfg(name)
    found = {"tensors": digest(shapes_of(unbuilt(name))), "mean": list(config.mean), "std": list(config.std)}
    if name not in WITH_LOGITS:
        return found
    gain, logits = random_logits(name, SIDE)
    shown = [[float(f"{value:.7g}") for value in image] for image in logits]
    return {**found, "gain": gain, "side": SIDE, "logits": shown}


def main(names: list[str]) -> None:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["networks"] if FILE.exists() else {}
    for name in names or timm_names():
        rows[name] = row(name)
        print(name, flush=True)
    lines = [f" {json.dumps(name)}: {json.dumps(rows[name])}" for name in sorted(rows)]
    head = f'{{"source": "timm {timm.__version__}", "classes": {CLASSES}, "networks": {{\n'
    FILE.write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    print(f"{FILE}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1:])
