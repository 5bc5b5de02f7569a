"""Examples for the report: the worst mistakes and the surest hits with maps of their classes, and training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.errors import BuildError
from keras_effnet.report.answers import labels_text
from keras_effnet.report.class_maps import class_maps
from keras_effnet.report.thumbnails import image_tile, images_shown, overlay_tile, tile_uri

MISTAKES = 12
HITS = 6
SEEN = 8
LEAST_SHARE = 0.005  # of a label that is named: less is 0 %


@dataclass(frozen=True)
class Example:
    """An image and its prediction.

    Args:
        name: name of the image in its source.
        true: name of the true class.
        predicted: name of the predicted class.
        probability: probability of the predicted class.
        true_probability: probability of the true class.
        images: pairs of a caption and a data URI: the image itself, then its class activation maps.
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
        The worst mistakes, the surest hits, and the reason why there are no maps ("" if there are).

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
    heats, cells, note = {}, "", ""
    try:
        images = np.stack([shown[index] for index, _ in asked])
        found = class_maps(model, images, np.array([label for _, label in asked]))
        heats, cells = dict(zip(asked, found.maps, strict=True)), f"{found.cells} cells".replace(" ", "\xa0")
    except BuildError as error:
        note = f"There are no class activation maps: {error}"

    def example(index: int) -> Example:
        answer, truth = predicted[index], source.labels[index]
        images = [("the image", image_tile(shown[index]))]
        for caption, label in [("for its answer", answer), ("for the truth", truth)][: 1 + (answer != truth)]:
            if (index, label) in heats:
                images.append((f"{caption}, {cells}", overlay_tile(shown[index], heats[index, label])))
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


def seen_images(batches: Any, source: Source) -> list[tuple[str, str]]:
    """The first training images as the network saw them, augmented and mixed; the same in each run of one seed.

    Args:
        batches: batches as they were trained on, with a settable `epoch`.
        source: any images with the same classes.

    Returns:
        For each of at most `SEEN` images what the network was told that it is, and a data URI.

    Raises:
        DataError: an image can no longer be read.
    """
    batches.epoch = 0
    images, labels, *_ = batches[0]
    return [
        (_label_text(label, source), tile_uri(image_tile(image)))
        for image, label in zip(images[:SEEN], labels[:SEEN], strict=True)
    ]


def _label_text(label: np.ndarray, source: Source) -> str:
    """A label as the names of its classes, of mixed ones with the share of each, or as numbers."""
    class_names = source.class_names
    if source.task == "regression":
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(class_names, label, strict=True))
    if np.isin(label, (0, 1)).all():
        return labels_text(class_names, label > 0)
    order = np.argsort(-label, kind="stable")
    named = [int(number) for number in order if label[number] >= LEAST_SHARE]
    if len(named) == 1:
        return class_names[named[0]]
    return ", ".join(f"{label[number]:.0%} {class_names[number]}" for number in named)
