"""Growing EfficientNet-B0 to B4, against building B4: time, and memory against the weights of B4.

Command: python benchmarks/grow.py
Time: about 4 minutes on 2 cores.
Result: results/grow.json and, by benchmarks/tables.py, its table in docs/evidence/inherit.md and benchmarks.md. Wanted:
    time below 2, memory below 2.5.

Every round is a fresh process for each of the two. In both a B0 with random weights and statistics exists before the
clock starts. Memory is the largest resident size during the call (`VmHWM`, set back before it) less the resident size
just before it, so that the finished B4 is part of it, and B0 is not. Linux only.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

from measure import compare, save

from keras_effnet import estimate_cost

COMMAND = "python benchmarks/grow.py"
ROUNDS = 5
BACKENDS = ("tensorflow", "torch", "jax")
BYTES = 4  # of a float32

# Writing 5 to clear_refs sets the peak back to what is resident now: proc(5).
PROGRAM = """
import gc, json, time
from pathlib import Path
import keras
import numpy as np
from keras_effnet import build_model, grow_model

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

small = build_model("efficientnet_b0")
generator = np.random.default_rng(0)
for variable in small.variables:
    low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance", "variance") else (-0.1, 0.1)
    if variable.dtype == "float32":
        variable.assign(generator.uniform(low, high, variable.shape))
gc.collect()
Path("/proc/self/clear_refs").write_text("5")
resident, started = status("VmRSS"), time.perf_counter()
model = {call}
seconds = time.perf_counter() - started
print(json.dumps({{"seconds": seconds, "peak": status("VmHWM") - resident, "kept": status("VmRSS") - resident}}))
"""
PROGRAMS = {
    "build": PROGRAM.format(call='build_model("efficientnet_b4")'),
    "grow": PROGRAM.format(call='grow_model(small, "efficientnet_b4")'),
}


def measured(backend: str) -> dict[str, list[dict[str, float]]]:
    """What each program reports, round by round, in turn."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in PROGRAMS}
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": backend}
    for number in range(ROUNDS):
        for name, source in PROGRAMS.items():
            done = subprocess.run(
                [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
            )
            found[name].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(f"{backend}, round {number + 1}/{ROUNDS}  {name:<6} {found[name][-1]}", file=sys.stderr)
    return found


def rows(backend: str) -> list[dict[str, Any]]:
    """Time and memory of one backend."""
    found = measured(backend)
    time = compare(*([row["seconds"] for row in found[name]] for name in ("grow", "build")))
    weights = estimate_cost("efficientnet_b4").params * BYTES
    table = [{"what": f"grow B0 to B4, {backend}", "peer": "build B4", **time}]
    for name, what in (("grow", "peak memory while growing"), ("build", "the same while building")):
        peaks = [row["peak"] / weights for row in found[name]]
        table.append(
            {
                "what": f"{what}, {backend}",
                "peer": "weights of B4",
                "unit": "MB",
                "ours": statistics.median(row["peak"] for row in found[name]) / 1e6,
                "peers": weights / 1e6,
                "ratio": statistics.median(peaks),
                "ratio_min": min(peaks),
                "ratio_max": max(peaks),
                "rounds": ROUNDS,
            }
        )
    return table


if __name__ == "__main__":
    save("grow", COMMAND, [row for backend in BACKENDS for row in rows(backend)])
