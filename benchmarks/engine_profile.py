"""What ONNX Runtime spends its time on, operator by operator, and how near its convolutions come to a matrix product

Command: python benchmarks/engine_profile.py
Time: about 2 minutes on 2 cores, on a machine that does nothing else.
Result: results/engine_profile.json and its table in docs/evidence/devices.md.

The networks of on_device.py, one picture at a time. The matrix product runs in the same engine, in turn: it is what the
processor can do, so that multiply-adds divided by its rate are a time that no engine falls below in float32, but for
algorithms with fewer multiplications.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from on_device import NETWORKS, THREADS  # first, since it sets the number of threads  # isort: skip

import numpy as np
import onnx
from measure import save, this_command

from keras_effnet import build_model, estimate_cost, export_model
from keras_effnet.data.photographs import photographs
from keras_effnet.export.engines import onnx_session
from keras_effnet.registry import resolve_backbone

SIDE = 1536  # of the matrices: the largest layers of these networks multiply about as many numbers
ROUNDS, WARM_UP = 15, 3
CONVOLUTIONS = ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul")
ACTIVATIONS = ("QuickGelu", "Sigmoid", "Mul", "Relu", "Clip", "HardSigmoid", "HardSwish")


def matrix_product(path: Path) -> None:
    """Writes a network that multiplies an image with a matrix."""
    weights = onnx.numpy_helper.from_array(np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype("float32"), "w")
    shape = [SIDE, SIDE]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"]
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "product", ends[:1], ends[1:], [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


def by_operator(path: Path, images: np.ndarray, folder: str) -> dict[str, float]:
    """Milliseconds of a call by the kind of operator."""
    session = onnx_session(path, THREADS, profile=f"{folder}/profile")
    for _ in range(WARM_UP + ROUNDS):
        session.run(None, {session.get_inputs()[0].name: images})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    kernels = [each for each in events if each.get("cat") == "Node" and each["name"].endswith("_kernel_time")]
    times: Counter[str] = Counter()
    calls = len(kernels) // (WARM_UP + ROUNDS)
    for each in kernels[WARM_UP * calls :]:
        times[each["args"]["op_name"]] += each["dur"] / 1e3 / ROUNDS
    return dict(times)


def measure(name: str, spec: Any, folder: str) -> dict[str, Any]:
    """Times a network and the matrix product in turn, and profiles the network."""
    spec = resolve_backbone(spec)
    path, product = Path(folder, "net.onnx"), Path(folder, "product.onnx")
    export_model(build_model(spec), path, format="onnx")
    images = photographs((spec.resolution, spec.resolution, 3), pixels=True, count=1)
    square = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype("float32")
    sessions = [(onnx_session(path, THREADS), images), (onnx_session(product, THREADS), square)]
    times: list[list[float]] = [[], []]
    for number in range(WARM_UP + ROUNDS):
        for (session, given), found in zip(sessions, times, strict=True):
            started = perf_counter()
            session.run(None, {session.get_inputs()[0].name: given})
            if number >= WARM_UP:
                found.append(1e3 * (perf_counter() - started))
    ms, product_ms = (statistics.median(found) for found in times)
    spent = by_operator(path, images, folder)
    macs, total = estimate_cost(spec).macs, sum(spent.values())
    convolutions = sum(spent.get(kind, 0.0) for kind in CONVOLUTIONS)
    return {
        "network": name,
        "macs": macs,
        "ms": ms,
        "convolutions": convolutions / total,
        "activations": sum(spent.get(kind, 0.0) for kind in ACTIVATIONS) / total,
        "convolutions_gmacs_s": macs / (ms * convolutions / total) / 1e6,
        "product_gmacs_s": SIDE**3 / product_ms / 1e6,
        "operators": {kind: value / total for kind, value in sorted(spent.items(), key=lambda pair: -pair[1])},
    }


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        matrix_product(Path(place, "product.onnx"))
        rows = [measure(name, spec, place) for name, spec, *_ in NETWORKS]
    save("engine_profile", this_command(), rows, threads=THREADS)
