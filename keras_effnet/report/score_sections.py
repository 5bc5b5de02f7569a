"""Sections of report.html with scores: curves, confusion matrix, classes, confidence."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_effnet.report.curves import panel_png, panels_of, reliability_png
from keras_effnet.report.html import Element, bar_cell, chart, element, section, table, whole_table
from keras_effnet.report.text import count, percent
from keras_effnet.report.thumbnails import confusion_image, share_colour

TABLE_CLASSES = 40  # most classes of a confusion matrix drawn as a table; with more, numbers would not fit their cells
NARROW_CLASSES = 12  # most classes whose table fits a phone, in cells of 20 px beside their names
PAIRS = 10  # most pairs of confused classes listed
CELL_DEPTH = 0.7  # of a colour at its fullest, so that numbers are read on it


def curves_section(metrics: dict[str, Any]) -> Element:
    """Accuracy and loss over the epochs."""
    panels = panels_of(metrics["history"])
    size = {"class_": "half"} if len(panels) == 1 else {}
    figures = [
        chart(panel_png(metrics["history"], metrics["best"], name), f"Curves of {name} over the epochs", **size)
        for name in panels
    ]
    text = (
        "In training, images are augmented and labels smoothed where the recipe says so: then the two curves measure "
        "different things."
    )
    return section("Curves", "curves", element("p", text, class_="soft"), element("div", figures, class_="side"))


def confusion_section(metrics: dict[str, Any]) -> Element | None:
    """What each class was taken for; None for scores without a confusion matrix."""
    if "confusion" not in metrics["evaluation"]:
        return None
    names, matrix = metrics["data"]["classes"], np.array(metrics["evaluation"]["confusion"])
    text = "A row for each true class, a column for what it was taken for. Blue is right, red is wrong."
    shown = []
    if len(names) <= TABLE_CLASSES:
        shown = [_confusion_table(names, matrix)]
    if len(names) > NARROW_CLASSES:
        drawn = chart(confusion_image(matrix), "Confusion matrix", class_="sharp")
        ordered = element("p", "Classes are in the order of the data set.", class_="soft")
        # Where the table has no room, it is drawn.
        shown.append(element("div", ordered, drawn, class_="drawn on-narrow" if shown else "drawn"))
    wrong = matrix * (1 - np.eye(len(names), dtype=int))
    pairs = [divmod(int(place), len(names)) for place in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]]
    rows = [
        (names[true], names[taken], f"{wrong[true, taken]} of {matrix[true].sum()}")
        for true, taken in pairs
        if wrong[true, taken]
    ]
    confused = [whole_table(("true class", "taken for most often", "images"), rows, class_="pairs")] if rows else []
    both = element("div", shown, confused, class_="beside")
    return section("Confusion matrix", "confusion", element("p", text, class_="soft"), both)


def _confusion_table(names: list[str], matrix: np.ndarray) -> Element:
    rows = []
    for true, line in enumerate(matrix):
        shares = line / max(line.sum(), 1)
        cells = []
        for taken, share in enumerate(shares):
            (red, green, blue), depth = share_colour(share, true == taken)
            style = {"style": f"background:rgba({red},{green},{blue},{CELL_DEPTH * depth:.2f})"} if line[taken] else {}
            cells.append(element("td", str(line[taken]) if line[taken] else "", **style))
        rows.append((names[true], *cells))
    # The rows have the names in full.
    header = ["", *[element("span", name, title=name) for name in names]]
    shown = table(header, rows, class_="confusion dense" if len(names) > NARROW_CLASSES else "confusion")
    return element("div", shown, class_="on-wide") if len(names) > NARROW_CLASSES else shown


def classes_section(metrics: dict[str, Any]) -> Element | None:
    """Precision, recall and F1 of each class; None for another task, or for scores without them."""
    if metrics["task"] != "classification" or "per_class" not in metrics["evaluation"]:
        return None
    # The weakest first: that is where something can be done. Those without an image last.
    scores = sorted(metrics["evaluation"]["per_class"], key=lambda row: (row["f1"] is None, row["f1"] or 0))
    rows = [
        (
            row["name"],
            count(row["images"]),
            *[bar_cell(percent(row[name]), row[name] or 0.0) for name in ("precision", "recall", "f1")],
        )
        for row in scores
    ]
    text = (
        f"On the {metrics['evaluation']['split']} images, the weakest first. Precision: how often its name is right. "
        "Recall: how many of it are found."
    )
    header = ("class", "images", "precision", "recall", "F1")
    return section("Classes", "classes", element("p", text, class_="soft"), table(header, rows, class_="scores"))


def confidence_section(metrics: dict[str, Any]) -> Element | None:
    """How far probabilities can be believed; None if that was not measured."""
    if "calibration" not in metrics:
        return None
    found = metrics["calibration"]
    much = "too sure of its answers" if found["temperature"] > 1 else "less sure of its answers than it may be"
    before, after = percent(found["ece"]), percent(found["scaled_ece"])
    text = (
        f"How often it is right when it says so: probability and accuracy differ by {before} on average. The network "
        f"is {much}: with its logits divided by {found['temperature']:.2f} they differ by {after}. (That temperature "
        f"fits the {found['fitted_on']} images; keras-effnet predict --temperature takes it.)"
    )
    if metrics["evaluation"]["split"] == found["fitted_on"]:
        text += " It was fitted on these same images, which flatters it."
    image = chart(reliability_png(found["bins"]), "Accuracy against the largest probability", class_="half")
    return section("Confidence", "confidence", element("p", text, class_="soft"), image)
