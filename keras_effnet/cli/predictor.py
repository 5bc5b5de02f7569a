"""The model that `predict` and `evaluate` use: what its file says of itself, and what its user must add."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.checks import check_int
from keras_effnet.errors import BuildError, DataError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from keras_effnet.data.source import Source

MODES = ("none", "tf", "torch", "caffe")


@dataclass(frozen=True, eq=False)
class Predictor:
    """A model that takes pixels from 0 to 255 and gives a probability for each class.

    Attributes:
        model: the model.
        class_names: one for each class, in the order of the probabilities; numbers where nobody has said them.
        named: whether somebody has.
        resolution: of the images, in pixels.
        channels: of the images.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    named: bool
    resolution: int
    channels: int


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the model and what it may not know of itself."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="a trained model: .keras or .h5")
    group = parser.add_argument_group("where the model's file does not say it")
    group.add_argument(
        "--classes",
        metavar="FILE",
        type=Path,
        help="names of the classes: one a line, or a JSON list (default: its own)",
    )
    group.add_argument("--resolution", type=int, help="of the images, in pixels (default: its own)")
    group.add_argument(
        "--preprocessing",
        choices=MODES,
        help="of a model that was not built here: the mode of keras.applications' preprocess_input; 'none' (default): "
        "the model takes pixels from 0 to 255",
    )
    parser.add_argument(
        "--center-crop",
        type=float,
        default=1.0,
        help="share of each side that is looked at, from the middle (default: 1)",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images at once (default: 32)")


def open_classifier(arguments: argparse.Namespace) -> Predictor:
    """The model that the command line names.

    Raises:
        BuildError, DataError, WeightsError: no such file, no classifier in it, or names that do not fit to it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its build say nothing to a user
    from keras_effnet.inheritance.raw_pixels import take_raw_pixels
    from keras_effnet.inheritance.scaled_model import load_model

    model = load_model(arguments.model)
    tag = _tag_of(model)
    shape = model.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None or shape[1] < 2:
        raise BuildError(
            "the model must end in a classifier with an output for each of two classes at least. "
            f"Received: {str(arguments.model)!r}, whose output has the shape {shape}"
        )
    if tag is not None and arguments.preprocessing is not None:
        raise BuildError(
            "a model that was built here knows its preprocessing; leave `--preprocessing` out. "
            f"Received: {arguments.preprocessing!r} for {str(arguments.model)!r}"
        )
    side, channels = _input_of(model, arguments, None if tag is None else tag.spec.resolution)
    names = None if tag is None else tag.class_names
    if arguments.classes is not None:
        names = _read_names(arguments.classes, shape[1])
    whole = _with_mode(model, arguments.preprocessing or "none") if tag is None else take_raw_pixels(model)
    numbers = tuple(str(number) for number in range(shape[1]))
    return Predictor(_with_softmax(whole), names or numbers, names is not None, side, channels)


def predict_source(classifier: Predictor, source: Source, arguments: argparse.Namespace, title: str) -> np.ndarray:
    """The probabilities of all images of a source, with a progress bar on standard error.

    Returns:
        float32 array of shape `(images, classes)`.

    Raises:
        DataError: a value outside its range, or an image that cannot be read.
    """
    from tqdm import tqdm

    from keras_effnet.data.batches import Batches
    from keras_effnet.report.evaluation import predict_all

    check_int(DataError, "batch_size", arguments.batch_size, 1)
    batches = Batches(
        source,
        resolution=classifier.resolution,
        channels=classifier.channels,
        batch_size=min(arguments.batch_size, max(len(source), 1)),
        center_crop=arguments.center_crop,
    )
    with tqdm(total=len(batches), desc=title, unit="batch") as progress:
        return predict_all(classifier.model, _Watched(batches, progress.update))


def show(text: str, output: Path | None) -> None:
    """Writes a result to a file, whole or not at all, or to standard output.

    Raises:
        DataError: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        return
    from keras_effnet.atomic import atomic_write

    atomic_write(output, lambda path: path.write_text(text, encoding="utf-8"))


class _Watched:
    """Batches that report each one that was read."""

    def __init__(self, batches: Any, seen: Callable[[], Any]) -> None:
        self._batches, self._seen = batches, seen

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Any:
        batch = self._batches[number]
        self._seen()
        return batch


def _tag_of(model: keras.Model) -> Any:
    """The tag, or None where the model was not built here."""
    from keras_effnet.builder.embedded_spec import carries_spec, read_embedded_spec

    return read_embedded_spec(model) if carries_spec(model) else None


def _input_of(model: keras.Model, arguments: argparse.Namespace, known: int | None) -> tuple[int, int]:
    """The side and the channels of the images that a model takes."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
        raise BuildError(
            "the model must take images of shape (height, width, channels), with 3 channels or 1. "
            f"Received: {str(arguments.model)!r}, whose input has the shape {shape}"
        )
    fixed = shape[1] or shape[2]
    asked = arguments.resolution
    if shape[1] != shape[2] or (fixed is not None and asked is not None and asked != fixed):
        raise BuildError(
            "images are resized to squares of the side that the model was built for. "
            f"Received: --resolution={asked} for an input of shape {shape}"
        )
    side = asked or fixed or known
    if side is None:
        raise BuildError(
            f"the model takes images of any size; say which with `--resolution`. Received: {str(arguments.model)!r}"
        )
    return side, shape[3]


def _with_mode(model: keras.Model, mode: str) -> Any:
    """The model behind `preprocess_input` of that mode."""
    if mode == "none":
        return model
    import keras

    pixels = keras.Input(model.input_shape[1:])
    preprocess: Any = keras.applications.imagenet_utils.preprocess_input
    return keras.Model(pixels, model(preprocess(pixels, mode=mode)))


def _with_softmax(model: Any) -> Any:
    """The model, with a softmax where it ends in logits."""
    import keras

    last = model.layers[-1]
    if getattr(last, "activation", None) is not keras.activations.linear:
        return model
    return keras.Model(model.inputs, keras.layers.Softmax(dtype="float32")(model.output))


def _read_names(path: Path, classes: int) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8")
        names = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"the names of the classes cannot be read: {error}. Received: {str(path)!r}") from error
    found = _without_blank_end(names)
    if len(found) != classes or not all(isinstance(name, str) for name in found):
        raise DataError(
            f"there must be {classes} names of classes, one a line or as a JSON list of texts. "
            f"Received: {len(found)} in {str(path)!r}"
        )
    return tuple(found)


def _without_blank_end(names: Sequence[Any]) -> list[Any]:
    found = list(names)
    while found and found[-1] == "":
        found.pop()
    return found
