"""Operations of the vocabulary (`keras_effnet.ops`) that move cells about, and compute nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"]


@dataclass(frozen=True, slots=True)
class Flatten:
    """An image as a vector.

    Args:
        cells: number of cells of the image, each of which gives its channels; 1 for an image of 1 x 1.
        channels_first: whether all cells of one channel stand together, as where images have their channels first.
    """

    cells: int = 1
    channels_first: bool = False


@dataclass(frozen=True, slots=True)
class Unflatten:
    """A (channels,) vector as a (1, 1, channels) image."""


@dataclass(frozen=True, slots=True)
class ZeroPad:
    """Zeros around an image.

    Args:
        rows: number of rows of zeros (above, below).
        columns: number of columns of zeros (left, right).
    """

    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Crop:
    """An image without its border.

    Args:
        rows: number of rows cut off (above, below).
        columns: number of columns cut off (left, right).
    """

    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class UpSample:
    """An image made larger by whole factors.

    Args:
        rows: factor on the number of rows, at least 1.
        columns: factor on the number of columns, at least 1.
        interpolation: rule for the new cells: Keras' words.
    """

    rows: int
    columns: int
    interpolation: Interpolation = "nearest"


@dataclass(frozen=True, slots=True)
class Resize:
    """An image brought to a size, whatever it was.

    Args:
        height: number of rows of the output, at least 1.
        width: number of columns of the output, at least 1.
        interpolation: rule for the new cells: Keras' words.
        antialias: whether cells are averaged where the image becomes smaller.
        plain: whether the whole image is stretched to that size, neither cropped nor padded.
    """

    height: int
    width: int
    interpolation: Interpolation = "bilinear"
    antialias: bool = False
    plain: bool = True


Reshaping = Flatten | Unflatten | ZeroPad | Crop | UpSample | Resize
