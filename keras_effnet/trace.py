"""Which channels belong together: the reader that weights follow when a network grows or shrinks. It needs no Keras.

A layer that mixes channels (a plain or grouped convolution, a dense layer) makes new ones: an *axis*. All others pass
channels on. Some verbs tie axes to each other, so that what happens to a channel of one must happen to its partner:

| verb | what becomes of channels |
|---|---|
| `conv`, `dense` | read all, make a new axis; a grouped one keeps both sides in groups |
| `depthwise`, `norm`, `scale`, `act`, `pool`, `dropout`, ... | pass them on; `multiplier` filters make runs of copies |
| `add`, `mul` | tie those of one image to those of the other, one by one |
| `concat` | put them one after the other, each run with its own axis |
| `layer` | reads all, makes a new axis; nothing is known of what it does |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from keras_effnet.errors import SpecError
from keras_effnet.network import Pooling, read_network
from keras_effnet.ops import BatchNorm, Norm, Ops, Padding, PoolKind
from keras_effnet.spec import BackboneSpec


class Axis:
    """Channels that are made together; two objects are never equal.

    Args:
        size: how many they are.

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
        runs: its channels, as they were known when it was made; `resolved` says what they are.
        maker: the node that made it; None for the image that the network reads.
    """

    runs: tuple[Run, ...]
    maker: Node | None = None

    @property
    def resolved(self) -> list[Run]:
        """Its channels, as axes that are not tied to others."""
        return resolve(self.runs)

    @property
    def channels(self) -> int:
        return sum(run.size for run in self.runs)


@dataclass(eq=False)
class Node:
    """One verb at one place of a network.

    Args:
        verb: of `keras_effnet.ops`.
        name: of the layer in the Keras model.
        inputs: what it reads.
        options: the verb's other arguments.
        output: what it makes.
    """

    verb: str
    name: str
    inputs: tuple[Value, ...]
    options: dict[str, Any] = field(default_factory=dict)
    output: Value = field(init=False)

    @property
    def has_weights(self) -> bool:
        if self.verb == "standardize":
            return self.options["mean"] is None
        return self.verb in ("conv", "depthwise", "dense", "norm", "scale") or self.options.get("params", 0) > 0

    @property
    def mixes(self) -> bool:
        """Whether each channel that it makes reads many."""
        return self.verb in ("conv", "dense", "layer")


@dataclass(eq=False)
class Section:
    """One block, or what comes before or after all of them.

    Args:
        part: number of the block's stage: 0 is the stem; the head follows the stages. What comes before the stem has
            -1, the classifier the number after the last.
        block: number of the block in its stage.
        input: what it reads.
        nodes: in the order in which an image goes through them.
        output: what it makes.
    """

    part: int
    block: int
    input: Value
    nodes: list[Node] = field(default_factory=list)
    output: Value = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.input


@dataclass(eq=False)
class Trace:
    """A network as a graph of verbs whose channels are tied.

    Args:
        spec: the network.
        sections: in the order in which an image goes through them.
    """

    spec: BackboneSpec
    sections: list[Section]

    @property
    def nodes(self) -> list[Node]:
        return [node for section in self.sections for node in section.nodes]

    @property
    def input(self) -> Value:
        return self.sections[0].input

    @property
    def output(self) -> Value:
        return self.sections[-1].output

    def blocks(self, part: int) -> list[Section]:
        """The sections of one part."""
        return [section for section in self.sections if section.part == part]


def trace_network(
    spec: BackboneSpec,
    *,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
    pooling: Pooling | None = None,
) -> Trace:
    """Reads a network into a graph.

    Args:
        spec: the network.
        channels: of the image.
        classes: of the classifier.
        include_top: whether the classifier is read.
        pooling: without top, "avg", "max" or None.

    Returns:
        The graph.

    Raises:
        SpecError: channels are tied in a way that has no meaning here (see `Tracer`).

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> trace = trace_network(resnet50_spec)
        >>> len([node for node in trace.nodes if node.verb == "conv"])
        53
    """
    image = Value((Run(Axis(channels)),))
    tracer = Tracer(image)
    read_network(spec, tracer, image, include_top=include_top, pooling=pooling, classes=classes)
    return Trace(spec, tracer.sections)


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
            f"channel. Received: a run of {run.size} channels, {run.repeat} of each, to be cut after {size}"
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
            f"layer {name!r} ties filters that depthwise convolutions with different multipliers made. "
            f"Received: {left.repeat} and {right.repeat} filters for each channel"
        )
    tied.becomes = [whole]
    if whole.repeat == 1:
        whole.axis.groups = math.lcm(whole.axis.groups, tied.groups)


class Tracer(Ops[Value]):
    """The reader that follows channels; `sections` holds what it read.

    Args:
        image: what the network reads.
    """

    def __init__(self, image: Value) -> None:
        self.sections = [Section(-1, 0, image)]

    def stage(
        self, x: Value, block: Callable[[int, Value], Value], *, depth: int, repeated: range, operator: str
    ) -> Value:
        part = self.sections[-1].part
        if part >= 0:
            self.sections.pop()  # not the classifier yet
        else:
            part = 0
        for index in range(depth):
            self.sections.append(Section(part, index, x))
            x = block(index, x)
            self.sections[-1].output = x
        self.sections.append(Section(part + 1, 0, x))
        return x

    def _add(self, verb: str, name: str, inputs: tuple[Value, ...], runs: Sequence[Run], **options: Any) -> Value:
        node = Node(verb, name, inputs, options)
        node.output = self.sections[-1].output = Value(tuple(runs), node)
        self.sections[-1].nodes.append(node)
        return node.output

    def channels(self, x: Value) -> int:
        return x.channels

    def size(self, x: Value) -> tuple[int | None, int | None]:
        return None, None

    def conv(
        self,
        x: Value,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = False,
        activation: str | None = None,
        name: str,
    ) -> Value:
        made, read = Axis(width), x.resolved
        if groups > 1:
            made.groups = groups
            if len(read) == 1 and read[0].repeat == 1:
                read[0].axis.groups = math.lcm(groups, read[0].axis.groups)
        options = {"kernel": kernel, "stride": stride, "padding": padding, "groups": groups, "bias": bias}
        return self._add("conv", name, (x,), [Run(made)], **options, activation=activation)

    def depthwise(
        self,
        x: Value,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding = "same",
        multiplier: int = 1,
        bias: bool = False,
        name: str,
    ) -> Value:
        runs = [Run(axis, repeat * multiplier) for axis, repeat in x.runs]
        options = {"kernel": kernel, "stride": stride, "padding": padding, "multiplier": multiplier, "bias": bias}
        return self._add("depthwise", name, (x,), runs, **options)

    def dense(self, x: Value, width: int, *, activation: Any = None, name: str) -> Value:
        return self._add("dense", name, (x,), [Run(Axis(width))], activation=activation, bias=True)

    def norm(self, x: Value, norm: Norm, *, name: str) -> Value:
        return self._add("norm", name, (x,), x.runs, norm=norm, batch=isinstance(norm, BatchNorm))

    def scale(self, x: Value, initial: float, *, name: str) -> Value:
        return self._add("scale", name, (x,), x.runs)

    def act(self, x: Value, activation: Any, *, name: str) -> Value:
        return self._add("act", name, (x,), x.runs, activation=activation)

    def pool(
        self, x: Value, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> Value:
        return self._add("pool", name, (x,), x.runs, kernel=kernel, stride=stride, kind=kind, padding=padding)

    def global_pool(self, x: Value, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> Value:
        return self._add("global_pool", name, (x,), x.runs, kind=kind)

    def add(self, x: Value, y: Value, *, name: str) -> Value:
        tie(x, y, name)
        return self._add("add", name, (x, y), x.runs)

    def mul(self, x: Value, y: Value, *, name: str) -> Value:
        tie(x, y, name)
        return self._add("mul", name, (x, y), x.runs)

    def concat(self, x: Value, y: Value, *, name: str) -> Value:
        return self._add("concat", name, (x, y), (*x.runs, *y.runs))

    def dropout(self, x: Value, rate: float, *, per_sample: bool = False, name: str) -> Value:
        # Without a rate there is no layer. A node either way, so that networks that differ in it alone are alike.
        return self._add("dropout", name, (x,), x.runs)

    def flatten(self, x: Value, *, name: str) -> Value:
        return self._add("flatten", name, (x,), x.runs)

    def rescale(self, x: Value, scale: float, offset: float, *, name: str) -> Value:
        return self._add("rescale", name, (x,), x.runs, scale=scale, offset=offset)

    def standardize(
        self, x: Value, *, mean: Sequence[float] | None = None, variance: Sequence[float] | None = None, name: str
    ) -> Value:
        return self._add("standardize", name, (x,), x.runs, mean=mean, variance=variance)

    def layer(
        self,
        x: Value,
        make: Callable[[str], Any],
        *,
        shape: tuple[int, int, int],
        params: int = 0,
        trainable_params: int = 0,
        macs: int = 0,
        name: str,
    ) -> Value:
        return self._add("layer", name, (x,), [Run(Axis(shape[2]))], params=params)
