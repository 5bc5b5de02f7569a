"""Brings an image to the size that a network takes: stretched, whole with black beside it, or its middle.

Pixels are averaged with the weights of a triangle as wide as two new pixels (Pillow's "bilinear"), so that nothing is
lost of a larger image. cykooz-resizer does it with the vector instructions of the processor, six times as fast as
Pillow, which does it on machines for which that is not built. Of 255 levels they differ by 1 at most (test).
"""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

import numpy as np
from PIL import Image

from keras_effnet.data.augment import Box
from keras_effnet.extras import is_installed
from keras_effnet.resolution import Resize, Resolution, sides_of

_cykooz: Any = import_module("cykooz_resizer") if is_installed("cykooz_resizer") else None


class _Resizer(threading.local):
    """One for each thread, which keeps its memory: to allocate it for each image took a quarter of the time."""

    def __init__(self) -> None:
        self.resize = _cykooz.Resizer().resize


_resizer = _Resizer() if _cykooz else None


def resize_image(
    pixels: np.ndarray,
    resolution: Resolution,
    box: Box | None = None,
    *,
    gray: bool = False,
    resize: Resize = "stretch",
) -> np.ndarray:
    """Resizes an image, or a box in it, to a size of other proportions.

    Args:
        pixels: uint8 array of shape `(height, width, channels)`.
        resolution: side of the new image in pixels, or (height, width), at least 1.
        box: part of the image to use: left, top, right and bottom in pixels. None uses all of it. Default: None.
        gray: whether to return the luma of ITU-R Rec. 601 (Pillow's "L") in place of three colours. Default: False.
        resize: "stretch" changes the proportions; "pad" keeps them and leaves black on two sides; "crop" keeps them and
            cuts off what does not fit, the same on both sides. Default: "stretch".

    Returns:
        uint8 array of shape `(height, width, channels)`, or `(height, width, 1)` if `gray`.

    Example:
        >>> wide = np.full((20, 40, 3), 255, "uint8")
        >>> resize_image(wide, 8, resize="pad")[:, 0, 0]
        array([  0,   0, 255, 255, 255, 255,   0,   0], dtype=uint8)
    """
    height, width = sides_of(resolution)
    if box is None and not gray and pixels.shape[:2] == (height, width):
        return pixels
    box = box or (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
    if resize == "crop":
        box = _middle(box, height, width)
    inner = _fitted(box, height, width) if resize == "pad" else (height, width)
    bands = [pixels] if pixels.shape[2] == 3 else np.moveaxis(pixels, 2, 0)
    parts = [_averaged(band, inner, box) for band in bands]
    found = parts[0] if pixels.shape[2] == 3 else np.stack(parts, axis=-1)
    if gray:
        found = np.asarray(Image.fromarray(found).convert("L"))[..., None]
    if inner == (height, width):
        return found
    padded = np.zeros((height, width, found.shape[2]), np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    padded[top : top + inner[0], left : left + inner[1]] = found
    return padded


def _averaged(pixels: np.ndarray, size: tuple[int, int], box: Box) -> np.ndarray:
    """A box of RGB pixels, or of one band, at another size."""
    height, width = size
    if _resizer is None:
        whole = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR, box=box))
    kind = _cykooz.PixelType.U8x3 if pixels.ndim == 3 else _cykooz.PixelType.U8
    source = _cykooz.ImageData(pixels.shape[1], pixels.shape[0], kind, pixels.tobytes())
    found = _cykooz.ImageData(width, height, kind)
    left, top, right, bottom = box
    _resizer.resize(
        source,
        found,
        _cykooz.ResizeOptions(
            _cykooz.ResizeAlg.convolution(_cykooz.FilterType.bilinear),
            crop_box=_cykooz.CropBox(left, top, right - left, bottom - top),
        ),
    )
    return np.frombuffer(found.get_buffer(), np.uint8).reshape(*size, *pixels.shape[2:])


def _middle(box: Box, height: int, width: int) -> Box:
    """The largest part of a box that has the proportions, around its centre."""
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    scale = min(wide / width, high / height)
    across, down = max(wide - scale * width, 0) / 2, max(high - scale * height, 0) / 2
    return left + across, top + down, right - across, bottom - down


def _fitted(box: Box, height: int, width: int) -> tuple[int, int]:
    """Height and width of a box that was scaled to fit."""
    left, top, right, bottom = box
    scale = min(width / (right - left), height / (bottom - top))
    return max(1, round(scale * (bottom - top))), max(1, round(scale * (right - left)))
