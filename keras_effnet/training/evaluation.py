"""How well a model does on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import keras
import numpy as np

from keras_effnet.errors import DataError
from keras_effnet.training.window import Window

TOP = 5  # top-5 accuracy, and so from six classes: among five it would always be 1
SUM_TOLERANCE = 0.01  # largest distance of a sum of probabilities from 1: bfloat16 has 8 bits, and errs by up to 0.4 %


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others.

    Args:
        name: name of the class.
        images: number of images of the class.
        precision: fraction of the predictions of this class that are right; None if there is no such prediction.
        recall: fraction of the images of this class that are predicted right; None if there is no such image.
        f1: harmonic mean of the two; None if neither exists.
    """

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on labelled images.

    Args:
        accuracy: fraction of images whose largest probability is that of their class.
        top5: fraction of images whose class is among the five most probable; None below six classes.
        loss: mean cross-entropy, without label smoothing.
        confusion: confusion matrix: a row for each true class, a column for each predicted one, in images.
        per_class: scores of each class.
    """

    accuracy: float
    top5: float | None
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassScore, ...]

    @property
    def headline(self) -> str:
        """The scores in a line."""
        top5 = "" if self.top5 is None else f", top-5 {self.top5:.3f}"
        return f"accuracy {self.accuracy:.3f}{top5}, loss {self.loss:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON holds them."""
        return {
            **asdict(self),
            "confusion": [list(row) for row in self.confusion],
            "per_class": [asdict(score) for score in self.per_class],
        }


def evaluate(model: keras.Model, batches: Any) -> dict[str, Any]:
    """Loss and, of a classifier, accuracy, by the metrics that `compile_model` gave the model.

    Args:
        model: a compiled model.
        batches: batches of images, one-hot labels and, if they are padded, weights, with a settable `epoch`; weight 0
            does not count.

    Returns:
        "loss", the mean loss with the label smoothing of training, and "accuracy", None for other tasks.
    """
    silent: Any = 0  # Keras annotates its default, "auto"
    found: Any = model.evaluate(Window(batches, 0, len(batches)), verbose=silent, return_dict=True)
    accuracy = None if "accuracy" not in found else float(found["accuracy"])
    return {"loss": float(found["mean_loss"]), "accuracy": accuracy}


class Predicting(Protocol):
    """A Keras model, or an exported file in its engine."""

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for a batch of images."""
        ...


class Mirrored:
    """A classifier that looks at each image and at its mirror image, and gives the mean of both answers.

    Args:
        model: the classifier.
    """

    def __init__(self, model: Predicting) -> None:
        self._model = model

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """The mean probabilities for a batch of images with their channels last."""
        both = [np.asarray(self._model.predict_on_batch(each), np.float32) for each in (x, x[:, :, ::-1])]
        return (both[0] + both[1]) / 2


def predict_all(model: Predicting, batches: Any) -> np.ndarray:
    """The probabilities of every image.

    Args:
        model: a model that ends in probabilities.
        batches: an indexable of (images, labels) or (images, labels, weights) with a length; images of weight 0 are
            left out.

    Returns:
        float32 array of shape `(images, classes)`, in the order of the batches.

    Raises:
        DataError: an image cannot be read, or there is none.
    """
    rows = []
    for images, _, *weights in map(batches.__getitem__, range(len(batches))):
        found = np.asarray(model.predict_on_batch(images), np.float32)
        rows.append(found[np.asarray(weights[0]) > 0] if weights else found)
    if not rows:
        raise DataError("there must be at least one image to predict.", received="0 batches")
    return np.concatenate(rows)


def evaluate_probabilities(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Evaluation:
    """Scores probabilities by the true labels.

    Args:
        probabilities: array of shape `(images, classes)`; each row sums to 1.
        labels: int array of shape `(images,)`, each in `0..classes - 1`.
        class_names: names of the classes, at least two.

    Returns:
        The scores.

    Raises:
        DataError: the shapes do not fit together, or the numbers are not probabilities.

    Example:
        >>> found = evaluate_probabilities(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ("cat", "dog"))
        >>> found.accuracy, found.confusion
        (0.5, ((1, 0), (1, 0)))
    """
    from sklearn import metrics  # takes a second, so only those who evaluate pay for it

    _check(probabilities, labels, len(class_names))
    classes = np.arange(len(class_names))
    predicted = probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(labels, predicted, labels=classes)
    undefined: Any = np.nan  # annotated as a text only
    scores: Any = metrics.precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=undefined)
    top5 = None
    if len(classes) > TOP:
        top5 = float(metrics.top_k_accuracy_score(labels, probabilities, k=TOP, labels=classes))
    return Evaluation(
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        top5=top5,
        loss=float(metrics.log_loss(labels, probabilities, labels=classes)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        per_class=tuple(
            ClassScore(str(name), int(count), *map(_known, row))
            for name, *row, count in zip(class_names, *scores, strict=True)
        ),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _check(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> None:
    count = len(labels)
    if classes < 2 or not count or labels.shape != (count,) or probabilities.shape != (count, classes):
        raise DataError(
            "there must be at least one image and two classes, a label for each image, and a probability for "
            "each image and class.",
            received=(
                f"probabilities of shape {probabilities.shape}, labels of shape {labels.shape}, {classes} classes"
            ),
        )
    if not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(f"labels must be in 0..{classes - 1}.", received=f"{labels.min()} to {labels.max()}")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    # Written so that a sum that is not a number fails, too.
    if not (probabilities.min() >= 0 and np.abs(sums - 1).max() <= SUM_TOLERANCE):
        worst = sums[np.argmax(np.nan_to_num(np.abs(sums - 1), nan=np.inf))]
        raise DataError(
            "a model's outputs must be probabilities: at least 0, with a sum of 1 for each image. Build it with "
            "classifier_activation='softmax'.",
            received=(f"outputs from {probabilities.min()} to {probabilities.max()}, with a sum of {worst}"),
        )
