"""Down to a microcontroller: the largest network for 256 kB of RAM and 512 kB of flash, trained, in int8, held to both.

Command: python examples/microcontroller.py
Time: about 2 minutes on 2 cores.
Result: 71 kB of 256 kB of RAM, 447 kB of 512 kB of flash; 0.568 of held-out letters right in float32, 0.565 in int8. At
32 px flash is the limit that binds. (One run on the machine of docs/evidence/devices.md.)

Flash holds the file; RAM holds what flows through the network and the engine's notes (docs/microcontrollers.md).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from keras_effnet import build_model, estimate_cost, estimate_peak, export_model, fit_to_budget, to_edge
from keras_effnet.data.glyphs import render_letters
from keras_effnet.training.compilation import set_batchnorm_momentum

RAM_BYTES, FLASH_BYTES, MOST_LOST = 256e3, 512e3, 0.02  # the last one of 1, against float32
ENGINE, SIDE, TRAINED, TESTED, EPOCHS, CLASSES = "litert-int8", 32, 4_000, 600, 5, 40


def trained(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> keras.Model:
    set_batchnorm_momentum(model, 0.9)  # with 0.99 the statistics need thousands of steps
    rate = keras.optimizers.schedules.CosineDecay(4e-3, EPOCHS * -(-len(images) // 64))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice
    model.fit(images, labels, batch_size=64, epochs=EPOCHS, verbose=0)
    return model


def main() -> None:
    # A weight takes one byte in the file and four in `model_bytes`; a third of the flash is left for the graph.
    spec = fit_to_budget(
        to_edge("efficientnet_b0"),
        peak_bytes=RAM_BYTES,
        model_bytes=0.67 * 4 * FLASH_BYTES,
        resolution=SIDE,
        classes=CLASSES,
        engine=ENGINE,
    )
    cost, peak = estimate_cost(spec, classes=CLASSES), estimate_peak(spec, classes=CLASSES)
    print(f"network: {spec.depth} blocks at {SIDE} px, {cost.params:,} weights, {cost.macs:,} multiply-adds")
    ram = peak.bytes_on(ENGINE)
    print(f"memory: {ram:,} bytes, {peak.values:,} of them values, the most at {peak.layer}")

    keras.utils.set_random_seed(0)
    learn, test = render_letters(TRAINED, SIDE, seed=0), render_letters(TESTED, SIDE, seed=1)
    images, held_out = (each.images.astype(np.float32) for each in (learn, test))
    model = trained(build_model(spec, classes=CLASSES), images, learn.labels)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "letters.tflite"
        options = {"calibration": images[:200], "images": held_out, "labels": test.labels}
        report = export_model(model, path, format=ENGINE, batch=1, **options)
    before, after = report.model_accuracy or 0.0, report.accuracy or 0.0
    lost = before - after
    print(f"accuracy on {TESTED:,} held-out letters: {before:.3f} in float32, {after:.3f} in int8")
    promises = (
        ("RAM", f"{ram / 1e3:.0f} kB", f"{RAM_BYTES / 1e3:.0f} kB", ram <= RAM_BYTES),
        ("flash", f"{report.bytes / 1e3:.0f} kB", f"{FLASH_BYTES / 1e3:.0f} kB", report.bytes <= FLASH_BYTES),
        ("accuracy lost", f"{lost:.3f}", f"{MOST_LOST}", lost <= MOST_LOST),
    )
    for name, found, limit, held in promises:
        print(f"{name}: {found}, at most {limit} was promised: {'held' if held else 'not held'}")


if __name__ == "__main__":
    main()
