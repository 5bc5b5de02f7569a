"""The whole way to a device: a budget in milliseconds and megabytes, a network for it, int8, and proof on the file.

Command: python examples/edge.py
Time: about 4 minutes on 2 cores, one of them calibrating (once a machine).
Result: each promise with what was measured on the finished file, and whether it held: 0.50 ms of 3 ms, 0.95 MB of 1 MB,
0.742 of held-out letters right in float32 and in int8. (One run on the machine of docs/evidence/devices.md.)

The device is this machine. For another one see "A device that is not at hand" in docs/export.md.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from keras_effnet import BackboneSpec, build_model, estimate_cost, export_model, fit_to_budget, to_edge
from keras_effnet.data.glyphs import render_letters
from keras_effnet.training.compilation import set_batchnorm_momentum

LATENCY_MS, MEGABYTES, MOST_LOST = 3.0, 1.0, 0.01  # of the int8 file; the last one of 1, against float32
ENGINE, SIDE, TRAINED, TESTED, EPOCHS = "litert-int8", 32, 6_000, 2_000, 6


def budgeted() -> BackboneSpec:
    """The largest network of EfficientNet's family, in its form for small devices, under both limits.

    A weight takes one byte in the file and four in `model_bytes`; a fifth is left for the graph.
    """
    base = to_edge("efficientnet_b0")
    return fit_to_budget(
        base, latency_ms=LATENCY_MS, model_bytes=0.8 * 4e6 * MEGABYTES, resolution=SIDE, classes=40, engine=ENGINE
    )


def trained(spec: BackboneSpec, images: np.ndarray, labels: np.ndarray) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = build_model(spec, classes=int(labels.max()) + 1)
    set_batchnorm_momentum(model, 0.9)  # with 0.99 the statistics need thousands of steps
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(images) // 64))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images, labels, batch_size=64, epochs=EPOCHS, verbose=0)
    return model


def main() -> None:
    spec = budgeted()
    cost = estimate_cost(spec, classes=40)
    print(f"network: {spec.depth} blocks at {spec.resolution} px, {cost.params:,} weights, {cost.macs:,} multiply-adds")
    learn, test = render_letters(TRAINED, SIDE, seed=0), render_letters(TESTED, SIDE, seed=1)
    images, held_out = (each.images.astype(np.float32) for each in (learn, test))
    model = trained(spec, images, learn.labels)
    with TemporaryDirectory() as folder:
        report = export_model(
            model,
            Path(folder) / "letters.tflite",
            format=ENGINE,
            batch=1,
            calibration=images[:200],
            images=held_out,
            labels=test.labels,
        )
    accuracy, before = report.accuracy or 0.0, report.model_accuracy or 0.0
    promises = (
        ("latency", f"{report.latency_ms:.2f} ms", f"{LATENCY_MS} ms", report.latency_ms <= LATENCY_MS),
        ("size", f"{report.bytes / 1e6:.2f} MB", f"{MEGABYTES} MB", report.bytes <= 1e6 * MEGABYTES),
        ("accuracy lost", f"{before - accuracy:.3f}", f"{MOST_LOST}", before - accuracy <= MOST_LOST),
    )
    print(f"accuracy on {TESTED:,} held-out letters: {before:.3f} in float32, {accuracy:.3f} in int8")
    for name, found, limit, held in promises:
        print(f"{name}: {found}, at most {limit} was promised: {'held' if held else 'not held'}")
    print(f"{sum(held for *_, held in promises)} of {len(promises)} promises held")


if __name__ == "__main__":
    main()
