"""One picture and batches through exported files, against Keras and timm as people call them

Command: python benchmarks/on_device.py --timm PYTHON [BATCH ...]
Time: about 30 minutes with the default batches, 1 and 16, on 2 cores, on a machine that does nothing else.
Result: results/on_device.json and its table in docs/export.md.

All contenders of a network take turns, with two threads each, on pieces of photographs. PYTHON is that of an
environment with timm, torch, torchvision and onnx, which runs timm_peer.py; without it timm takes no part. timm's
networks also run in our engines, from the ONNX files that PyTorch writes. Weights are random: the time does not depend
on them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from measure import save  # noqa: E402

from keras_effnet import build_model, open_exported, scale_spec  # noqa: E402
from keras_effnet.data.photographs import photographs  # noqa: E402
from keras_effnet.export.exporter import export_files  # noqa: E402
from keras_effnet.export.formats import FORMATS  # noqa: E402
from keras_effnet.scaling import Compound  # noqa: E402

# Rounds by batch: a large batch takes long, and differs little from round to round.
ROUNDS, WARM_UP = {1: 9}, 2
LARGE_ROUNDS = 5
# Name, spec, builder of keras.applications, name in timm, phi.
NETWORKS: tuple[tuple[str, Any, str | None, str, float], ...] = (
    ("EfficientNet-B0", "efficientnet_b0", "EfficientNetB0", "efficientnet_b0", 0),
    ("ResNet-50", "resnet50", "ResNet50", "resnet50", 0),
    ("MobileNetV2", "mobilenet_v2", "MobileNetV2", "mobilenetv2_100", 0),
    ("EfficientNet, phi = 2", scale_spec("efficientnet_b0", 2), None, "efficientnet_b0", 2),
    ("MobileNetV2, phi = -2", scale_spec("mobilenet_v2", -2), None, "mobilenetv2_100", -2),
)
OURS = ("litert", "litert-float16", "litert-int8", "onnx", "openvino")
Call = Callable[[np.ndarray], Any]
# From the file of a batch to the milliseconds of a call.
Clock = Callable[[Path], float]


def ours(model: keras.Model, folder: Path, images: np.ndarray) -> dict[str, Call]:
    """The exported files, opened."""
    calls: dict[str, Call] = {}
    for name in OURS:
        path = folder / f"net-{name}{FORMATS[name].suffix}"
        # Random weights do not survive int8, and need not: only the time is asked for.
        tolerance = 1.0 if name == "litert-int8" else None
        options: dict[str, Any] = {"calibration": images, "images": images[:2], "least_calibration": 1}
        export_files(model, {name: path}, tolerance=tolerance, **options)
        calls[name] = open_exported(path, threads=THREADS).predict_on_batch
    return calls


def keras_calls(model: keras.Model) -> dict[str, Call]:
    """A Keras model as people call it."""
    silent: Any = 0
    compiled = tf.function(lambda x: model(x, training=False), autograph=False)
    return {
        "Keras predict": lambda x: model.predict(x, verbose=silent, batch_size=len(x)),
        "Keras predict_on_batch": model.predict_on_batch,
        "Keras in tf.function": lambda x: compiled(tf.constant(x)).numpy(),
    }


def clock(call: Call) -> Clock:
    """Times a call, after one that wakes the threads."""

    def timed(path: Path) -> float:
        images = np.load(path)
        call(images)
        started = time.perf_counter()
        call(images)
        return (time.perf_counter() - started) * 1e3

    return timed


class Timm:
    """timm in a process of another environment."""

    def __init__(self, python: str, side: int) -> None:
        script = Path(__file__).with_name("timm_peer.py")
        self._process = subprocess.Popen(
            [python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "TIMM_SIDE": str(side)},
        )  # fmt: skip

    def ask(self, *words: Any) -> float:
        pipe_in: Any = self._process.stdin
        pipe_out: Any = self._process.stdout
        pipe_in.write("\t".join(map(str, words)) + "\n")
        pipe_in.flush()
        return float(pipe_out.readline())

    def clocks(self, name: str, phi: float, folder: Path) -> dict[str, Clock]:
        """timm eager, compiled, and in our engines."""
        factors, path = Compound()(phi), folder / "timm.onnx"
        self.ask("load", name, factors.depth, factors.width, path)
        found = {
            each: lambda images, each=each: self.ask("time", each, images)
            for each in ("timm eager", "timm torch.compile")
        }
        return found | {name: clock(call) for name, call in engines_of(path).items()}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def engines_of(path: Path) -> dict[str, Call]:
    """ONNX Runtime and OpenVINO on a file of PyTorch's, set as `open_exported` sets them."""
    import onnxruntime as ort
    import openvino as ov

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(path, "CPU", hints)

    def first(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    return {
        "timm in ONNX Runtime": lambda x: session.run(None, {"images": first(x)}),
        "timm in OpenVINO": lambda x: np.array(compiled(first(x))[0]),
    }


def measure(
    label: str, spec: Any, peer: str | None, timm_name: str, phi: float, batches: list[int], python: str | None
) -> list[dict[str, Any]]:
    model = build_model(spec)
    side, rows = model.input_shape[1], []
    images = photographs((side, side, 3), pixels=True, count=max(*batches, 2))
    timm = None if python is None else Timm(python, side)
    with TemporaryDirectory() as name:
        folder = Path(name)
        calls = ours(model, folder, images)
        calls |= keras_calls(getattr(keras.applications, peer)(weights=None) if peer else model)
        clocks = {name: clock(call) for name, call in calls.items()}
        if timm is not None:
            clocks |= timm.clocks(timm_name, phi, folder)
        for batch in batches:
            given = folder / f"{batch}.npy"
            np.save(given, images[:batch])
            found: dict[str, list[float]] = {name: [] for name in clocks}
            for number in range(WARM_UP + ROUNDS.get(batch, LARGE_ROUNDS)):
                for name, timed in clocks.items():
                    ms = timed(given) / batch
                    if number >= WARM_UP:
                        found[name].append(ms)
            for name, times in found.items():
                low, median, high = np.quantile(times, (0.1, 0.5, 0.9))
                of_predict = statistics.median(a / b for a, b in zip(times, found["Keras predict"], strict=True))
                rows.append(
                    {
                        "network": label,
                        "resolution": side,
                        "batch": batch,
                        "contender": name,
                        "ours": name in OURS,
                        "ms": float(median),
                        "low_ms": float(low),
                        "high_ms": float(high),
                        "of_predict": of_predict,
                    }
                )
                print(f"{label:<24} {batch:>3} {name:<24} {median:8.2f} ms an image", file=sys.stderr)
    if timm is not None:
        timm.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("batches", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--timm", metavar="PYTHON", help="python of an environment with timm")
    arguments = parser.parse_args()
    rows = [row for network in NETWORKS for row in measure(*network, arguments.batches, arguments.timm)]
    save("on_device", "python benchmarks/on_device.py --timm PYTHON", rows, threads=THREADS)


if __name__ == "__main__":
    main()
