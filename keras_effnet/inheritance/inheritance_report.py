"""What each layer of a network inherited, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from keras_effnet.inheritance.pairing import Difference
from keras_effnet.tables import Shown, aligned

Kind = Literal["copied", "widened", "identity", "selected", "adapted", "fresh"]

# Of the largest output: what float32 rounding makes of networks of some hundred layers, with room to spare.
ROUNDING = 1e-4

MEANINGS = {
    "copied": "as it was",
    "widened": "channels copied, readers divide what the copies give",
    "identity": "in a new block that hands on what it reads",
    "selected": "some of the old channels",
    "adapted": "to images of other channels",
    "fresh": "first values, nothing inherited",
}


@dataclass(frozen=True)
class Inheritance:
    """What one layer inherited.

    Args:
        layer: name of the layer.
        kind: "copied", "widened", "identity" (part of a new block that starts as the identity), "selected" (some of the
            old channels), "adapted" (a stem for images of other channels) or "fresh".
        source: name of the old layer; None if there is none.
        shape: shape of the layer's kernel, or of its first weight.
        source_shape: shape of the old layer's kernel, or of its first weight; None if there is no old layer.
        channels: the old channel of each channel that the layer makes, -1 for a new one; None if all are unchanged.
    """

    layer: str
    kind: Kind
    source: str | None
    shape: tuple[int, ...]
    source_shape: tuple[int, ...] | None
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True, repr=False)
class InheritanceReport(Shown):
    """What a network inherited, layer by layer.

    Args:
        source: name of the old network.
        target: name of the new network.
        layers: what each layer inherited, in the order in which an image goes through them.
        differences: reasons why the new network does not compute what the old one did.
        measured: largest difference between the outputs of both models on random images, as a share of the largest
            output; None if they were not compared, because there are differences.

    `str()` of it is a table.
    """

    source: str
    target: str
    layers: tuple[Inheritance, ...]
    differences: tuple[Difference, ...]
    measured: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the new network was found to compute what the old one did, but for rounding."""
        return not self.differences and self.measured is not None and self.measured <= ROUNDING

    @property
    def counts(self) -> dict[str, int]:
        """How many layers there are of each kind."""
        found = Counter(row.kind for row in self.layers)
        return {kind: found[kind] for kind in MEANINGS if found[kind]}

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "exact": self.exact, "counts": self.counts}

    def __str__(self) -> str:
        rows = [("layer", "weights", "from", "shape", "was")]
        rows += [
            (row.layer, row.kind, row.source or "-", _text(row.shape), _text(row.source_shape)) for row in self.layers
        ]
        return "\n".join([*aligned(rows, text_column=None), "", self.summary])

    @property
    def headline(self) -> str:
        """Both networks, and how many layers inherited what."""
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        return f"{self.source} to {self.target}, {'exact' if self.exact else 'not exact'}: {counts}"

    @property
    def summary(self) -> str:
        """How many layers inherited what, and whether the new network computes what the old one did."""
        return "\n".join(self._summary())

    def _summary(self) -> list[str]:
        lines = describe(self.differences)
        counts = [f"{count:>5} {kind:<9} {MEANINGS[kind]}" for kind, count in self.counts.items()]
        if self.differences:
            return [*counts, "", f"Where the new {self.target} differs from the old {self.source}:", *lines]
        measured = "not measured" if self.measured is None else f"{self.measured:.1g} of the largest output, measured"
        if self.exact:
            said = f"The new {self.target} computes what the old {self.source} does, but for rounding ({measured})."
        else:
            said = (
                f"The new {self.target} should compute what the old {self.source} does; the difference is {measured}, "
                f"and exact is at most {ROUNDING:g}."
            )
        return [*counts, "", said]


def describe(differences: Sequence[Difference]) -> list[str]:
    """A line for each difference."""
    return [f"  {difference.stage}: {difference.reason}" for difference in differences]


def _text(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else "x".join(map(str, shape)) or "1"
