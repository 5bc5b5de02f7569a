"""Scores of a model's outputs, by what they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_effnet.training.evaluation import Evaluation, evaluate_probabilities
from keras_effnet.training.multilabel import MultilabelEvaluation, evaluate_labels
from keras_effnet.training.regression import RegressionEvaluation, evaluate_numbers
from keras_effnet.vision_tasks import VisionTask

# The scores that a task's models are compared by, the first one above all.
SCORES: dict[VisionTask, tuple[str, ...]] = {
    "classification": ("accuracy", "loss"),
    "multilabel": ("mean_average_precision", "loss"),
    "regression": ("r2",),
}


def evaluate_outputs(
    task: VisionTask,
    outputs: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    thresholds: Sequence[float] | None = None,
) -> Evaluation | MultilabelEvaluation | RegressionEvaluation:
    """Scores a model's outputs by the true labels.

    Args:
        task: what the outputs are: "classification", "multilabel" or "regression".
        outputs: array of shape `(images, outputs)`.
        labels: the true classes, labels or numbers, as `Source.labels` holds them.
        class_names: names of the outputs.
        thresholds: probability from which an image has each label, of a multilabel model; None for 0.5.

    Raises:
        DataError: the shapes do not fit together, or the outputs are not what the task asks for.

    Example:
        >>> evaluate_outputs("regression", np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]), ("age",)).headline
        'R2 0.500; mean absolute error of age 0.5'
    """
    if task == "regression":
        return evaluate_numbers(outputs, labels, class_names)
    if task == "multilabel":
        return evaluate_labels(outputs, labels, class_names, thresholds)
    return evaluate_probabilities(outputs, labels, class_names)
