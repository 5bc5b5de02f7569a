"""Run by test_backends.py under another backend: `python backend_check.py FOLDER`. Raises where something differs."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
from support import BACKEND_SPECS, assert_same_outputs, outputs, random_images

from keras_effnet import build_model, scale_model


def main(folder: Path) -> None:
    for name, spec in BACKEND_SPECS.items():
        model = build_model(spec, classes=5, weights=str(folder / f"{name}.weights.h5"))
        x = random_images(2, spec.resolution, spec.resolution, 3)
        expected = np.load(folder / f"{name}.npy")
        assert_same_outputs(outputs(model, x), expected)

        model.save(folder / f"{name}.{keras.backend.backend()}.keras")
        loaded = keras.saving.load_model(folder / f"{name}.{keras.backend.backend()}.keras")
        assert_same_outputs(outputs(loaded, x), expected)

        if name == "mobilenet_v2":
            grown = scale_model(model, phi=0.5, input_shape=model.input_shape[1:])
            assert_same_outputs(outputs(grown, x), expected)

        before = [weight.copy() for weight in model.get_weights()]
        # JAX would otherwise compile a program for each operation; PyTorch's compiler takes a minute.
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=keras.backend.backend() == "jax")
        loss = float(model.train_on_batch(x, np.arange(2)))
        assert np.isfinite(loss)
        changed = sum(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True))
        assert changed > len(before) / 2
    print(keras.backend.backend())  # noqa: T201 - the report to the test


if __name__ == "__main__":
    main(Path(sys.argv[1]))
