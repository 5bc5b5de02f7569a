"""Scenes of patterned patches on soft ground, with masks and boxes: images for segmentation.py and detection.py.

Command: python examples/draw_scenes.py scenes.png
Time: 2 seconds.
Result: scenes.png, sixteen scenes with what is known of each pixel below them.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 64
PATTERNS = ("striped", "checked", "dotted")


@dataclass
class Scenes:
    """Images with all that is known of them.

    Args:
        images: pixels from 0 to 255, of shape (images, side, side, 3).
        masks: class of each pixel, of shape (images, side, side): 0 is the ground, 1 the first pattern.
        boxes: for each image an array of rows (left, top, right, bottom, pattern), in pixels; patterns count from 0.
    """

    images: np.ndarray
    masks: np.ndarray
    boxes: list[np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """The pattern of the first patch of each image."""
        return np.array([boxes[0, 4] for boxes in self.boxes], np.int32)


def draw_scenes(images: int, patches: int, seed: int) -> Scenes:
    """Draws images with one to `patches` patches each, which do not overlap."""
    generator = np.random.default_rng(seed)
    pixels, masks = np.zeros((images, SIDE, SIDE, 3), np.float32), np.zeros((images, SIDE, SIDE), np.int32)
    boxes = []
    for image, mask in zip(pixels, masks, strict=True):
        image += ground(generator)
        there: list[list[float]] = []
        for _ in range(generator.integers(1, patches + 1)):
            radius = generator.uniform(8, 15)
            x, y = generator.uniform(radius, SIDE - radius, 2)
            if any(math.dist((x, y), ((a + c) / 2, (b + d) / 2)) < radius + (c - a) / 2 for a, b, c, d, _ in there):
                continue
            pattern = int(generator.integers(len(PATTERNS)))
            rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
            inside = np.hypot(columns - x, rows - y) < radius
            image[inside] = painted(PATTERNS[pattern], columns[inside], rows[inside], generator)
            mask[inside] = pattern + 1
            there.append([x - radius, y - radius, x + radius, y + radius, pattern])
        image += generator.normal(0, 10, image.shape)
        boxes.append(np.array(there, np.float32))
    return Scenes(np.clip(pixels, 0, 255), masks, boxes)


def ground(generator: np.random.Generator) -> np.ndarray:
    """Soft spots of any brightness."""
    spots = np.clip(generator.normal(generator.uniform(60, 195), 40, (9, 9, 3)), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(spots).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)


def painted(pattern: str, x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The colours of some pixels of a patch: two colours in turn, at any angle."""
    turn, period = generator.uniform(0, math.tau), generator.uniform(5, 8)
    u = math.tau / period * (x * math.cos(turn) + y * math.sin(turn))
    v = math.tau / period * (y * math.cos(turn) - x * math.sin(turn))
    wave = {"striped": np.sin(u), "checked": np.sin(u) * np.sin(v), "dotted": np.sin(u) + np.sin(v) - 0.7}[pattern]
    dark, light = generator.uniform(0, 110, 3), generator.uniform(145, 255, 3)
    first, second = (dark, light) if generator.uniform() < 0.5 else (light, dark)
    return np.where(wave[:, None] > 0, first, second)


def main(path: str) -> None:
    scenes = draw_scenes(16, 4, seed=0)
    shades = np.repeat((scenes.masks * 80)[..., None], 3, axis=-1)
    pairs = np.concatenate([scenes.images, shades], axis=1).astype(np.uint8)
    rows = [np.concatenate(list(row), axis=1) for row in (pairs[:8], pairs[8:])]
    Image.fromarray(np.concatenate(rows)).resize((16 * SIDE, 8 * SIDE), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
