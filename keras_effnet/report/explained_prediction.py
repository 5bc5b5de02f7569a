"""What a network sees in one image, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from PIL import Image

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, read_embedded_spec
from keras_effnet.checks import check_int, check_number, is_keras_model
from keras_effnet.data.reading import BITS, UNREADABLE, bits_for, inspect_image, read_image, why_unreadable
from keras_effnet.data.resizing import resize_image
from keras_effnet.errors import BuildError, DataError
from keras_effnet.export.model_outputs import outputs_of
from keras_effnet.inheritance.compare import compute_outputs
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.reading.model_form import alone, names_of_tensors
from keras_effnet.report.class_maps import METHOD, class_maps
from keras_effnet.report.split_model import check_graph, chosen_end
from keras_effnet.report.thumbnails import STRENGTH, overlay_tile
from keras_effnet.tensor_names import check_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Given = str | Path | np.ndarray
    """Something for an input: a file or an array."""

OVERLAY_SIDE = 512  # pixels: a map is smooth, and the image need not be sharper than a screen shows it


@dataclass(frozen=True, eq=False)
class ExplainedPrediction:
    """What a network sees in an image, and where.

    Args:
        number: number of the class in question.
        class_name: its name; its number as text if the model has no names.
        probability: its probability, from 0 to 1.
        map: float32 array of shape `(rows, columns)`, from 0 to 1: how much each part of the image speaks for the
            class, compared with the part that does most. 0 all over where nothing does.
        layer: name of the layer whose feature map was weighed.
        method: name of the method that weighed it.
        image: the image as the network gets it, of shape `(height, width, channels)`, from 0 to 255.
    """

    number: int
    class_name: str
    probability: float
    map: np.ndarray = field(repr=False)
    layer: str
    method: str
    image: np.ndarray = field(repr=False)

    def overlay(self, side: int = OVERLAY_SIDE, *, strength: float = STRENGTH) -> Image.Image:
        """The image in gray under the map, in colours from none (0) through red to yellow (1).

        Args:
            side: the longer side of the result in pixels, at least 1. Default: 512.
            strength: the share of the colour where the map is 1, from 0 to 1; the image has the rest. Default: 0.5.

        Returns:
            An RGB image.

        Raises:
            DataError: a value outside its range.
        """
        check_int(DataError, "side", side, 1)
        check_number(DataError, "strength", strength, 0, 1)
        return overlay_tile(self.image, self.map, side, strength)

    def save(self, path: str | Path) -> None:
        """Writes the overlay as a PNG file, whole or not at all.

        Args:
            path: the file, whose name ends in `.png`; its folder is made if missing.

        Raises:
            DataError: the name has another ending, or the file cannot be written.
        """
        file = Path(path)
        if file.suffix.lower() != ".png":
            raise DataError("an overlay is written as PNG: let the name end in `.png`.", received=f"path={str(path)!r}")
        atomic_write(file, lambda made: self.overlay().save(made, format="PNG", optimize=True))

    def __str__(self) -> str:
        rows, columns = self.map.shape
        seen = "" if self.map.any() else ", and nothing speaks for it"
        return (
            f"{self.class_name} ({self.probability:.1%}), by {self.method} of {rows} x {columns} cells behind "
            f"{self.layer!r}{seen}"
        )


def explain_prediction(
    model: keras.Model,
    images: Given | Sequence[Given] | Mapping[str, Given],
    of_class: int | str | None = None,
    *,
    output: str | int | None = None,
    image: str | int | None = None,
) -> ExplainedPrediction:
    """Says what a network sees in an image, and which parts of the image speak for it.

    The parts are weighed by HiResCAM (Draelos and Carin 2020, arXiv:2011.08891) on the last feature map of at least 49
    cells, as the last one of most networks is at 224 px. At smaller images that is a map further in front.

    Args:
        model: a functional or Sequential model from images, and vectors beside them if it reads any, to probabilities
            or logits of classes, or probabilities of labels.
        images: path of an image, read and resized as the model's images were; or a uint8 array of shape
            `(height, width, channels)`, resized likewise; or a float array of that shape, taken as the model's own
            input, without a change. For several inputs a list of these in their order, or a dict by their names; a
            vector is an array of its numbers.
        of_class: number of the class in question, or its name if the model carries names. Default: None, the most
            probable one.
        output: name or number of the output that holds the answer; None for the only one. Default: None.
        image: name or number of the input that the map is of; None for the only image. Default: None.

    Returns:
        The class, its probability, and the map.

    Raises:
        BuildError: the model is no such model, has several images or outputs of which none was chosen, or no feature
            map of 4 x 4 cells.
        InheritanceError: a model of this package with layers in front of its network, which may preprocess pixels, or
            with models inside it that cannot be unfolded.
        DataError: an image cannot be read or does not fit the model, there is not one for each input, or the model
            lacks the class.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=3, input_shape=(64, 64, 3))
        >>> found = explain_prediction(model, np.zeros((80, 60, 3), "uint8"), of_class=2)
        >>> found.number, found.map.shape, found.layer, found.overlay().size
        (2, (8, 8), 'conv_pw_5_relu', (512, 512))
    """
    if not is_keras_model(model):
        raise BuildError("`model` must be a keras.Model: load the file first.", received=f"model={model!r:.100}")
    check_graph(model)
    place, answering = chosen_end(model, "input", image), chosen_end(model, "output", output)
    # With other inputs beside it nobody knows which image the network of a spec sees.
    embedded = read_embedded_spec(model) if carries_spec(model) and len(model.inputs) == 1 else None
    named = embedded if len(model.outputs) == 1 else None  # which of several outputs the names are of is unknown
    kind = _kind_of(model, answering, named)
    names = names_of_tensors(model, "input")
    given = check_arrays(DataError, "images", images, names)
    read = [_read(*each, embedded) for each in zip(given, names, model.inputs, strict=True)]
    raw = _is_raw(given[place])
    used = take_raw_pixels(model) if raw and embedded is not None else model
    answer = compute_outputs(used, [each[None] for each in read])[answering][0].astype(np.float64)
    if kind == "logits":
        answer = np.exp(answer - answer.max()) / np.exp(answer - answer.max()).sum()
    classes = None if named is None else named.class_names
    classes = classes if classes is not None and len(classes) == len(answer) else tuple(map(str, range(len(answer))))
    number = int(answer.argmax()) if of_class is None else _number_of(of_class, classes)
    batch = alone([each[None] for each in read])
    [found], layer = class_maps(used, batch, np.array([number]), output=answering, image=place)
    shown = read[place] if raw else _as_pixels(read[place])
    return ExplainedPrediction(number, classes[number], float(answer[number]), found, layer, METHOD, shown)


def _kind_of(model: keras.Model, place: int, embedded: EmbeddedSpec | None) -> str:
    """What an output holds: probabilities, logits or labels."""
    kind: str = outputs_of(model, place)
    if embedded is not None and not embedded.include_top:
        kind = "features"
    elif embedded is not None and embedded.task != "classification":
        kind = {"multilabel": "labels", "regression": "numbers"}[embedded.task]
    if kind not in ("probabilities", "logits", "labels"):
        raise BuildError(
            "the model must return the probabilities or logits of classes, or the probabilities of labels.",
            received=f"{model.name!r}, which returns {kind}",
        )
    return kind


def _is_raw(image: Any) -> bool:
    """Whether it is a file or an array of bytes, not what a model reads."""
    return isinstance(image, str | os.PathLike) or np.asarray(image).dtype == np.uint8


def _read(image: Any, name: str, tensor: Any, embedded: EmbeddedSpec | None) -> np.ndarray:
    """What a model reads at one of its inputs."""
    shape = tuple(tensor.shape[1:])
    if _is_raw(image) and len(shape) == 3:
        return _resized(image, shape, embedded)
    return _checked(np.asarray(image), shape, name)


def _resized(image: Any, shape: tuple[int | None, ...], embedded: EmbeddedSpec | None) -> np.ndarray:
    """The pixels of a file or of an array of bytes, brought to the model's size as its images were."""
    channels = int(shape[-1] or 0)
    known = None if embedded is None else embedded.spec.resolution
    sides = [side or known for side in shape[:2]]
    if isinstance(image, str | os.PathLike):
        pixels = _from_file(Path(image), channels, max((side for side in sides if side), default=None), embedded)
    else:
        pixels = np.asarray(image)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (channels, *([3] * (channels == 1))) or 0 in pixels.shape:
        raise DataError(
            f"an image for this model must have shape (height, width, {channels}).", received=f"shape {pixels.shape}"
        )
    height, width = (side or own for side, own in zip(sides, pixels.shape, strict=False))
    gray = channels == 1 and pixels.shape[2] == 3
    resize = "stretch" if embedded is None else embedded.resize
    return resize_image(pixels, (height, width), gray=gray, resize=resize).astype(np.float32)


def _from_file(path: Path, channels: int, size: int | None, embedded: EmbeddedSpec | None) -> np.ndarray:
    """The pixels of a file, as `keras-effnet predict` reads it."""
    try:
        peak = inspect_image(path).peak
        bits = (embedded.bits if embedded is not None else None) or (bits_for(peak) if peak else BITS[-1])
        # Gray is made of RGB when an image is resized.
        return read_image(path, size, channels=3 if channels == 1 else channels, bits=bits)
    except UNREADABLE as error:
        raise DataError(
            f"`image` must be an image that can be read: {why_unreadable(error)}.", received=f"image={str(path)!r}"
        ) from error


def _checked(values: np.ndarray, wanted: tuple[int | None, ...], name: str) -> np.ndarray:
    """An array that is the model's own input."""
    fits = values.ndim == len(wanted) and all(
        side in (None, own) for side, own in zip(wanted, values.shape, strict=True)
    )
    if not fits or 0 in values.shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise DataError(
            f"an array of floats must be the model's own input, finite and of shape {wanted}; images of bytes (uint8) "
            "and files are resized.",
            received=f"{values.dtype} of shape {values.shape} for {name!r}",
        )
    return values.astype(np.float32)


def _as_pixels(values: np.ndarray) -> np.ndarray:
    """A model's input as pixels from 0 to 255: as it is where it is that, else from its least to its largest value."""
    low, high = float(values.min()), float(values.max())
    if low >= 0 and 1 < high <= 255:
        return values
    return (values - low) * (255 / (high - low or 1.0))


def _number_of(of_class: Any, names: tuple[str, ...]) -> int:
    if isinstance(of_class, str):
        if of_class not in names:
            raise DataError(
                f"`of_class` must be one of the model's classes: {', '.join(names):.300}.",
                received=f"of_class={of_class!r}",
            )
        return names.index(of_class)
    return check_int(DataError, "of_class", of_class, 0, len(names) - 1)
