"""Fine-tuning by hand: this package loads, builds and scales; the rest is plain Keras.

Command: python examples/finetune_by_hand.py
Time: about 40 seconds on 2 cores, most of it making the "pretrained" file that a real job would already have.
Result: 0.861 of 1,747 held-out digits with only the classifier trained, 0.877 with the whole network trained at a small
rate; 0.738 with the same network trained from scratch on the same five images a class. (One run; the last digits
depend on the machine, and another draw of images gives other numbers.)

`keras-effnet finetune` does this with cached features, restarts after a crash, a report and defaults with their sources
(docs/finetune.md). This file shows the steps.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from keras_effnet import BackboneSpec, Preprocessing, StageSpec, build_model, load_data, scale_model
from keras_effnet.blocks import ConvBlock, MBConv
from keras_effnet.data.batches import Batches
from keras_effnet.data.glyphs import render_letters
from keras_effnet.data.source import Source

SIDE, LABELS_PER_CLASS = 16, 5


def pretrained(path: Path) -> None:
    """Writes a file such as a real job starts from: here, a very small network trained on letters."""
    spec = BackboneSpec(
        name="small",
        stem=StageSpec(ConvBlock(activation="swish"), width=16, stride=2),
        stages=(
            StageSpec(MBConv(expand=4), width=24, depth=1, stride=2),
            StageSpec(MBConv(kernel=5, expand=4), width=40, depth=1),
        ),
        head=StageSpec(ConvBlock(kernel=1, names=("top_conv", "top_bn", "top_activation")), width=128),
        resolution=SIDE,
        preprocessing=Preprocessing(scale=1 / 127.5, offset=-1.0),  # inside the model: it takes pixels from 0 to 255
    )
    letters = render_letters(4_000, SIDE)
    model = build_model(spec, classes=len(letters.class_names))
    quick_statistics(model)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(letters.images, letters.labels, batch_size=64, epochs=3, verbose=0)
    model.save(path)


def quick_statistics(model: keras.Model) -> None:
    """Lets the statistics follow within tens of steps; with Keras' momentum of 0.99 they need hundreds."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9


def arrays(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """All images of a source, 0 to 255, and their labels."""
    images, labels = Batches(source, resolution=SIDE, batch_size=len(source))[0]
    return images, labels.argmax(axis=1)


def train(model: keras.Model, rate: float, epochs: int, x: np.ndarray, y: np.ndarray, *held_out: np.ndarray) -> float:
    """Plain `fit` with Keras' own callbacks; returns the accuracy on what was held out."""
    decay = keras.optimizers.schedules.CosineDecay(rate, decay_steps=epochs * -(-len(x) // 10))
    model.compile(
        keras.optimizers.AdamW(decay), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    callbacks = [
        keras.callbacks.TerminateOnNaN(),
        # Stops when the loss on the few images no longer falls. There are too few labels to hold some out.
        keras.callbacks.EarlyStopping(monitor="loss", patience=10, restore_best_weights=True),
    ]
    model.fit(x, y, batch_size=10, epochs=epochs, verbose=0, callbacks=callbacks)
    return model.evaluate(*held_out, batch_size=256, verbose=0)[1]


def main() -> None:
    keras.utils.set_random_seed(0)
    data = load_data("digits", labels_per_class=LABELS_PER_CLASS)
    images = (*arrays(data.train), *arrays(data.test or data.validation))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "letters.keras"
        pretrained(path)
        # The weights of the file, under a classifier for other classes. phi=0: at the same size; phi=1: a larger one.
        model = scale_model(path, phi=0, classes=len(data.train.class_names), classifier_activation="softmax")

    # First the classifier alone, on features that do not change.
    classifier = model.layers[-1]
    for layer in model.layers:
        layer.trainable = layer is classifier
    print(f"classifier alone: {train(model, 1e-2, 40, *images):.3f}")

    # Then all of it at a small rate. BatchNorm stays as it is: fifty images say little about statistics.
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    print(f"whole network:    {train(model, 1e-3, 20, *images):.3f}")

    # The same network, which has seen nothing before.
    scratch = keras.models.clone_model(model)
    for layer in scratch.layers:
        layer.trainable = True
    quick_statistics(scratch)
    print(f"from scratch:     {train(scratch, 3e-3, 30, *images):.3f}")


if __name__ == "__main__":
    main()
