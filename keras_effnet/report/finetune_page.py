"""report.html: what a run of fine-tuning came to, as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from keras_effnet.report.answers import Answer
from keras_effnet.report.example_sections import hits_section, mistakes_section, seen_section
from keras_effnet.report.examples import Example
from keras_effnet.report.html import Element, cards, element, page
from keras_effnet.report.run_sections import (
    data_section,
    network_section,
    origin_section,
    recipe_section,
    skipped_section,
    use_section,
)
from keras_effnet.report.score_sections import classes_section, confidence_section, confusion_section, curves_section
from keras_effnet.report.task_sections import answers_section, labels_section, numbers_section
from keras_effnet.report.text import NOTHING, count, percent, pixels_text, short

KINDS = {"classification": "classes", "multilabel": "labels", "regression": "numbers"}
ERRORS = 3  # numbers whose errors are on cards


def report_page(
    metrics: dict[str, Any],
    mistakes: list[Example] | None = None,
    hits: list[Example] | None = None,
    note: str = "",
    *,
    seen: Sequence[tuple[str, str]] = (),
    answers: Sequence[Answer] = (),
    scatters: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """The whole page. A section that `metrics` have nothing for is left out.

    Args:
        metrics: the content of metrics.json.
        mistakes: the worst mistakes; None for a model without right and wrong answers.
        hits: the surest correct answers; None for such a model.
        note: the reason why there are no class activation maps; "" if there are.
        seen: training images as the network saw them: pairs of a caption and a data URI.
        answers: the answers furthest from the truth of a model of labels or numbers.
        scatters: PNG files of answers against true numbers, by the number's name.

    Returns:
        HTML in UTF-8 that refers to no other file.
    """
    title = f"{metrics['data']['name']}: {_result(metrics)}"
    sections = (
        curves_section(metrics),
        confusion_section(metrics),
        mistakes_section(mistakes, note),
        hits_section(hits, note),
        labels_section(metrics),
        numbers_section(metrics, scatters),
        answers_section(answers),
        classes_section(metrics),
        confidence_section(metrics),
        use_section(metrics),
        data_section(metrics),
        seen_section(metrics, seen),
        network_section(metrics),
        recipe_section(metrics),
        skipped_section(metrics),
        origin_section(metrics),
    )
    return page(title, element("h1", title), *_head(metrics), *(each for each in sections if each is not None))


def _result(metrics: dict[str, Any]) -> str:
    """The score that counts, with its name where it is no accuracy."""
    found = metrics["evaluation"]
    if metrics["task"] == "classification":
        return percent(found["accuracy"])
    if metrics["task"] == "multilabel":
        return f"mAP {percent(found['mean_average_precision'])}"
    return f"R2 {NOTHING if found['r2'] is None else format(found['r2'], '.3f')}"


def _scores(metrics: dict[str, Any]) -> dict[str, str]:
    """The scores for the cards, by what they are called."""
    found = metrics["evaluation"]
    if metrics["task"] == "regression":
        errors = {f"mean absolute error of {row['name']}": f"{row['mae']:.4g}" for row in found["per_class"][:ERRORS]}
        return {"R2": _result(metrics).removeprefix("R2 "), **errors}
    if metrics["task"] == "multilabel":
        scores = {"mean average precision": percent(found["mean_average_precision"]), "F1": percent(found["f1"])}
    else:
        top5 = {} if found["top5"] is None else {"top-5 accuracy": percent(found["top5"])}
        scores = {"accuracy": percent(found["accuracy"]), **top5}
    return {**scores, "loss": f"{found['loss']:.3f}"}


def _head(metrics: dict[str, Any]) -> list[Element]:
    data, model, found = metrics["data"], metrics["model"], metrics["evaluation"]
    split, seconds = found["split"], sum(row["seconds"] for row in metrics["history"])
    scores = {
        **_scores(metrics),
        f"{split} images": count(data[split]),
        "parameters": short(model["params"]),
        "multiply-adds an image": short(model["macs"]),
        "pixels" if "x" in pixels_text(model) else "pixels a side": pixels_text(model),
        "of training": str(timedelta(seconds=round(seconds))),
    }
    story = (
        f"{model['name']} (weights: {model['weights']}), fine-tuned on {count(data['train'])} images of "
        f"{len(data['classes'])} {KINDS[metrics['task']]}, "
    )
    if split == "test":
        story += f"tested on {count(data['test'])} that nothing was learned from and nothing chosen by."
    else:
        story += f"judged on the {count(data['validation'])} validation images, by which the best epoch was chosen."
    return [element("p", story, class_="soft"), cards(scores)]
