"""HTML as a tree of elements. What users wrote is escaped because a tree holds nothing but text and elements."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

from keras_effnet.report.text import NOTHING
from keras_effnet.report.thumbnails import png_uri

Element = ElementTree.Element
Content = Element | str | Iterable["Content"]

# A browser that obeys this asks the network for nothing, whatever the page says.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def element(tag: str, *content: Content, **attributes: str) -> Element:
    """An element.

    Args:
        tag: its name.
        content: texts, elements, or lists of them, in order.
        attributes: a `_` behind a name that is Python's own is left out: `class_`.

    Example:
        >>> ElementTree.tostring(element("p", "a < b, ", element("b", "true"), class_="note"), "unicode")
        '<p class="note">a &lt; b, <b>true</b></p>'
    """
    made = ElementTree.Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    _append(made, content)
    return made


def _append(parent: Element, content: Iterable[Content]) -> None:
    for part in content:
        if isinstance(part, ElementTree.Element):
            parent.append(part)
        elif not isinstance(part, str):
            _append(parent, part)
        elif len(parent):
            parent[-1].tail = (parent[-1].tail or "") + part
        else:
            parent.text = (parent.text or "") + part


def table(header: Sequence[Content], rows: Iterable[Sequence[Content]], **attributes: str) -> Element:
    """A table of which the first cell of each row is its name; a wide one scrolls within the page. No header: `()`."""
    return element("div", whole_table(header, rows, **attributes), class_="scroll")


def whole_table(header: Sequence[Content], rows: Iterable[Sequence[Content]], **attributes: str) -> Element:
    """As `table`, but always shown whole: for tables that are narrow, or whose cells wrap."""
    head = element("thead", element("tr", [element("th", cell, scope="col") for cell in header])) if header else ""
    lines = [[_cell(cell, first=not number) for number, cell in enumerate(row)] for row in rows]
    body = element("tbody", [element("tr", line) for line in lines])
    return element("table", head, body, **attributes)


def _cell(content: Content, *, first: bool) -> Element:
    if isinstance(content, ElementTree.Element) and content.tag == "td":
        return content
    return element("th", content, scope="row") if first else element("td", content)


def bar_cell(text: str, share: float) -> Element:
    """A cell of a table with a bar behind its text.

    Args:
        text: content of the cell.
        share: length of the bar, from 0 to 1, the whole cell.
    """
    return element("td", text, style=f"background-image:linear-gradient(90deg,var(--bar) {100 * share:.0f}%,#0000 0)")


def folded(title: str, *content: Content) -> Element:
    """What a reader unfolds by a click on its title; on paper it is always shown."""
    return element("details", element("summary", title), *content)


def section(title: str, name: str, *content: Content) -> Element:
    """A part of a page under a heading; `name` is what a link jumps to."""
    return element("section", element("h2", title), *content, id=name)


def cards(values: Mapping[str, str]) -> Element:
    """What matters most, in large letters: a value for each label."""
    boxes = [
        element("div", element("b", value), element("span", label), class_="card") for label, value in values.items()
    ]
    return element("div", boxes, class_="cards", id="scores")


def settings(values: Mapping[str, Any]) -> Element:
    """A line for each setting, also of those within another one."""
    rows = [(name, NOTHING if value is None else str(value)) for name, value in flat(values).items()]
    return whole_table((), rows, class_="settings")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings within others as settings of their own, with the name of the outer one in front.

    Example:
        >>> flat({"rate": 0.1, "augmentation": {"flip": True}})
        {'rate': 0.1, 'augmentation.flip': True}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def chart(png: bytes, alt: str, **attributes: str) -> Element:
    """A drawing on white, which a dark page shows on its own ground.

    Args:
        png: content of a PNG file.
        alt: what it shows, in words.
        attributes: as of `element`; a class beside "chart" is kept.
    """
    classes = f"chart {attributes.pop('class_', '')}".strip()
    return element("img", src=png_uri(png), alt=alt, class_=classes, **attributes)


def page(title: str, *content: Content, refresh: int | None = None, style: str = "", script: str = "") -> bytes:
    """A whole page in UTF-8, which needs no other file.

    Args:
        title: title of the window.
        content: content of the body.
        refresh: seconds after which a browser reads the file again; by default it never does.
        style: CSS behind that of all pages.
        script: JavaScript that runs when all is there, the only one that the browser runs; by default none.
    """
    rules = files("keras_effnet.report").joinpath("report.css").read_text(encoding="utf-8")
    digest = b64encode(sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"{POLICY}; script-src 'sha256-{digest}'" if script else POLICY
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        [] if refresh is None else element("meta", http_equiv="refresh", content=str(refresh)),
        element("title", title),
        element("style", rules + style),
    )
    program = element("script", script) if script else []
    html = element("html", head, element("body", element("main", *content), program), lang="en")
    text = "<!DOCTYPE html>\n" + ElementTree.tostring(html, encoding="unicode", method="html")
    # A file name may hold bytes that are no text.
    return text.encode("utf-8", errors="replace")
