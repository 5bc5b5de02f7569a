"""How far a classifier's probabilities can be believed, and one number that corrects them: its temperature."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_effnet.extras import import_extra

BINS = 15  # Guo et al. 2017, arXiv:1706.04599, section 5
_RANGE = 20.0  # largest temperature, and 1 / the smallest: beyond it, all classes or one have all the probability


@dataclass(frozen=True)
class ConfidenceBin:
    """The images whose largest probability lies between two bounds.

    Args:
        low: lower bound, from 0 to 1; not included.
        high: upper bound; included.
        images: number of images.
        confidence: mean of their largest probabilities; None without an image.
        accuracy: fraction of them that are right; None without an image.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of a classifier agree with how often it is right.

    Args:
        temperature: what its logits are divided by, above 0, to give the images that it was fitted on the largest
            probability; above 1 the network was too sure.
        fitted_on: name of the split that the temperature was fitted on.
        ece: expected calibration error of the images of the evaluation: the mean difference of confidence and accuracy
            (Guo et al. 2017, equation 3), from 0 to 1.
        scaled_ece: the same with the temperature.
        bins: the images by confidence, without the temperature.
    """

    temperature: float
    fitted_on: str
    ece: float
    scaled_ece: float
    bins: tuple[ConfidenceBin, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {**asdict(self), "bins": [asdict(each) for each in self.bins]}


def calibrate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    fitted_on: str = "validation",
) -> Calibration:
    """Measures the calibration of a classifier, and fits its temperature.

    Args:
        probabilities: array of shape `(images, classes)`; each row sums to 1.
        labels: int array of shape `(images,)`, each in `0..classes - 1`.
        held_out: probabilities and labels of the images to fit the temperature on, better others than those.
        fitted_on: name of their split. Default: "validation".

    Example:
        >>> sure, labels = np.array([[0.9, 0.1]] * 10), np.array([0] * 7 + [1] * 3)
        >>> found = calibrate(sure, labels, (sure, labels))
        >>> round(found.ece, 2), round(found.scaled_ece, 2), found.temperature > 1
        (0.2, 0.0, True)
    """
    temperature = fit_temperature(*held_out)
    bins = confidence_bins(probabilities, labels)
    scaled = confidence_bins(with_temperature(probabilities, temperature), labels)
    return Calibration(temperature, fitted_on, _ece(bins), _ece(scaled), bins)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that makes the labels most probable (Guo et al. 2017, section 4.2), between 1/20 and 20.

    Args:
        probabilities: array of shape `(images, classes)`; each row sums to 1.
        labels: int array of shape `(images,)`.
    """
    logits = _logits(probabilities)
    chosen = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1)
        normalizers = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(normalizers - chosen / np.exp(log_temperature)))

    optimize = import_extra("scipy.optimize", "calibration")
    bound = np.log(_RANGE)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities as they are when the logits are divided by a temperature.

    Args:
        probabilities: array of shape `(images, classes)`; each row sums to 1.
        temperature: the temperature, above 0; 1 changes nothing.

    Example:
        >>> with_temperature(np.array([[0.8, 0.2]]), 2.0).round(3)
        array([[0.667, 0.333]])
    """
    scaled = _logits(probabilities) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def confidence_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> tuple[ConfidenceBin, ...]:
    """Sorts images by their largest probability.

    Args:
        probabilities: array of shape `(images, classes)`; each row sums to 1.
        labels: int array of shape `(images,)`.
        bins: number of bins of equal width, at least 1. Default: 15.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for place in range(bins):
        inside = places == place
        count = int(inside.sum())
        means = [float(values[inside].mean()) if count else None for values in (confidence, right)]
        found.append(ConfidenceBin(place / bins, (place + 1) / bins, count, *means))
    return tuple(found)


def _ece(bins: tuple[ConfidenceBin, ...]) -> float:
    images = sum(each.images for each in bins)
    return sum(each.images * abs((each.confidence or 0.0) - (each.accuracy or 0.0)) for each in bins) / images


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Logits of probabilities, up to a constant for each image; in float64, since many are nearly 0."""
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))
