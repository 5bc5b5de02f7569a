"""Which layer of the new network inherits from which of the old one, and which axis from which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.maps import FRESH, Select, block_map, channel_map
from keras_effnet.ops import Norm, Op, Opaque
from keras_effnet.trace import Axis, Trace, TracedBlock, TracedNode, Value


@dataclass(frozen=True)
class Difference:
    """Why the new network does not compute what the old one does.

    Args:
        stage: name of the stage: "stem", "stage 3", "head" or "top".
        reason: text that says what cannot be kept.
        grows: whether something there was to grow; otherwise it was made smaller, and differs on purpose.
    """

    stage: str
    reason: str
    grows: bool


# Fields of an operation that scaling changes, or that make no difference to what a trained network computes.
_MAY_DIFFER = {"width", "height", "groups", "initial", "rate", "per_sample", "keepdims", "op"} | {
    field.name for field in fields(Opaque)
}


Read = Callable[[str], list[np.ndarray]]
"""From the name of a layer to its weights, in Keras' order."""


@dataclass
class Pairing:
    """The old network seen from the new one.

    Args:
        old: trace of the trained network.
        new: trace of the network that inherits.
        read: function from the name of a layer to its weights in the old network.
        select: rule for which channels and blocks a smaller network keeps.
        classes: the old class of each new one, `FRESH` for one that is new; None for the same classes.

    `nodes` names the old layer of each new layer with weights that has one, `twins` the old operation of each new
    operation, `axes` the old axis of each new axis, `added` the new blocks, `differences` what will not be the same.
    """

    old: Trace
    new: Trace
    read: Read
    select: Select = "magnitude"
    classes: np.ndarray | None = None
    nodes: dict[TracedNode, TracedNode] = field(default_factory=dict)
    twins: dict[TracedNode, TracedNode] = field(default_factory=dict)
    axes: dict[Axis, Axis] = field(default_factory=dict)
    added: list[TracedBlock] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._maps: dict[tuple[Axis, Axis], np.ndarray] = {}
        self._makers: dict[Axis, list[TracedNode]] = {}
        for node in self.old.nodes:
            for run in node.output.resolved if node.mixes else ():
                self._makers.setdefault(run.axis, []).append(node)
        _check_alike(self.old, self.new)
        sizes = [_sizes(self.new.blocks_of(stage), self.old.blocks_of(stage)) for stage in self._stages]
        self._shrinks = any(new < old for stage in sizes for new, old in stage)
        self._larger = {
            stage: any(new > old for new, old in found) for stage, found in zip(self._stages, sizes, strict=True)
        }
        for ours, theirs in zip(self.new.inputs, self.old.inputs, strict=True):
            self._pair_values(ours, theirs, "the input", 0)
        for stage in self._stages:
            self._pair_stage(stage)
        if self.classes is not None:
            ours, theirs = self.new.output.resolved[0].axis, self.old.output.resolved[0].axis
            self._maps[ours, theirs] = self.classes

    @property
    def _stages(self) -> range:
        return range(-1, len(self.new.stages) - 1)

    @property
    def preprocesses(self) -> bool:
        """Whether the networks preprocess pixels themselves."""
        return bool(self.old.blocks[0].nodes)

    def stage_name(self, stage: int) -> str:
        """The name of a stage, by its number; the preprocessing counts as part of the stem."""
        return self.new.stages[max(stage, 0) + 1].name

    def differ(self, stage: int, reason: str, grows: bool = True) -> None:
        """Notes a difference, once.

        Args:
            stage: number of the stage.
            reason: why it does not compute what it did.
            grows: whether what differs may have grown. It has if its stage is larger anywhere, or the network smaller
                nowhere: what shrinks loses strides, skips and channels on purpose.
        """
        grows = grows and (self._larger[max(stage, 0)] or not self._shrinks)
        found = Difference(self.stage_name(stage), reason, grows)
        if found not in self.differences:
            self.differences.append(found)

    def _pair_stage(self, stage: int) -> None:
        old, new = self.old.blocks_of(stage), self.new.blocks_of(stage)
        scores = None
        if self.select == "magnitude" and len(new) < len(old):
            scores = np.array([self._block_score(section) for section in old])
        late = self.new.stages[stage + 1].strides_last
        numbers = block_map(len(old), len(new), strides_last=late, select=self.select, scores=scores)
        if len(new) < len(old):
            self.differ(stage, f"{len(old) - len(new)} of {len(old)} blocks are left out", grows=False)
        for section, number in zip(new, numbers, strict=True):
            if number is None:
                self.added.append(section)
            else:
                self._pair_section(section, old[number])

    def _pair_section(self, new: TracedBlock, old: TracedBlock) -> None:
        if _wiring(new) == _wiring(old):
            for ours, theirs in zip(new.nodes, old.nodes, strict=True):
                self._compare(ours, theirs, new.stage)
            pairs = list(zip(new.nodes, old.nodes, strict=True))
        else:
            self.differ(new.stage, f"block {new.block + 1} has other connections than it had, such as a skip")
            pairs = _aligned(new.nodes, old.nodes)
        for ours, theirs in pairs:
            self.twins[ours] = theirs
            if ours.has_weights:
                self.nodes[ours] = theirs
            if ours.mixes:
                self._pair_values(ours.output, theirs.output, ours.name, new.stage)

    def _compare(self, new: TracedNode, old: TracedNode, stage: int) -> None:
        if isinstance(new.op, Norm):
            if new.op != old.op:
                self.differ(stage, f"`norm` of {new.name} was {old.op!r} and is {new.op!r}")
            return
        for option in _options(new.op):
            before, value = getattr(old.op, option), getattr(new.op, option)
            if value == before:
                continue
            if option in ("kernel", "multiplier", "bias"):
                raise InheritanceError(
                    f"weights cannot follow into another `{option}`: {old.name!r} of {self.stage_name(stage)} had "
                    f"{before!r}. Give a spec of the same blocks at other widths and depths.",
                    received=f"{option}={value!r}",
                )
            self.differ(stage, f"`{option}` of {new.name} was {before!r} and is {value!r}")

    def _pair_values(self, new: Value, old: Value, name: str, stage: int) -> None:
        ours, theirs = new.resolved, old.resolved
        if [run.repeat for run in ours] != [run.repeat for run in theirs]:
            # Where a stage of concatenated channels loses a block, or a skip, those behind it are tied to fewer.
            self.differ(stage, f"the channels of {name} are tied to those of other layers than they were")
        for run, before in zip(ours, theirs, strict=False):
            if run.repeat == before.repeat:
                self.axes.setdefault(run.axis, before.axis)

    def pass_on(self, new: Value, to: Value) -> None:
        """Says that the channels of `to` are those of `new`, one by one."""
        for run, made in zip(new.resolved, to.resolved, strict=False):
            if run.axis in self.axes and run.size == made.size:
                self.axes.setdefault(made.axis, self.axes[run.axis])

    def map_of(self, new: Axis, old: Axis) -> np.ndarray:
        """The old channel of each channel of an axis."""
        if (new, old) not in self._maps:
            groups = {"old_groups": old.groups, "new_groups": new.groups}
            shrinks = new.size < old.size or new.size // new.groups < old.size // old.groups
            scores = self._channel_scores(old) if self.select == "magnitude" and shrinks else None
            self._maps[new, old] = channel_map(old.size, new.size, **groups, select=self.select, scores=scores)
        return self._maps[new, old]

    def _channel_scores(self, axis: Axis) -> np.ndarray | None:
        """Of each channel of an old axis: sums of absolute kernel values, in shares of each layer's mean."""
        found = np.zeros(axis.size)
        for node in self._makers.get(axis, []):
            if not isinstance(node.op, Opaque) and node.output.channels == axis.size:
                sums = np.abs(self.read(node.name)[0]).reshape(-1, axis.size).sum(axis=0)
                found += sums / max(sums.mean(), np.finfo(np.float32).tiny)
        return found if found.any() else None

    def _block_score(self, section: TracedBlock) -> float:
        """Of an old block: the mean absolute value of its kernels."""
        kernels = [self.read(node.name)[0] for node in section.nodes if node.mixes and not isinstance(node.op, Opaque)]
        return float(np.mean([np.abs(kernel).mean() for kernel in kernels])) if kernels else 0.0

    def rows(self, new: Value, old: Value) -> np.ndarray:
        """The old channel of each channel of an image; `FRESH` where it has none."""
        starts, start = [], 0
        for run in old.resolved:
            starts.append((run, start))
            start += run.size
        found = []
        for run in new.resolved:
            place = next((i for i, (before, _) in enumerate(starts) if self._inherits(run, before)), None)
            if place is None:
                found.append(np.full(run.size, FRESH))
                continue
            before, start = starts.pop(place)
            channels = self.map_of(run.axis, before.axis)
            copies = channels[:, None] * run.repeat + np.arange(run.repeat)
            found.append(start + copies.ravel())
        return np.concatenate(found)

    def rows_of_outputs(self) -> list[np.ndarray]:
        """The same for each output of the networks."""
        return [self.rows(*pair) for pair in zip(self.new.outputs, self.old.outputs, strict=True)]

    def note_levels(self, names: Sequence[str]) -> None:
        """Notes which levels lack channels that they had, once it is known what new blocks hand on.

        Args:
            names: names of the levels that both networks return.
        """
        for name, old, rows in zip(names, self.old.outputs, self.rows_of_outputs(), strict=True):
            if not set(range(old.channels)) <= set(rows.tolist()):
                stage = next(block.stage for block in self.old.blocks if old.maker in block.nodes)
                self.differ(stage, f"level {name} lacks channels that it had", grows=len(rows) >= old.channels)

    def _inherits(self, new: Any, old: Any) -> bool:
        return self.axes.get(new.axis) is old.axis and new.repeat == old.repeat


def _sizes(new: Sequence[TracedBlock], old: Sequence[TracedBlock]) -> list[tuple[int, int]]:
    """Depth and widths of a stage in both networks."""
    found = [(len(new), len(old))]
    for ours, theirs in zip(new, old, strict=False):
        found += [(ours.input.channels, theirs.input.channels), (ours.output.channels, theirs.output.channels)]
        made = [[node.output.channels for node in block.nodes] for block in (ours, theirs)]
        # Where one has a layer that the other has not, such as a shortcut's, the widest are compared.
        alike = len(made[0]) == len(made[1])
        found += zip(*made, strict=True) if alike else [(max(made[0], default=0), max(made[1], default=0))]
    return found


def _options(op: Op) -> list[str]:
    """What two layers of one kind must have alike, so that one can compute what the other does."""
    return [field.name for field in fields(op) if field.name not in _MAY_DIFFER]


def _check_alike(old: Trace, new: Trace) -> None:
    """Raises InheritanceError unless both networks have the same kinds of blocks in the same order."""
    kinds = [[stage.kind for stage in trace.stages[1:]] for trace in (old, new)]
    if kinds[0] != kinds[1]:
        raise InheritanceError(
            f"weights follow into networks of the same blocks: {old.name!r} has {', '.join(kinds[0])}. Give a spec "
            "that was scaled from the same base.",
            received=f"{new.name!r} with {', '.join(kinds[1])}",
        )


def _kind(op: Op) -> object:
    """Operations of one kind can inherit from each other."""
    return Norm if isinstance(op, Norm) else type(op)


def _wiring(section: TracedBlock) -> list[tuple[object, tuple[int, ...]]]:
    """Operations and what they read, as numbers in the block; -1 is the block's input."""
    numbers = {node.output: number for number, node in enumerate(section.nodes)}
    return [(_kind(node.op), tuple(numbers.get(value, -1) for value in node.inputs)) for node in section.nodes]


def _aligned(new: list[TracedNode], old: list[TracedNode]) -> list[tuple[TracedNode, TracedNode]]:
    """Layers with weights in their order, as far as they are of one kind."""
    ours, theirs = ([node for node in nodes if node.has_weights] for nodes in (new, old))
    kinds = [
        [(_kind(n.op), getattr(n.op, "kernel", None), getattr(n.op, "bias", None)) for n in nodes]
        for nodes in (ours, theirs)
    ]
    blocks = SequenceMatcher(None, kinds[0], kinds[1], autojunk=False).get_matching_blocks()
    return [(ours[b.a + i], theirs[b.b + i]) for b in blocks for i in range(b.size)]
