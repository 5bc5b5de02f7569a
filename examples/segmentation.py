"""Semantic segmentation: a trained classifier of a small size is grown, gives its feature maps, and gets a decoder.

Command: python examples/segmentation.py [--output masks.png]
Time: about 1 minute on 2 cores.
Result: a classifier with an accuracy of 0.900; grown to three times its parameters, its backbone segments with a mean
    IoU of 0.687; the same network with random weights, trained on the same masks, reaches 0.383. (One run; the last
    digits depend on the machine.) With --output also an image: scenes, their masks, and what was found.

The images are drawn (draw_scenes.py). Words for images are cheap and masks are not: the classifier sees 2,400 images
with one patch each, the segmentation network 60 scenes with masks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
from draw_scenes import PATTERNS, SIDE, Scenes, draw_scenes
from keras import layers
from PIL import Image

from keras_effnet import (
    Coefficients,
    Preprocessing,
    build_model,
    feature_extractor,
    feature_levels,
    scale_model,
    scale_spec,
)

LABELLED, LABELLED_EPOCHS, MASKED, MASKED_EPOCHS, TESTED = 2400, 5, 60, 16, 200

spec = replace(
    scale_spec("resnet18", coefficients=Coefficients(width=0.25, depth=0.5)),
    resolution=SIDE,
    preprocessing=Preprocessing(scale=1 / 127.5, offset=-1.0),
)


def fit(model: keras.Model, x: np.ndarray, y: np.ndarray, loss: Any, rate: float, epochs: int, batch: int) -> None:
    """Trains with a rate that falls to zero."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * len(x) // batch)
    model.compile(keras.optimizers.AdamW(schedule), loss, jit_compile=False)
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)


def trained_classifier() -> keras.Model:
    """A small network that has learned which pattern an image shows: one word for each image, and no mask."""
    scenes = draw_scenes(LABELLED, 1, seed=1)
    model = build_model(spec, classes=len(PATTERNS))
    fit(model, scenes.images, scenes.labels, "sparse_categorical_crossentropy", 4e-3, LABELLED_EPOCHS, 32)
    test = draw_scenes(TESTED, 1, seed=2)
    right = np.argmax(model.predict(test.images, verbose=0), axis=-1) == test.labels
    print(f"classifier: accuracy {right.mean():.3f}, {model.count_params():,} parameters")
    return model


def pyramid(extractor: keras.Model, width: int = 32) -> Any:
    """A feature pyramid (arXiv:1612.03144): from the coarsest map down, each is added to the next finer one."""
    told, maps = feature_levels(extractor), cast(dict[str, Any], extractor.output)
    x, before = None, 0
    for name, stride in reversed(list(zip(told.names, told.strides, strict=True))):
        lateral = layers.Conv2D(width, 1, name=f"{name}_lateral")(maps[name])
        if x is not None:
            x = layers.UpSampling2D(before // stride, interpolation="bilinear", name=f"{name}_up")(x)
            lateral = layers.Add(name=f"{name}_sum")([lateral, x])
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"{name}_smooth")(lateral)
        before = stride
    return x


def with_masks(extractor: keras.Model, classes: int) -> keras.Model:
    """The backbone, a pyramid, and one layer that scores the classes of each pixel."""
    scores = layers.Conv2D(classes, 1, name="scores")(pyramid(extractor))
    finest = feature_levels(extractor).strides[0]
    scores = layers.UpSampling2D(finest, interpolation="bilinear", name="pixels")(scores)
    return keras.Model(extractor.input, layers.Softmax(name="masks")(scores))


def mean_iou(model: keras.Model, scenes: Scenes) -> float:
    """Intersection over union, of each class in all images, as the mean over the classes."""
    found = np.argmax(model.predict(scenes.images, batch_size=50, verbose=0), axis=-1)
    classes = range(len(PATTERNS) + 1)
    pairs = [(found == number, scenes.masks == number) for number in classes]
    return float(np.mean([np.sum(ours & theirs) / max(np.sum(ours | theirs), 1) for ours, theirs in pairs]))


def write_masks(model: keras.Model, scenes: Scenes, path: Path) -> None:
    """Writes a few scenes, their masks below them, and below those what was found."""
    found = np.argmax(model.predict(scenes.images[:8], verbose=0), axis=-1)
    shades = [np.repeat((masks * 80)[..., None], 3, axis=-1) for masks in (scenes.masks[:8], found)]
    tall = np.concatenate([scenes.images[:8], *shades], axis=1).astype(np.uint8)
    wide = Image.fromarray(np.concatenate(list(tall), axis=1))
    wide.resize((2 * wide.width, 2 * wide.height), Image.Resampling.NEAREST).save(path)


def main(words: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, help="where to write an image of some results (default: nowhere)")
    arguments = parser.parse_args(words)
    keras.utils.set_random_seed(0)
    larger = scale_model(trained_classifier(), phi=1, input_shape=(SIDE, SIDE, 3))
    levels = ("P2", "P3", "P4", "P5")
    trained = feature_extractor(larger, levels, output_stride=16)
    fresh = keras.models.clone_model(trained)  # the same network, with random weights
    scenes, test = draw_scenes(MASKED, 4, seed=3), draw_scenes(TESTED, 4, seed=4)
    for name, extractor in (("grown backbone", trained), ("from scratch", fresh)):
        model = with_masks(extractor, len(PATTERNS) + 1)
        fit(model, scenes.images, scenes.masks, "sparse_categorical_crossentropy", 2e-3, MASKED_EPOCHS, 10)
        print(f"{name}: mean IoU {mean_iou(model, test):.3f}, {model.count_params():,} parameters")
        if arguments.output and extractor is trained:
            write_masks(model, test, arguments.output)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
