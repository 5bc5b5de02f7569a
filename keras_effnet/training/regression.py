"""How well a model tells numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_effnet.errors import DataError


@dataclass(frozen=True)
class NumberScore:
    """How well one number is told.

    Args:
        name: name of the number.
        mae: mean absolute error, in the number's own unit.
        rmse: root of the mean squared error, likewise.
        r2: coefficient of determination: 1 for no error, 0 for those of always saying the mean of these images; None if
            all of them have the same number.
        deviation: standard deviation of the true numbers.
    """

    name: str
    mae: float
    rmse: float
    r2: float | None
    deviation: float


@dataclass(frozen=True)
class RegressionEvaluation:
    """The scores of a model of numbers.

    Args:
        r2: mean of the numbers' coefficients of determination; None if none has one.
        per_class: scores of each number.
    """

    r2: float | None
    per_class: tuple[NumberScore, ...]

    @property
    def headline(self) -> str:
        """The scores in a line."""
        errors = ", ".join(f"{score.name} {score.mae:.4g}" for score in self.per_class[:4])
        more = ", ..." if len(self.per_class) > 4 else ""
        return f"R2 {'-' if self.r2 is None else f'{self.r2:.3f}'}; mean absolute error of {errors}{more}"

    def to_dict(self) -> dict[str, Any]:
        """The scores as JSON holds them."""
        return {**asdict(self), "per_class": [asdict(score) for score in self.per_class]}


def evaluate_numbers(found: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> RegressionEvaluation:
    """Scores numbers by the true ones.

    Args:
        found: array of shape `(images, numbers)`.
        labels: array of the same shape, the true numbers.
        names: names of the numbers.

    Raises:
        DataError: the shapes do not fit together, or a number is not finite.

    Example:
        >>> score = evaluate_numbers(np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]), ("age",)).per_class[0]
        >>> score.mae, score.r2
        (0.5, 0.5)
    """
    count = len(names)
    if not count or not len(labels) or labels.shape != (len(labels), count) or found.shape != labels.shape:
        raise DataError(
            "there must be at least one image and one number, and an answer for each.",
            received=f"numbers of shape {found.shape} for {labels.shape} and {count} names",
        )
    if not np.isfinite(found).all():
        raise DataError("a model's numbers must be finite.", received=f"values from {found.min()} to {found.max()}")
    errors, truth = found.astype(np.float64) - labels, labels.astype(np.float64)
    squares, variances = np.mean(errors**2, axis=0), truth.var(axis=0)
    scores = tuple(
        NumberScore(
            name=str(name),
            mae=float(np.abs(errors[:, number]).mean()),
            rmse=float(np.sqrt(squares[number])),
            r2=float(1 - squares[number] / variances[number]) if variances[number] > 0 else None,
            deviation=float(np.sqrt(variances[number])),
        )
        for number, name in enumerate(names)
    )
    known = [score.r2 for score in scores if score.r2 is not None]
    return RegressionEvaluation(float(np.mean(known)) if known else None, scores)
