"""Scores counted by hand, and probabilities of exactly the images that there are."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from keras_effnet.errors import DataError
from keras_effnet.training.evaluation import evaluate_probabilities, predict_all

NAMES = ("cat", "dog", "owl", "never")


def one_hot(predicted: list[int], classes: int, sure: float) -> np.ndarray:
    """Rows with the probability `sure` for the predicted class, and equal ones for the others."""
    rows = np.full((len(predicted), classes), (1 - sure) / (classes - 1), np.float32)
    rows[np.arange(len(predicted)), predicted] = sure
    return rows


def test_scores_are_those_counted_by_hand() -> None:
    """Three cats, one of them taken for a dog; two dogs, both right; one owl taken for a cat."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    found = evaluate_probabilities(one_hot([0, 0, 1, 1, 1, 0], 4, 0.7), labels, NAMES)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.top5 is None
    assert found.loss == pytest.approx(-(4 * np.log(0.7) + 2 * np.log(0.1)) / 6, rel=1e-5)
    assert found.confusion == ((2, 1, 0, 0), (0, 2, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0))
    cat, dog, owl, never = found.per_class
    assert (cat.name, cat.images, cat.precision, cat.recall) == ("cat", 3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (dog.images, dog.precision, dog.recall) == (2, pytest.approx(2 / 3), 1)
    assert dog.f1 == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert (owl.images, owl.precision, owl.recall, owl.f1) == (1, None, 0, 0)
    assert (never.images, never.precision, never.recall, never.f1) == (0, None, None, None)


def test_top5_counts_the_five_largest() -> None:
    """The true class has rank 1, 5 and 6 of 7."""
    row = np.array([0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05])
    found = evaluate_probabilities(np.stack([row, row, row]), np.array([0, 4, 5]), list("abcdefg"))
    assert found.top5 == pytest.approx(2 / 3)
    assert found.accuracy == pytest.approx(1 / 3)
    assert evaluate_probabilities(np.eye(6), np.arange(6), list("abcdef")).top5 == 1


def test_an_evaluation_is_json() -> None:
    found = evaluate_probabilities(one_hot([0, 1, 1], 4, 0.9), np.array([0, 1, 2]), NAMES).to_dict()
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    assert again["confusion"][2] == [0, 1, 0, 0]
    assert again["per_class"][3] == {"name": "never", "images": 0, "precision": None, "recall": None, "f1": None}


GOOD = one_hot([0, 1], 4, 0.9)


@pytest.mark.parametrize(
    ("probabilities", "labels", "names"),
    [
        (GOOD, [0], NAMES),
        (GOOD, [0, 4], NAMES),
        (GOOD, [-1, 0], NAMES),
        (GOOD, [0, 1], NAMES[:3]),
        (GOOD[:0], [], NAMES),
        (np.ones((2, 1)), [0, 0], ("one",)),
        (GOOD * 2, [0, 1], NAMES),
        (np.log(GOOD), [0, 1], NAMES),
        (np.where(GOOD > 0.5, np.nan, GOOD), [0, 1], NAMES),
        ([[1.5, -0.5, 0, 0]], [0], NAMES),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities: Any, labels: Any, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="Received: "):
        evaluate_probabilities(np.asarray(probabilities), np.asarray(labels, np.int32), names)


class Padded:
    """Images 0 to 6 in batches of 3, the last filled up; each image holds its number."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at

    def __len__(self) -> int:
        return 3

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if step == self.fail_at:
            raise DataError("an image has vanished.", received="'it.png'")
        numbers = np.arange(3 * step, 3 * step + 3, dtype=np.float32)
        images = np.where(numbers < 7, numbers, 0)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)
        return images, np.zeros((3, 2), np.float32), (numbers < 7).astype(np.float32)


def tiny_model() -> keras.Model:
    """Gives an image's number and its square."""
    x = keras.Input((2, 2, 1))
    y = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(x, keras.layers.Concatenate()([y, y**2]))


def test_each_image_is_predicted_once_and_in_order() -> None:
    found = predict_all(tiny_model(), Padded())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[number, number**2] for number in range(7)])


def test_a_image_that_has_vanished_is_named() -> None:
    with pytest.raises(DataError, match=r"vanished.*Received: 'it.png'"):
        predict_all(tiny_model(), Padded(fail_at=1))


def test_no_image_at_all_is_said() -> None:
    with pytest.raises(DataError, match="at least one image"):
        predict_all(tiny_model(), [])
