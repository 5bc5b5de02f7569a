"""Calibration: errors that can be counted by hand, and a temperature that is known because it was put in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from keras_effnet.training.calibration import calibrate, confidence_bins, fit_temperature, with_temperature


def drawn(temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels drawn from their softmax, and the probabilities of a network that is too sure or too unsure."""
    generator = np.random.default_rng(0)
    logits = 2 * generator.normal(size=(count, 5))
    honest = softmax(logits, axis=1)
    labels = np.array([generator.choice(5, p=row) for row in honest])
    return logits, labels, softmax(logits * temperature, axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 4.0])
def test_a_temperature_that_was_put_in_is_found(temperature: float) -> None:
    logits, labels, probabilities = drawn(temperature)
    assert fit_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(with_temperature(probabilities, temperature), softmax(logits, axis=1), atol=1e-5)
    found = calibrate(probabilities, labels, (probabilities, labels))
    assert found.scaled_ece < 0.015
    assert (found.ece < 0.015) == (temperature == 1.0)


def test_the_error_is_that_of_the_papers_equation() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.65, 0.35], [0.3, 0.7]])
    labels = np.array([0, 1, 0, 0])
    bins = confidence_bins(probabilities, labels, bins=5)  # (0.6, 0.8] and (0.8, 1]
    assert [each.images for each in bins] == [0, 0, 0, 3, 1]
    assert bins[3].confidence == pytest.approx((0.8 + 0.65 + 0.7) / 3)
    assert bins[3].accuracy == pytest.approx(1 / 3)
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)
    found = calibrate(probabilities, labels, (probabilities, labels))
    fine = [abs(probabilities[row].max() - (probabilities[row].argmax() == labels[row])) for row in range(4)]
    assert found.ece == pytest.approx(np.mean(fine))  # with 15 bins each image has one of its own
    assert sum(each.images for each in found.bins) == 4


def test_probabilities_of_0_and_1_are_taken() -> None:
    probabilities, labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], np.array([0, 1, 2, 1])
    found = calibrate(probabilities, labels, (probabilities, labels))
    assert 1 < found.temperature <= 20.01
    assert found.ece == pytest.approx(0.25)
    np.testing.assert_allclose(with_temperature(probabilities, found.temperature).sum(axis=1), 1)
