"""What became of every tensor of a weight file, and of every weight of the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["loaded", "missing", "misshapen", "extra", "unwanted"]

_MEANINGS = {
    "loaded": "in the model now",
    "missing": "a weight of the model that the file lacks",
    "misshapen": "of another shape than the model's",
    "extra": "of the file, and not in the model",
    "unwanted": "of the file, and no model of this kind has it",
}


@dataclass(frozen=True)
class LoadRow:
    """One tensor.

    Args:
        status: "loaded"; "missing" in the file; "misshapen"; "extra" in the file; or "unwanted": known, and no weight
            of such a model (counters, slots of an optimizer, a classifier where the model has none).
        weight: of the model, as "layer/weight"; None where it has none.
        source: the tensor's name in the file; None where the file has none.
        shape: of the model's weight, in Keras' layout.
        found: shape of the file's tensor, in Keras' layout.
        note: why it is unwanted.
    """

    status: Status
    weight: str | None
    source: str | None
    shape: tuple[int, ...] | None
    found: tuple[int, ...] | None
    note: str = ""

    def __str__(self) -> str:
        """Words for an error."""
        if self.status == "missing":
            expected = "" if self.source is None else f" ({self.source!r})"
            return f"tensor {self.weight!r} {self.shape} is not in the file{expected}"
        if self.status == "misshapen":
            return f"tensor {self.weight!r} has shape {self.shape}, the file's {self.source!r} has {self.found}"
        if self.status == "extra":
            return f"the file's tensor {self.source!r} {self.found} is not in the model"
        return f"{self.source!r} is {self.status}"


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did. `str()` is a table, `to_dict()` the same for JSON.

    Args:
        path: of the file.
        layout: of the file: "keras", "timm" or "checkpoint".
        rows: the model's weights in its order, then what else the file holds.
    """

    path: str
    layout: str
    rows: tuple[LoadRow, ...]

    def of(self, status: Status) -> list[LoadRow]:
        """The rows of one status."""
        return [row for row in self.rows if row.status == status]

    @property
    def differences(self) -> list[LoadRow]:
        """What keeps the file from being one of the model's architecture."""
        return [row for row in self.rows if row.status in ("missing", "misshapen", "extra")]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        rows = [{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(row).items()} for row in self.rows]
        return {"path": self.path, "layout": self.layout, "counts": self.counts, "tensors": rows}

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status."""
        return {status: len([row for row in self.rows if row.status == status]) for status in _MEANINGS}

    def __str__(self) -> str:
        head = ("status", "weight", "shape", "tensor of the file", "its shape")
        cells = [
            (row.status, row.weight or "", _shown(row.shape), row.source or "", _shown(row.found) + _noted(row.note))
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        lines = [head, tuple("-" * width for width in widths), *cells]
        table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        return "\n".join([f"{self.path} ({self.layout}): {counts}", "", *table])


def _shown(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else "x".join(map(str, shape)) or "1"


def _noted(note: str) -> str:
    return f" ({note})" if note else ""
