"""A training step as fine-tuning takes it, on each backend, against keras.applications and timm

Command: python benchmarks/training_step.py --timm PYTHON [NETWORK ...]
Time: about 35 minutes on 2 cores, on a machine that does nothing else.
Result: results/training_step.json and its table in docs/evidence/training.md.

A process for each backend holds its contenders, and all take turns, with two threads each, on pieces of photographs:
SGD with Nesterov momentum, cross-entropy of ten classes, float32 unless it says bfloat16. PYTHON is that of an
environment with timm, which runs timm_peer.py; without it timm takes no part.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import keras  # noqa: E402
import numpy as np  # noqa: E402
from measure import Peer, save  # noqa: E402

from keras_effnet import build_model  # noqa: E402
from keras_effnet.latency.turns import read_in_turn, time_call  # noqa: E402

CLASSES, ROUNDS, WARM_UP = 10, 4, 1
# A contender whose step takes longer is only read a few times, by itself: its turns would take hours.
SLOW_MS, SLOW_ROUNDS = 10_000, 3
# Spec, builder of keras.applications, name in timm.
NETWORKS = {
    "EfficientNet-B0": ("efficientnet_b0", "EfficientNetB0", "efficientnet_b0"),
    "ResNet-50": ("resnet50", "ResNet50", "resnet50"),
    "MobileNetV2": ("mobilenet_v2", "MobileNetV2", "mobilenetv2_100"),
}
SIZES = ((64, 32), (224, 8))  # side, batch
COMPILED = "PyTorch compiled"
# What fine-tuning does, and variants of it.
BACKENDS = {
    "tensorflow": ("TensorFlow", "TensorFlow jit", "TensorFlow bfloat16", "keras.applications"),
    "jax": ("JAX",),
    "torch": ("PyTorch", COMPILED),
}
TIMM = ("timm eager", "timm torch.compile")


def make_model(name: str, contender: str, side: int) -> keras.Model:
    """A network of ten classes, compiled."""
    from keras_effnet.training.compilation import compile_model
    from keras_effnet.training.precision import set_precision

    spec, builder, _ = NETWORKS[name]
    if contender == "keras.applications":
        make = getattr(keras.applications, builder)
        model = make(weights=None, classes=CLASSES, input_shape=(side, side, 3))
        model.compile(keras.optimizers.SGD(0.01, 0.9, nesterov=True), "categorical_crossentropy", metrics=["accuracy"])
        return model
    model = build_model(spec, classes=CLASSES, input_shape=(side, side, 3))
    if contender.endswith("bfloat16"):
        set_precision(model, "mixed_bfloat16")
    compile_model(model, lambda step: 0.01, steps=1)
    if contender.endswith(("jit", "compiled")):
        model.jit_compile = True
    return model


def serve() -> None:
    """Answers as timm_peer.py does, for the backend of this process."""
    answers, models = sys.stdout, {}

    def step(contender: str, path: str) -> float:
        images = np.load(path)
        labels = np.eye(CLASSES, dtype="float32")[np.arange(len(images)) % CLASSES]
        return time_call(lambda: float(models[contender].train_on_batch(images, labels)[0]))

    for line in sys.stdin:
        task, *words = line.rstrip("\n").split("\t")
        with redirect_stdout(sys.stderr):
            if task == "step":
                answer = step(*words)
            else:
                name, contender, side = words
                models[contender] = make_model(name, contender, int(side))
                answer = models[contender].count_params()
        answers.write(f"{answer}\n")
        answers.flush()


def measure(name: str, side: int, batch: int, python: str | None) -> list[dict[str, Any]]:
    from keras_effnet.data.photographs import photographs

    peers: list[Peer] = []
    clocks: dict[str, Callable[[], float]] = {}
    slow: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        given = Path(folder) / "images.npy"
        np.save(given, photographs((side, side, 3), pixels=True, count=batch))

        def add(peer: Peer, contender: str) -> None:
            clock = partial(peer.ask, "step", contender, given)
            first = clock()
            print(f"{name} {side} px {contender}: {first:.0f} ms", file=sys.stderr)
            if first > SLOW_MS:
                slow[contender] = [clock() for _ in range(SLOW_ROUNDS)]
            else:
                clocks[contender] = clock

        for backend, contenders in BACKENDS.items():
            peers.append(Peer(sys.executable, __file__, "--serve", KERAS_BACKEND=backend))
            for contender in contenders:
                if contender == COMPILED and side != SIZES[0][0]:
                    continue  # minutes of compiling, each time
                peers[-1].ask("learn", name, contender, side)
                add(peers[-1], contender)
        if python is not None:
            peers.append(Peer(python, Path(__file__).with_name("timm_peer.py")))
            for contender in TIMM:
                peers[-1].ask("learn", NETWORKS[name][2], contender)
                add(peers[-1], contender)
        taken = read_in_turn(clocks, ROUNDS, WARM_UP)
    for peer in peers:
        peer.close()
    rows = []
    for contender, times in {**taken, **slow}.items():
        ratios = [ms / base for ms, base in zip(times, taken["keras.applications"], strict=contender in taken)]
        row = {"network": name, "resolution": side, "batch": batch, "contender": contender}
        row["images_s"] = 1e3 * batch / statistics.median(times)
        row |= {"of_keras": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        rows.append(row)
        print(f"{name:<16} {side} px {contender:<20} {row['images_s']:7.1f} images/s", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--timm", metavar="PYTHON", help="python of an environment with timm")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    rows = [row for name in arguments.networks for size in SIZES for row in measure(name, *size, python=arguments.timm)]
    save("training_step", "python benchmarks/training_step.py --timm PYTHON", rows, threads=THREADS, rounds=ROUNDS)


if __name__ == "__main__":
    main()
