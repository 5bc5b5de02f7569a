"""What the documentation holds: its pages, their fenced blocks, links, headings, and the files that they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FOLDERS = ("keras_effnet", "tests", "examples", "benchmarks", "scripts", "docs")


class Block(NamedTuple):
    """A fenced block: where its text begins, the language behind its fence, and the text."""

    page: str
    line: int
    language: str
    text: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    content = page.read_text(encoding="utf-8")
    return [
        Block(name_of(page), content.count("\n", 0, found.start()) + 2, found[1].strip(), found[2])
        for found in FENCE.finditer(content)
    ]


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a shell block, each with the output that is shown of it.

    In a `console` block commands stand behind `$ `, and all else is output; in any other block all lines are commands.
    """
    text = re.sub(r"\\\n\s*", "", block.text)
    if block.language != "console":
        yield from ((line, "") for line in text.splitlines() if line.strip() and not line.startswith("#"))
        return
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def prose(page: Path) -> str:
    """A page without its blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """The targets of all links and images of a page."""
    without_code = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", without_code)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower().strip()
        found.add(re.sub(r"[^\w\- ]", "", shown).replace(" ", "-"))
    return found


def named_files(text: str) -> list[str]:
    """The files of this repository that a text names in code: `examples/edge.py`, `benchmarks/results/*.json`."""
    return re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]*)`", text)
