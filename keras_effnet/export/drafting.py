"""A Keras model as a draft: read, folded, and described, so that any format can be written from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, read_embedded_spec
from keras_effnet.checks import check_int
from keras_effnet.errors import ExportError
from keras_effnet.export.draft import Draft
from keras_effnet.export.export_metadata import CLASSIFYING, ExportMetadata, FileTensor, Outputs
from keras_effnet.export.fold import read_folded
from keras_effnet.export.model_outputs import outputs_of
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.inheritance.scaled_model import load_model
from keras_effnet.json_text import parse_json
from keras_effnet.reading.model_form import names_of_tensors
from keras_effnet.tensor_names import check_arrays

if TYPE_CHECKING:
    from keras_effnet.tensor_names import Arrays


def draft_model(
    model: keras.Model | str | os.PathLike[str],
    *,
    batch: int | None = None,
    calibration: Arrays | None = None,
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
    # With other inputs beside it nobody knows which image its network sees: the file takes what the model takes.
    pixels = carries_spec(whole) and len(whole.inputs) == 1
    whole = take_raw_pixels(whole) if pixels else whole
    shapes = input_shapes(whole)
    metadata = _metadata(whole, shapes, pixels)
    classes = int(whole.outputs[0].shape[-1]) if metadata.outputs in CLASSIFYING else 1
    checked = None
    if calibration is not None or calibrated:
        checked = check_inputs(calibration, "calibration", metadata, least or classes)
    first = keras.config.image_data_format() == "channels_first"
    batched = tuple((None, *shape) for shape in shapes)
    read = read_folded(whole)
    return whole, Draft(*read, batched, first, batch, metadata, checked, float_layers)


def input_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """Shape of each image or vector that a model reads, without the batch.

    Raises:
        ExportError: it reads no image, or something else than images and vectors.
    """
    shapes = [tuple(tensor.shape)[1:] for tensor in model.inputs]
    if not any(map(_is_image, shapes)) or not all(len(shape) in (1, 3) for shape in shapes):
        told = dict(zip(names_of_tensors(model, "input"), shapes, strict=True))
        raise ExportError(
            "the model must read an image, of shape (height, width, channels), and nothing but images and vectors: "
            "reshape what else it reads inside the model.",
            received=f"{model.name!r} with inputs {told}",
        )
    return shapes


def _is_image(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 3


def _outputs(model: keras.Model, embedded: EmbeddedSpec | None) -> list[Outputs]:
    """What a model returns, output by output."""
    found: list[Outputs] = [outputs_of(model, place) for place in range(len(model.outputs))]
    if len(found) > 1 or embedded is None:
        return found
    if not embedded.include_top:
        return ["features"]
    if embedded.task == "regression" and found != ["features"]:
        return ["numbers"]
    return found


def _metadata(model: keras.Model, shapes: list[tuple[int | None, ...]], pixels: bool) -> ExportMetadata:
    embedded = read_embedded_spec(model) if pixels else None
    first = keras.config.image_data_format() == "channels_first"
    image = next(filter(_is_image, shapes))
    height, width, channels = (*image[1:], image[0]) if first else image
    resolution = (height, width) if height and width and height != width else height
    told = {} if embedded is None else {"resize": embedded.resize, "bits": embedded.bits}
    outputs = _outputs(model, embedded)
    answers = embedded if len(outputs) == 1 else None  # which of several the names are of is unknown
    read = zip(names_of_tensors(model, "input"), shapes, strict=True)
    returned = zip(names_of_tensors(model, "output"), model.outputs, outputs, strict=True)
    return ExportMetadata(
        model.name,
        "",
        resolution,
        int(channels or 0),
        pixels,
        outputs[0] if len(outputs) == 1 else "several",
        None if answers is None else answers.class_names,
        None if embedded is None else parse_json(embedded.spec.to_json()),
        thresholds=None if answers is None else answers.thresholds,
        inputs=tuple(FileTensor(name, shape, "image" if _is_image(shape) else "numbers") for name, shape in read),
        returns=tuple(FileTensor(name, tuple(tensor.shape)[1:], holds) for name, tensor, holds in returned),
        **told,
    )


def check_inputs(given: Any, name: str, metadata: ExportMetadata, least: int = 1) -> list[np.ndarray]:
    """Arrays for the inputs of a file as float32, in order.

    Args:
        given: an array for each input, as `export_model` takes them; None if there are none.
        name: name of the argument, for messages.
        metadata: what the file says about itself.
        least: smallest number of images.

    Raises:
        ExportError: they are missing, too few, not as many of each, or of another shape or range.
    """
    if given is None:
        raise ExportError(
            f"an int8 network is made for the ranges of real images: give some hundred as `{name}`, with at least one "
            "of each class.",
            received=f"{name}=None",
        )
    inputs = metadata.inputs
    arrays = check_arrays(ExportError, name, given, [each.name for each in inputs])
    found = []
    for each, array in zip(inputs, arrays, strict=True):
        called = name if len(inputs) == 1 else f"{name}[{each.name!r}]"
        found.append(_check_images(array, called, each.shape, metadata.pixels, least))
    if len({len(array) for array in found}) > 1:
        raise ExportError(
            f"`{name}` must hold as many rows for each input.", received=f"{[len(array) for array in found]} rows"
        )
    return found


def _check_images(given: Any, name: str, shape: tuple[int | None, ...], pixels: bool, least: int) -> np.ndarray:
    """Images or vectors as float32.

    Args:
        given: the images.
        name: name of the argument, for messages.
        shape: shape of an image as the model takes it; None for a side of any length.
        pixels: whether the model takes pixels from 0 to 255.
        least: smallest number of images.

    Raises:
        ExportError: they are too few, or of another shape or range.
    """
    found = np.asarray(given, np.float32)
    sides = found.shape[1:]
    fits = len(sides) == len(shape) and all(side in (None, own) for side, own in zip(shape, sides, strict=True))
    if not fits or len(found) < least:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        things = "images" if _is_image(shape) else "vectors"
        raise ExportError(
            f"`{name}` must be at least {least} {things} of shape ({wanted}).",
            received=f"an array of shape {found.shape}",
        )
    if not np.isfinite(found).all() or (pixels and (found.min() < 0 or not 1 < found.max() <= 255)):
        rule = "pixels from 0 to 255, as the model takes them" if pixels else "finite numbers"
        raise ExportError(f"`{name}` must be {rule}.", received=f"values from {found.min()} to {found.max()}")
    return found
