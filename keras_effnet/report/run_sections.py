"""Sections of report.html on the run itself: how to use its model, data, network, recipe, skipped files, command."""

from __future__ import annotations

import shlex
from typing import Any

from keras_effnet.report.html import Element, bar_cell, element, flat, section, settings, whole_table
from keras_effnet.report.text import count, pixels_text, short, side_lengths

SPLITS = {"train": "training", "validation": "validation", "test": "test"}
COLUMN_CLASSES = 40  # most classes in one table of counts; those of more classes stand side by side
# What a row of a model's outputs has.
RESULTS = {
    "classification": "one for each class, in the order of the table under Data",
    "multilabel": "one for each label, in the order of the table under Data",
    "regression": "the numbers in the order of the table under Numbers",
}
# Why a value that a recipe leaves open is what it is.
REASONS = {"dropout": "follows from phi", "drop_path": "the backbone's own", "augmentation.engine": "chosen by auto"}
OPEN = (None, "auto")


def use_section(metrics: dict[str, Any]) -> Element:
    """How to use the model: a command, and two lines of Python."""
    model = metrics["model"]
    command = shlex.join(["keras-effnet", "predict", model["path"], "photos/"])
    name = "numbers" if metrics["task"] == "regression" else "probabilities"
    code = f"import keras\n{name} = keras.models.load_model({model['path']!r}).predict(images)"
    sides, channels = side_lengths(model), model["channels"]
    text = (
        f" is an array of shape (n, {sides[0]}, {sides[1]}, {channels}) with values from 0 to 255; each row of ",
        element("code", name),
        f" has {RESULTS[metrics['task']]}.",
    )
    lines = [element("pre", each, class_="wrap") for each in (command, code)]
    return section("Use it", "use", lines, element("p", element("code", "images"), text, class_="soft after"))


def data_section(metrics: dict[str, Any]) -> Element | None:
    """The number of images of each class, or with each label, in each split; None for data without classes."""
    data = metrics["data"]
    if not any(data.get("counts", {}).values()):
        return None
    counts = {name: data["counts"][name] for name in SPLITS if name in data["counts"]}
    train, names = counts["train"], data["classes"]
    sizes = [f"{count(data[name])} {SPLITS[name]}" for name in counts]
    classes, one = ("labels", "with a label") if metrics["task"] == "multilabel" else ("classes", "a class")
    spread = "" if min(train) == max(train) else f"{count(min(train))} to "
    text = (
        f"{', '.join(sizes[:-1])} and {sizes[-1]} images of {len(names)} {classes}; {spread}{count(max(train))} "
        f"training images {one}."
    )
    rows = []
    for number, name in enumerate(names):
        first, *others = (split[number] for split in counts.values())
        rows.append((name, bar_cell(count(first), first / max(max(train), 1)), *map(count, others)))
    header = ("label" if metrics["task"] == "multilabel" else "class", *(SPLITS[name] for name in counts))
    tables = [
        whole_table(header, rows[first : first + COLUMN_CLASSES], class_="scores counts")
        for first in range(0, len(rows), COLUMN_CLASSES)
    ]
    shown = element("div", element("div", tables, class_="halves"), class_="scroll")
    return section("Data", "data", element("p", text, class_="soft"), shown)


def network_section(metrics: dict[str, Any]) -> Element:
    """What the network is: how it was scaled, and its sizes stage by stage."""
    model = metrics["model"]
    values = {
        "backbone": model["backbone"],
        "weights to start from": model["weights"],
        "phi": f"{model['phi']:g}",
        "resolution": f"{pixels_text(model)} px, {model['channels']} channels",
        "parameters": count(model["params"]),
        "multiply-adds an image": count(model["macs"]),
    }
    rows = [
        (
            f"{number} {row['operator']}",
            "x".join(map(str, row["resolution"])),
            count(row["width"]),
            count(row["depth"]),
            short(row["params"]),
            short(row["macs"]),
        )
        for number, row in enumerate(model["stages"], start=1)
    ]
    header = ("stage", "resolution", "width", "depth", "params", "MACs")
    stages = whole_table(header, rows, class_="stages")
    left = [settings(values)]
    if model["scaling"]:
        ratios = [(name, *(f"{ratio:.3g}" for ratio in pair)) for name, pair in model["scaling"].items()]
        text = "Ratios to the backbone: as phi asks for, and as rounding and a given resolution left them."
        left += [element("p", text, class_="soft after"), whole_table(("", "asked for", "realised"), ratios)]
    text = "A row for each stage: the resolution that it reads, its channels, its blocks and what they cost."
    both = element("div", element("div", left), element("div", stages), class_="halves")
    return section("Network", "network", element("p", text, class_="soft"), both)


def recipe_section(metrics: dict[str, Any]) -> Element:
    """The whole recipe, with what came of the values that it leaves open."""
    values = flat(metrics["recipe"])
    for name, found in metrics["realised"].items():
        is_open = found is not None and name in values and values[name] in OPEN
        values[name] = f"{found} ({REASONS[name]})" if is_open else found
    return section("Recipe", "recipe", element("div", settings(values), class_="columns"))


def skipped_section(metrics: dict[str, Any]) -> Element:
    """Files that were left out."""
    skipped = [f"{each['name']} ({each['reason']})" for each in metrics["data"]["skipped"]]
    text = f"{len(skipped)} files that were left out:" if skipped else "None: every file was read."
    listed = [element("ul", [element("li", path) for path in skipped])] if skipped else []
    return section("Skipped files", "skipped", element("p", text, class_="soft"), *listed)


def origin_section(metrics: dict[str, Any]) -> Element:
    """The command and the versions that made the model."""
    return section(
        "Made by", "origin", element("pre", metrics["command"], class_="wrap"), settings(metrics["versions"])
    )
