"""Predictions as text: a table, CSV or JSON, of classes, of labels, or of numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_effnet.printable import printable
from keras_effnet.tables import csv_text
from keras_effnet.vision_tasks import VisionTask

if TYPE_CHECKING:
    import numpy as np

    from keras_effnet.data.source import Skipped


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of images.

    Args:
        task: what its outputs are: "classification", "multilabel" or "regression".
        names: name of each output.
        thresholds: probability from which an image has each label, of a multilabel model.
        images: path of each image.
        outputs: array of shape `(images, outputs)`.
        skipped: the files that were left out, with the reasons.
        top: number of classes per image, at least 1.
    """

    task: VisionTask
    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    images: Sequence[str]
    outputs: np.ndarray
    skipped: Sequence[Skipped]
    top: int

    def classes(self, row: np.ndarray) -> list[tuple[str, float]]:
        """The most probable classes of an image, with their probabilities."""
        order = (-row).argsort(kind="stable")[: self.top]
        return [(self.names[number], float(row[number])) for number in order]

    def labels(self, row: np.ndarray) -> list[tuple[str, float, bool]]:
        """All labels, the most probable first, with their probabilities and whether the image has them."""
        order = (-row).argsort(kind="stable")
        return [
            (self.names[number], float(row[number]), bool(row[number] >= self.thresholds[number])) for number in order
        ]


def as_table(found: Predictions) -> str:
    """A line for each image: its classes, the labels that it has, or its numbers."""

    def shown(row: np.ndarray) -> str:
        if found.task == "regression":
            return "  ".join(f"{name} {value:.5g}" for name, value in zip(found.names, row, strict=True))
        if found.task == "classification":
            return "  ".join(f"{name} {probability:.1%}" for name, probability in found.classes(row))
        present = [f"{name} {probability:.1%}" for name, probability, has in found.labels(row) if has]
        return "  ".join(present) or "no label"

    images = [printable(image, lines=False) for image in found.images]
    width = max(map(len, images))
    rows = (printable(shown(row), lines=False) for row in found.outputs)
    return "".join(f"{image:<{width}}  {row}\n" for image, row in zip(images, rows, strict=True))


def as_csv(found: Predictions) -> str:
    """A line for each image and class or label, or for each image with all its numbers."""
    headers = {
        "classification": ("image", "rank", "class", "probability"),
        "multilabel": ("image", "label", "probability", "present"),
        "regression": ("image", *found.names),
    }
    rows: list[tuple[Any, ...]] = [headers[found.task]]
    for image, row in zip(found.images, found.outputs, strict=True):
        if found.task == "regression":
            rows.append((image, *(f"{value:.7g}" for value in row)))
        elif found.task == "multilabel":
            rows += ((image, name, f"{value:.6f}", int(has)) for name, value, has in found.labels(row))
        else:
            lines = enumerate(found.classes(row), start=1)
            rows += ((image, rank, name, f"{value:.6f}") for rank, (name, value) in lines)
    return csv_text(rows)


def as_json(found: Predictions) -> str:
    """An object with a list of the images, and one of the files that cannot be read."""

    def told(row: np.ndarray) -> dict[str, Any]:
        if found.task == "regression":
            return {"numbers": dict(zip(found.names, map(float, row), strict=True))}
        if found.task == "multilabel":
            labels = [{"label": name, "probability": value, "present": has} for name, value, has in found.labels(row)]
            return {"labels": labels}
        return {"classes": [{"class": name, "probability": value} for name, value in found.classes(row)]}

    pairs = zip(found.images, found.outputs, strict=True)
    images = [{"image": image, **told(row)} for image, row in pairs]
    return json.dumps({"images": images, "skipped": [each._asdict() for each in found.skipped]}, indent=2) + "\n"


FORMATS: dict[str, Callable[[Predictions], str]] = {"table": as_table, "csv": as_csv, "json": as_json}
