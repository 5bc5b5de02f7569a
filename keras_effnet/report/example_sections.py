"""Sections of report.html with images: the worst mistakes, the surest hits, and what the network learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_effnet.report.class_maps import METHOD
from keras_effnet.report.examples import Example
from keras_effnet.report.html import Element, element, folded, section
from keras_effnet.report.text import percent

UNFOLDED = 3  # mistakes that are shown at once: a row on a wide screen


def mistakes_section(mistakes: list[Example] | None, note: str) -> Element | None:
    """The worst mistakes, all but the first few folded; None for a model without right and wrong answers."""
    if mistakes is None:
        return None
    text = (
        "The wrong answers that the network is surest of, with the images as it gets them. Beside each, by "
        f"{METHOD}: what spoke for its answer, and what for the right one; yellow most, gray not at all."
    )
    if not mistakes:
        text, note = "There is none: every image was taken for what it is.", ""
    first, others = mistakes[:UNFOLDED], mistakes[UNFOLDED:]
    more = [folded(f"{len(others)} more", _tiles(others))] if others else []
    head = element("p", text, class_="soft")
    return section("Worst mistakes", "mistakes", head, *_note(note), _tiles(first), *more)


def hits_section(hits: list[Example] | None, note: str) -> Element | None:
    """The surest right answers; None for a model without right and wrong answers."""
    if hits is None:
        return None
    text = "The right answers that it is surest of, one a class, and what spoke for them."
    if not hits:
        text, note = "There is none: no image was taken for what it is.", ""
    return section("Sure and right", "hits", element("p", text, class_="soft"), *_note(note), _tiles(hits))


def seen_section(metrics: dict[str, Any], seen: Sequence[tuple[str, str]]) -> Element | None:
    """Training images as the network saw them; None if there are none.

    Args:
        metrics: content of metrics.json.
        seen: pairs of a caption and a data URI, as `seen_images` returns them.
    """
    if not seen:
        return None
    text = (
        f"The first images that the whole network learned from, {_changes(metrics['recipe']['augmentation'])}, and "
        "what it was told that they are."
    )
    figures = [
        element("figure", element("img", src=uri, alt=caption), element("figcaption", caption)) for caption, uri in seen
    ]
    tiles = element("div", figures, class_="seen")
    return section("As it saw them in training", "seen", element("p", text, class_="soft"), tiles)


def _changes(augmentation: dict[str, Any]) -> str:
    """What a recipe's augmentation does to images, in words."""
    words = []
    if augmentation["crop"] < 1:
        words.append(f"cropped at random to at least {augmentation['crop']:.0%} of their area")
    if augmentation["flip"]:
        words.append("half of them mirrored")
    if augmentation["operations"] and augmentation["magnitude"]:
        number, magnitude = augmentation["operations"], augmentation["magnitude"]
        words.append(f"changed by RandAugment (operations an image: {number}, magnitude: {magnitude:g})")
    mixers = [name for name in ("MixUp", "CutMix") if augmentation[name.lower()]]
    if mixers:
        words.append(f"mixed in pairs by {' or '.join(mixers)}")
    return ", ".join(words) or "without any augmentation"


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
