"""Reading an HTML page back: by a parser, and by a browser."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest


class Reader(HTMLParser):
    """The title; text, tables' rows, code and images of each section; all tags, and everything that a tag refers to."""

    VOID = ("img", "meta", "br", "input")

    def __init__(self, content: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.images: dict[str, list[bytes]] = {}
        self.captions: dict[str, list[str]] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.code: dict[str, list[str]] = {}
        self.folded: dict[str, int] = {}
        self.title = ""
        self.tags: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.section = "top"
        self.feed(content)
        assert not self.open, "every tag is closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append(tag)
        if tag == "section":
            self.section = str(found["id"])
        self.references += [str(found[name]) for name in ("src", "href", "action", "data", "poster") if name in found]
        if tag == "img":
            self.images.setdefault(self.section, []).append(base64.b64decode(str(found["src"]).partition(",")[2]))
            assert found["alt"]
            self.captions.setdefault(self.section, []).append(str(found["alt"]))
            self.folded[self.section] = self.folded.get(self.section, 0) + ("details" in self.open)
        if tag == "pre":
            self.code.setdefault(self.section, []).append("")
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("th", "td"):
            self.rows[self.section][-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if "title" in self.open:
            self.title += data
        if "pre" in self.open:
            self.code[self.section][-1] += data
        if {"th", "td"} & set(self.open):
            self.rows[self.section][-1][-1] += data


def read_page(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


def assert_nothing_is_outside(path: Path) -> None:
    """The page holds all that it shows."""
    content = path.read_text(encoding="utf-8")
    page = Reader(content)
    assert page.references
    assert all(reference.startswith("data:image/") for reference in page.references)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r'"data:[^"]*"', "", content))
    assert "default-src 'none'" in content, "a browser is told so, too"


# Runs in a copy of the page, as the page itself allows no program: what of it a reader would see.
# Contrast is that of WCAG 2.2, 1.4.3, whose level AA asks for 4.5.
PROBE = """
<script>
  const all = [...document.querySelectorAll("main *")], images = [...document.images];
  const boxes = [...document.querySelectorAll("section")].map((part) => part.getBoundingClientRect());
  const seen = images.filter((image) => image.checkVisibility());
  const requests = performance.getEntriesByType("resource");
  const where = (part) => `${part.closest("section")?.id}: ${part.tagName} ${part.className}`;
  const style = (part) => getComputedStyle(part);
  const colours = (text) => [...text.matchAll(/rgba?\\(([^)]*)\\)/g)].map((found) => found[1].split(",").map(Number));
  const over = ([r, g, b, alpha = 1], below) => [r, g, b].map((value, at) => value * alpha + below[at] * (1 - alpha));
  const light = (colour) => colour.map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (part) => part
    ? over(colours(style(part).backgroundColor)[0], ground(part.parentElement)) : [255, 255, 255];
  const contrast = (part) => {
    const below = ground(part), [ink] = colours(style(part).color);
    const bars = colours(style(part).backgroundImage).map((colour) => over(colour, below));
    return Math.min(...[below, ...bars].map((paper) => {
      const [dark, bright] = [light(over(ink, paper)), light(paper)].sort((one, two) => one - two);
      return (bright + 0.05) / (dark + 0.05);
    }));
  };
  const texts = all.filter((part) => [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const found = {
    width: window.innerWidth,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    sections: [...document.querySelectorAll("section")].map((part) => part.id),
    visible: boxes.every((box) => box.width > 200 && box.height > 40),
    images: images.length,
    broken: images.filter((image) => !image.complete || !image.naturalWidth).length,
    unseen: images.length - seen.length,
    hidden: seen.filter((image) => image.getBoundingClientRect().width < 30).length,
    outside: seen.filter((image) =>
      image.getBoundingClientRect().right > image.closest("section").getBoundingClientRect().right).length,
    cut: all.filter((part) => part.clientWidth && part.scrollWidth > part.clientWidth + 1).map(where),
    scrolled: all.filter((part) => ["auto", "scroll"].includes(style(part).overflowY)
      && part.scrollHeight > part.clientHeight + 1).map(where),
    slim: [...document.querySelectorAll("table:not(.confusion) :is(th, td)")].filter((cell) =>
      cell.textContent.trim().length > 3 && cell.getBoundingClientRect().width < 24).map(where),
    pale: texts.filter((part) => contrast(part) < 4.5).map((part) => `${where(part)} ${contrast(part).toFixed(2)}`),
    paper: light(ground(document.querySelector("section"))),
    fetched: requests.map((entry) => entry.name).filter((name) => !name.startsWith("data:")),
  };
  document.body.setAttribute("data-found", JSON.stringify(found));
</script>
"""
# Gathers what the probes of all frames found.
COLLECT = """
<script>
  window.onload = () => {
    const found = [...document.querySelectorAll("iframe")].map((frame) => frame.contentDocument.body.dataset.found);
    document.body.setAttribute("data-all", `[${found}]`);
  };
</script>
"""
WIDTHS = (1200, 500, 400)
DARK, PAPER = "@media screen and (prefers-color-scheme: dark)", "@media print"
# How a page is looked at: width, and the medium whose style it gets beside that of a light screen. 700 px of paper are
# A4 without its margins.
VIEWS = (*((width, "") for width in WIDTHS), (1200, DARK), (400, DARK), (700, PAPER))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def run_browser(folder: Path, *arguments: str) -> str:
    """Chromium with no name resolved, so that whatever it asks the network for is not found."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: the report is not opened in a browser")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
    flags += ("--disable-background-networking", "--disable-component-update", "--hide-scrollbars")
    flags += ("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run([browser, *flags, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def probe(original: Path, folder: Path, width: int, medium: str = "") -> dict[str, Any]:
    """What of a page is seen in one of `VIEWS`, which are looked at together, once."""
    return _seen(original, folder)[VIEWS.index((width, medium))]


_looked_at: dict[Path, list[dict[str, Any]]] = {}


def _seen(original: Path, folder: Path) -> list[dict[str, Any]]:
    if original in _looked_at:
        return _looked_at[original]
    content = original.read_text(encoding="utf-8")
    assert DARK in content
    assert PAPER in content
    without_policy = re.sub(r'<meta http-equiv="(Content-Security-Policy|refresh)"[^>]*>', "", content)
    probed = without_policy.replace("</body>", f"{PROBE}</body>")
    frames = "".join(
        f'<iframe style="width:{width}px;height:1600px;border:0" '
        f'srcdoc="{html.escape(probed.replace(medium, "@media all") if medium else probed)}"></iframe>'
        for width, medium in VIEWS
    )
    copy = folder / "probed.html"
    copy.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{frames}{COLLECT}</body>", encoding="utf-8")
    shown = run_browser(folder, "--window-size=1300,1600", "--dump-dom", copy.as_uri())
    [attribute] = re.findall(r'data-all="([^"]*)"', shown)
    found = json.loads(html.unescape(attribute))
    assert [one["width"] for one in found] == [width for width, _ in VIEWS]
    assert {one["images"] for one in found} == {content.count("<img")}
    _looked_at[original] = found
    return found


def assert_nothing_is_hidden(found: dict[str, Any], folded: int = 0) -> None:
    """All but so many folded images is seen and can be read, and nothing was asked of the network."""
    assert found["visible"]
    names = ("overflow", "broken", "hidden", "outside")
    assert {name: found[name] for name in (*names, "unseen")} == {**dict.fromkeys(names, 0), "unseen": folded}
    assert found["slim"] == [], "cells of a letter a line"
    assert found["pale"] == []
    assert found["fetched"] == []


def screenshot(
    original: Path, image: Path, width: int, height: int = 1600, *, dark: bool = False, address: str = ""
) -> None:
    """The page itself, with its policy, as a PNG file; of at least 500 px, as Chromium makes no narrower window."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    window, file = f"--window-size={width},{height}", f"--screenshot={image}"
    run_browser(image.parent, scheme, window, file, f"{original.as_uri()}#{address}")
