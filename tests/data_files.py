"""Images that tests write to disk. Each shows which one it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, value: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
    """A flat gray image, whose values tell it from others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def write_classes(root: Path, counts: Mapping[str, int]) -> Path:
    """A folder with so many images of each class, whose values are 0, 1, 2, ... in the order of names."""
    value = 0
    for name in sorted(counts):
        for number in range(counts[name]):
            write_image(root / name / f"{number:03}.png", value)
            value += 1
    return root


def write_noise(path: Path, size: tuple[int, int] = (400, 300), seed: int = 0) -> Path:
    """Blobs of colour with some noise, of about the bytes of a photograph."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    noise = generator.normal(0, 8, (size[1], size[0], 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return path


def values(source: Sequence | object) -> list[int]:
    """The value of each image of a source, read in order."""
    return [int(source.read(index)[0, 0, 0]) for index in range(len(source))]  # pyright: ignore
