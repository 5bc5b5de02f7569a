"""Images worth a look: the worst mistakes and the surest hits, and where the network looked in each."""

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
    """One image with what was said about it.

    Args:
        name: of the image, as its source calls it.
        true: name of its class.
        predicted: name of the class that it was taken for.
        probability: of the predicted class.
        true_probability: of its class.
        images: (caption, address that holds the image) of the image itself and of its Grad-CAM maps.
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
    """Chooses and draws.

    Args:
        model: a classifier.
        source: the images.
        probabilities: of the model, for each image and class.
        batches: of the same images, in order.

    Returns:
        The worst mistakes, the surest hits, and why there are no Grad-CAM maps ("" where there are).

    Raises:
        DataError: an image that cannot be read (any more).
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

    def look(index: int) -> Example:
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

    return [look(index) for index in mistakes], [look(index) for index in hits], note


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """The wrong images, those first whose wrong class is surest; at most `MISTAKES`."""
    sure = np.where(probabilities.argmax(axis=1) == labels, -1.0, probabilities.max(axis=1))
    order = np.argsort(-sure, kind="stable")[:MISTAKES]
    return [int(index) for index in order if sure[index] >= 0]


def surest_hits(probabilities: np.ndarray, labels: np.ndarray) -> list[int]:
    """The right images that are surest, one a class; at most `HITS`."""
    sure = np.where(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), -1.0)
    first: dict[int, int] = {}
    for index in np.argsort(-sure, kind="stable"):
        if sure[index] >= 0:
            first.setdefault(int(labels[index]), int(index))
    return list(first.values())[:HITS]
