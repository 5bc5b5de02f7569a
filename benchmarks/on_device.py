"""One picture and batches through exported files, against Keras and timm as people call them

Command: python benchmarks/on_device.py [BATCH ...]
Time: about 5 minutes with a batch of 1 on 2 cores, on a machine that does nothing else; 15 with the default, 1 and 16.
Result: results/on_device.json and its table in docs/export.md.

All contenders of a network take turns in one process, with two threads each, on pieces of photographs. timm takes part
where it is installed. Weights are random: the time does not depend on them.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from measure import save, this_command  # noqa: E402

from keras_effnet import build_model, open_exported, scale_spec  # noqa: E402
from keras_effnet.data.photographs import photographs  # noqa: E402
from keras_effnet.export.exporter import export_files  # noqa: E402
from keras_effnet.export.formats import FORMATS  # noqa: E402
from keras_effnet.latency.turns import time_in_turn  # noqa: E402

ROUNDS, WARM_UP = 9, 2
BATCHES = tuple(map(int, sys.argv[1:])) or (1, 16)
# Name, spec, builder of keras.applications, name in timm.
NETWORKS: tuple[tuple[str, Any, str | None, str | None], ...] = (
    ("EfficientNet-B0", "efficientnet_b0", "EfficientNetB0", "efficientnet_b0"),
    ("ResNet-50", "resnet50", "ResNet50", "resnet50"),
    ("MobileNetV2", "mobilenet_v2", "MobileNetV2", "mobilenetv2_100"),
    ("EfficientNet, phi = 2", scale_spec("efficientnet_b0", 2), None, None),
    ("MobileNetV2, phi = -2", scale_spec("mobilenet_v2", -2), None, None),
)
OURS = ("litert", "litert-float16", "litert-int8", "onnx", "openvino")
Call = Callable[[np.ndarray], Any]


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


def timm_calls(name: str) -> dict[str, Call]:
    """timm as people call it: eager and compiled."""
    if find_spec("timm") is None:
        return {}
    import timm  # pyright: ignore[reportMissingImports]
    import torch

    torch.set_num_threads(THREADS)
    model = timm.create_model(name, pretrained=False).eval().to(memory_format=torch.channels_last)
    compiled = torch.compile(model)

    def run(network: Any) -> Call:
        def call(x: np.ndarray) -> Any:
            with torch.inference_mode():
                return network(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()  # channels last in memory

        return call

    return {"timm eager": run(model), "timm torch.compile": run(compiled)}


def measure(label: str, spec: Any, peer: str | None, timm_name: str | None) -> list[dict[str, Any]]:
    model = build_model(spec)
    side, rows = model.input_shape[1], []
    images = photographs((side, side, 3), pixels=True, count=max(*BATCHES, 2))
    with TemporaryDirectory() as folder:
        calls = ours(model, Path(folder), images)
        calls |= keras_calls(getattr(keras.applications, peer)(weights=None) if peer else model)
        calls |= timm_calls(timm_name) if timm_name else {}
        for batch in BATCHES:
            turns = {name: partial(call, images[:batch]) for name, call in calls.items()}
            found = {name: [ms / batch for ms in times] for name, times in time_in_turn(turns, ROUNDS, WARM_UP).items()}
            for name, times in found.items():
                low, median, high = np.quantile(times, (0.1, 0.5, 0.9))
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
                        "of_predict": statistics.median(
                            a / b for a, b in zip(times, found["Keras predict"], strict=True)
                        ),
                    }
                )
                print(f"{label:<24} {batch:>3} {name:<24} {median:8.2f} ms an image", file=sys.stderr)
    return rows


if __name__ == "__main__":
    measured = [row for network in NETWORKS for row in measure(*network)]
    save("on_device", this_command(), measured, threads=THREADS)
