"""Table 4 of the EfficientNet paper: how many times faster EfficientNet-B1 is than ResNet-152, on each engine

Command: python benchmarks/table4.py
Time: about 8 minutes on 2 cores, on a machine that does nothing else.
Result: results/table4.json and its table in docs/evidence/devices.md.

As in the paper: one picture at a time on one core (arXiv:1905.11946, Table 4: 0.554 s against 0.098 s, 5.7 times).
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from measure import save, this_command

from keras_effnet import build_model
from keras_effnet.latency.engine_latency import time_engines

ENGINES = ("litert", "litert-int8", "onnx", "openvino", "keras")
NAMES = ("resnet152", "efficientnet_b1")

if __name__ == "__main__":
    found = time_engines({name: build_model(name) for name in NAMES}, ENGINES, threads=1)
    by_engine = {engine: {row.network: row for row in found if row.engine == engine} for engine in ENGINES}
    rows = []
    for engine, pair in by_engine.items():
        large, small = (pair[name].median_ms for name in NAMES)
        rows.append({"engine": engine, "resnet152_ms": large, "efficientnet_b1_ms": small, "ratio": large / small})
    save("table4", this_command(), rows)
