"""What a run of fine-tuning leaves for people and for programs, every file whole."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.data.source import Source
from keras_effnet.extras import is_installed
from keras_effnet.report.answers import worst_answers
from keras_effnet.report.curves import scatter_png, write_curves
from keras_effnet.report.examples import choose_examples, seen_images
from keras_effnet.report.finetune_page import report_page
from keras_effnet.report.text import json_text, pixels_text

logger = logging.getLogger(__name__)

SCATTERS = 6  # numbers whose answers are drawn
# One name, so that a run that is started again replaces its events; TensorBoard looks for "tfevents".
EVENTS = "events.out.tfevents.0.keras_effnet"
# The names in TensorBoard of a row's values, for each of two runs that share their charts.
RUNS = {
    "train": {name: name for name in ("loss", "accuracy", "rate", "images_per_second")},
    "validation": {"loss": "val_loss", "accuracy": "val_accuracy"},
}


def write_report(
    metrics: dict[str, Any],
    model: keras.Model,
    source: Source,
    outputs: np.ndarray,
    batches: Any,
    output: Path,
    training: Any = None,
) -> None:
    """Writes metrics.json, history.csv, curves.png, report.html and logs for TensorBoard.

    Args:
        metrics: JSON-able content of metrics.json: "command", "versions", "data", "model", "recipe", "realised" (what
            came of the values that the recipe leaves open), "history" (a row for each epoch), "best" (the row whose
            weights were kept), "task", "evaluation" and, if it was measured, "calibration".
        model: the trained model.
        source: images that it was evaluated on.
        outputs: its probabilities or numbers, of shape `(images, classes)`.
        batches: batches of the same images, in order.
        output: folder for the files; made if missing.
        training: batches that the whole network was trained on; by default the page shows none of them.

    Raises:
        DataError: a file cannot be written, or an image can no longer be read.
    """
    text = json_text(metrics)
    atomic_write(output / "metrics.json", lambda path: path.write_text(text, encoding="utf-8"))
    write_history(metrics["history"], output)
    atomic_write(output / "curves.png", lambda path: write_curves(metrics["history"], metrics["best"], path))
    seen = [] if training is None else seen_images(training, source)
    if source.task == "classification":
        content = report_page(metrics, *choose_examples(model, source, outputs, batches), seen=seen)
    else:
        thresholds = [row.get("threshold", 0.0) for row in metrics["evaluation"]["per_class"]]
        answers = worst_answers(source, outputs, thresholds, batches)
        scatters = {}
        if source.task == "regression":
            pairs = zip(source.class_names[:SCATTERS], outputs.T, source.labels.T, strict=False)
            scatters = {name: scatter_png(name, found, true) for name, found, true in pairs}
        content = report_page(metrics, seen=seen, answers=answers, scatters=scatters)
    atomic_write(output / "report.html", lambda path: path.write_bytes(content))


def write_history(history: list[dict[str, Any]], output: Path) -> None:
    """Writes history.csv, and logs for TensorBoard if TensorFlow is there, which has their format.

    Args:
        history: a row for each epoch.
        output: folder for the files; made if missing.

    Raises:
        DataError: a file cannot be written.
    """
    atomic_write(output / "history.csv", lambda path: write_rows(history, path))
    if not is_installed("tensorflow"):
        logger.warning("no logs for TensorBoard are written: they need tensorflow, which is not installed")
        return
    for run, names in RUNS.items():
        atomic_write(
            output / "tensorboard" / run / EVENTS, lambda path, names=names: _write_events(history, names, path)
        )


def write_rows(history: list[dict[str, Any]], path: Path) -> None:
    """Writes the rows of a history as CSV, with the names of the first row as the header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def _write_events(history: list[dict[str, Any]], names: dict[str, str], path: Path) -> None:
    # `tf.summary` and Keras' callback need the package tensorboard, which TensorFlow no longer brings. The format of
    # its files is part of TensorFlow.
    import tensorflow as tf

    event_type, summary_type = tf.compat.v1.Event, tf.compat.v1.Summary
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(event_type(file_version="brain.Event:2").SerializeToString())
            elapsed = 0.0
            for row in history:
                elapsed += row["seconds"]
                values = [summary_type.Value(tag=tag, simple_value=row[name]) for tag, name in names.items()]
                event = event_type(wall_time=elapsed, step=row["epoch"], summary=summary_type(value=values))
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:
        # TensorFlow's errors are not OS errors, which a full disk is recognized by.
        raise OSError(str(error)) from error


def format_table(metrics: dict[str, Any]) -> str:
    """The scores as a text table."""
    data, model, evaluation, best = (metrics[name] for name in ("data", "model", "evaluation", "best"))
    score = "accuracy" if metrics["task"] == "classification" else "loss"
    lines = [
        f"{model['name']}, {pixels_text(model)} px: {model['params']:,} parameters, {model['macs']:,} MACs",
        f"{data['name']}: {len(data['classes'])} classes; {data['train']} training images, "
        f"{data['validation']} for validation, {data['test']} for testing",
        "",
        f"{'phase':<14}{'epochs':>8}{f'validation {score}':>22}{'images/s':>12}",
    ]
    for phase in dict.fromkeys(row["phase"] for row in metrics["history"]):
        rows = [row for row in metrics["history"] if row["phase"] == phase]
        speed = float(np.median([row["images_per_second"] for row in rows]))
        lines.append(f"{phase:<14}{len(rows):>8}{rows[-1][f'val_{score}']:>22.3f}{speed:>12,.0f}")
    lines += [
        "",
        f"Kept: epoch {best['epoch']}. On the {evaluation['split']} images: {evaluation['headline']}",
    ]
    if data["skipped"]:
        lines += ["", f"{len(data['skipped'])} files skipped:", *map("  {name} ({reason})".format_map, data["skipped"])]
    return "\n".join(lines)
