"""How well a model tells several labels of an image, each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_effnet.errors import DataError
from keras_effnet.extras import import_extra
from keras_effnet.vision_tasks import THRESHOLD


@dataclass(frozen=True)
class LabelScore:
    """How well one label is told.

    Args:
        name: name of the label.
        images: number of images that have it.
        threshold: probability from which an image is said to have it, from 0 to 1.
        average_precision: area under the curve of precision over recall, which no threshold enters; None without an
            image that has the label.
        precision: fraction of the images said to have it that do; None if there is none.
        recall: fraction of the images that have it of which that is said; None if there is none.
        f1: harmonic mean of the two; None if there is neither an image that has it nor one said to.
    """

    name: str
    images: int
    threshold: float
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class MultilabelEvaluation:
    """The scores of a model of several labels.

    Args:
        mean_average_precision: mean of the labels' average precisions, over those that an image has.
        f1: F1 over all labels of all images together ("micro").
        mean_f1: mean of the labels' F1 ("macro"), over those that have one.
        loss: mean of the binary cross-entropies of all labels of all images, without label smoothing.
        per_class: scores of each label.
    """

    mean_average_precision: float
    f1: float
    mean_f1: float
    loss: float
    per_class: tuple[LabelScore, ...]

    @property
    def headline(self) -> str:
        """The scores in a line."""
        return f"mean average precision {self.mean_average_precision:.3f}, F1 {self.f1:.3f}, loss {self.loss:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON holds them."""
        return {**asdict(self), "per_class": [asdict(score) for score in self.per_class]}


def evaluate_labels(
    probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> MultilabelEvaluation:
    """Scores probabilities of labels.

    Args:
        probabilities: array of shape `(images, labels)`, values from 0 to 1.
        labels: array of the same shape: 1 for each label that an image has, 0 for the others.
        class_names: names of the labels.
        thresholds: probability from which an image has each label; None for 0.5.

    Raises:
        DataError: the shapes do not fit together, or the numbers are not probabilities.

    Example:
        >>> found = evaluate_labels(np.array([[0.9, 0.2], [0.6, 0.7]]), np.array([[1, 0], [0, 1]]), ("cat", "dog"))
        >>> found.mean_average_precision, round(found.f1, 2)
        (1.0, 0.8)
    """
    metrics = import_extra("sklearn.metrics", "measuring labels")
    _check(probabilities, labels, len(class_names))
    limits = np.full(len(class_names), THRESHOLD) if thresholds is None else np.asarray(thresholds)
    said = probabilities >= limits
    right = said & (labels > 0)
    scores = []
    for number, name in enumerate(class_names):
        images, claimed, found = (int(each[:, number].sum()) for each in (labels, said, right))
        area = metrics.average_precision_score(labels[:, number], probabilities[:, number]) if images else None
        scores.append(
            LabelScore(
                name=str(name),
                images=images,
                threshold=float(limits[number]),
                average_precision=None if area is None else float(area),
                precision=found / claimed if claimed else None,
                recall=found / images if images else None,
                f1=2 * found / (images + claimed) if images + claimed else None,
            )
        )
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)  # as Keras clips them
    return MultilabelEvaluation(
        mean_average_precision=_mean([score.average_precision for score in scores]),
        f1=float(2 * right.sum() / max(labels.sum() + said.sum(), 1)),
        mean_f1=_mean([score.f1 for score in scores]),
        loss=float(-np.mean(np.where(labels > 0, np.log(clipped), np.log1p(-clipped)))),
        per_class=tuple(scores),
    )


def choose_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """The threshold of each label with which its F1 is largest on these images.

    It lies halfway between the least sure image that counts as having the label and the next one below. A label that no
    image has, or all have, keeps 0.5.

    Args:
        probabilities: array of shape `(images, labels)`, values from 0 to 1.
        labels: array of the same shape, values 0 and 1.

    Example:
        >>> choose_thresholds(np.array([[0.25], [0.5], [0.125]]), np.array([[1], [1], [0]]))
        (0.1875,)
    """
    return tuple(_threshold(probabilities[:, number], labels[:, number]) for number in range(labels.shape[1]))


def _threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    positives = labels.sum()
    if not 0 < positives < len(labels):
        return THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order].astype(np.float64)
    found = np.cumsum(labels[order])
    scores = 2 * found / (np.arange(1, len(order) + 1) + positives)
    ends = np.append(ordered[1:] < ordered[:-1], True)  # equal probabilities are said together
    best = int(np.argmax(np.where(ends, scores, -1)))
    below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float((ordered[best] + below) / 2)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0


def _check(probabilities: np.ndarray, labels: np.ndarray, count: int) -> None:
    if not count or not len(labels) or labels.shape != (len(labels), count) or probabilities.shape != labels.shape:
        raise DataError(
            "there must be at least one image and one label, and a probability for each image and label.",
            received=f"probabilities of shape {probabilities.shape}, labels of shape {labels.shape}, {count} names",
        )
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):  # so that what is not a number fails, too
        raise DataError(
            "a model of several labels must return a probability for each: let it end in a sigmoid.",
            received=f"outputs from {probabilities.min()} to {probabilities.max()}",
        )
