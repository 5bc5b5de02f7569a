"""One image as RGB pixels, whatever a user's file holds. Pillow decodes all of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

SIXTEEN_TO_EIGHT_BITS = 257  # 65535 / 255: white stays white
# Pillow averages whole pixels until at most this many are left for each of the result, then interpolates: faster, and
# "indistinguishable" from slow resizing at 3.0 (Pillow's documentation of `reducing_gap`).
REDUCING_GAP = 3.0

# What Pillow's decoders are known to raise on broken files; "not an image" is one kind of OSError.
DECODER_ERRORS = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError, RuntimeError)
UNREADABLE = (OSError, *DECODER_ERRORS, struct.error, zlib.error, Image.DecompressionBombError)


def read_rgb(file: Path | BinaryIO, size: int | None = None, banner: int = 0) -> np.ndarray:
    """Decodes an image: gray, palette, CMYK, 16 bits (scaled, not clipped), with transparency (laid on white), and
    turned upright where EXIF notes a rotation.

    Args:
        file: a path, or an open file.
        size: the shorter side need not be larger than this, in pixels; JPEG is then decoded at a half, a quarter or an
            eighth where that is enough, which is several times faster.
        banner: rows at the lower edge, of the whole image, that are no part of it.

    Returns:
        uint8 array of shape `(height, width, 3)`.

    Raises:
        UNREADABLE: one of these, if the file is broken or no image.
    """
    with Image.open(file) as opened:
        whole = opened.height
        if size is not None:
            opened.draft(None, (size, size))  # pyright: ignore[reportArgumentType] - Pillow itself takes None
        ImageOps.exif_transpose(opened, in_place=True)
        image = _to_rgb(opened)
        if banner:
            image = image.crop((0, 0, image.width, round(image.height * (1 - banner / whole))))
        return np.asarray(image)


def is_readable(file: Path | BinaryIO) -> bool:
    """Whether an image can be decoded to its last byte."""
    try:
        read_rgb(file, size=1)  # of a JPEG an eighth of each side: all of its data is decoded, and few pixels made
    except UNREADABLE:
        return False
    return True


def resize_square(
    pixels: np.ndarray, resolution: int, box: tuple[float, float, float, float] | None = None, gray: bool = False
) -> np.ndarray:
    """Resizes an image, or a box of it, to a square, whatever its proportions.

    Args:
        pixels: uint8 array of shape `(height, width, 3)`.
        resolution: side of the square in pixels.
        box: the part that is wanted: left, top, right, bottom in pixels; None: all.
        gray: give the luma of ITU-R Rec. 601 (Pillow's "L") instead of the three colours.

    Returns:
        uint8 array of shape `(resolution, resolution, 3)`, or `(resolution, resolution, 1)` if gray.
    """
    image = Image.fromarray(pixels)
    if box is not None or image.size != (resolution, resolution):
        side = (resolution, resolution)
        image = image.resize(side, Image.Resampling.BILINEAR, box=box, reducing_gap=REDUCING_GAP)
    return np.asarray(image.convert("L"))[..., None] if gray else np.asarray(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        # convert("RGB") alone would uncover the colours which an editor left below the transparent parts.
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(values: np.ndarray) -> np.ndarray:
    """Scale wide gray values to 0..255: 16 bits by their full range, others by their own lowest and highest."""
    if not np.isfinite(values).all():
        raise ValueError("the image holds values that are not finite")
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu" and low >= 0 and high <= 65535:
        return np.rint(values / SIXTEEN_TO_EIGHT_BITS).astype(np.uint8)
    span = float(high) - float(low) or 1.0  # one flat gray has no contrast to stretch
    return np.rint((values.astype(np.float64) - low) * (255 / span)).astype(np.uint8)
