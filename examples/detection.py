"""Detection of the simplest kind: a map of centres for each class, on the feature maps of a grown classifier.

Command: python examples/detection.py [--output boxes.png]
Time: about 1 minute on 2 cores.
Result: an average precision (at an IoU of 0.5) of 0.835 on the grown backbone of a classifier; 0.414 for the same
    network with random weights, trained on the same boxes. (One run; the last digits depend on the machine.) With
    --output also an image: scenes with the boxes that were found.

CenterNet (Zhou et al. 2019, arXiv:1904.07850): an object is the peak of its class's heat map, and two more channels say
how wide and high it is there. The images are drawn (draw_scenes.py): the classifier sees 2,400 images with one patch
each, the detector 120 scenes with boxes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from draw_scenes import PATTERNS, SIDE, Scenes, draw_scenes
from keras import layers, ops
from PIL import Image, ImageDraw
from segmentation import fit, pyramid, trained_classifier

from keras_effnet import feature_extractor, scale_model

BOXED, BOXED_EPOCHS, TESTED = 120, 20, 200
STRIDE, CLASSES = 4, len(PATTERNS)
CELLS = SIDE // STRIDE


def targets(scenes: Scenes) -> np.ndarray:
    """What the network is to say: heat maps, then width and height in cells, then where these count."""
    found = np.zeros((len(scenes.images), CELLS, CELLS, CLASSES + 3), np.float32)
    rows, columns = np.mgrid[:CELLS, :CELLS] + 0.5
    for target, boxes in zip(found, scenes.boxes, strict=True):
        for left, top, right, bottom, pattern in boxes / (STRIDE, STRIDE, STRIDE, STRIDE, 1):
            x, y = int((left + right) / 2), int((top + bottom) / 2)
            distance = np.hypot(columns - x - 0.5, rows - y - 0.5)
            heat = np.exp(-(distance**2) / (2 * ((right - left) / 6) ** 2))
            target[..., int(pattern)] = np.maximum(target[..., int(pattern)], heat)
            target[y, x, CLASSES:] = right - left, bottom - top, 1
    return found


def centre_loss(target: Any, found: Any) -> Any:
    """Equations 1 and 3 of the paper: a focal loss that forgives cells near a centre, and L1 of sizes."""
    heat: Any = ops.clip(ops.sigmoid(found[..., :CLASSES]), 1e-4, 1 - 1e-4)
    truth = target[..., :CLASSES]
    at_centres: Any = ops.where(truth == 1, (1 - heat) ** 2 * ops.log(heat), 0.0)
    elsewhere: Any = ops.where(truth == 1, 0.0, (1 - truth) ** 4 * heat**2 * ops.log(1 - heat))
    away: Any = ops.abs(found[..., CLASSES:] - target[..., CLASSES:-1])
    sizes: Any = ops.sum(away * target[..., -1:])
    return (0.1 * sizes - ops.sum(at_centres + elsewhere)) / ops.maximum(ops.sum(target[..., -1]), 1.0)


def with_centres(extractor: keras.Model) -> keras.Model:
    """The backbone, a pyramid, and one layer with a heat map for each class, width and height."""
    x = pyramid(extractor)
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="head")(x)
    # At first a centre is as unlikely as in the paper's code (RetinaNet's prior, arXiv:1708.02002, section 4.1): 0.1.
    rare = keras.initializers.Constant(-2.2)
    heat = layers.Conv2D(CLASSES, 1, bias_initializer=rare, name="heat")(x)
    return keras.Model(extractor.input, layers.Concatenate(name="centres")([heat, layers.Conv2D(2, 1, name="size")(x)]))


def detect(model: keras.Model, images: np.ndarray, most: int = 10) -> list[np.ndarray]:
    """For each image rows (left, top, right, bottom, pattern, score): the highest peaks of the heat maps."""
    found = model.predict(images, batch_size=50, verbose=0)
    heat = 1 / (1 + np.exp(-found[..., :CLASSES]))
    heat = heat * (heat == np.asarray(ops.convert_to_numpy(ops.max_pool(heat, 3, 1, "same"))))
    listed = []
    for scores, sizes in zip(heat, found[..., CLASSES:], strict=True):
        best = np.argsort(scores, axis=None)[::-1][:most]
        y, x, pattern = np.unravel_index(best, scores.shape)
        wide, high = np.maximum(sizes[y, x], 0).T / 2
        corners = np.stack([x + 0.5 - wide, y + 0.5 - high, x + 0.5 + wide, y + 0.5 + high]) * STRIDE
        listed.append(np.stack([*corners, pattern, scores[y, x, pattern]], axis=-1))
    return listed


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with others."""
    sides = np.minimum(box[2:4], boxes[:, 2:4]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(each[..., 2:4] - each[..., :2], axis=-1) for each in (box, boxes)]
    return shared / (areas[0] + areas[1] - shared)


def average_precision(model: keras.Model, scenes: Scenes) -> float:
    """Area under precision and recall at an IoU of 0.5, over the boxes of all classes together."""
    hits: list[tuple[float, bool]] = []
    for found, boxes in zip(detect(model, scenes.images), scenes.boxes, strict=True):
        left = boxes.copy()
        for row in found:
            fits = np.flatnonzero((iou(row, left) >= 0.5) & (left[:, 4] == row[4])) if len(left) else []
            hits.append((row[5], len(fits) > 0))
            left = np.delete(left, fits[:1], axis=0)
    right = np.array([hit for _, hit in sorted(hits, key=lambda pair: -pair[0])])
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    # At each hit the best precision at that recall or a higher one.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best[right]) / sum(map(len, scenes.boxes)))


def write_boxes(model: keras.Model, scenes: Scenes, path: Path) -> None:
    """Writes a few scenes with the boxes that were found, in a colour for each pattern."""
    tiles = []
    for pixels, found in zip(scenes.images[:8], detect(model, scenes.images[:8]), strict=True):
        tile = Image.fromarray(pixels.astype(np.uint8)).resize((4 * SIDE, 4 * SIDE), Image.Resampling.NEAREST)
        for *corners, pattern, score in found:
            if score > 0.3:
                ImageDraw.Draw(tile).rectangle(
                    [4 * c for c in corners], outline=("red", "yellow", "cyan")[int(pattern)], width=4
                )
        tiles.append(np.asarray(tile))
    Image.fromarray(np.concatenate([np.concatenate(tiles[:4], 1), np.concatenate(tiles[4:], 1)])).save(path)


def main(words: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, help="where to write an image of some results (default: nowhere)")
    arguments = parser.parse_args(words)
    keras.utils.set_random_seed(0)
    larger = scale_model(trained_classifier(), phi=1, input_shape=(SIDE, SIDE, 3))
    trained = feature_extractor(larger, ("P2", "P3", "P4", "P5"))
    fresh = keras.models.clone_model(trained)  # the same network, with random weights
    scenes, test = draw_scenes(BOXED, 4, seed=3), draw_scenes(TESTED, 4, seed=4)
    for name, extractor in (("grown backbone", trained), ("from scratch", fresh)):
        model = with_centres(extractor)
        fit(model, scenes.images, targets(scenes), centre_loss, 2e-3, BOXED_EPOCHS, 10)
        print(f"{name}: average precision {average_precision(model, test):.3f}, {model.count_params():,} parameters")
        if arguments.output and extractor is trained:
            write_boxes(model, test, arguments.output)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
