"""The scaling explorer as one HTML file: sliders for phi and its constants, and all that they do to a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.errors import SpecError
from keras_effnet.explorer.cost_table import cost_table
from keras_effnet.explorer.sliders import BASES, DIMENSIONS, LARGEST_SHOWN, PHIS, STEPS, Sliders, read_sliders
from keras_effnet.registry import resolve_backbone
from keras_effnet.report.html import Content, Element, element, page, section, table, whole_table
from keras_effnet.scaling import Compound
from keras_effnet.spec import BackboneSpec

# The networks that the paper scales: arXiv:1905.11946, Tables 2 and 3.
USUAL_BACKBONES = ("efficientnet_b0", "mobilenet_v1", "mobilenet_v2", "resnet50")
FACTORS = {"alpha": "depth", "beta": "width", "gamma": "resolution"}


def write_explorer(path: str | Path, backbones: Sequence[BackboneSpec | str] = USUAL_BACKBONES) -> None:
    """Writes the scaling explorer: one HTML file that needs no network, no server and no Python.

    Its sliders scale a backbone by phi, by alpha, beta and gamma, or to a budget of multiply-adds, under any registered
    rule that takes every phi. It shows the network to scale, its stages, what was asked for beside what rounding made
    of it, and where the published sizes of the family lie. Its numbers are those of `estimate_cost`, looked up in
    tables of 50 to 200 kB for each backbone (640 kB for EfficientNet-L2); sizes round as in `Rounding()`, for images of
    3 channels and 1000 classes.

    Args:
        path: the file to write; folders are made if missing.
        backbones: backbones that the page offers, the first of them shown first: names of registered ones or specs, at
            least one, all of different names; by default those that the EfficientNet paper scales.

    Raises:
        DataError: the file cannot be written.
        RegistryError: an unknown name.
        SpecError: no backbone, or two of one name; a block of your own whose cost depends on more than its input's
            shape, its width and its stride.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_explorer(Path(folder) / "mobilenet.html", ["mobilenet_v2"])
    """
    specs = [resolve_backbone(each) for each in backbones]
    names = [spec.name for spec in specs]
    if not names or len(set(names)) < len(names):
        raise SpecError("give at least one backbone, and each name once.", received=f"{names=}")
    path = Path(path)
    check_writable(path)
    content = explorer_page(specs, read_sliders())
    atomic_write(path, lambda place: place.write_bytes(content))


def explorer_page(specs: Sequence[BackboneSpec], sliders: Sliders) -> bytes:
    """The page.

    Args:
        specs: the backbones that it offers.
        sliders: every position of its sliders.

    Raises:
        SpecError: as `write_explorer`.
    """
    data = {
        "tables": [cost_table(spec, sliders) for spec in specs],
        "rules": sliders.rules,
        "phis": [round(STEPS * PHIS[end]) for end in (0, -1)],
        "steps": STEPS,
        "largest": {name: getattr(LARGEST_SHOWN, name) for name in DIMENSIONS},
        "usual": [getattr(Compound(), name) for name in FACTORS],
    }
    # No text of a user's ends the element.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    places = files("keras_effnet.explorer")
    style, script = (places.joinpath(f"explorer.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return page(
        "What is phi?",
        *_top(specs, sliders),
        *_sections(),
        element("script", text, type="application/json", id="tables"),
        style=style,
        script=script,
    )


def _top(specs: Sequence[BackboneSpec], sliders: Sliders) -> list[Content]:
    lowest, highest = f"{PHIS[0]:g}", f"{PHIS[-1]:g}"
    names = {str(number): spec.name for number, spec in enumerate(specs)}
    slider = _range("phi", lowest, highest, 1 / STEPS, "0")
    reached = ", ".join(f"{getattr(LARGEST_SHOWN, name):g} times the {name}" for name in DIMENSIONS)
    return [
        element("h1", "What is phi?"),
        element(
            "p",
            "One number for the size of a network. 0 is the network as it was published. Every step up multiplies "
            "depth, width and resolution by a constant each, so that the work about doubles; below 0 it shrinks.",
            class_="lead",
        ),
        element(
            "div",
            element("label", "phi", for_="phi"),
            element("div", slider, element("div", class_="marks", id="marks", aria_hidden="true"), class_="track"),
            element("output", id="phi-value", for_="phi"),
            class_="phibar",
        ),
        element("p", class_="meaning", id="meaning"),
        element(
            "p",
            element("span", "The marks are published sizes. ", id="marked"),
            f"The slider ends where the page does, at {reached}.",
            class_="note",
        ),
        element("p", role="status", id="said", class_="unseen"),
        section(
            "Backbone, rule and budget",
            "choices",
            element(
                "div",
                _choice("backbone", "Backbone", names),
                _choice("rule", "Scaling rule", {name: name for name in sliders.rules}, "compound"),
                _budget(),
                _constants(),
                class_="controls",
            ),
        ),
        element("div", [_card(*each) for each in CARDS], class_="cards"),
    ]


# What a card says: the number in short, what stands before the whole one, that, and what it is.
CARDS = (
    ("short-macs", "", "macs", " multiply-adds"),
    ("short-params", "", "params", " parameters"),
    ("short-activations", "", "activations", " activations"),
    ("short-network", "side of the image; ", "blocks", " blocks"),
)


def _card(short: str, before: str, whole: str, label: str) -> Element:
    return element(
        "div", element("b", id=short), element("span", before, element("span", id=whole), label), class_="card"
    )


def _range(name: str, low: str, high: str, step: float, value: str) -> Element:
    return element("input", type="range", id=name, min=low, max=high, step=f"{step:g}", value=value)


def _choice(name: str, label: str, values: dict[str, str], chosen: str = "0") -> Element:
    options = [
        element("option", text, value=value, **({"selected": "selected"} if value == chosen else {}))
        for value, text in values.items()
    ]
    return element("div", element("label", label, for_=name), element("select", *options, id=name), class_="control")


def _budget() -> Element:
    hold = element("input", type="checkbox", id="hold")
    return element(
        "div",
        element("label", "Budget of multiply-adds", for_="budget"),
        element("output", id="budget-value", for_="budget"),
        _range("budget", "0", "1000", 1, "500"),
        element("p", class_="soft", id="used"),
        element("div", hold, element("label", "Hold it while rule and constants change", for_="hold"), class_="check"),
        class_="control",
    )


def _constants() -> Element:
    sliders = [
        element(
            "div",
            element("label", f"{name}: {dimension}", for_=name),
            element("output", id=f"{name}-value", for_=name),
            _range(name, f"{BASES[0]:g}", f"{BASES[-1]:g}", 1 / STEPS, f"{getattr(Compound(), name):g}"),
            class_="control",
        )
        for name, dimension in FACTORS.items()
    ]
    product = element(
        "p",
        "One step multiplies the work by alpha \u00b7 beta\u00b2 \u00b7 gamma\u00b2 = ",
        element("b", id="step"),
        "; the paper has 1.92.",
        class_="soft",
    )
    return element(
        "fieldset",
        element("legend", "What one step of phi multiplies", class_="unseen"),
        sliders,
        element("div", product, element("button", "The paper's constants", type="button", id="reset"), class_="across"),
        id="factors",
    )


def _sections() -> list[Element]:
    drawings = [
        element("figure", element("h3", id=f"{name}-title"), element("div", id=name)) for name in ("base", "scaled")
    ]
    stages = ("stage", "reads, px", "channels", "blocks", "parameters", "multiply-adds", "activations")
    sizes = ("size", "depth", "width", "resolution", "multiply-adds", "nearest phi", "costs there", "shape differs by")
    return [
        section(
            "The network, to scale",
            "network",
            element("p", DRAWING, class_="soft"),
            element("div", drawings, class_="drawings", id="drawn"),
        ),
        section(
            "Asked for, and what came of it",
            "asked",
            element("p", ROUNDED, class_="soft"),
            _empty_table("nominal", ("", "phi = 0", "nominal", "realised", "now"), "Nominal and realised"),
        ),
        section(
            "What each stage costs",
            "stage-costs",
            element("div", class_="shares", id="shares"),
            _empty_table("stages", stages, "Stages of the network", scrolls=True),
        ),
        section(
            "Where the published sizes lie",
            "published",
            element("p", PUBLISHED_SIZES, class_="soft"),
            element("div", id="chart"),
            _empty_table("sizes", sizes, "Published sizes", scrolls=True),
        ),
        section(
            "Take it along",
            "take",
            _taken("python", "Python, which builds the Keras model"),
            _taken("command", "The command line, which explains it"),
        ),
    ]


DRAWING = (
    "A box for each block of stem and stages: as high as it makes channels, as far to the back as its map is wide. The "
    "square is the image. Both networks have one scale, and the colours of the stages below."
)
ROUNDED = (
    "Blocks, channels (here their mean) and pixels are whole numbers, and channels multiples of 8. So a network is "
    "never quite what was asked for, and what it costs is counted."
)
PUBLISHED_SIZES = (
    "No phi is a published size: those are tables. Each stands where the scaled network costs as much. Solid: counted; "
    "dotted: what the rule promises; dashed: your budget; the large dot is this network."
)


def _empty_table(name: str, header: Sequence[str], caption: str, *, scrolls: bool = False) -> Element:
    made = (table if scrolls else whole_table)(header, [], id=name, class_="wide")
    found = made.find("table") if scrolls else made
    if found is not None:
        found.insert(0, element("caption", caption, class_="unseen"))
    return made


def _taken(name: str, label: str) -> Element:
    button = element("button", "Copy", type="button", data_copy=name, aria_label=f"Copy: {label}")
    return element(
        "div", element("p", label, class_="soft"), element("div", element("pre", id=name), button, class_="take")
    )
