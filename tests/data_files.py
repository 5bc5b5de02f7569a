"""Images that tests write to disk. Each shows which one it is."""

from __future__ import annotations

import struct
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


def write_bands(path: Path, pixels: np.ndarray, photometric: int = 2) -> Path:
    """A TIFF of any number of bands, as section 2 and 6 of TIFF 6.0 describe it: one strip, not compressed.

    Args:
        path: the file.
        pixels: uint8 or uint16 array of shape `(height, width, bands)`, at least 4 bands.
        photometric: 2 calls the first three bands red, green and blue; 1 none.
    """
    height, width, bands = pixels.shape
    extra = bands - (3 if photometric == 2 else 1)
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    # The header, the image, the bits of each band and the meaning of each further one (0: not told), then the tags.
    arrays = struct.pack(f"<{bands}H", *[8 * pixels.itemsize] * bands) + struct.pack(f"<{extra}H", *[0] * extra)
    start = 8 + len(content) + len(content) % 2
    short, long = 3, 4
    tags = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, bands, start),
        (259, short, 1, 1),
        (262, short, 1, photometric),
        (273, long, 1, 8),
        (277, short, 1, bands),
        (278, long, 1, height),
        (279, long, 1, len(content)),
        (284, short, 1, 1),
        (338, short, extra, 0 if extra <= 2 else start + 2 * bands),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    body = content.ljust(start - 8, b"\0") + arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<4sI", b"II*\0", 8 + len(body)) + body + directory)
    return path
