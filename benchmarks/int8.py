"""What full int8 costs in accuracy: the Lite form of a trained network and the plain one, and what mixing recovers

Command: python benchmarks/int8.py
Time: about 10 minutes on 2 cores.
Result: results/int8.json and its table in docs/evidence/devices.md.

Two sets of pictures that no network has seen: letters as `keras-effnet transfer` draws them, and cluttered ones, on
which a network of this size is far from saturation: a letter faint behind two others and noise. Each network is trained
on TRAINED of them, calibrated with CALIBRATED of those, and tested on TESTED others, as float32 and as int8 in LiteRT.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from measure import save, this_command

from keras_effnet import BackboneSpec, build_model, explain_int8, export_model, scale_spec, to_edge
from keras_effnet.data.glyphs import render_letters

SIDE, TRAINED, CALIBRATED, TESTED, EPOCHS, BATCH, SEEDS = 32, 6_000, 200, 4_000, 6, 64, (0,)
MIXED = (1, 4)
SHOWN = 5  # of the worst layers
BASE = scale_spec("efficientnet_b0", -8)
FORMS: dict[str, BackboneSpec] = {"Lite form": to_edge(BASE), "plain": BASE}


def letters(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures from 0 to 255, and their classes."""
    found = render_letters(count, SIDE, seed)
    return found.images.astype(np.float32), found.labels


def clutter(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Letters behind parts of two others, faint and in noise."""
    generator = np.random.default_rng(seed)
    images, labels = letters(count, 10 * seed + 1)
    for other in (2, 3):
        front, _ = letters(count, 10 * seed + other)
        down, right = generator.integers(SIDE // 3, 2 * SIDE // 3, (2, count))
        moved = np.stack([np.roll(image, shift, (0, 1)) for image, *shift in zip(front, down, right, strict=True)])
        images = np.maximum(images, 0.5 * moved)
    contrast = generator.uniform(0.3, 1, (count, 1, 1, 1))
    noisy = contrast * images + generator.normal(0, 30, images.shape)
    return np.clip(noisy, 0, 255).astype(np.float32), labels


SETS = {"letters": letters, "clutter": clutter}


def trained(spec: BackboneSpec, images: np.ndarray, labels: np.ndarray, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build_model(spec, classes=int(labels.max()) + 1, input_shape=(SIDE, SIDE, 3))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # with 0.99 the statistics need thousands of steps
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(images) // BATCH))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model


def measure(name: str, form: str, seed: int, folder: Path) -> dict[str, Any]:
    """One network: accuracies of its float32, its int8 and its mixed files."""
    images, labels = SETS[name](TRAINED, 2 * seed + 1)
    tested, classes = SETS[name](TESTED, 2 * seed + 2)
    model = trained(FORMS[form], images, labels, seed)
    options: dict[str, Any] = {"images": tested, "labels": classes, "tolerance": 10}
    calibration = images[:CALIBRATED]

    def accuracy(layers: int) -> float:
        path = folder / "net.tflite"
        report = export_model(
            model, path, format="litert-int8", calibration=calibration, float_layers=layers, **options
        )
        return float(report.accuracy or 0)

    whole = export_model(model, folder / "float.tflite", **options)
    worst = [each.to_dict() for each in explain_int8(model, calibration)[:SHOWN]]
    row = {
        "data": name,
        "form": form,
        "seed": seed,
        "float32": whole.accuracy,
        "int8": accuracy(0),
        "mixed": {str(count): accuracy(count) for count in MIXED},
        "worst": worst,
    }
    print(row["data"], form, seed, row["float32"], row["int8"], row["mixed"], file=sys.stderr, flush=True)
    return row


def main() -> None:
    with TemporaryDirectory() as folder:
        rows = [measure(name, form, seed, Path(folder)) for name in SETS for form in FORMS for seed in SEEDS]
    for row in rows:
        row["loss"] = row["float32"] - row["int8"]
    means = {
        f"{name}, {form}": statistics.fmean(row["loss"] for row in rows if (row["data"], row["form"]) == (name, form))
        for name in SETS
        for form in FORMS
    }
    save("int8", this_command(), rows, mean_loss=means, images={"trained": TRAINED, "tested": TESTED})


if __name__ == "__main__":
    main()
