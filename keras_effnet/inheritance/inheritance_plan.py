"""The weights of a whole network from those of another: layer by layer, with a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from keras_effnet.checks import check_choice, check_number, check_seed, store_plain
from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.arrays import LayerMaps, Shares, inherited, missing
from keras_effnet.inheritance.identity import reach_of, start_as_identity
from keras_effnet.inheritance.inheritance_report import Inheritance, InheritanceReport, Kind
from keras_effnet.inheritance.maps import FRESH, Select
from keras_effnet.inheritance.pairing import Pairing, Read
from keras_effnet.ops import Activation, BatchNorm, Conv, GroupNorm, LayerNorm, Opaque, RMSNorm, UnitNorm
from keras_effnet.trace import Trace, TracedBlock, TracedNode, Value

# What normalisations over channels are called, where a copied channel may change their means.
_MEANS = {
    LayerNorm: "layer normalisation",
    GroupNorm: "group normalisation",
    RMSNorm: "normalisation by the mean square",
}


@dataclass(frozen=True)
class InheritanceOptions:
    """How weights follow.

    Args:
        select: which channels and blocks a smaller network keeps: "magnitude", "prefix" or "uniform".
        shares: rule for what each copy of a channel gives to its readers: "uneven", so that training tells them apart,
            or "even".
        noise: standard deviation of noise on widened kernels, as a share of each kernel's own, at least 0; 0 keeps
            them exact.
        seed: seed of uneven shares and noise, 0 to 4294967295.

    Raises:
        InheritanceError: a value outside its range.
    """

    select: Select = "magnitude"
    shares: Shares = "uneven"
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice(InheritanceError, "select", self.select, ("magnitude", "prefix", "uniform"))
        check_choice(InheritanceError, "shares", self.shares, ("uneven", "even"))
        check_number(InheritanceError, "noise", self.noise, 0)
        check_seed(InheritanceError, self.seed)


class InheritancePlan:
    """Goes through the new network from the image to its end.

    Args:
        old: trace of the trained network.
        new: trace of the network that inherits.
        read_old: function from the name of a layer to its weights in the old network.
        options: rules by which weights follow.
        classes: the old class of each new one; None for the same classes.
        kinds: "adapted" or "fresh" for old layers that were changed already; fresh ones hand nothing on.
    """

    def __init__(
        self,
        old: Trace,
        new: Trace,
        read_old: Read,
        options: InheritanceOptions,
        classes: np.ndarray | None = None,
        kinds: Mapping[str, Kind] | None = None,
    ) -> None:
        self.pairing = Pairing(old, new, read_old, options.select, classes)
        self.kinds = kinds or {}
        self.read_new: Read = read_old
        self.options = options
        self.rows: list[Inheritance] = []
        self._reach: dict[Value, np.ndarray | None] = {}

    def run(self, read_new: Read) -> Iterator[tuple[str, list[np.ndarray]]]:
        """The new weights of each layer that inherits any; each must be assigned before the next is asked for.

        Args:
            read_new: gives the new network's weights as they are by now.
        """
        self.read_new = read_new
        for section in self.pairing.new.blocks:
            if section in self.pairing.added:
                yield from self._added(section)
            else:
                for number, node in enumerate(section.nodes):
                    self._check_over_channels(node, section.stage)
                    if node.has_weights:
                        yield from self._layer(node, section, number)

    def report(self, measured: float | None = None) -> InheritanceReport:
        """What was inherited so far.

        Args:
            measured: largest difference of the outputs of both models, as a share of the largest output; None if
                nobody has measured it.
        """
        names = (self.pairing.old.name, self.pairing.new.name)
        return InheritanceReport(*names, tuple(self.rows), tuple(self.pairing.differences), measured)

    def _added(self, section: TracedBlock) -> Iterator[tuple[str, list[np.ndarray]]]:
        weighted = [node for node in section.nodes if node.has_weights]
        fresh = {node.name: self.read_new(node.name) for node in weighted}
        start = start_as_identity(section, fresh, self._reach_of(section.input))
        kind: Kind = "fresh" if start is None else "identity"
        for node in weighted:
            self.rows.append(Inheritance(node.name, kind, None, _shape(fresh[node.name]), None))
        if start is None or not start.exact:
            reason = f"its new block {section.block + 1} has no skip, and changes what it reads"
            self.pairing.differ(section.stage, reason)
        if start is None or start.chain:
            self.pairing.pass_on(section.input, section.output)
            self._reach[section.output] = self._reach_of(section.input)
        if start is not None:
            yield from start.arrays.items()

    def _reach_of(self, value: Value) -> np.ndarray | None:
        """How far below zero an image can be, where a batch normalisation made it."""
        maker = value.maker
        op = None if maker is None else maker.op
        if value not in self._reach and maker and isinstance(op, BatchNorm) and op.scale and op.center:
            self._reach[value] = reach_of(self.read_new(maker.name))
        return self._reach.get(value)

    def _layer(self, node: TracedNode, section: TracedBlock, number: int) -> Iterator[tuple[str, list[np.ndarray]]]:
        source, fresh = self.pairing.nodes.get(node), self.read_new(node.name)
        if source is None or self.kinds.get(source.name) == "fresh":
            self.rows.append(Inheritance(node.name, "fresh", None, _shape(fresh), None))
            return
        maps = self._maps(node, source)
        old = self.pairing.read(source.name)
        kind = self._kind(node, source, maps, section.stage)
        if kind == "copied" or isinstance(node.op, Opaque):
            made = old
        else:
            generator = np.random.default_rng((self.options.seed, section.stage + 1, section.block, number))
            made = inherited(node.op, old, fresh, maps, self.options.shares, generator)
            if kind == "widened" and node.mixes and self.options.noise > 0:
                made[0] += generator.normal(0, self.options.noise * made[0].std(), made[0].shape).astype(made[0].dtype)
                self.pairing.differ(section.stage, "noise was added to widened kernels")
        channels = None if kind == "copied" else tuple(maps.columns.tolist())
        kind = self.kinds.get(source.name, kind)
        self.rows.append(Inheritance(node.name, kind, source.name, _shape(fresh), _shape(old), channels))
        yield node.name, made

    def _maps(self, node: TracedNode, source: TracedNode) -> LayerMaps:
        rows = self.pairing.rows(node.inputs[0], source.inputs[0])
        columns = self.pairing.rows(node.output, source.output)
        return LayerMaps(rows, columns, _groups(source), _groups(node))

    def _kind(self, node: TracedNode, source: TracedNode, maps: LayerMaps, stage: int) -> Kind:
        """What the maps make of a layer; notes what is lost."""
        read, made = source.inputs[0].channels, source.output.channels
        same = np.array_equal(maps.rows, np.arange(read)) and np.array_equal(maps.columns, np.arange(made))
        if same and maps.old_groups == maps.new_groups:
            return "copied"
        if isinstance(node.op, Opaque):
            self.pairing.differ(stage, f"{node.name} is outside the vocabulary: its channels cannot be followed")
            return "copied" if _shape(self.read_new(node.name)) == _shape(self.pairing.read(source.name)) else "fresh"
        alone = isinstance(node.op, GroupNorm) and node.op.instance
        if isinstance(node.op, LayerNorm | GroupNorm | RMSNorm) and not alone:
            self._check_mean(maps.rows, read, stage, _MEANS[type(node.op)])
        if node.mixes and missing(maps, read, made):
            runs = zip(node.inputs[0].resolved, source.inputs[0].resolved, strict=False)
            if len(maps.rows) < read or any(new.size < old.size for new, old in runs):
                self.pairing.differ(stage, "channels are left out", grows=False)
            else:
                reason = "groups of channels" if maps.new_groups > 1 else "the channels that it reads"
                self.pairing.differ(stage, f"{node.name}: {reason} do not hold all that they held before")
        everything = set(maps.rows.tolist()) >= set(range(read)) and set(maps.columns.tolist()) >= set(range(made))
        if np.all(maps.columns == FRESH):
            return "fresh"
        return "widened" if everything else "selected"

    def _check_over_channels(self, node: TracedNode, stage: int) -> None:
        """Sums over all channels do not stay what they were where channels are copied."""
        softmax = isinstance(node.op, Activation) and node.op.activation in ("softmax", "log_softmax")
        if node.output in self.pairing.new.outputs or not (softmax or isinstance(node.op, UnitNorm)):
            return  # classes are as many as they were told to be
        twin = self.pairing.twins.get(node)
        rows = np.array([], int) if twin is None else self.pairing.rows(node.output, twin.output)
        if np.bincount(rows - FRESH)[1:].max(initial=0) > 1:
            self.pairing.differ(stage, f"{node.name} divides by a sum over channels, some of which are copied")

    def _check_mean(self, rows: np.ndarray, read: int, stage: int, what: str) -> None:
        """Means over all channels stay what they were only where each channel is there as often as any other."""
        counts = np.bincount(rows[rows != FRESH], minlength=read)
        if (rows == FRESH).any() or counts.min() != counts.max():
            grows = len(rows) >= read
            reason = f"{what} over {len(rows)} channels, which are no multiple of the {read} there were"
            self.pairing.differ(stage, reason if grows else "channels are left out", grows=grows)


def _groups(node: TracedNode) -> int:
    return node.op.groups if isinstance(node.op, Conv) else 1


def _shape(arrays: list[np.ndarray]) -> tuple[int, ...]:
    return tuple(arrays[0].shape) if arrays else ()
