"""Measures how long training waits for data: our batches against Keras' `image_dataset_from_directory`.

Command: python benchmarks/pipeline.py
Time: 2 minutes on 2 cores.
Result: results/pipeline.json; benchmarks/tables.py writes it into docs/evidence/training.md and benchmarks.md.
    The target is an idle share below 5 %.

Trains EfficientNet-B0 at 224 px on JPEG files of 300 to 500 px, which are generated first: letters and blobs of colour
with noise, so that their size in bytes is that of photographs. In one process with one compiled step, three ways take
turns: a batch that stays in memory, our batches, and Keras'. The idle share is the time spent waiting for the next
batch, divided by the time of waiting and training. Decoding and training share the cores, so a pipeline also slows down
the step itself; the step with a batch in memory shows by how much. Finally both pipelines read without training, which
shows how much faster a network could be before it had to wait.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from measure import compare, save
from PIL import Image

from keras_effnet import build_model
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.sets import load_data

COMMAND = "python benchmarks/pipeline.py"
THREADS, RESOLUTION, BATCH, CLASSES = 2, 224, 16, 4
IMAGES = 240
ROUNDS, STEPS, WARM = 5, 3, 1  # the first step of a round does not count, since nothing was read ahead for it
EPOCHS = 5  # that are read without training in each round: of 0.15 s each
PEER = "image_dataset_from_directory"
CROPPED = Augmentation(crop=0.5, flip=True)


def write_images(folder: Path) -> int:
    """Writes JPEG files in class folders; returns their mean size in bytes."""
    from keras_effnet.data.glyphs import render_letters

    generator = np.random.default_rng(0)
    letters = render_letters(IMAGES, 64).images
    for number in range(IMAGES):
        size = tuple(int(side) for side in generator.integers(300, 501, 2))
        coarse = Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        letter = Image.fromarray(letters[number]).resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(Image.blend(coarse, letter, 0.4)) + generator.normal(0, 8, (size[1], size[0], 3))
        path = folder / f"class{number % CLASSES}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=88)
    return round(statistics.mean(path.stat().st_size for path in folder.rglob("*.jpg")))


def steps_of(model: keras.Model, batches: Iterator[Any]) -> tuple[float, float]:
    """Trains for a few steps; returns the seconds of waiting and of training per step."""
    waits, works = [], []
    for _ in range(WARM + STEPS):
        start = time.perf_counter()
        images, labels, *_ = next(batches)
        ready = time.perf_counter()
        model.train_on_batch(images, labels)
        waits.append(ready - start)
        works.append(time.perf_counter() - ready)
    return statistics.mean(waits[WARM:]), statistics.mean(works[WARM:])


def seconds_alone(way: Callable[[], Iterator[Any]]) -> float:
    """Reads some epochs and does nothing else; returns the seconds per batch."""
    epochs = [way() for _ in range(EPOCHS)]  # to make them is not yet to read
    start = time.perf_counter()
    count = sum(1 for epoch in epochs for _ in epoch)
    return (time.perf_counter() - start) / count


def measure(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Seconds of waiting and of training per step, by way and round."""
    model = build_model("efficientnet_b0", classes=CLASSES)
    model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    source = load_data(str(folder), validation=0.05, cache=folder.parent / "cache").train
    options: dict[str, Any] = {"resolution": RESOLUTION, "batch_size": BATCH, "shuffle": True}
    plain, cropped = Batches(source, **options), Batches(source, augmentation=CROPPED, **options)
    keras_data: Any = keras.utils.image_dataset_from_directory(
        folder, image_size=(RESOLUTION, RESOLUTION), batch_size=BATCH, label_mode="categorical", seed=0, verbose=False
    )
    resident = plain[0]
    model.train_on_batch(*resident[:2])  # compiles
    ways: dict[str, Callable[[], Any]] = {
        "memory": lambda: iter([resident] * (WARM + STEPS)),
        "ours": lambda: iter(plain),
        "peer": lambda: iter(keras_data.prefetch(tf.data.AUTOTUNE)),
    }
    alone = {"ours alone": ways["ours"], "peer alone": ways["peer"], "ours alone, cropped": lambda: iter(cropped)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (*ways, *alone)}
    for number in range(ROUNDS):
        for name in found:
            found[name].append(steps_of(model, ways[name]()) if name in ways else (seconds_alone(alone[name]), 0.0))
            wait, work = found[name][-1]
            print(f"round {number + 1}/{ROUNDS}  {name:<20} waits {wait:.4f} s, trains {work:.4f} s", file=sys.stderr)
    return found


def idle_shares(found: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """The median and the largest idle share of both pipelines."""
    shares = {name: [wait / (wait + work) for wait, work in found[name]] for name in ("ours", "peer")}
    return {name: {"median": statistics.median(values), "max": max(values)} for name, values in shares.items()}


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    with tempfile.TemporaryDirectory() as temporary:
        size = write_images(Path(temporary) / "images")
        load = os.getloadavg()[0]
        found = measure(Path(temporary) / "images")
    seconds = {name: [wait + work for wait, work in rounds] for name, rounds in found.items()}
    rows = [
        {"what": what, "peer": PEER, **compare(seconds[ours], seconds[peer])}
        for what, ours, peer in (
            ("B0: a step, and the wait for its data", "ours", "peer"),
            ("reading a batch, nothing else", "ours alone", "peer alone"),
            ("... with random crop and flip, the peer without", "ours alone, cropped", "peer alone"),
        )
    ]
    settings = {"threads": THREADS, "resolution": RESOLUTION, "batch": BATCH, "bytes": size, "load_before": load}
    memory = statistics.median(seconds["memory"])
    save("pipeline", COMMAND, rows, settings=settings, idle=idle_shares(found), memory_s=memory)


if __name__ == "__main__":
    main()
