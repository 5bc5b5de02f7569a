"""Small images for people: what the network was shown, and where it looked."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

SIDE = 192  # pixels: sharp on a phone, and two dozen thumbnails stay within a few hundred kB
STRENGTH = 0.5  # of a map's colours: half of what is seen stays the image


def images_shown(batches: Any, indices: Iterable[int]) -> dict[int, np.ndarray]:
    """Images as the network gets them, cropped and resized.

    Args:
        batches: batches in order, such as `Batches` without `shuffle`.
        indices: numbers of the images.

    Returns:
        float32 array of shape `(height, width, channels)` for each index.
    """
    size = batches.batch_size
    wanted = sorted(set(indices))
    read = {step: batches[step][0] for step in sorted({index // size for index in wanted})}
    return {index: read[index // size][index % size] for index in wanted}


def image_tile(image: np.ndarray, side: int = SIDE) -> Image.Image:
    """An image as the network gets it, 0 to 255, in the size of a tile: of other bands than RGB the first three or one.

    It keeps its proportions.

    Args:
        image: array of shape `(height, width, channels)`.
        side: the longer side of the tile in pixels.
    """
    pixels = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    rgb = np.repeat(pixels[..., :1], 3, axis=-1) if pixels.shape[-1] < 3 else np.ascontiguousarray(pixels[..., :3])
    return Image.fromarray(rgb).resize(_tile_size(image, side), Image.Resampling.BICUBIC)


def _tile_size(image: np.ndarray, side: int) -> tuple[int, int]:
    height, width = image.shape[:2]
    return max(1, round(side * width / max(height, width))), max(1, round(side * height / max(height, width)))


def overlay_tile(image: np.ndarray, heat: np.ndarray, side: int = SIDE, strength: float = STRENGTH) -> Image.Image:
    """The image in gray under a map of a class, in colours from none through red to yellow.

    Args:
        image: array of shape `(height, width, channels)`, 0 to 255.
        heat: array of shape `(rows, columns)`, 0 to 1.
        side: the longer side of the tile in pixels.
        strength: the share of the colour where the map is 1, from 0 to 1; the image has the rest.
    """
    from matplotlib import colormaps

    smooth = Image.fromarray(heat.astype(np.float32)).resize(_tile_size(image, side), Image.Resampling.BICUBIC)
    share = np.clip(np.asarray(smooth), 0, 1)[..., None]
    colour = 255 * colormaps["hot"](0.3 + 0.5 * share[..., 0])[..., :3]
    gray = np.asarray(image_tile(image, side).convert("L"), np.float32)[..., None]
    # A dark image stays visible under the colours, and a bright one does not drown them.
    mixed = (1 - strength * share) * (0.12 * 255 + 0.72 * gray) + strength * share * colour
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def confusion_image(confusion: np.ndarray) -> bytes:
    """A confusion matrix as a PNG file: a square for each pair, blue where it is right and red where it is not."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    classes = range(len(confusion))
    colours = [[_on_white(*share_colour(shares[true, taken], true == taken)) for taken in classes] for true in classes]
    side = len(confusion) * max(1, 720 // len(confusion))
    image = Image.fromarray(np.array(colours, np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    file = BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def share_colour(share: float, right: bool) -> tuple[tuple[int, int, int], float]:
    """A colour for a share of a class' images.

    Args:
        share: the share, from 0 to 1.
        right: whether they were taken for what they are.

    Returns:
        Red, green and blue, 0 to 255, and how much of it there is, from 0 to 1: the root of the share, so that a single
        mistake among many is still seen.
    """
    return (37, 99, 235) if right else (220, 38, 38), share**0.5


def _on_white(colour: tuple[int, int, int], depth: float) -> tuple[int, ...]:
    return tuple(round(255 + (channel - 255) * depth) for channel in colour)


def png_uri(content: bytes) -> str:
    """A PNG file as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def tile_uri(tile: Image.Image) -> str:
    """A photograph as an address that holds it."""
    file = BytesIO()
    tile.save(file, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
