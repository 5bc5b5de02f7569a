"""The sections of report.html."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from keras_effnet.report.curves import PANELS, panel_png, reliability_png
from keras_effnet.report.examples import Example
from keras_effnet.report.html import cards, element, page, section, settings, table
from keras_effnet.report.text import count, percent, short
from keras_effnet.report.thumbnails import confusion_image, image_uri, png_uri, share_colour

TABLE_CLASSES = 40  # most classes of a confusion matrix drawn as a table; with more, numbers would not fit their cells
DENSE_CLASSES = 15  # most classes of a table with cells of full size
PAIRS = 15  # most pairs of confused classes listed


def report_page(metrics: dict[str, Any], mistakes: list[Example], hits: list[Example], note: str = "") -> bytes:
    """The whole page.

    Args:
        metrics: the content of metrics.json.
        mistakes: the worst mistakes.
        hits: the surest correct answers.
        note: the reason why there are no Grad-CAM maps; "" if there are.

    Returns:
        HTML in UTF-8 that refers to no other file.
    """
    name = f"{metrics['data']['name']}: {metrics['model']['name']}"
    return page(
        name,
        *_head(metrics),
        _curves(metrics),
        _confusion(metrics),
        _mistakes(mistakes, note),
        _hits(hits, note),
        _per_class(metrics),
        _calibration(metrics),
        _model(metrics),
        _recipe(metrics),
        _skipped(metrics),
        _origin(metrics),
    )


def _head(metrics: dict[str, Any]) -> list[Element]:
    data, model, found = metrics["data"], metrics["model"], metrics["evaluation"]
    seconds = sum(row["seconds"] for row in metrics["history"])
    scores = {
        "accuracy": percent(found["accuracy"]),
        **({} if found["top5"] is None else {"top-5 accuracy": percent(found["top5"])}),
        "loss": f"{found['loss']:.3f}",
        "images tested": count(data[found["split"]]),
        "parameters": short(model["params"]),
        "multiply-adds an image": short(model["macs"]),
        "pixels a side": str(model["resolution"]),
        "of training": str(timedelta(seconds=round(seconds))),
    }
    story = (
        f"{model['name']} (weights: {model['weights']}), fine-tuned on {count(data['train'])} images of "
        f"{len(data['classes'])} classes, "
    )
    if found["split"] == "test":
        story += f"tested on {count(data['test'])} that nothing was learned from and nothing chosen by."
    else:
        story += f"judged on the {count(data['validation'])} validation images, by which the best epoch was chosen."
    return [
        element("h1", data["name"]),
        element("p", story, class_="soft"),
        cards(scores),
    ]


def _curves(metrics: dict[str, Any]) -> Element:
    figures = [
        element(
            "img",
            src=png_uri(panel_png(metrics["history"], metrics["best"], name)),
            alt=f"Curves of {name} over the epochs",
        )
        for name in PANELS
    ]
    text = (
        "In training, images are augmented and labels smoothed where the recipe says so: then the two curves measure "
        "different things."
    )
    return section("Curves", "curves", element("p", text, class_="soft"), element("div", figures, class_="side"))


def _confusion(metrics: dict[str, Any]) -> Element:
    names, matrix = metrics["data"]["classes"], np.array(metrics["evaluation"]["confusion"])
    text = "A row for each true class, a column for what it was taken for. Blue is right, red is wrong"
    if len(names) <= TABLE_CLASSES:
        shown = _confusion_table(names, matrix)
    else:
        text += "; classes are in the order of the data set"
        shown = element("img", src=image_uri(confusion_image(matrix)), alt="Confusion matrix", class_="sharp")
    wrong = matrix * (1 - np.eye(len(names), dtype=int))
    pairs = [divmod(int(place), len(names)) for place in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]]
    rows = [
        (names[true], names[taken], f"{wrong[true, taken]} of {matrix[true].sum()}")
        for true, taken in pairs
        if wrong[true, taken]
    ]
    confused = [table(("true class", "taken for most often", "images"), rows, class_="pairs")] if rows else []
    both = element("div", shown, confused, class_="beside")
    return section("Confusion matrix", "confusion", element("p", f"{text}.", class_="soft"), both)


def _confusion_table(names: list[str], matrix: np.ndarray) -> Element:
    rows = []
    for true, line in enumerate(matrix):
        shares = line / max(line.sum(), 1)
        cells = []
        for taken, share in enumerate(shares):
            style = "background:rgb({},{},{})".format(*share_colour(share, true == taken))
            style += ";color:#fff" if share > 0.3 else ""
            cells.append(element("td", str(line[taken]) if line[taken] else "", style=style))
        rows.append((names[true], *cells))
    header = ["", *[element("span", name) for name in names]]
    return table(header, rows, class_="confusion dense" if len(names) > DENSE_CLASSES else "confusion")


def _mistakes(mistakes: list[Example], note: str) -> Element:
    text = (
        "The wrong answers that the network is surest of, with the images as it gets them. Beside each, by Grad-CAM: "
        "what spoke for its answer, and what for the right one; yellow most, gray not at all."
    )
    if not mistakes:
        text, note = "There is none: every image was taken for what it is.", ""
    return section("Worst mistakes", "mistakes", element("p", text, class_="soft"), *_note(note), _tiles(mistakes))


def _hits(hits: list[Example], note: str) -> Element:
    text = "The right answers that it is surest of, one a class, and what spoke for them."
    if not hits:
        text, note = "There is none: no image was taken for what it is.", ""
    return section("Sure and right", "hits", element("p", text, class_="soft"), *_note(note), _tiles(hits))


def _note(note: str) -> list[Element]:
    return [element("p", note)] if note else []


def _tiles(examples: list[Example]) -> Element:
    return element("div", [_tile(example) for example in examples], class_="tiles")


def _tile(example: Example) -> Element:
    right = example.predicted == example.true
    answer = element("span", example.predicted, class_="right" if right else "wrong")
    words = [answer, f" {percent(example.probability)}"]
    if not right:
        truth = element("span", example.true, class_="right")
        words += [element("br"), "but it is ", truth, f" {percent(example.true_probability)}"]
    figures = [
        element("figure", element("img", src=uri, alt=caption), element("figcaption", caption))
        for caption, uri in example.images
    ]
    return element(
        "div",
        element("p", words),
        element("div", figures, class_="views two" if len(figures) == 2 else "views"),
        element("p", example.name, class_="soft"),
        class_="tile",
    )


def _per_class(metrics: dict[str, Any]) -> Element:
    def bar(share: float | None) -> Element:
        full = 0 if share is None else 100 * share
        style = f"background:linear-gradient(90deg,#dbeafe {full:.0f}%,transparent 0)"
        return element("td", percent(share), style=style)

    # The weakest first: that is where something can be done. Those without an image last.
    scores = sorted(metrics["evaluation"]["per_class"], key=lambda row: (row["f1"] is None, row["f1"] or 0))
    rows = [
        (
            row["name"],
            element("td", count(row["images"])),
            *[bar(row[name]) for name in ("precision", "recall", "f1")],
        )
        for row in scores
    ]
    text = "The weakest first. Precision: how often its name is right. Recall: how many of it are found."
    header = ("class", "images", "precision", "recall", "F1")
    return section("Classes", "classes", element("p", text, class_="soft"), table(header, rows, class_="scores"))


def _calibration(metrics: dict[str, Any]) -> Element:
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
    alt = "Accuracy against the largest probability"
    image = element("img", src=png_uri(reliability_png(found["bins"])), alt=alt, class_="half")
    return section("Confidence", "confidence", element("p", text, class_="soft"), image)


def _model(metrics: dict[str, Any]) -> Element:
    model = metrics["model"]
    text = f"{count(model['params'])} parameters, {count(model['macs'])} multiply-adds an image."
    return section("Network", "network", element("p", text, class_="soft"), element("pre", model["table"]))


def _recipe(metrics: dict[str, Any]) -> Element:
    return section("Recipe", "recipe", settings(metrics["recipe"]))


def _skipped(metrics: dict[str, Any]) -> Element:
    skipped = [f"{each['name']} ({each['reason']})" for each in metrics["data"]["skipped"]]
    text = f"{len(skipped)} files that were left out:" if skipped else "None: every file was read."
    return section(
        "Skipped files",
        "skipped",
        element("p", text, class_="soft"),
        *([element("ul", [element("li", each) for each in skipped])] if skipped else []),
    )


def _origin(metrics: dict[str, Any]) -> Element:
    return section(
        "Made by", "origin", element("pre", metrics["command"], class_="wrap"), settings(metrics["versions"])
    )
