"""Decodes an image file of any kind to RGB pixels, with Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

SIXTEEN_TO_EIGHT_BITS = 257  # 65535 / 255: white stays white
# Pillow first averages whole pixels down to at most this many times the target size, then interpolates: faster, and at
# 3.0 "indistinguishable" from slow resizing (Pillow's documentation of `reducing_gap`).
REDUCING_GAP = 3.0

# Pillow has a decoder for each of some fifty formats, and on a broken file any of them may raise anything.
UNREADABLE = (Exception,)
ORIENTATION = 0x0112  # the tag of EXIF 2.3, table 4
# What brings an image upright, by the value of that tag. Not `ImageOps.exif_transpose`, which also writes the tags
# anew, and fails where one that nobody asked for is damaged.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_rgb(file: Path | BinaryIO, size: int | None = None, banner: int = 0) -> np.ndarray:
    """Decodes an image to RGB.

    Gray, palette and CMYK images are converted, 16-bit values are scaled, not clipped, transparency is laid on white,
    and the rotation noted in EXIF is applied.

    Args:
        file: path of the image, or an open binary file.
        size: number of pixels that the shorter side needs at least. JPEG is then decoded at a half, a quarter or an
            eighth of its size if that is enough, which is several times faster. None decodes at full size. Default:
            None.
        banner: rows of pixels to cut off at the bottom of the full-size image, at least 0. Default: 0.

    Returns:
        uint8 array of shape `(height, width, 3)`.

    Raises:
        UNREADABLE: one of these errors, if the file is broken or not an image.
    """
    with Image.open(file) as opened:
        whole = opened.height
        if size is not None:
            opened.draft(None, (size, size))  # pyright: ignore[reportArgumentType] - Pillow itself takes None
        turn = _TURNS.get(_orientation(opened))
        image = _to_rgb(opened if turn is None else opened.transpose(turn))
        if banner:
            image = image.crop((0, 0, image.width, round(image.height * (1 - banner / whole))))
        image.load()  # or NumPy takes an AttributeError of the decoder for an object that is no array
        return np.asarray(image)


def is_readable(file: Path | BinaryIO) -> bool:
    """Whether an image can be decoded completely."""
    try:
        read_rgb(file, size=1)  # a JPEG at an eighth of its size: decodes all of the data into few pixels
    except UNREADABLE:
        return False
    return True


def resize_square(
    pixels: np.ndarray, resolution: int, box: tuple[float, float, float, float] | None = None, gray: bool = False
) -> np.ndarray:
    """Resizes an image, or a box in it, to a square, whatever its proportions.

    Args:
        pixels: uint8 array of shape `(height, width, 3)`.
        resolution: side of the square in pixels, at least 1.
        box: part of the image to use: left, top, right and bottom in pixels. None uses all of it. Default: None.
        gray: whether to return the luma of ITU-R Rec. 601 (Pillow's "L") in place of the three colours. Default: False.

    Returns:
        uint8 array of shape `(resolution, resolution, 3)`, or `(resolution, resolution, 1)` if `gray`.
    """
    if box is None and not gray and pixels.shape == (resolution, resolution, 3):
        return pixels
    image = Image.fromarray(pixels)
    if box is not None or image.size != (resolution, resolution):
        side = (resolution, resolution)
        image = image.resize(side, Image.Resampling.BILINEAR, box=box, reducing_gap=REDUCING_GAP)
    return np.asarray(image.convert("L"))[..., None] if gray else np.asarray(image)


def _orientation(image: Image.Image) -> int:
    """The orientation that EXIF notes; 0 without one, or if it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION, 0))
    except Exception:  # the pixels may still be whole
        return 0


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        # convert("RGB") alone would reveal the colours that editors leave below transparent areas.
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Scales gray values to 0..255: 16-bit values by their full range, others by their own minimum and maximum."""
    if not np.isfinite(values).all():
        raise ValueError("the image contains values that are not finite")
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return np.rint(values / SIXTEEN_TO_EIGHT_BITS).astype(np.uint8)
    span = float(high) - float(low) or 1.0  # a uniform image has no contrast to stretch
    return np.rint((values.astype(np.float64) - low) * (255 / span)).astype(np.uint8)
