"""An exported file is run in its engine, and compared with the Keras model that it was made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_effnet.export.engines import Exported
from keras_effnet.export.export_metadata import CLASSIFYING
from keras_effnet.latency.turns import time_in_turn
from keras_effnet.tables import Shown, aligned

# A quantized network that names another class for more than one image in ten has lost what it learned.
LEAST_AGREEMENT = 0.9
_SMALLEST = 1e-30  # a probability whose logarithm float32 still holds


@dataclass(frozen=True, repr=False)
class ExportReport(Shown):
    """How an exported file compares with its model.

    Args:
        path: the file.
        format: its format.
        engine: engine that ran it.
        bytes: size in bytes, all files together.
        images: number of images that were compared.
        agreement: fraction of them that the file gives the same class as the model; None without a classifier. With
            several outputs that of the classes which agree the least.
        difference: largest difference of an output, as a share of the model's largest.
        logit_difference: largest difference of a logit; None without a classifier.
        accuracy: fraction of right classes; None without labels.
        model_accuracy: that of the Keras model on the same images; None without labels.
        latency_ms: median time of a call with one image (or with the file's batch) in milliseconds.
        differences: `difference` of each output, by its name.
    """

    path: str
    format: str
    engine: str
    bytes: int
    images: int
    agreement: float | None
    difference: float
    logit_difference: float | None
    accuracy: float | None
    model_accuracy: float | None
    latency_ms: float
    differences: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return asdict(self)

    @property
    def headline(self) -> str:
        """The file, its engine and size."""
        return f"{self.path} in {self.engine}, {self.bytes / 1e6:.2f} MB, {self.latency_ms:.2f} ms"

    def __str__(self) -> str:
        return report_table([self])


def report_table(reports: list[ExportReport]) -> str:
    """A table with one line for each file.

    Args:
        reports: the reports, at least one.

    Returns:
        Lines of text.
    """

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    cells = [("file", "engine", "size", "same class", "difference", "of a logit", "accuracy", "ms a call")]
    for each in reports:
        logit = "-" if each.logit_difference is None else f"{each.logit_difference:.2g}"
        size = f"{each.bytes / 1e6:.2f} MB"
        numbers = (
            share(each.agreement),
            f"{each.difference:.2g}",
            logit,
            share(each.accuracy),
            f"{each.latency_ms:.2f}",
        )
        cells.append((each.path, each.engine, size, *numbers))
    first = reports[0]
    lines = aligned(cells, text_column=0)
    right = "" if first.model_accuracy is None else f", of which it classifies {first.model_accuracy:.1%} right"
    lines += [
        "",
        f"Compared with the Keras model on {first.images} images{right}.",
        "Difference: the largest one of an output, as a share of the largest output.",
    ]
    return "\n".join(lines) + "\n"


def compare_outputs(
    exported: Exported,
    path: Path,
    images: list[np.ndarray],
    expected: list[np.ndarray],
    labels: np.ndarray | None,
) -> ExportReport:
    """Runs a file and compares it with what its model gave.

    Args:
        exported: the file, opened.
        path: where it will stand.
        images: float32 array for each input of the file.
        expected: each of the model's outputs for them.
        labels: the true classes; None if they are unknown.

    Returns:
        The report, without a size yet.
    """
    told = exported.metadata.returns
    found = exported.compute(images)
    pairs = list(zip(told, found, expected, strict=True))
    classifying = [pair for pair in pairs if pair[0].holds in CLASSIFYING]
    agreement = logit_difference = accuracy = model_accuracy = None
    if classifying:
        agreement = min(float((ours.argmax(1) == theirs.argmax(1)).mean()) for _, ours, theirs in classifying)
        logit_difference = max(
            float(np.abs(_logits(ours, each.holds) - _logits(theirs, each.holds)).max())
            for each, ours, theirs in classifying
        )
    if classifying and labels is not None:
        accuracy = float((found[0].argmax(1) == labels).mean())
        model_accuracy = float((expected[0].argmax(1) == labels).mean())
    differences = {each.name: _difference(ours, theirs) for each, ours, theirs in pairs}
    some = [each[: exported.batch or 1] for each in images]
    times = time_in_turn({"file": partial(exported.compute, some)})
    return ExportReport(
        str(path),
        exported.metadata.format,
        exported.engine,
        0,
        len(images[0]),
        agreement,
        float(np.max(list(differences.values()))),  # not a number if one of them is none
        logit_difference,
        accuracy,
        model_accuracy,
        float(np.median(times["file"])),
        differences,
    )


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest number; infinite for another shape, which numpy may stretch."""
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), _SMALLEST))


def _logits(outputs: np.ndarray, holds: str) -> np.ndarray:
    """Logits with a mean of 0: a softmax forgets the mean."""
    exact = outputs.astype(np.float64)
    logits = np.log(np.maximum(exact, _SMALLEST)) if holds == "probabilities" else exact
    return logits - logits.mean(axis=1, keepdims=True)
