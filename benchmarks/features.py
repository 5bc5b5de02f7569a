"""Time to an accuracy with a frozen backbone: cached features against the recipe of keras.io.

Command: python benchmarks/features.py
Time: 17 minutes on 2 cores that others used too, 7 of them for the backbone.
Result: results/features.json and, by benchmarks/tables.py, its table in docs/evidence/training.md and benchmarks.md.
    Wanted: 0.2 or less.

The peer is the first phase of "Image classification via fine-tuning with EfficientNet" (keras-team/keras-io,
examples/vision/image_classification_efficientnet_fine_tuning.py): the backbone frozen, global average pooling,
BatchNorm, dropout of 0.2, a dense layer, Adam with 0.01, batches of 64, 25 epochs, and rotation, translation and
contrast at random. Its flip is left out, since the images are digits; a second peer leaves out all augmentation. All
start from one backbone: EfficientNet-B0, trained on drawn letters here, since no ImageNet weights are embedded. Held
out are the 359 test digits, looked at after every epoch. The clock runs from the loaded backbone and the loaded
images until the accuracy is first reached, compilation included; in fresh processes that take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from measure import compare, save

COMMAND = "python benchmarks/features.py"
ROUNDS = 3
RESOLUTION = 64
PEERS = ("keras.io's recipe", "the same without augmentation")

BACKBONE = """
import sys
from pathlib import Path
from keras_effnet import FinetuneJob, FinetuneOptions, Recipe
recipe = Recipe(head_epochs=0, epochs=5, optimizer="adamw", rate=2e-3, batch_size=64, batchnorm="trained")
options = FinetuneOptions("glyphs", weights="random", resolution={resolution}, recipe=recipe)
FinetuneJob(options, Path({folder!r})).run()
"""
COMMON = """
import json, time
from pathlib import Path
import keras
import numpy as np
from keras_effnet import load_data
from keras_effnet.data.batches import Batches
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.finetune.recipe import Recipe

FOLDER, RESOLUTION, SEED = Path({folder!r}), {resolution}, {seed}
data = load_data("digits", seed=SEED)

class Curve(keras.callbacks.Callback):
    rows = []
    def on_epoch_end(self, epoch, logs=None):
        self.rows.append((time.perf_counter() - started, float(logs["val_accuracy"])))

keras.utils.set_random_seed(SEED)
"""
OURS = (
    COMMON
    + """
from keras_effnet.finetune.features import FeatureBatches, cached_features, split_model
from keras_effnet.finetune.phases import HEAD, Phase, compile_phase
import tempfile

recipe = Recipe(seed=SEED)
model = make_network(
    str(FOLDER / "model.keras"), "saved", class_names=data.train.class_names, resolution=RESOLUTION, recipe=recipe
)
started = time.perf_counter()
features, head = split_model(model)
shape = {{"resolution": RESOLUTION, "channels": 3}}
with tempfile.TemporaryDirectory() as cache:
    views = [cached_features(features, source, recipe, Path(cache), **shape) for source in (data.train, data.test)]
    batches = FeatureBatches(views[:1], data.train.targets(slice(None)), batch_size=256, seed=SEED, shuffle=True)
    held_out = FeatureBatches(views[1:], data.test.targets(slice(None)), batch_size=256)
    compile_phase(head, Phase(HEAD, recipe.head_epochs, 0, recipe.head_epochs), recipe, len(batches))
    curve = Curve()
    head.fit(batches, validation_data=held_out, epochs=recipe.head_epochs, callbacks=[curve], verbose=0, shuffle=False)
print(json.dumps(curve.rows))
"""
)
PEER = (
    COMMON
    + """
import tensorflow as tf

def arrays(source):
    batches = Batches(source, resolution=RESOLUTION, batch_size=len(source))
    return batches[0][:2]

train, test = arrays(data.train), arrays(data.test)
backbone = keras.models.load_model(FOLDER / "model.keras", compile=False)
pooled = [layer for layer in backbone.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)][-1]
started = time.perf_counter()
base = keras.Model(backbone.input, pooled.input)
base.trainable = False
x = keras.layers.GlobalAveragePooling2D()(base.output)
x = keras.layers.BatchNormalization()(x)
x = keras.layers.Dropout(0.2)(x)
model = keras.Model(base.input, keras.layers.Dense(10, activation="softmax")(x))
model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
layers = [
    keras.layers.RandomRotation(0.15),
    keras.layers.RandomTranslation(0.1, 0.1),
    keras.layers.RandomContrast(0.1),
] if {augmented} else []

def augment(images, labels):
    for layer in layers:
        images = layer(images, training=True)
    return images, labels

images = tf.data.Dataset.from_tensor_slices(train).shuffle(len(train[0])).batch(64)
images = images.map(augment, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
held_out = tf.data.Dataset.from_tensor_slices(test).batch(64)
curve = Curve()
model.fit(images, validation_data=held_out, epochs=25, callbacks=[curve], verbose=0)
print(json.dumps(curve.rows))
"""
)


def run(program: str) -> str:
    """Standard output of a program in a fresh process."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout


def curves(folder: str, seed: int) -> list[list[tuple[float, float]]]:
    """Seconds and accuracy after each epoch: ours, then each peer's."""
    common: dict[str, Any] = {"folder": folder, "resolution": RESOLUTION, "seed": seed}
    programs = [OURS.format(**common), *(PEER.format(augmented=each, **common) for each in (True, False))]
    return [json.loads(run(program).strip().splitlines()[-1]) for program in programs]


def reached(curve: list[tuple[float, float]], accuracy: float) -> float:
    """When an accuracy was first reached."""
    return next(seconds for seconds, found in curve if found >= accuracy)


def main() -> None:
    """Measures, compares and saves."""
    with tempfile.TemporaryDirectory() as folder:
        run(BACKBONE.format(folder=folder, resolution=RESOLUTION))
        rounds = [curves(folder, seed) for seed in range(ROUNDS)]
    rows = []
    for number, peer in enumerate(PEERS, start=1):
        # What both reach in every round, to a whole per cent below.
        best = min(max(found for _, found in curve) for each in rounds for curve in (each[0], each[number]))
        accuracy = int(100 * best) / 100
        times = [[reached(each[which], accuracy) for each in rounds] for which in (0, number)]
        rows.append({"what": f"features once, to {accuracy:.0%} of held-out digits", "peer": peer, **compare(*times)})
    save("features", COMMAND, rows, curves=rounds)


if __name__ == "__main__":
    main()
