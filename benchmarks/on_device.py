"""One picture and batches through exported files, against Keras and timm as people call them

Command: python benchmarks/on_device.py --timm PYTHON [BATCH ...]
Time: about 30 minutes with the default batches, 1 and 16, on 2 cores, on a machine that does nothing else.
Result: results/on_device.json and its table in docs/evidence/devices.md.

All contenders of a network take turns, with two threads each, on pieces of photographs. PYTHON is that of an
environment with timm, torch, torchvision, onnx and litert-torch, which runs timm_peer.py; without it timm takes no
part. timm's networks also run in our engines, from the files that PyTorch and litert-torch write. Weights are random:
the time does not depend on them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from measure import Peer, save  # noqa: E402

from keras_effnet import build_model, open_exported, scale_spec  # noqa: E402
from keras_effnet.data.photographs import photographs  # noqa: E402
from keras_effnet.export.engines import onnx_session, openvino_network  # noqa: E402
from keras_effnet.export.exporter import export_files  # noqa: E402
from keras_effnet.export.formats import FORMATS  # noqa: E402
from keras_effnet.latency.turns import read_in_turn, time_call  # noqa: E402
from keras_effnet.scaling import Compound  # noqa: E402

# A large batch takes long, and differs little from round to round.
ROUNDS, ROUNDS_OF_BATCHES, WARM_UP = 9, 5, 2
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
Clocks = dict[str, Callable[[], float]]


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


class Timm(Peer):
    """timm in a process of another environment."""

    def __init__(self, python: str) -> None:
        super().__init__(python, Path(__file__).with_name("timm_peer.py"))

    def load(self, name: str, phi: float, side: int, path: Path) -> None:
        """Makes a network there, and writes it as ONNX."""
        factors = Compound()(phi)
        self.ask("load", name, factors.depth, factors.width, side, path)

    def clocks(self, images: np.ndarray, folder: Path) -> Clocks:
        """Eager and compiled, timed by timm's own process on these images."""
        given = folder / f"{len(images)}.npy"
        np.save(given, images)
        return {name: partial(self.ask, "time", name, given) for name in ("timm eager", "timm torch.compile")}


def engines_of(path: Path) -> dict[str, Call]:
    """ONNX Runtime and OpenVINO on a file of PyTorch's."""
    session, compiled = onnx_session(path, THREADS), openvino_network(path, THREADS)

    def first(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    return {
        "timm in ONNX Runtime": lambda x: session.run(None, {"images": first(x)}),
        "timm in OpenVINO": lambda x: np.array(compiled(first(x))[0]),
    }


def litert_of(path: Path, batch: int) -> Call:
    """LiteRT on a file of litert-torch's, which takes as many images as it was written for."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(model_content=path.read_bytes(), num_threads=THREADS)
    interpreter.allocate_tensors()
    taken, given = (
        tensors[0]["index"] for tensors in (interpreter.get_input_details(), interpreter.get_output_details())
    )

    def call(x: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(taken, x)
        interpreter.invoke()
        return interpreter.get_tensor(given)

    return call


def measure(
    label: str, spec: Any, peer: str | None, timm_name: str, phi: float, batches: list[int], python: str | None
) -> list[dict[str, Any]]:
    model = build_model(spec)
    side, rows = model.input_shape[1], []
    images = photographs((side, side, 3), pixels=True, count=max(*batches, 2))
    timm = None if python is None else Timm(python)
    with TemporaryDirectory() as name:
        folder = Path(name)
        calls = ours(model, folder, images)
        calls |= keras_calls(getattr(keras.applications, peer)(weights=None) if peer else model)
        if timm is not None:
            timm.load(timm_name, phi, side, folder / "timm.onnx")
            calls |= engines_of(folder / "timm.onnx")
        for batch in batches:
            given = images[:batch]
            if timm is not None and timm.ask("litert", batch, side, folder / "timm.tflite"):
                calls["timm in LiteRT"] = litert_of(folder / "timm.tflite", batch)
            clocks: Clocks = {name: partial(time_call, partial(call, given)) for name, call in calls.items()}
            clocks |= {} if timm is None else timm.clocks(given, folder)
            rounds = ROUNDS if batch == 1 else ROUNDS_OF_BATCHES
            taken = read_in_turn(clocks, rounds, WARM_UP)
            found = {name: [ms / batch for ms in times] for name, times in taken.items()}
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
