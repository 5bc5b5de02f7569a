"""Pictures worth a look: the worst mistakes and the surest hits, and where the network looked in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.errors import BuildError
from keras_effnet.report.gradcam import grad_cam
from keras_effnet.report.tiles import heat_tile, picture_tile, pictures_shown, tile_uri

MISTAKES = 12
HITS = 6


@dataclass(frozen=True)
class Look:
    """One picture with what was said about it.

    Args:
        name: of the picture, as its source calls it.
        true: name of its class.
        predicted: name of the class that it was taken for.
        probability: of the predicted class.
        true_probability: of its class.
        pictures: (caption, address that holds the picture) of the picture itself and of its Grad-CAM maps.
    """

    name: str
    true: str
    predicted: str
    probability: float
    true_probability: float
    pictures: tuple[tuple[str, str], ...]


def take_looks(
    model: keras.Model, source: Source, probabilities: np.ndarray, batches: Any
) -> tuple[list[Look], list[Look], str]:
    """Chooses and draws.

    Args:
        model: a classifier.
        source: the pictures.
        probabilities: of the model, for each picture and class.
        batches: of the same pictures, in order.

    Returns:
        The worst mistakes, the surest hits, and why there are no Grad-CAM maps ("" where there are).

    Raises:
        DataError: a picture that cannot be read (any more).
    """
    mistakes, hits = worst_mistakes(probabilities, source.labels), surest_hits(probabilities, source.labels)
    chosen = [*mistakes, *hits]
    if not chosen:
        return [], [], ""
    shown = pictures_shown(batches, chosen)
    predicted = probabilities.argmax(axis=1)
    asked = [(index, label) for index in chosen for label in dict.fromkeys((predicted[index], source.labels[index]))]
    heats, note = {}, ""
    try:
        maps = grad_cam(model, np.stack([shown[index] for index, _ in asked]), np.array([label for _, label in asked]))
        heats = dict(zip(asked, maps, strict=True))
    except BuildError as error:
        note = f"There are no Grad-CAM maps: {error}"

    def look(index: int) -> Look:
        answer, truth = predicted[index], source.labels[index]
        pictures = [("the picture", picture_tile(shown[index]))]
        for caption, label in [("for its answer", answer), ("for the truth", truth)][: 1 + (answer != truth)]:
            if (index, label) in heats:
                pictures.append((caption, heat_tile(shown[index], heats[index, label])))
        return Look(
            name=source.name_of(index),
            true=source.class_names[truth],
            predicted=source.class_names[answer],
            probability=float(probabilities[index, answer]),
            true_probability=float(probabilities[index, truth]),
            pictures=tuple((caption, tile_uri(tile)) for caption, tile in pictures),
        )

    return [look(index) for index in mistakes], [look(index) for index in hits], note


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """The wrong pictures, those first whose wrong class is surest; at most `MISTAKES`."""
    sure = np.where(probabilities.argmax(axis=1) == labels, -1.0, probabilities.max(axis=1))
    order = np.argsort(-sure, kind="stable")[:MISTAKES]
    return [int(index) for index in order if sure[index] >= 0]


def surest_hits(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """The right pictures that are surest, one a class; at most `HITS`."""
    sure = np.where(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), -1.0)
    first: dict[int, int] = {}
    for index in np.argsort(-sure, kind="stable"):
        if sure[index] >= 0:
            first.setdefault(int(labels[index]), int(index))
    return list(first.values())[:HITS]
