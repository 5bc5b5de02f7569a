"""Memory while a network runs and learns, and in the arena of an exported file, against the estimates

Command: python benchmarks/memory.py
Time: about 8 minutes on 2 cores.
Result: results/memory.json and its tables in docs/evidence: training.md (this machine), devices.md (devices).

This machine: the largest resident memory of a fresh process that makes three steps. Devices: the span of the tensors
that LiteRT's reference kernels plan; and the arena of TensorFlow Lite Micro, if the package tflite-micro is installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
from measure import save, this_command

from keras_effnet import Recipe, build_model, estimate_peak, recalibrate, scale_spec
from keras_effnet.data.photographs import photographs
from keras_effnet.finetune.memory import estimate_memory
from keras_effnet.latency.engine_latency import export_to_time
from keras_effnet.registry import resolve_backbone

CLASSES = 10
# Name, side in pixels, batch.
PREDICTED = (
    ("efficientnet_b0", 224, 1), ("efficientnet_b0", 224, 32), ("efficientnet_b0", 224, 128), ("resnet50", 224, 32),
    ("mobilenet_v2", 96, 128), ("mobilenet_v2", 224, 64),
)  # fmt: skip
TRAINED = (
    ("efficientnet_b0", 96, 16), ("efficientnet_b0", 96, 64), ("efficientnet_b0", 224, 32), ("resnet50", 96, 32),
    ("resnet50", 224, 16), ("mobilenet_v2", 128, 32), ("mobilenet_v2", 224, 32),
)  # fmt: skip
# Name, phi, side in pixels: networks that microcontrollers hold.
DEVICES = (
    ("mobilenet_v1", -5, 96), ("mobilenet_v2", -4, 96), ("efficientnet_lite0", -4, 96), ("efficientnet_b0", -4, 96),
    ("mnasnet_a1", -4, 96), ("mobilenet_v3_small", -3, 96), ("mobilenet_v4_conv_small", -3, 96), ("resnet50", -4, 96),
)  # fmt: skip
# Bytes to which LiteRT aligns the tensors of an arena: `kDefaultTensorAlignment` in tensorflow/lite/util.h. They are
# packed, so that what lies further away belongs to another arena, or to the process.
ALIGNMENT = 64
STEPS = """
import re, sys
from pathlib import Path
import keras, numpy as np
from keras_effnet import build_model
task, name, side, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
model = build_model(name, classes=10, input_shape=(side, side, 3))
images = np.random.default_rng(0).uniform(0, 255, (batch, side, side, 3)).astype("float32")
if task == "train":
    rate = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(rate, "sparse_categorical_crossentropy", jit_compile=False)
for _ in range(3):
    if task == "train":
        model.train_on_batch(images, np.zeros(batch, int))
    else:
        model.predict_on_batch(images)
# Not getrusage: its peak is also that of the process that started this one.
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""
MICRO = """
import sys
from tflite_micro.python.tflite_micro import runtime
runtime.Interpreter.from_file(sys.argv[1], arena_size=1 << 28).print_allocations()
"""


def process(task: str, name: str, side: int, batch: int) -> dict[str, Any]:
    """The peak of a process, and what was foretold of it."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS, task, name, str(side), str(batch)], capture_output=True, text=True, check=True
    )
    peak = 1024 * int(done.stdout.split()[-1])
    recipe = Recipe(batch_size=batch, batchnorm="trained", average=0.0) if task == "train" else None
    shape = {"resolution": side, "channels": 3, "classes": CLASSES, "batch_size": batch}
    foretold = estimate_memory(resolve_backbone(name), recipe, **shape).total
    row = {"task": task, "network": name, "resolution": side, "batch": batch, "measured": peak, "estimate": foretold}
    print(row, file=sys.stderr)
    return {**row, "ratio": foretold / peak}


def device(name: str, phi: float, side: int) -> dict[str, Any]:
    """The arenas of a network's int8 file, and what was foretold of them."""
    spec = replace(scale_spec(name, phi), resolution=side)
    model, images = build_model(spec, classes=CLASSES), photographs((side, side, 3), pixels=True, count=16)
    recalibrate(model, [images])  # else each layer of random weights halves its signal, down to nothing in int8
    peak = estimate_peak(spec, classes=CLASSES)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.tflite"
        export_to_time(model, {"litert-int8": path}, [images], batch=1)
        found = {"litert": litert_arena(path), **micro_arena(path)}
        row = {"network": name, "phi": phi, "resolution": side, "layer": peak.layer, "file": path.stat().st_size}
    row |= {"values": peak.values, "estimate": peak.bytes_on("litert-int8"), **found}
    row["litert_values"] = peak.litert_values
    print(row, file=sys.stderr)
    return row


def litert_arena(path: Path) -> int:
    """Bytes between the first and the last tensor that LiteRT plans: its interpreter does not tell otherwise."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    content = path.read_bytes()
    interpreter: Any = Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    constants = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    spans = []
    for tensor in interpreter.get_tensor_details():
        try:
            values = interpreter.tensor(tensor["index"])()
        except ValueError:
            continue  # fused away
        start = values.__array_interface__["data"][0]
        if values.nbytes and not constants <= start < constants + len(content):
            spans.append((start, start + values.nbytes))
    spans.sort()
    arenas: list[list[int]] = []
    for start, end in spans:
        if arenas and start <= arenas[-1][1] + ALIGNMENT:
            arenas[-1][1] = max(arenas[-1][1], end)
        else:
            arenas.append([start, end])
    return max(end - start for start, end in arenas)


def micro_arena(path: Path) -> dict[str, int]:
    """Bytes that TensorFlow Lite Micro takes for values and in all; nothing without its package."""
    done = subprocess.run([sys.executable, "-c", MICRO, str(path)], capture_output=True, text=True, check=False)
    found = dict(re.findall(r"Arena allocation (\w+) (\d+) bytes", done.stdout + done.stderr))
    return {"micro_values": int(found["head"]), "micro_total": int(found["total"])} if found else {}


if __name__ == "__main__":
    rows = [device(*each) for each in DEVICES]
    rows += [process("predict", *each) for each in PREDICTED]
    rows += [process("train", *each) for each in TRAINED]
    save("memory", this_command(), rows)
