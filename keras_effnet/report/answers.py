"""Answers of models of several labels and of numbers that are furthest from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.report.thumbnails import image_tile, images_shown, tile_uri

ANSWERS = 12
NUMBERS_SHOWN = 3  # numbers of an image that are said, the worst first


@dataclass(frozen=True)
class Answer:
    """An image, what the model says of it, and what it is.

    Args:
        name: name of the image in its source.
        said: labels or numbers that the model gives it.
        true: its true ones.
        uri: the image as a data URI.
    """

    name: str
    said: str
    true: str
    uri: str


def worst_answers(source: Source, outputs: np.ndarray, thresholds: Sequence[float], batches: Any) -> list[Answer]:
    """The answers that are furthest from the truth, the worst first; at most `ANSWERS`.

    Args:
        source: images with several labels, or with numbers.
        outputs: the model's outputs, of shape `(images, outputs)`.
        thresholds: probability from which an image has each label; none for numbers.
        batches: batches of the same images, in order.

    Raises:
        DataError: an image can no longer be read.
    """
    labels, wrong = source.labels, np.ones(len(source), bool)
    if source.task == "regression":
        deviation = labels.std(axis=0)
        errors = np.abs(outputs - labels) / np.where(deviation > 0, deviation, 1)
    else:
        errors = np.abs(outputs - labels)
        wrong = ((outputs >= np.asarray(thresholds)) != (labels > 0)).any(axis=1)
    order = np.argsort(-np.where(wrong, errors.max(axis=1), -1), kind="stable")[:ANSWERS]
    chosen = [int(index) for index in order if wrong[index]]
    shown = images_shown(batches, chosen) if chosen else {}
    return [
        Answer(
            source.name_of(index),
            *_texts(source, outputs[index], labels[index], errors[index], thresholds),
            tile_uri(image_tile(shown[index])),
        )
        for index in chosen
    ]


def _texts(
    source: Source, output: np.ndarray, label: np.ndarray, error: np.ndarray, thresholds: Sequence[float]
) -> tuple[str, str]:
    names = source.class_names
    if source.task == "multilabel":
        return labels_text(names, output >= np.asarray(thresholds)), labels_text(names, label > 0)
    worst = [int(number) for number in np.argsort(-error, kind="stable")[:NUMBERS_SHOWN]]
    said, true = (", ".join(f"{names[number]} {row[number]:.4g}" for number in worst) for row in (output, label))
    return said, true


def labels_text(names: Sequence[str], present: np.ndarray) -> str:
    """The labels that an image has, as text."""
    return ", ".join(name for name, has in zip(names, present, strict=True) if has) or "no label"
