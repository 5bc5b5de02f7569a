"""Examples for the report: the worst mistakes and the surest hits, with Grad-CAM maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.errors import BuildError
from keras_effnet.report.gradcam import grad_cam
from keras_effnet.report.thumbnails import heat_tile, image_tile, images_shown, tile_uri

MISTAKES = 12
HITS = 6


@dataclass(frozen=True)
class Example:
    """An image and its prediction.

    Args:
        name: name of the image in its source.
        true: name of the true class.
        predicted: name of the predicted class.
        probability: probability of the predicted class.
        true_probability: probability of the true class.
        images: pairs of a caption and a data URI: the image itself, then its Grad-CAM maps.
    """

    name: str
    true: str
    predicted: str
    probability: float
    true_probability: float
    images: tuple[tuple[str, str], ...]


def choose_examples(
    model: keras.Model, source: Source, probabilities: np.ndarray, batches: Any
) -> tuple[list[Example], list[Example], str]:
    """Chooses examples and draws their images.

    Args:
        model: a classifier.
        source: the images.
        probabilities: the model's probabilities, of shape `(images, classes)`.
        batches: batches of the same images, in order.

    Returns:
        The worst mistakes, the surest hits, and the reason why there are no Grad-CAM maps ("" if there are).

    Raises:
        DataError: an image can no longer be read.
    """
    mistakes, hits = worst_mistakes(probabilities, source.labels), surest_hits(probabilities, source.labels)
    chosen = [*mistakes, *hits]
    if not chosen:
        return [], [], ""
    shown = images_shown(batches, chosen)
    predicted = probabilities.argmax(axis=1)
    asked = [(index, label) for index in chosen for label in dict.fromkeys((predicted[index], source.labels[index]))]
    heats, note = {}, ""
    try:
        maps = grad_cam(model, np.stack([shown[index] for index, _ in asked]), np.array([label for _, label in asked]))
        heats = dict(zip(asked, maps, strict=True))
    except BuildError as error:
        note = f"There are no Grad-CAM maps: {error}"

    def example(index: int) -> Example:
        answer, truth = predicted[index], source.labels[index]
        images = [("the image", image_tile(shown[index]))]
        for caption, label in [("for its answer", answer), ("for the truth", truth)][: 1 + (answer != truth)]:
            if (index, label) in heats:
                images.append((caption, heat_tile(shown[index], heats[index, label])))
        return Example(
            name=source.name_of(index),
            true=source.class_names[truth],
            predicted=source.class_names[answer],
            probability=float(probabilities[index, answer]),
            true_probability=float(probabilities[index, truth]),
            images=tuple((caption, tile_uri(tile)) for caption, tile in images),
        )

    return [example(index) for index in mistakes], [example(index) for index in hits], note


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """Indices of misclassified images, by falling probability of the wrong class; at most `MISTAKES`."""
    sure = np.where(probabilities.argmax(axis=1) == labels, -1.0, probabilities.max(axis=1))
    order = np.argsort(-sure, kind="stable")[:MISTAKES]
    return [int(index) for index in order if sure[index] >= 0]


def surest_hits(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """Indices of the most probable correctly classified image of each class; at most `HITS`."""
    sure = np.where(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), -1.0)
    first: dict[int, int] = {}
    for index in np.argsort(-sure, kind="stable"):
        if sure[index] >= 0:
            first.setdefault(int(labels[index]), int(index))
    return list(first.values())[:HITS]
