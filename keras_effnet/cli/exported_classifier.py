"""The classifier in an exported file, as `predict` and `evaluate` use it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from keras_effnet.applications.imagenet_utils import preprocess_pixels
from keras_effnet.cli.class_names import names_of
from keras_effnet.cli.predictor import Predictor
from keras_effnet.errors import BuildError
from keras_effnet.export.engines import Exported
from keras_effnet.resolution import resolution_text, sides_of
from keras_effnet.tensor_names import quoted
from keras_effnet.vision_tasks import THRESHOLD, VisionTask

if TYPE_CHECKING:
    from keras_effnet.training.evaluation import Predicting


def exported_classifier(exported: Exported, arguments: argparse.Namespace) -> Predictor:
    """A predictor of an exported file.

    Args:
        exported: the file, opened in its engine.
        arguments: the parsed arguments of `add_model_arguments`.

    Raises:
        BuildError: the file is not a classifier, or the arguments contradict it.
        DataError: the class names cannot be read, or are not as many as the file's classes.
    """
    told = exported.metadata
    if len(told.inputs) > 1 or len(told.returns) > 1:
        raise BuildError(
            "the command line shows a file one image, and reads one output. In Python, "
            "`open_exported(path).predict_on_batch({...})` takes all inputs by name, and returns all outputs.",
            received=f"{str(arguments.model)!r} with the inputs {quoted([each.name for each in told.inputs])} and the "
            f"outputs {quoted([each.name for each in told.returns])}",
        )
    if told.outputs == "features":
        raise BuildError("the file must be a classifier.", received=f"{str(arguments.model)!r}, which returns features")
    if told.pixels and arguments.preprocessing is not None:
        raise BuildError(
            "an exported file knows its preprocessing; omit `--preprocessing`.", received=repr(arguments.preprocessing)
        )
    size = arguments.resolution or told.resolution or (told.spec or {}).get("backbone", {}).get("resolution")
    if size is None or told.resolution not in (None, size):
        taken = "any side" if told.resolution is None else f"a side of {resolution_text(told.resolution)}"
        raise BuildError(
            "`--resolution` must be the side of the images that the file takes.",
            received=f"--resolution={size if size is None else resolution_text(size)} for {taken}",
        )
    blank = np.zeros((1, *sides_of(size), told.channels), np.float32)
    classes = exported.predict_on_batch(blank).shape[1]
    names = told.class_names if arguments.classes is None else names_of(arguments.classes, classes)
    model = _Softmax(exported) if told.outputs == "logits" else exported
    if not told.pixels:
        model = _Preprocessed(model, arguments.preprocessing or "none")
    numbers = tuple(map(str, range(classes)))
    tasks: dict[str, VisionTask] = {"labels": "multilabel", "numbers": "regression"}
    return Predictor(
        model,
        names or numbers,
        names is not None,
        size,
        told.channels,
        arguments.resize or told.resize,
        told.bits,
        tasks.get(told.outputs, "classification"),
        told.thresholds or (THRESHOLD,) * classes,
    )


class _Preprocessed:
    """A network that takes pixels preprocessed in one of Keras' modes, as one that takes them from 0 to 255."""

    def __init__(self, model: Predicting, mode: str) -> None:
        self._model, self._mode = model, mode

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        return self._model.predict_on_batch(preprocess_pixels(np.array(x), self._mode, "channels_last"))


class _Softmax:
    """An exported file that returns logits, as one that returns probabilities."""

    def __init__(self, exported: Exported) -> None:
        self._exported = exported

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        logits = self._exported.predict_on_batch(x)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)
