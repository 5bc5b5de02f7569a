"""Sections of report.html for models of several labels and of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_effnet.report.answers import Answer
from keras_effnet.report.html import Element, bar_cell, chart, element, folded, section, table
from keras_effnet.report.text import NOTHING, count, percent

UNFOLDED = 6  # answers that are shown at once: they are smaller than mistakes with their maps


def labels_section(metrics: dict[str, Any]) -> Element | None:
    """The scores of each label; None for another task."""
    if metrics["task"] != "multilabel":
        return None
    # The weakest first: that is where something can be done. Those without an image last.
    key = "average_precision"
    scores = sorted(metrics["evaluation"]["per_class"], key=lambda row: (row[key] is None, row[key] or 0))
    names = (key, "precision", "recall", "f1")
    rows = [
        (
            row["name"],
            count(row["images"]),
            f"{row['threshold']:.2f}",
            *[bar_cell(percent(row[name]), row[name] or 0.0) for name in names],
        )
        for row in scores
    ]
    text = (
        f"On the {metrics['evaluation']['split']} images, the weakest first. An image has a label from the threshold "
        "on, which is the one with the best F1 on the validation images; AP, the average precision, is the mean over "
        "all thresholds. Precision: how often the label is right. Recall: how many of its images are found."
    )
    header = ("label", "images", "threshold", "AP", "precision", "recall", "F1")
    return section("Labels", "classes", element("p", text, class_="soft"), table(header, rows, class_="scores"))


def numbers_section(metrics: dict[str, Any], scatters: Mapping[str, bytes]) -> Element | None:
    """The errors of each number; None for another task.

    Args:
        metrics: content of metrics.json.
        scatters: PNG files of answers against true numbers, by the number's name.
    """
    if metrics["task"] != "regression":
        return None
    rows = [
        (
            row["name"],
            *(NOTHING if row[name] is None else f"{row[name]:.4g}" for name in ("mae", "rmse", "r2", "deviation")),
        )
        for row in metrics["evaluation"]["per_class"]
    ]
    text = (
        f"Errors on the {metrics['evaluation']['split']} images, in each number's own unit. MAE: the mean absolute "
        "error. RMSE: the root of the mean squared error. R2 is 1 without errors and 0 for always saying the mean. The "
        "last column is the standard deviation of the true numbers."
    )
    header = ("number", "MAE", "RMSE", "R2", "deviation")
    drawn = [chart(png, f"{name}: answers against true numbers") for name, png in scatters.items()]
    shown = [element("div", drawn, class_="side")] if drawn else []
    return section(
        "Numbers", "classes", element("p", text, class_="soft"), table(header, rows, class_="scores"), *shown
    )


def answers_section(answers: Sequence[Answer]) -> Element | None:
    """The answers that are furthest from the truth, all but the first few folded; None without answers."""
    if not answers:
        return None
    text = "The images whose answers are furthest from the truth, as the network gets them."
    first, others = answers[:UNFOLDED], answers[UNFOLDED:]
    more = [folded(f"{len(others)} more", _grid(others))] if others else []
    return section("Largest errors", "mistakes", element("p", text, class_="soft"), _grid(first), *more)


def _grid(answers: Sequence[Answer]) -> Element:
    figures = []
    for answer in answers:
        words = [element("b", answer.said), element("br"), f"but it is {answer.true}", element("br")]
        caption = element("figcaption", words, element("span", answer.name, class_="soft"))
        figures.append(element("figure", element("img", src=answer.uri, alt=answer.name), caption))
    return element("div", figures, class_="seen")
