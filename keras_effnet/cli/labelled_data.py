"""Labelled images for a model that the command line names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_effnet.data.sets import DataSplits, is_table, load_data
from keras_effnet.errors import DataError

if TYPE_CHECKING:
    from keras_effnet.cli.predictor import Predictor


def load_labelled(classifier: Predictor, data: str, targets: str | None = None, **options: Any) -> DataSplits:
    """Loads images that are labelled with what a model says.

    Args:
        classifier: the model.
        data: as `load_data` takes it.
        targets: names of a table's columns to learn from, parted by commas; by default those with a usual name, and of
            a model of numbers those with its names.
        options: further arguments of `load_data`.

    Raises:
        DataError: there is no such data, or it is labelled with something else.
    """
    columns: dict[str, Any] = {}
    if is_table(data):
        columns = {"targets": targets or (), "task": classifier.task}
        if classifier.task == "classification" and not targets:
            columns["task"] = None  # whatever it is: the message below is the better one
        elif classifier.task == "regression" and not targets and classifier.named:
            columns["targets"] = classifier.class_names
    found = load_data(data, channels=classifier.channels, bits=classifier.bits, **columns, **options)
    if found.train.task != classifier.task:
        raise DataError(
            f"the data must be labelled for the model's task, {classifier.task!r}.",
            received=f"{data!r} for {found.train.task!r}",
        )
    return found


def labels_for(classifier: Predictor, labels: np.ndarray, matching: np.ndarray) -> np.ndarray:
    """Labels of data as the model numbers its outputs; labels that the data has not are absent.

    Args:
        classifier: the model, of classes or labels.
        labels: labels of images, as `Source.labels` holds them.
        matching: the model's number for each class of the data.
    """
    if classifier.task == "classification":
        return matching[labels]
    found = np.zeros((len(labels), len(classifier.class_names)), np.float32)
    found[:, matching] = labels
    return found
