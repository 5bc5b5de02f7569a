"""Time to count a network: from its spec, and from a built Keras model, against the counters of the backends.

Command: python benchmarks/count.py
Time: about 4 minutes on 2 cores.
Result: EfficientNet-B7 from its spec in under 2 ms. A built NASNetLarge from its graph in 49 ms under TensorFlow and 65
ms under PyTorch, with others at work on both cores; the counters trace or run the model, which takes seconds. The
multiply-adds are the same, by the rules that benchmarks/peer_counts.py writes down; docs/any_model.md has the values.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import compare, in_turn, save
from peer_counts import MULTIPLY_ADDS, multiply_adds

OURS = """
import time
from keras_effnet import estimate_cost
from keras_effnet.applications import efficientnet_b7_spec
start = time.perf_counter()
assert estimate_cost(efficientnet_b7_spec).params == 66_658_687
print(time.perf_counter() - start)
"""
PEER = """
import time
import keras
start = time.perf_counter()
assert keras.applications.EfficientNetB7(weights=None).count_params() == 66_658_687
print(time.perf_counter() - start)
"""
COUNTERS = {"tensorflow": "TensorFlow's profiler", "torch": "torch.utils.flop_counter"}
BUILDERS = (
    *("NASNetLarge", "InceptionResNetV2", "InceptionV3", "Xception", "VGG16", "ResNet50", "DenseNet121"),
    *("EfficientNetB0", "MobileNetV2", "ConvNeXtTiny"),
)
ROUNDS = 3


def counted(backend: str) -> list[dict[str, Any]]:
    """What a process under a backend says of each builder, at the size of its images."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("peer_counts.py"), "default", str(ROUNDS), *BUILDERS],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def values(row: dict[str, Any], backend: str) -> dict[str, int]:
    """A counter's total, and what of it the rule says are multiply-adds."""
    found = row["peer"]
    if multiply_adds(found, backend, row["grouped"]) != row["macs"]:
        raise ValueError(f"{row['builder']}: {found} against {row['macs']:,} multiply-adds")
    seen = sum(value for kind, value in found.items() if kind in MULTIPLY_ADDS[backend])
    return {"total": sum(found.values()), "multiply_adds": seen // 2}


def main() -> None:
    seconds = in_turn({"estimate_cost": OURS, "build and count": PEER}, rounds=5, KERAS_BACKEND="tensorflow")
    row = {"what": "EfficientNet-B7: first count in a process", "peer": "keras.applications, build and count_params"}
    rows = [{**row, **compare(seconds["estimate_cost"], seconds["build and count"])}]
    found: dict[str, dict[str, Any]] = {}
    for backend, peer in COUNTERS.items():
        for each in counted(backend):
            what = f"{each['builder']}: a built model, under {backend}"
            rows.append({"what": what, "peer": peer, **compare(each["ours_s"], each["peer_s"])})
            network = found.setdefault(each["builder"], {"macs": each["macs"], "shape": each["shape"]})
            network[backend] = values(each, backend)
    save("count", "python benchmarks/count.py", rows, models=found)


if __name__ == "__main__":
    main()
