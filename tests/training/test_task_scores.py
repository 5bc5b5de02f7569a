"""Scores of several labels and of numbers, against scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from keras_effnet.errors import DataError
from keras_effnet.training.multilabel import choose_thresholds, evaluate_labels
from keras_effnet.training.regression import evaluate_numbers

NAMES = tuple("abcdef")


def labelled(seed: int, images: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that tell something of the labels; some are equal."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((images, len(NAMES))) < np.linspace(0.1, 0.7, len(NAMES))).astype(np.float32)
    probabilities = np.clip(0.3 * labels + generator.random(labels.shape) * 0.7, 0, 1)
    return np.round(probabilities, 2).astype(np.float32), labels


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_scored_as_by_scikit_learn(seed: int) -> None:
    probabilities, labels = labelled(seed)
    thresholds = np.linspace(0.3, 0.7, len(NAMES))
    found = evaluate_labels(probabilities, labels, NAMES, thresholds)
    said = probabilities >= thresholds
    scored: Any = metrics.precision_recall_fscore_support(labels, said, zero_division=np.nan)
    precision, recall, f1, counts = scored
    assert found.mean_average_precision == pytest.approx(metrics.average_precision_score(labels, probabilities))
    assert found.f1 == pytest.approx(metrics.f1_score(labels, said, average="micro"))
    assert found.mean_f1 == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    for number, score in enumerate(found.per_class):
        assert (score.name, score.images, score.threshold) == (NAMES[number], counts[number], thresholds[number])
        expected = (precision[number], recall[number], f1[number])
        assert (score.precision, score.recall, score.f1) == pytest.approx(expected)
    losses = [metrics.log_loss(labels[:, number], probabilities[:, number].astype(float)) for number in range(6)]
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_better_f1(seed: int) -> None:
    probabilities, labels = labelled(seed)
    chosen = choose_thresholds(probabilities, labels)
    for number, threshold in enumerate(chosen):
        scores, truth = probabilities[:, number], labels[:, number]
        tried = [metrics.f1_score(truth, scores >= limit) for limit in np.linspace(0, 1, 201)]
        assert metrics.f1_score(truth, scores >= threshold) == pytest.approx(max(tried))


def test_a_label_that_none_or_all_have_keeps_its_threshold() -> None:
    labels = np.array([[0, 1], [0, 1]], np.float32)
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    assert choose_thresholds(probabilities, labels) == (0.5, 0.5)
    found = evaluate_labels(probabilities, labels, ("none", "all"))
    assert [score.average_precision for score in found.per_class] == [None, 1.0]
    assert found.mean_average_precision == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_scored_as_by_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.normal([5, -300], [1, 40], (50, 2)).astype(np.float32)
    answers = (labels + generator.normal(0, [0.5, 30], labels.shape)).astype(np.float32)
    found = evaluate_numbers(answers, labels, ("age", "depth"))
    each: dict[str, Any] = {"multioutput": "raw_values"}
    assert [score.mae for score in found.per_class] == pytest.approx(
        metrics.mean_absolute_error(labels, answers, **each)
    )
    rmse = metrics.root_mean_squared_error(labels, answers, **each)
    assert [score.rmse for score in found.per_class] == pytest.approx(rmse, rel=1e-5)
    assert [score.r2 for score in found.per_class] == pytest.approx(metrics.r2_score(labels, answers, **each), rel=1e-4)
    assert found.r2 == pytest.approx(metrics.r2_score(labels, answers), rel=1e-4)


def test_a_number_that_never_changes_has_no_r2() -> None:
    found = evaluate_numbers(np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]), ("same",))
    assert (found.per_class[0].r2, found.r2) == (None, None)
    assert found.headline == "R2 -; mean absolute error of same 0.5"


def test_what_is_no_answer_is_an_error() -> None:
    with pytest.raises(DataError, match=r"end in a sigmoid\. Received: outputs from -1\.0 to 0\.5"):
        evaluate_labels(np.array([[-1.0, 0.5]]), np.array([[0, 1]]), ("a", "b"))
    with pytest.raises(DataError, match="a probability for each image and label"):
        evaluate_labels(np.zeros((2, 3)), np.zeros((2, 2)), ("a", "b"))
    with pytest.raises(DataError, match="must be finite"):
        evaluate_numbers(np.array([[np.nan]]), np.array([[1.0]]), ("a",))
