"""What a search leaves for programs: trials.csv, a line for each trial as it finishes, and result.json."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from keras_effnet.atomic import as_data_error, atomic_write, folder_lock
from keras_effnet.errors import SearchError
from keras_effnet.report.text import json_text
from keras_effnet.search.candidates import Candidate, Choice
from keras_effnet.search.plan import Row

FINISHED = ("done", "failed", "retried")
COSTS = ("macs", "params", "activations", "latency_ms")
# The choices stand between the two.
FIRST = ("number", "key", "rung", "seed", "steps", "state", "metric", "value", *COSTS, "resolution")
LAST = ("seconds", "parent", "worker", "error", "versions", "notes", "spec")


class TrialLog:
    """trials.csv of a search: a line for each trial that has ended, well or not, in the order in which they did.

    A line is written at once and brought to the disk. What a kill left of a half-written one is cut away. Several
    processes may append to one file: each takes up what the others wrote, so that no trial is there twice.

    Args:
        path: of the file; made by the first `append`, with its folder.
        choices: the names of what is chosen, a column for each.

    Raises:
        DataError: a file that is there cannot be read.
        SearchError: it has other columns, or lines that are no trials; or a choice is called as another column is.
    """

    def __init__(self, path: Path, choices: Sequence[str]) -> None:
        self.path = path
        self._columns = (*FIRST, *choices, *LAST)
        if len(set(self._columns)) < len(self._columns):
            raise SearchError(
                f"each column of trials.csv needs a name of its own: rename the choice that is called as one of "
                f"{', '.join((*FIRST, *LAST))}. Received: {', '.join(choices)}"
            )
        self._numbers: set[int] = set()
        self._end = 0  # of what was taken up, in bytes
        if path.exists():
            with as_data_error(path), path.open("rb") as file:
                self._take_up(file)

    @property
    def numbers(self) -> frozenset[int]:
        """Of the trials that the file holds."""
        return frozenset(self._numbers)

    def append(self, rows: Sequence[Row], candidate_of: Callable[[Mapping[str, Choice]], Candidate]) -> int:
        """Appends the finished trials that the file does not hold yet.

        Args:
            rows: trials in the order in which they shall stand; all of the search will do.
            candidate_of: what was chosen, as a candidate.

        Returns:
            How many were appended.

        Raises:
            DataError: the file cannot be written.
            SearchError: another program wrote something else into it.
        """
        if not any(self._is_new(row) for row in rows) and self.path.exists():
            return 0
        with folder_lock(self.path.parent), as_data_error(self.path), self.path.open("ab+") as file:
            self._take_up(file)
            file.truncate(self._end)
            new = [row for row in rows if self._is_new(row)]
            lines = [] if self._end else [self._columns]
            lines += [self._line(row, candidate_of) for row in new]
            content = _csv(lines)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._end)
                raise
        self._end += len(content)
        self._numbers |= {row.number for row in new}
        return len(new)

    def _is_new(self, row: Row) -> bool:
        return row.state in FINISHED and row.number not in self._numbers

    def _take_up(self, file: BinaryIO) -> None:
        """Reads what was written since the last time, but for half of a line."""
        if file.seek(0, os.SEEK_END) < self._end:  # somebody emptied it
            self._end = 0
            self._numbers.clear()
        file.seek(self._end)
        content = file.read()
        whole, header = content[: content.rfind(b"\n") + 1], _csv([self._columns])
        if not self._end and not (whole.startswith(header) if whole else header.startswith(content)):
            raise self._strange(content)
        lines = whole[0 if self._end else len(header) :].split(b"\n")[:-1]
        numbers = [line.partition(b",")[0] for line in lines]
        for line, number in zip(lines, numbers, strict=True):
            if not number.isdigit():
                raise self._strange(line)
        self._numbers.update(map(int, numbers))
        self._end += len(whole)

    def _strange(self, content: bytes) -> SearchError:
        return SearchError(
            f"{self.path} is no list of this search's trials: it should have the columns {', '.join(self._columns)}. "
            f"Move it away or name another output folder: the trials are in the search's store, and are listed again. "
            f"Received: {content[:200].decode(errors='replace')!r}"
        )

    def _line(self, row: Row, candidate_of: Callable[[Mapping[str, Choice]], Candidate]) -> list[Any]:
        """The cells of a trial; what is None is an empty one."""
        notes, cells = dict(row.notes), {"number": row.number, "state": row.state, "metric": row.metric}
        cells |= {"value": row.value, "seconds": row.seconds, "worker": row.worker, "error": row.error}
        cells |= {"versions": _short_versions(notes.pop("versions", None)), "notes": json.dumps(notes)}
        if row.job is not None:
            candidate = candidate_of(row.job.choices)
            cells |= {name: candidate.cost.get(name) for name in COSTS}
            cells |= {"resolution": candidate.spec.resolution, **row.job.choices}
            cells |= {name: getattr(row.job, name) for name in ("key", "rung", "seed", "steps", "parent")}
            cells["spec"] = json.dumps(json.loads(candidate.spec.to_json()))
        return [_on_one_line(cells.get(name)) for name in self._columns]


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode(errors="replace")


def _on_one_line(cell: Any) -> Any:
    """A text without line breaks, so that half of a trial is known by the one that it lacks."""
    return re.sub(r"[\r\n]+", " ", cell) if isinstance(cell, str) else cell


def _short_versions(versions: Any) -> str | None:
    """`{"keras": "3.15.1"}` as "keras 3.15.1"."""
    if isinstance(versions, Mapping):
        return ", ".join(f"{name} {version}" for name, version in versions.items())
    return None if versions is None else str(versions)


def write_result(output: Path, summary: dict[str, Any]) -> None:
    """Writes result.json.

    Args:
        output: a folder; made if missing.
        summary: of the search, JSON-able.

    Raises:
        DataError: the file cannot be written.
    """
    text = json_text(summary)
    atomic_write(output / "result.json", lambda path: path.write_text(text, encoding="utf-8"))
