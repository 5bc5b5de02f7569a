"""Which channels belong together: the reader that weights follow when a network grows or shrinks. It needs no Keras.

A layer that mixes channels (a plain or grouped convolution, a dense layer) makes new ones: an *axis*. All others pass
channels on. Some operations tie axes to each other: what happens to a channel of one must happen to its partner.

| operation | what becomes of channels |
|---|---|
| `Conv`, `TransposedConv`, `Dense` | reads all, makes a new axis; a grouped one keeps both sides in groups |
| `Depthwise` | passes them on; `multiplier` filters make runs of copies |
| norms, `Activation`, `Pool`, `Dropout`, ... | passes them on; `GroupNorm` keeps them in groups of several |
| `Add`, `Multiply`, `Merge` | ties those of one image to those of the other, one by one |
| `Concat` | puts them one after the other, each run with its own axis |
| `Flatten` | has them once for each cell |
| `Opaque` | reads all, makes a new axis; nothing is known of what it does, unless it is elementwise |
| `Reuse` | ties what it reads to what its layer read before, and makes the same channels |

Some channels have a number that nothing may change: the images', the outputs', those that an `Opaque` operation reads
or makes, and those that have constants of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from keras_effnet.errors import SpecError
from keras_effnet.network import Network, Pooling, RecordedStage, record_network, run_block
from keras_effnet.ops import (
    Add,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Flatten,
    GroupNorm,
    Merge,
    Mixing,
    Multiply,
    Op,
    Opaque,
    Rescale,
    Reuse,
    Standardize,
    TransposedConv,
    Weighted,
)
from keras_effnet.spec import BackboneSpec


def is_unknown(op: Op | None) -> bool:
    """Whether nothing is known of what an operation computes when the network predicts."""
    return isinstance(op, Opaque) and not (op.inert or op.elementwise)


class Axis:
    """Channels that are made together; two objects are never equal.

    Args:
        size: number of channels.

    `groups` says in how many equal groups grouped convolutions see them. `becomes` holds the runs of other axes that
    they turned out to be: what they are tied to, or the pieces that they are split into.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.groups = 1
        self.becomes: list[Run] | None = None


class Run(NamedTuple):
    """Neighbouring channels of an image: those of an axis in order, each `repeat` times in a row."""

    axis: Axis
    repeat: int = 1

    @property
    def size(self) -> int:
        return self.axis.size * self.repeat


@dataclass(eq=False)
class Value:
    """An image (or a vector) that flows through the network.

    Args:
        runs: runs of channels, as they were known when it was made; `resolved` says what they are now.
        maker: node that made it; None for the image that the network reads.
    """

    runs: tuple[Run, ...]
    # Not shown, as `TracedNode.inputs`: each shows its own, down to the image, and again for every way there.
    maker: TracedNode | None = field(default=None, repr=False)

    @property
    def resolved(self) -> list[Run]:
        """Its channels, as axes that are not tied to others."""
        return resolve(self.runs)

    @property
    def channels(self) -> int:
        return sum(run.size for run in self.runs)


@dataclass(eq=False)
class TracedNode:
    """One operation at one place of a network, with the channels that it reads and makes.

    Args:
        op: the operation.
        name: name of its layer in the Keras model.
        inputs: the images that it reads.
        output: the image that it makes.
    """

    op: Op
    name: str
    inputs: tuple[Value, ...] = field(repr=False)
    output: Value = field(init=False)

    @property
    def has_weights(self) -> bool:
        """Whether its layer has weights."""
        if isinstance(self.op, Standardize):
            return self.op.mean is None
        return isinstance(self.op, Weighted) or (isinstance(self.op, Opaque) and self.op.params > 0)

    @property
    def mixes(self) -> bool:
        """Whether each channel that it makes reads many."""
        return isinstance(self.op, Mixing) or is_unknown(self.op)


@dataclass(eq=False)
class TracedBlock:
    """One block, or what comes before or after all of them.

    Args:
        stage: number of its stage: -1 is the preprocessing, 0 the stem, then come the stages, the head if there is
            one, and the top.
        block: number of the block in its stage, from 0.
        input: the image that it reads.
        nodes: its operations, in the order in which an image goes through them.
        output: the image that it makes.
    """

    stage: int
    block: int
    input: Value
    nodes: list[TracedNode]
    output: Value


@dataclass(eq=False)
class Trace:
    """A network whose channels are tied.

    Args:
        name: name of the network.
        stages: the recorded stages.
        blocks: all blocks, in the order in which an image goes through them.
        inputs: what the network reads.
        outputs: what it makes.
        held: channels whose number nothing may change, and why, in the order in which they were met.
    """

    name: str
    stages: tuple[RecordedStage, ...]
    blocks: list[TracedBlock]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    held: list[tuple[Value, str]]

    @property
    def nodes(self) -> Iterator[TracedNode]:
        """All operations, in order."""
        return (node for block in self.blocks for node in block.nodes)

    @property
    def input(self) -> Value:
        """The image that the network reads, the first of several."""
        return self.inputs[0]

    @property
    def output(self) -> Value:
        """What the network makes, the last of several."""
        return self.outputs[-1]

    def blocks_of(self, stage: int) -> list[TracedBlock]:
        """The blocks of one stage, by its number."""
        return [block for block in self.blocks if block.stage == stage]


def trace_network(
    spec: BackboneSpec,
    *,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
    pooling: Pooling | None = None,
    features: Sequence[str] | None = None,
    output_stride: int | None = None,
) -> Trace:
    """Traces the network that `build_model` would build.

    Args:
        spec: the network.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        include_top: whether the classifier is traced.
        pooling: how features are pooled without the top: "avg", "max" or None.
        features: names of the levels that the network returns; None for one output at its end.
        output_stride: pixels from one cell of the coarsest map to the next: 8, 16, 32, or None.

    Returns:
        The trace.

    Raises:
        SpecError: channels are tied in a way that has no meaning here (see `tie`).

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> trace = trace_network(resnet50_spec)
        >>> sum(isinstance(node.op, Conv) for node in trace.nodes)
        53
    """
    return trace_record(
        record_network(
            spec,
            channels=channels,
            classes=classes,
            include_top=include_top,
            pooling=pooling,
            features=features,
            output_stride=output_stride,
        )
    )


def trace_record(network: Network) -> Trace:
    """Traces a recorded network.

    Args:
        network: the network.

    Returns:
        The trace.

    Raises:
        SpecError: channels are tied in a way that has no meaning here (see `tie`).
    """
    tracer, blocks = Tracer(), []
    values = {image: Value((Run(Axis(image.channels)),)) for image in network.inputs}
    inputs = tuple(values.values())
    for number, stage in enumerate(network.stages, start=-1):
        for index, block in enumerate(stage.blocks):
            tracer.nodes = []
            output = run_block(block, tracer, values)
            blocks.append(TracedBlock(number, index, values[block.input], tracer.nodes, output))
    outputs = tuple(values[node] for node in network.outputs)
    ends = [(value, "the network reads it") for value in inputs] + [(value, "it is an output") for value in outputs]
    return Trace(network.name, network.stages, blocks, inputs, outputs, ends + tracer.held)


def resolve(runs: Sequence[Run]) -> list[Run]:
    """The same channels in runs of axes that are not tied to others."""
    found: list[Run] = []
    for run in runs:
        if run.axis.becomes is None:
            found.append(run)
        else:
            found += resolve([Run(inner.axis, inner.repeat * run.repeat) for inner in run.axis.becomes])
    return found


def tie(left: Value, right: Value, name: str) -> None:
    """Ties the channels of two images, one by one; splits axes where runs end at different places.

    Raises:
        SpecError: copies that a depthwise multiplier made would have to be tied to copies in other runs.
    """
    ours, theirs = left.resolved, right.resolved
    while ours and theirs:
        size = min(ours[0].size, theirs[0].size)
        for runs in (ours, theirs):
            if runs[0].size > size:
                _split(runs[0], size, name)
        ours, theirs = resolve(ours), resolve(theirs)
        if ours[0].size == theirs[0].size:
            _join(ours.pop(0), theirs.pop(0), name)
            # What was joined may stand further on as well.
            ours, theirs = resolve(ours), resolve(theirs)


def _split(run: Run, size: int, name: str) -> None:
    first, rest = divmod(size, run.repeat)
    if rest:
        raise SpecError(
            f"layer {name!r} ties channels in the middle of the filters that a depthwise `multiplier` made of one "
            "channel.",
            received=f"a run of {run.size} channels, {run.repeat} of each, to be cut after {size}",
        )
    run.axis.becomes = [Run(Axis(first)), Run(Axis(run.axis.size - first))]


def _join(left: Run, right: Run, name: str) -> None:
    if left.axis is right.axis and left.repeat == right.repeat:
        return
    if left.repeat == 1:
        tied, whole = left.axis, right
    elif right.repeat == 1:
        tied, whole = right.axis, left
    elif left.repeat == right.repeat:
        tied, whole = left.axis, Run(right.axis)
    else:
        raise SpecError(
            f"layer {name!r} ties filters that depthwise convolutions with different multipliers made.",
            received=f"{left.repeat} and {right.repeat} filters for each channel",
        )
    tied.becomes = [whole]
    if whole.repeat == 1:
        whole.axis.groups = math.lcm(whole.axis.groups, tied.groups)


class Tracer:
    """The reader that follows channels; `nodes` holds what it has read, `held` what must keep its channels, and why."""

    def __init__(self) -> None:
        self.nodes: list[TracedNode] = []
        self.held: list[tuple[Value, str]] = []
        self._first: dict[str, TracedNode] = {}

    def read(self, op: Op, name: str, *inputs: Value) -> Value:
        """Follows the channels through one operation.

        Raises:
            SpecError: it ties channels in a way that has no meaning here (see `tie`).
        """
        node = TracedNode(op, name, inputs)
        self._hold(op, name, inputs)
        if isinstance(op, Reuse):
            first = self._first[name]
            for ours, theirs in zip(inputs, first.inputs, strict=True):
                tie(ours, theirs, name)
            runs = first.output.runs if first.mixes else _runs_behind(op.op, name, *inputs)
        else:
            self._first.setdefault(name, node)
            runs = _runs_behind(op, name, *inputs)
        node.output = Value(runs, node)
        if is_unknown(op):
            self.held.append((node.output, f"{name} is outside the vocabulary"))
        self.nodes.append(node)
        return node.output

    def _hold(self, op: Op, name: str, inputs: tuple[Value, ...]) -> None:
        if is_unknown(op):
            self.held += [(value, f"{name} is outside the vocabulary") for value in inputs]
        constant = isinstance(op, Rescale) and not (isinstance(op.scale, float) and isinstance(op.offset, float))
        if constant or (isinstance(op, Standardize) and op.mean is not None):
            self.held.append((inputs[0], f"{name} has numbers of its own for each channel"))
        if isinstance(op, Add | Multiply | Merge) and len({value.channels for value in inputs}) > 1:
            self.held += [(value, f"{name} has it once for all channels") for value in inputs if value.channels == 1]


def _runs_behind(op: Op, name: str, x: Value, *others: Value) -> tuple[Run, ...]:
    """The channels of what an operation makes."""
    match op:
        case Conv():
            made = Axis(op.width)
            if op.groups > 1:
                made.groups, read = op.groups, x.resolved
                if len(read) == 1 and read[0].repeat == 1:
                    read[0].axis.groups = math.lcm(op.groups, read[0].axis.groups)
            return (Run(made),)
        case Dense() | TransposedConv():
            return (Run(Axis(op.width)),)
        case Opaque() if is_unknown(op):
            return (Run(Axis(op.shape[2])),)
        case Flatten(cells=cells) if cells > 1:
            if op.channels_first:
                return tuple(Run(axis, repeat * cells) for axis, repeat in x.runs)
            return x.runs * cells
        case GroupNorm(instance=False):
            read = x.resolved
            if len(read) == 1 and read[0].repeat == 1:
                read[0].axis.groups = math.lcm(op.groups, read[0].axis.groups)
        case Depthwise():
            return tuple(Run(axis, repeat * op.multiplier) for axis, repeat in x.runs)
        case Concat():
            return (*x.runs, *(run for other in others for run in other.runs))
        case Add() | Multiply() | Merge():
            # What is broadcast over the channels has one.
            whole = max((x, *others), key=lambda value: value.channels)
            for other in (x, *others):
                if other is not whole and other.channels == whole.channels:
                    tie(whole, other, name)
            return whole.runs
    return x.runs
