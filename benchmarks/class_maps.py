"""Where networks look, by four methods at four layers, on images whose evidence is known.

Command: python benchmarks/class_maps.py
Time: about 15 minutes on 2 cores, nearly all of it training; trained networks are kept in results/class_maps.
Result: results/class_maps.json and, by benchmarks/tables.py, its table in docs/evidence/training.md.

A mark of 9 x 9 pixels at a random place decides the class: horizontal, vertical or diagonal stripes or a chessboard, on
a cluttered image of 64 x 64. Half of the images have two marks of different classes, so that a map must also tell which
of them the class in question is. Small networks of several families learn to say which marks are there; those images
count of which they are right. Of each map, enlarged to the image:

* pointing: the share of images where its largest value lies in the mark (Zhang et al. 2016, arXiv:1608.00507,
  without their margin of 15 pixels);
* inside: the share of the map that lies in the mark and up to 4 pixels around it, which the marks of two classes never
  share;
* other: of two marks, the share that lies as near to the one of the other class.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from measure import save, this_command
from PIL import Image

from keras_effnet import build_model, recalibrate, scale_spec
from keras_effnet.inheritance.raw_pixels import raw_spec
from keras_effnet.report.class_maps import filled, values_and_slopes
from keras_effnet.report.split_model import split_at_map
from keras_effnet.scaling import Coefficients

MODELS = Path(__file__).parents[1] / "results" / "class_maps"
SIDE, MARK, NEAR = 64, 9, 4
NETWORKS = ("efficientnet_b0", "resnet50", "resnet50_v2", "densenet121")
THIN = Coefficients(depth=0.35, width=0.3)
LEAST_CELLS = (1, 16, 49, 196)  # at 64 px: the last map of 2 x 2, and 4 x 4, 8 x 8 and 16 x 16
STEPS, BATCH, EVALUATED, SEED = 700, 32, 256, 0


def patterns() -> np.ndarray:
    """The four marks: 1 where the first of their two grays is, 0 where the second one is."""
    rows, columns = np.mgrid[:MARK, :MARK]
    return np.stack([rows // 2 % 2, columns // 2 % 2, (rows + columns) // 2 % 2, (rows // 2 + columns // 2) % 2])


def marked_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, the labels of each (one or two of four), and the corner of each label's mark (-1: none)."""
    generator, masks = np.random.default_rng(seed), patterns()
    images = np.empty((count, SIDE, SIDE, 3), np.float32)
    labels, corners = np.zeros((count, len(masks)), np.float32), np.full((count, len(masks), 2), -1)
    for number in range(count):
        coarse = generator.uniform(40, 215, (8, 8, 3)).astype(np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
        for _ in range(4):  # bars are as bright as stripes of marks, and say nothing
            row, column = generator.integers(0, SIDE - MARK, 2)
            high, wide = ((3, MARK), (MARK, 3))[generator.integers(2)]
            image[row : row + high, column : column + wide] = generator.uniform(0, 255, 3)
        chosen = generator.permutation(len(masks))[: 1 + number % 2]
        places: list[np.ndarray] = []
        while len(places) < len(chosen):
            place = generator.integers(0, SIDE - MARK + 1, 2)
            if all(abs(place - other).max() >= MARK + 2 * NEAR for other in places):
                places.append(place)
        for label, (row, column) in zip(chosen, places, strict=True):
            grays = generator.permutation([generator.uniform(0, 60), generator.uniform(195, 255)])
            image[row : row + MARK, column : column + MARK] = grays[masks[label]][..., None]
            labels[number, label], corners[number, label] = 1, (row, column)
        images[number] = image + generator.normal(0, 6, image.shape)
    return images.clip(0, 255), labels, corners


def trained(name: str) -> keras.Model:
    """A small network of a family that knows the marks."""
    keras.utils.set_random_seed(SEED)
    spec = raw_spec(scale_spec(name, coefficients=THIN))
    model = build_model(spec, classes=4, input_shape=(SIDE, SIDE, 3), classifier_activation="sigmoid")
    rate: Any = keras.optimizers.schedules.CosineDecay(3e-3, STEPS)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["binary_accuracy"])
    for step in range(STEPS):
        images, labels, _ = marked_images(BATCH, 1_000_000 + step)
        told: Any = model.train_on_batch(images, labels)
        if step % 50 == 49:
            print(f"{name}, step {step + 1}: loss {told[0]:.3f}, accuracy {told[1]:.3f}", file=sys.stderr)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        recalibrate(model, [marked_images(BATCH, 2_000_000 + number)[0] for number in range(16)])
    return model


def grad_cam(values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2."""
    return np.maximum((slopes.mean(axis=(1, 2), keepdims=True) * values).sum(axis=-1), 0)


def hires_cam(values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Draelos and Carin 2020, arXiv:2011.08891, where it is positive."""
    return np.maximum((slopes * values).sum(axis=-1), 0)


def layer_cam(values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """LayerCAM: Jiang et al. 2021, IEEE Transactions on Image Processing 30."""
    return np.maximum((np.maximum(slopes, 0) * values).sum(axis=-1), 0)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Grad-CAM": grad_cam,
    "LayerCAM": layer_cam,
    "HiResCAM": hires_cam,
}


def scores(maps: np.ndarray, corners: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """How well maps say where marks are.

    Args:
        maps: one for each image.
        corners: of the mark of the class in question.
        others: of the other mark; -1 where there is none.
    """
    found: dict[str, list[float]] = {"pointing": [], "inside": [], "other": []}
    for heat, corner, other in zip(maps, corners, others, strict=True):
        whole = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        total = whole.sum()
        place = np.array(np.unravel_index(whole.argmax(), whole.shape))
        found["pointing"].append(bool(total > 0 and (abs(place - corner - MARK // 2) <= MARK // 2).all()))
        found["inside"].append(_near(whole, corner) / total if total > 0 else 0.0)
        if other[0] >= 0:
            found["other"].append(_near(whole, other) / total if total > 0 else 0.0)
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _near(heat: np.ndarray, corner: np.ndarray) -> float:
    top, left = np.maximum(corner - NEAR, 0)
    bottom, right = corner + MARK + NEAR
    return float(heat[top:bottom, left:right].sum())


def rows(name: str, model: keras.Model) -> list[dict[str, Any]]:
    """All layers and methods on one network, for images of one mark and of two."""
    images, labels, corners = marked_images(EVALUATED, SEED)
    right = ((np.asarray(model.predict(images, verbose="0")) > 0.5) == (labels > 0)).all(axis=1)
    print(f"{name}: right about {right.mean():.1%}", file=sys.stderr)
    table = []
    for least in LEAST_CELLS:
        split = split_at_map(model, least_cells=least, least_side=1)
        for marks in (1, 2):
            kept = np.flatnonzero(right & (labels.sum(axis=1) == marks))
            classes = np.array([np.flatnonzero(labels[number])[0] for number in kept])
            other = np.array([np.flatnonzero(labels[number])[-1] for number in kept])
            values, slopes = values_and_slopes(split, images[kept], classes)
            others = corners[kept, other] if marks == 2 else np.full((len(kept), 2), -1)
            told = {"network": name, "layer": split.layer, "cells": list(split.cells), "marks": marks}
            maps = {method: weigh(values, slopes) for method, weigh in METHODS.items()}
            maps["HiResCAM, filled"] = hires_cam(values, filled(slopes, split.steps))
            for method, weighed in maps.items():
                found = scores(weighed, corners[kept, classes], others)
                table.append({**told, "method": method, "images": len(kept), "right": float(right.mean()), **found})
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of trained networks; those there are used")
    folder, found = parser.parse_args().models, []
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        path = folder / f"{name}.keras"
        if not path.exists():
            trained(name).save(path)
        found += rows(name, keras.saving.load_model(path))
    settings = {"side": SIDE, "mark": MARK, "near": NEAR, "steps": STEPS, "batch_size": BATCH, "seed": SEED}
    save("class_maps", this_command(), found, settings=settings)


if __name__ == "__main__":
    main()
