"""A Keras model as a draft: read, folded, and described, so that any format can be written from it."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, read_embedded_spec
from keras_effnet.checks import check_int
from keras_effnet.errors import ExportError
from keras_effnet.export.draft import Draft
from keras_effnet.export.export_metadata import CLASSIFYING, ExportMetadata, Outputs
from keras_effnet.export.fold import read_folded
from keras_effnet.export.model_outputs import outputs_of
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.inheritance.scaled_model import load_model
from keras_effnet.json_text import parse_json


def draft_model(
    model: keras.Model | str | os.PathLike[str],
    *,
    batch: int | None = None,
    calibration: np.ndarray | None = None,
    calibrated: bool = False,
    least: int | None = None,
    float_layers: int = 0,
) -> tuple[keras.Model, Draft]:
    """Reads a model into what is about to be written.

    Args:
        model: as in `export_model`.
        batch: number of images in a call, at least 1; None for any.
        calibration: as in `export_model`.
        calibrated: whether such images are needed.
        least: smallest number of them; None for the number of classes.
        float_layers: as in `export_model`.

    Returns:
        The model as it takes pixels from 0 to 255, and the draft.

    Raises:
        ExportError, InheritanceError: as `export_model`.
    """
    batch = None if batch is None else check_int(ExportError, "batch", batch, 1)
    whole = load_model(model) if isinstance(model, str | os.PathLike) else model
    pixels = carries_spec(whole)
    whole = take_raw_pixels(whole) if pixels else whole
    shape = image_shape(whole)
    metadata = _metadata(whole, shape, pixels)
    classes = whole.output_shape[-1] if metadata.outputs in CLASSIFYING else 1
    if calibration is not None or calibrated:
        calibration = check_images(calibration, "calibration", shape, pixels, least or classes)
    first = keras.config.image_data_format() == "channels_first"
    read = read_folded(whole)
    return whole, Draft(*read, ((None, *shape),), first, batch, metadata, calibration, float_layers)


def image_shape(model: keras.Model) -> tuple[int | None, ...]:
    """Shape of the one image that a model reads, without the batch.

    Raises:
        ExportError: it reads something else, or returns several things.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or len(model.outputs) != 1:
        raise ExportError(
            "the model must read one image, of shape (height, width, channels), and return one output.",
            received=f"{model.name!r} with inputs {shapes} and {len(model.outputs)} outputs",
        )
    return shapes[0][1:]


def _outputs(model: keras.Model, embedded: EmbeddedSpec | None) -> Outputs:
    """What a model returns."""
    if len(model.output_shape) != 2 or (embedded is not None and not embedded.include_top):
        return "features"
    if embedded is not None and embedded.task == "regression":
        return "numbers"
    return outputs_of(model)


def _metadata(model: keras.Model, shape: tuple[int | None, ...], pixels: bool) -> ExportMetadata:
    embedded = read_embedded_spec(model) if pixels else None
    first = keras.config.image_data_format() == "channels_first"
    height, width, channels = (*shape[1:], shape[0]) if first else shape
    resolution = (height, width) if height and width and height != width else height
    told = {} if embedded is None else {"resize": embedded.resize, "bits": embedded.bits}
    return ExportMetadata(
        model.name,
        "",
        resolution,
        int(channels or 0),
        pixels,
        _outputs(model, embedded),
        None if embedded is None else embedded.class_names,
        None if embedded is None else parse_json(embedded.spec.to_json()),
        thresholds=None if embedded is None else embedded.thresholds,
        **told,
    )


def check_images(given: Any, name: str, shape: tuple[int | None, ...], pixels: bool, least: int = 1) -> np.ndarray:
    """Images as float32.

    Args:
        given: the images; None if there are none.
        name: name of the argument, for messages.
        shape: shape of an image as the model takes it; None for a side of any length.
        pixels: whether the model takes pixels from 0 to 255.
        least: smallest number of images.

    Raises:
        ExportError: they are missing, too few, or of another shape or range.
    """
    if given is None:
        raise ExportError(
            f"an int8 network is made for the ranges of real images: give some hundred as `{name}`, with at least one "
            "of each class.",
            received=f"{name}=None",
        )
    found = np.asarray(given, np.float32)
    fits = found.ndim == 4 and all(side in (None, own) for side, own in zip(shape, found.shape[1:], strict=True))
    if not fits or len(found) < least:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ExportError(
            f"`{name}` must be at least {least} images of shape ({wanted}).",
            received=f"an array of shape {found.shape}",
        )
    if not np.isfinite(found).all() or (pixels and (found.min() < 0 or not 1 < found.max() <= 255)):
        rule = "pixels from 0 to 255, as the model takes them" if pixels else "finite numbers"
        raise ExportError(f"`{name}` must be {rule}.", received=f"values from {found.min()} to {found.max()}")
    return found
