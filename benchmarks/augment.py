"""Compares augmentation by Keras' and by keras-cv's layers: each operation, RandAugment, MixUp and CutMix.

Command: python benchmarks/augment.py
Time: under 2 minutes on 2 cores.
Result: RandAugment composed of Keras' single layers is no slower than keras-cv's, and several times faster than Keras'
    own RandAugment layer, which runs every batch through all operations and keeps one. keras-cv is not needed.

Everything runs in one process, with the engines in turn, on batches of crops of scikit-learn's two sample photographs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_cv
import numpy as np
import tensorflow as tf
from measure import compare, save
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_effnet.data.array_flow import TensorFlowFlow
from keras_effnet.data.augment import Augmentation, Augmenter, random_box
from keras_effnet.data.operations import Draws, operations_of

BATCH = 32
ROUNDS = 5
SECONDS = 0.05  # shortest duration of a round
OPERATIONS, MAGNITUDE = 2, 9

Compute = Callable[[], Any]


def photographs(side: int) -> np.ndarray:
    """Random crops of two photographs."""
    generator = np.random.default_rng(0)
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    cuts = []
    for number in range(BATCH):
        photo = photos[number % len(photos)]
        box = random_box(photo.height, photo.width, 0.1, generator.random(4))
        cuts.append(np.asarray(photo.resize((side, side), box=box)))
    return np.stack(cuts).astype(np.float32)


def single(engine: str, name: str, images: np.ndarray) -> Compute:
    """Applies one operation to each image of a batch."""
    draws = Draws(TensorFlowFlow())
    apply = operations_of(engine, MAGNITUDE, draws)[name]

    @tf.function
    def compute(batch: Any) -> Any:
        draws.start(tf.constant([1, 2]))
        return tf.map_fn(apply, batch)

    return lambda: compute(tf.constant(images)).numpy()


def ours(images: np.ndarray, **options: Any) -> Compute:
    """Our augmentation, as training calls it."""
    augmenter = Augmenter(Augmentation(**options), images.shape[1], BATCH)
    return lambda: augmenter(images, np.eye(BATCH, dtype=np.float32), (0, 0, 0))


def layer(made: Any, images: np.ndarray) -> Compute:
    """A library's layer, used as in its documentation: on a batch, in a graph."""
    labels = np.eye(BATCH, dtype=np.float32)
    compute = tf.function(lambda x, y: made({"images": x, "labels": y})["images"])
    return lambda: compute(tf.constant(images), tf.constant(labels)).numpy()


def pairs(images: np.ndarray) -> list[tuple[str, str, Compute, Compute]]:
    """The comparisons: the name, the peer's name, our computation and the peer's."""
    whole = {"operations": OPERATIONS, "magnitude": MAGNITUDE}
    keras_engine, cv_engine = ours(images, **whole, engine="keras"), ours(images, **whole, engine="keras_cv")
    cv, strength = keras_cv.layers, MAGNITUDE / 10
    names = [name for name in operations_of("keras", MAGNITUDE, Draws(TensorFlowFlow())) if name != "identity"]
    return [
        ("RandAugment", "the same of keras-cv's layers", keras_engine, cv_engine),
        (
            "RandAugment",
            "keras_cv.layers.RandAugment",
            keras_engine,
            layer(cv.RandAugment((0, 255), augmentations_per_image=OPERATIONS, magnitude=strength), images),
        ),
        (
            "RandAugment",
            "keras.layers.RandAugment",
            keras_engine,
            layer(keras.layers.RandAugment(num_ops=OPERATIONS, factor=strength), images),
        ),
        ("MixUp", "keras_cv.layers.MixUp", ours(images, mixup=0.2), layer(cv.MixUp(0.2), images)),
        ("CutMix", "keras_cv.layers.CutMix", ours(images, cutmix=1.0), layer(cv.CutMix(1.0), images)),
        *((name, "keras-cv's", single("keras", name, images), single("keras_cv", name, images)) for name in names),
    ]


def seconds(compute: Compute, calls: int) -> float:
    """Seconds per image."""
    start = time.perf_counter()
    for _ in range(calls):
        compute()
    return (time.perf_counter() - start) / calls / BATCH


def measure(name: str, peer: str, compute: tuple[Compute, Compute], side: int) -> dict[str, Any]:
    """Measures both computations in turn, `ROUNDS` times."""
    calls = []
    for one in compute:
        one()  # traces the function
        calls.append(max(1, round(SECONDS / (seconds(one, 1) * BATCH))))
    found = [[seconds(one, number) for one, number in zip(compute, calls, strict=True)] for _ in range(ROUNDS)]
    result = compare(*zip(*found, strict=True))
    rates = {"unit": "images/s", "ours": 1 / result["ours_s"], "peers": 1 / result["peer_s"]}
    return {"what": f"{name}, {side} px", "peer": peer, **rates, **result}


if __name__ == "__main__":
    rows = [
        measure(name, peer, (mine, other), side)
        for side in (96, 224)
        for name, peer, mine, other in pairs(photographs(side))
    ]
    setting = {"batch": BATCH, "operations": OPERATIONS, "magnitude": MAGNITUDE, "keras_cv": version("keras-cv")}
    save("augment", "python benchmarks/augment.py", rows, setting=setting)
