"""Scenes: images drawn on demand, without end, at any resolution, on which networks of any size can be told apart.

A class is a shape, a texture and a context, and each of them asks something else of a network. Shapes differ by a
corner or two, among clutter of the same shapes. Textures are none, or waves in one, two or three directions; their
length goes with the size of the object, so that a small image hides those of small objects. The context is where a ring
lies, away from the object: above, beside or below. docs/evidence/scenes.md tells what depth, width and resolution are
worth here.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Literal, get_args

import numpy as np

from keras_effnet.checks import check_choice, check_int
from keras_effnet.data.images import MAX_RESOLUTION
from keras_effnet.data.scene_layout import CLASS_NAMES, compose_scene
from keras_effnet.data.scene_parts import Canvas, ScenePart
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError

SceneSplit = Literal["training", "validation", "test"]
# Images that an epoch, validation and a test take: 500, 50 and 100 of each class.
COUNTS: dict[SceneSplit, int] = {"training": 36_000, "validation": 3_600, "test": 7_200}

FULL_SIDE = 256  # pixels, of an image that is read without saying how many are needed


class Scenes(Source):
    """Scenes of 72 classes, each drawn when it is read, from its number alone.

    The number decides what is in a scene, whatever the resolution; a larger image shows more of it. Label and scene of
    a number are the same for ever: image i is of class i modulo 72. There is no last training image: `len` is what is
    called an epoch, and larger numbers, which shuffled batches ask for in later epochs, are other scenes.

    Args:
        count: number of images, at least 1.
        split: "training", "validation" or "test": each has scenes of its own, whatever their numbers.
            Default: "training".
        seed: seed of all scenes, at least 0. Default: 0.
        numbers: numbers of the scenes to use, each at least 0, in place of the first `count`; there is an end to them
            then. None for those. Default: None.

    Raises:
        DataError: a value is out of range.

    Example:
        >>> scenes = Scenes(72)
        >>> scenes.class_names[0], scenes.read(0, 48).shape
        ('plain triangle under ring', (48, 48, 3))
    """

    def __init__(
        self,
        count: int,
        split: SceneSplit = "training",
        seed: int = 0,
        numbers: Sequence[int] | np.ndarray | None = None,
    ) -> None:
        count = check_int(DataError, "count", count, 0 if numbers is not None else 1)
        check_choice(DataError, "split", split, get_args(SceneSplit))
        self.split: SceneSplit = split
        self.seed = check_int(DataError, "seed", seed, 0)
        self.endless = numbers is None and split == "training"
        self._numbers = np.arange(count) if numbers is None else np.asarray(numbers, np.int64)
        self.class_names = CLASS_NAMES
        self.labels = (self._numbers % len(CLASS_NAMES)).astype(np.int32)

    def targets(self, indices: Sequence[int] | np.ndarray | slice) -> np.ndarray:
        if self.endless and not isinstance(indices, slice):
            return np.eye(len(CLASS_NAMES), dtype=np.float32)[np.asarray(indices, int) % len(CLASS_NAMES)]
        return super().targets(indices)

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        side = check_int(DataError, "size", FULL_SIDE if size is None else size, 1, MAX_RESOLUTION)
        generator = np.random.default_rng((self.seed, get_args(SceneSplit).index(self.split), self._number(index)))
        parts, noise = compose_scene(self._number(index) % len(CLASS_NAMES), generator)
        image = draw_scene(parts, side)
        image += generator.standard_normal(image.shape, np.float32) * np.float32(noise)
        return to_pixels(image)

    def name_of(self, index: int) -> str:
        return f"{self.split} scene {self._number(index)}"

    def fingerprint(self) -> str:
        # Two scenes tell one version of the drawing from another.
        digest = sha256(repr((self.split, self.seed, self.endless, CLASS_NAMES)).encode())
        digest.update(self._numbers.tobytes())
        for number in (0, len(CLASS_NAMES) - 1):
            digest.update(Scenes(1, seed=self.seed).read(number, 64).tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> Source:
        rows = np.asarray(indices, int)
        return Scenes(len(rows), self.split, self.seed, numbers=self._numbers[rows])

    def _number(self, index: int) -> int:
        return int(index) if self.endless else int(self._numbers[index])


def draw_scene(parts: Sequence[ScenePart], side: int) -> np.ndarray:
    """Draws a scene without noise.

    Args:
        parts: what is in it, from the back to the front.
        side: side of the image in pixels, at least 1.

    Returns:
        float32 array of shape `(3, side, side)`, values about 0..1.

    Example:
        >>> parts, _ = compose_scene(0, np.random.default_rng(0))
        >>> draw_scene(parts, 48).shape
        (3, 48, 48)
    """
    canvas = Canvas(side)
    for part in parts:
        part.lay(canvas)
    return canvas.image


def to_pixels(image: np.ndarray) -> np.ndarray:
    """An image of shape `(3, height, width)`, 0..1, as uint8 of shape `(height, width, 3)`; what is beyond is cut."""
    levels = image * np.float32(255)
    levels += np.float32(0.5)
    levels = np.minimum(np.maximum(levels, 0), np.float32(255))
    return np.ascontiguousarray(np.moveaxis(levels.astype(np.uint8), 0, 2))
