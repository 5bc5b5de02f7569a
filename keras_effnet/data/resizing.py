"""Brings an image to the size that a network takes: stretched, whole with black beside it, or its middle."""

from __future__ import annotations

import numpy as np
from PIL import Image

from keras_effnet.data.augment import Box
from keras_effnet.data.reading import REDUCING_GAP
from keras_effnet.resolution import Resize, Resolution, sides_of


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
    if resize == "crop":
        box = _middle(box or _whole(pixels), height, width)
    inner = _fitted(box or _whole(pixels), height, width) if resize == "pad" else (height, width)
    if pixels.shape[2] == 3:
        found = np.asarray(_resized(Image.fromarray(pixels), inner, box, gray=gray))
        found = found[..., None] if gray else found
    else:
        planes = [Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(pixels.shape[2])]
        found = np.stack([np.asarray(_resized(plane, inner, box)) for plane in planes], axis=-1)
    if inner == (height, width):
        return found
    padded = np.zeros((height, width, found.shape[2]), np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    padded[top : top + inner[0], left : left + inner[1]] = found
    return padded


def _resized(image: Image.Image, size: tuple[int, int], box: Box | None, gray: bool = False) -> Image.Image:
    height, width = size
    if box is not None or image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=REDUCING_GAP)
    return image.convert("L") if gray else image


def _whole(pixels: np.ndarray) -> Box:
    return 0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0])


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
