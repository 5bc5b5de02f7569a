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
    """The text and the images of each section, all tags, and everything that a tag refers to."""

    VOID = ("img", "meta", "br")

    def __init__(self, content: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.images: dict[str, list[bytes]] = {}
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
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts[self.section] = self.texts.get(self.section, "") + data


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
PROBE = """
<script>
  const boxes = [...document.querySelectorAll("section")].map((part) => part.getBoundingClientRect());
  const images = [...document.images], requests = performance.getEntriesByType("resource");
  const found = {
    width: window.innerWidth,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    sections: [...document.querySelectorAll("section")].map((part) => part.id),
    visible: boxes.every((box) => box.width > 200 && box.height > 40),
    images: images.length,
    broken: images.filter((image) => !image.complete || !image.naturalWidth).length,
    hidden: images.filter((image) => image.getBoundingClientRect().width < 30).length,
    outside: images.filter((image) =>
      image.getBoundingClientRect().right > image.closest("section").getBoundingClientRect().right).length,
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


def probe(original: Path, folder: Path, width: int) -> dict[str, Any]:
    """What of a page is seen in a window of so many pixels: one of `WIDTHS`, which are looked at together, once."""
    return _seen(original, folder)[WIDTHS.index(width)]


_looked_at: dict[Path, list[dict[str, Any]]] = {}


def _seen(original: Path, folder: Path) -> list[dict[str, Any]]:
    if original in _looked_at:
        return _looked_at[original]
    content = original.read_text(encoding="utf-8")
    without_policy = re.sub(r'<meta http-equiv="(Content-Security-Policy|refresh)"[^>]*>', "", content)
    probed = html.escape(without_policy.replace("</body>", f"{PROBE}</body>"))
    frames = "".join(
        f'<iframe style="width:{width}px;height:1600px;border:0" srcdoc="{probed}"></iframe>' for width in WIDTHS
    )
    copy = folder / "probed.html"
    copy.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{frames}{COLLECT}</body>", encoding="utf-8")
    shown = run_browser(folder, "--window-size=1300,1600", "--dump-dom", copy.as_uri())
    [attribute] = re.findall(r'data-all="([^"]*)"', shown)
    found = json.loads(html.unescape(attribute))
    assert [one["width"] for one in found] == list(WIDTHS)
    assert {one["images"] for one in found} == {content.count("<img")}
    _looked_at[original] = found
    return found


def assert_nothing_is_hidden(found: dict[str, Any]) -> None:
    """All that `probe` found is seen, and nothing was asked of the network."""
    assert found["visible"]
    names = ("overflow", "broken", "hidden", "outside")
    assert {name: found[name] for name in names} == dict.fromkeys(names, 0)
    assert found["fetched"] == []


def screenshot(original: Path, image: Path, width: int, height: int = 1600) -> None:
    """The page itself, with its policy, as a PNG file."""
    run_browser(image.parent, f"--window-size={width},{height}", f"--screenshot={image}", original.as_uri())
