"""Results as tables of text, for terminals and for notebooks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from keras_effnet.printable import printable


class Shown:
    """A result that a notebook shows as its table, and that is one line where it stands inside something else."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.headline}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(str(self).splitlines())

    @property
    def headline(self) -> str:
        """The result in one line."""
        raise NotImplementedError


def as_html(lines: Sequence[str]) -> str:
    """Lines of text as a notebook shows them: as they stand, and scrolled where they are too long."""
    return f'<pre style="line-height: 1.3; overflow-x: auto">{escape(chr(10).join(lines))}</pre>'


def aligned(cells: Sequence[tuple[str, ...]], text_column: int | None) -> list[str]:
    """The lines of a table.

    Args:
        cells: texts of the header and of each row.
        text_column: number of the column whose texts begin on the left, as numbers do not; None: all do.

    Example:
        >>> print(*aligned([("name", "count"), ("a", "1"), ("b", "20")], text_column=0), sep="\\n")
        name  count
        ----  -----
        a         1
        b        20
    """
    cells = [tuple(printable(text, lines=False) for text in texts) for texts in cells]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]

    def line(texts: tuple[str, ...]) -> str:
        return "  ".join(
            text.ljust(width) if text_column in (None, column) else text.rjust(width)
            for column, (text, width) in enumerate(zip(texts, widths, strict=True))
        ).rstrip()

    return [line(cells[0]), "  ".join("-" * width for width in widths), *map(line, cells[1:])]


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as the text of a CSV file, whose lines end as on Unix.

    Args:
        rows: the cells of each row, the header first.

    Example:
        >>> csv_text([("name", "count"), ("a, b", 1)])
        'name,count\\n"a, b",1\\n'
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
