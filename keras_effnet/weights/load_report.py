"""The report on loading a weight file: the fate of every tensor in the file and of every weight of the model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from keras_effnet.tables import Shown, aligned

Status = Literal["loaded", "missing", "misshapen", "extra", "unwanted", "kept"]

_STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class LoadRow:
    """One weight of the model, one tensor of the file, or both.

    Attributes:
        status: "loaded": now in the model; "missing": the file lacks the weight; "misshapen": the shapes differ;
            "extra": the model lacks the tensor; "unwanted": no model of this kind has the tensor (counters, optimizer
            slots, or a classifier if the model has none); "kept": the weight is of a layer around the network that the
            file is for, and stays as it is.
        weight: the model's weight as "layer/weight"; None if the model has none.
        source: name of the tensor in the file; None if the file has none.
        shape: shape of the model's weight in Keras' layout; None if the model has none.
        found: shape of the file's tensor in Keras' layout; None if the file has none.
        note: why the tensor is unwanted; "" for all other statuses.
    """

    status: Status
    weight: str | None
    source: str | None
    shape: tuple[int, ...] | None
    found: tuple[int, ...] | None
    note: str = ""

    def __str__(self) -> str:
        """A description for error messages."""
        if self.status == "missing":
            expected = "" if self.source is None else f" ({self.source!r})"
            return f"tensor {self.weight!r} {self.shape} is not in the file{expected}"
        if self.status == "misshapen":
            return f"tensor {self.weight!r} has shape {self.shape}, but the file's {self.source!r} has {self.found}"
        if self.status == "extra":
            return f"the file's tensor {self.source!r} {self.found} is not in the model"
        return f"{self.source!r} is {self.status}"


@dataclass(frozen=True, repr=False)
class LoadReport(Shown):
    """The result of `load_weights`. `str()` gives a table, `to_dict()` the same as JSON data.

    Attributes:
        path: path of the file.
        layout: layout of the file: "keras", "timm" or "checkpoint".
        rows: the model's weights in their order, then the other tensors of the file.
    """

    path: str
    layout: str
    rows: tuple[LoadRow, ...]

    def of(self, status: Status) -> list[LoadRow]:
        """The rows with a status."""
        return [row for row in self.rows if row.status == status]

    @property
    def differences(self) -> list[LoadRow]:
        """The rows that show that the file is not of the model's architecture."""
        return [row for row in self.rows if row.status in ("missing", "misshapen", "extra")]

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON data."""
        rows = [{key: list(v) if isinstance(v, tuple) else v for key, v in asdict(row).items()} for row in self.rows]
        return {"path": self.path, "layout": self.layout, "counts": self.counts, "tensors": rows}

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows with each status."""
        return {status: len(self.of(status)) for status in _STATUSES}

    def __str__(self) -> str:
        head = ("status", "weight", "shape", "tensor of the file", "its shape")
        cells = [
            (row.status, row.weight or "", _shown(row.shape), row.source or "", _shown(row.found) + _noted(row.note))
            for row in self.rows
        ]
        return "\n".join([self.headline, "", *aligned([head, *cells], text_column=None)])

    @property
    def headline(self) -> str:
        """The file, and how many tensors have each status."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items() if count)
        return f"{self.path} ({self.layout}): {counts}"


def _shown(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else "x".join(map(str, shape)) or "1"


def _noted(note: str) -> str:
    return f" ({note})" if note else ""
