"""Parts of a report that can be shown on a page and on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_effnet.report.html import Element, chart, element, section, table, whole_table


@dataclass(frozen=True)
class Part:
    """A part of a report.

    Args:
        title: heading.
        name: name of its anchor in the page, and of the file of its image.
        text: paragraph before the table.
        header: names of the table's columns; empty if they need none.
        rows: rows of the table, each of as many cells as the header has.
        code: text whose line breaks and spaces are kept.
        image: content of a PNG file; None for no image.

    Example:
        >>> print(Part("Sizes", "sizes", "In pixels.", ("name", "px"), [("small", "8"), ("large", "128")]).to_text())
        Sizes: In pixels.
        name    px
        small    8
        large  128
    """

    title: str
    name: str
    text: str = ""
    header: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
    code: str = ""
    image: bytes | None = None

    def to_html(self) -> Element:
        """The part as a section of a page."""
        content = [element("p", self.text, class_="soft")] if self.text else []
        if self.rows:
            shown = table(self.header, self.rows) if self.header else whole_table((), self.rows, class_="settings")
            content.append(shown)
        content += [element("pre", self.code)] if self.code else []
        content += [] if self.image is None else [chart(self.image, self.title)]
        return section(self.title, self.name, content)

    def to_text(self) -> str:
        """The part as plain text without its image: the table's first column to the left, the others to the right."""
        lines = [*([self.header] if self.header else []), *self.rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        shown = [f"{self.title}: {self.text}".rstrip()]
        for first, *others in lines:
            cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
            shown.append("  ".join((first.ljust(widths[0]), *cells)).rstrip())
        return "\n".join([*shown, self.code] if self.code else shown)
