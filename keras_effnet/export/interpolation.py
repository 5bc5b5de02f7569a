"""Interpolation as a matrix: how much each old row of an image gives to each new one."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_effnet.errors import ExportError
from keras_effnet.ops import Resize, UpSample

PLAIN = ("nearest", "bilinear")
"""Interpolations that every engine has, as long as nothing is averaged where an image becomes smaller."""


def is_plain(op: UpSample | Resize) -> bool:
    """Whether every engine has the interpolation."""
    return op.interpolation in PLAIN and not (isinstance(op, Resize) and op.antialias)


def check_stretched(op: UpSample | Resize, name: str) -> None:
    """Raises ExportError unless the whole image is stretched to the size."""
    if isinstance(op, Resize) and not op.plain:
        raise ExportError(
            "an exported network stretches images, and neither crops nor pads them to a size: build the layer without "
            "`crop_to_aspect_ratio` and `pad_to_aspect_ratio`.",
            received=f"layer {name!r}",
        )


def resized_sides(op: UpSample | Resize, sides: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The (height, width) of an image that was made larger or smaller; None for a side that is unknown."""
    if isinstance(op, Resize):
        return op.height, op.width
    height, width = sides
    return height and height * op.rows, width and width * op.columns


def interpolation_matrices(op: UpSample | Resize, name: str, sides: tuple[int | None, ...]) -> list[np.ndarray]:
    """What new rows and columns are made of, as Keras computes them.

    Args:
        op: the operation.
        name: name of its layer, for messages.
        sides: (height, width) of the image that it reads.

    Returns:
        Two float32 arrays, for rows and for columns, of shape (new cells, old cells).

    Raises:
        ExportError: a side that is known only when the model runs.
    """
    made = resized_sides(op, sides)
    if None in sides:
        raise ExportError(
            f"layer {name!r} interpolates {op.interpolation!r}, which is written for images of a fixed size: build the "
            f"model with an input shape, or use one of {', '.join(PLAIN)} without antialiasing.",
            received=f"an image of {sides}",
        )
    antialias = isinstance(op, Resize) and op.antialias
    return [_matrix(old or 0, new or 0, op.interpolation, antialias) for old, new in zip(sides, made, strict=True)]


def _matrix(old: int, new: int, interpolation: str, antialias: bool) -> np.ndarray:
    """Each old row alone, brought to the new size by Keras."""
    import keras

    rows: Any = np.eye(old, dtype="float32")[None, :, None, :]
    made = keras.ops.image.resize(
        rows, (new, 1), interpolation=interpolation, antialias=antialias, data_format="channels_last"
    )
    return np.asarray(keras.ops.convert_to_numpy(made), np.float32)[0, :, 0, :]
