"""Where a recorded network can become deeper: runs of equal units, found in its graph alone.

A *segment* is the smallest part of the network that reads one image, which nothing behind it reads, and makes one. A
*unit* is one segment or several in a row that keep the size of the image, so that it can stand there once more. A *run*
is a first unit, which may change size and channels, and its repeats: what papers count as the layers of a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras_effnet.counting import Shape
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage
from keras_effnet.ops import (
    Add,
    Concat,
    Conv,
    Depthwise,
    Mixing,
    Op,
    Opaque,
    Rescale,
    Resize,
    Standardize,
    TransposedConv,
    UpSample,
    Window,
    ZeroPad,
)
from keras_effnet.scaling.unit_outline import describe_unit, is_like, outline, signature_of
from keras_effnet.trace import is_unknown

# Segments in a unit: a block without a skip that expands, filters, gates and projects has 14.
_MOST_SEGMENTS = 16
_AFTER_ALL = 1 << 60
_ENLARGES = (UpSample, TransposedConv, Resize)


@dataclass(frozen=True, eq=False)
class Cut:
    """A network cut into runs.

    Args:
        network: the network, one stage for each run and for what stands between runs; each unit is a block.
        fixed: why a stage cannot become deeper, by its number; runs are not in it.
    """

    network: Network
    fixed: Mapping[int, str]


@dataclass(eq=False)
class _Segment:
    """Part of a network.

    Args:
        nodes: its nodes, in order.
        given: the one node outside it that it reads; None if it reads several.
        signature: what its operations are and read, whatever the channels of what it reads.
    """

    nodes: list[Node]
    given: Node | None
    signature: Any

    @property
    def made(self) -> Node:
        return self.nodes[-1]


@dataclass(frozen=True)
class _Run:
    """Where a run stands among the segments.

    Args:
        starts: number of the first segment of each unit.
        stop: number of the segment behind the last unit.
        strides_last: whether the last unit makes the image smaller, as in Keras' ResNetV2.
    """

    starts: tuple[int, ...]
    stop: int
    strides_last: bool = False


def cut_network(network: Network, shapes: Mapping[Node, Shape]) -> Cut:
    """Cuts a network into runs of equal units, and what stands between them.

    Args:
        network: a recorded network, however it is cut.
        shapes: shape of what each node makes.

    Returns:
        The same nodes, cut anew.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.counting import network_shapes
        >>> from keras_effnet.network import record_network
        >>> network = record_network(resnet50_spec)
        >>> cut = cut_network(network, network_shapes(network, Shape(224, 224, 3)))
        >>> [stage.depth for number, stage in enumerate(cut.network.stages) if number not in cut.fixed]
        [3, 4, 6, 3]
    """
    return _Cutter(network, shapes).cut()


class _Cutter:
    def __init__(self, network: Network, shapes: Mapping[Node, Shape]) -> None:
        self.network = network
        self.shapes = shapes
        self.nodes = list(network.nodes)
        self.place = {node: number for number, node in enumerate(self.nodes)}
        self.last_read: dict[Node, int] = {}
        for number, node in enumerate(self.nodes):
            self.last_read.update(dict.fromkeys(node.inputs, number))
        self.last_read.update(dict.fromkeys(network.outputs, _AFTER_ALL))
        self.shared = network.shared
        start = next((i for i, node in enumerate(self.nodes) if not _is_preprocessing(node.op)), len(self.nodes))
        self.front = self.nodes[:start]
        self.segments = list(self._segments(start))

    def cut(self) -> Cut:
        runs, number = [], 0
        while number < len(self.segments):
            run = self._run_at(number, runs[-1].stop if runs else 0)
            if run is None:
                number += 1
            else:
                runs.append(run)
                number = run.stop
        image = self.network.inputs[0]
        front = RecordedBlock(image, self.front, self.front[-1] if self.front else image)
        stages, fixed = [RecordedStage("input", "Preprocessing", "", [front])], {0: "it reads the pixels"}
        before = 0
        for run in (*runs, None):
            for part in self._between(before, len(self.segments) if run is None else run.starts[0]):
                fixed[len(stages)] = self._reason(part)
                stages.append(self._stage(len(stages), [part]))
            if run is not None:
                ends = (*run.starts[1:], run.stop)
                units = [self._nodes(start, end - start) for start, end in zip(run.starts, ends, strict=True)]
                stages.append(self._stage(len(stages), units, run.strides_last))
                before = run.stop
        return Cut(replace(self.network, stages=tuple(stages)), fixed)

    def _stage(self, number: int, units: list[list[Node]], strides_last: bool = False) -> RecordedStage:
        blocks = []
        for unit in units:
            inside = set(unit)
            given = [each for node in unit for each in node.inputs if each not in inside]
            blocks.append(RecordedBlock(given[0], unit, unit[-1]))
        return RecordedStage(f"stage {number}", describe_unit(units[-1]), "", blocks, strides_last)

    def _between(self, start: int, stop: int) -> list[list[Node]]:
        """What no run holds, apart where the size of the image changes."""
        parts: list[list[Node]] = []
        for segment in self.segments[start:stop]:
            size = self.shapes[segment.made][:2]
            if parts and self.shapes[parts[-1][-1]][:2] == size:
                parts[-1] += segment.nodes
            else:
                parts.append(list(segment.nodes))
        return parts

    def _reason(self, part: list[Node]) -> str:
        if any(is_unknown(node.op) for node in part):
            return "it has layers outside the vocabulary"
        if not any(isinstance(node.op, Mixing) for node in part):
            return "it has no layer with a kernel"
        if any(node in part for node in self.network.outputs):
            return "it makes an output"
        return "nothing in it is repeated"

    def _segments(self, start: int) -> Any:
        while start < len(self.nodes):
            stop, given = self._segment_end(start)
            if any(isinstance(node.op, _ENLARGES) for node in self.nodes[start:stop]):
                # The way down and up again of a U-Net: what is repeated stands inside.
                stop, given = start + 1, None
            nodes = self.nodes[start:stop]
            yield _Segment(nodes, given, self._signature(nodes, given))
            start = stop

    def _segment_end(self, start: int) -> tuple[int, Node | None]:
        given: set[Node] = set()
        for number in range(start, len(self.nodes)):
            given |= {each for each in self.nodes[number].inputs if self.place.get(each, -1) < start}
            if len(given) > 1:
                break
            [read] = given
            escaping = [
                node for node in self.nodes[start : number + 1] if self.last_read.get(node, _AFTER_ALL) > number
            ]
            if self.last_read[read] <= number and escaping == [self.nodes[number]]:
                return number + 1, read
        return start + 1, None

    def _signature(self, nodes: list[Node], given: Node | None) -> Any:
        numbers = {node: number for number, node in enumerate(nodes)}
        return tuple((signature_of(node.op), tuple(numbers.get(each, -1) for each in node.inputs)) for node in nodes)

    def _run_at(self, number: int, free: int) -> _Run | None:
        """The run whose first repeat (or first unit, if that is an equal one) begins at a segment."""
        for size in range(1, _MOST_SEGMENTS + 1):
            run = self._run_of(number, size, free)
            if run is None:
                continue
            # Units in a row can be told to begin at each of their segments: where there are most of them, they do.
            turned = (self._run_of(start, size, free) for start in range(number + 1, number + size))
            return max((run, *filter(None, turned)), key=lambda each: (len(each.starts), -each.starts[0]))
        return None

    def _run_of(self, number: int, size: int, free: int) -> _Run | None:
        """The run whose first repeat begins at a segment, with units of so many segments."""
        if number + size > len(self.segments) or not self._is_unit(number, size):
            return None
        starts, stop = [number], number + size
        while self._equal(number, stop, size) and self._keeps(stop, size):
            starts.append(stop)
            stop += size
        first = self._first_unit(number, size, free) if self._keeps(number, size) else None
        starts = starts if first is None else [first, *starts]
        if len(starts) > 1 and self._strides_last(number, stop, size):
            return _Run((*starts, stop), stop + size, strides_last=True)
        return _Run(tuple(starts), stop) if len(starts) > 1 else None

    def _strides_last(self, number: int, stop: int, size: int) -> bool:
        """Whether the unit behind the repeats is like them, but makes the image smaller, and none like them follows."""
        segments = self.segments[stop : stop + size]
        if len(segments) < size or any(segment.given is None for segment in segments):
            return False
        nodes, repeat = self._nodes(stop, size), self._nodes(number, size)
        x, y = self.shapes[segments[0].given], self.shapes[segments[-1].made]  # pyright: ignore[reportArgumentType]
        smaller = x.channels == y.channels and x[:2] != y[:2] and not self._equal(number, stop + size, size)
        skips = any(isinstance(node.op, Add) for node in repeat)
        return smaller and skips and is_like(nodes, outline(repeat), repeat, skips)

    def _nodes(self, number: int, size: int) -> list[Node]:
        return [node for segment in self.segments[number : number + size] for node in segment.nodes]

    def _is_unit(self, number: int, size: int) -> bool:
        """Whether segments can be a unit: they begin with a kernel or end with a sum, and have nothing shared."""
        segments, nodes = self.segments[number : number + size], self._nodes(number, size)
        whole = all(segment.given is not None for segment in segments) and any(
            isinstance(node.op, Mixing) for node in nodes
        )
        if not whole or any(is_unknown(node.op) or node.name in self.shared for node in nodes):
            return False
        inside = set(nodes)
        if any(node in inside for node in self.network.outputs):
            return False
        # A unit that begins with what only changes numbers could begin one step later: that one is taken.
        begins = any(isinstance(node.op, Mixing | Window | ZeroPad) for node in segments[0].nodes)
        return begins or not self._could_turn(number, size)

    def _could_turn(self, number: int, size: int) -> bool:
        stop = number + size
        return stop < len(self.segments) and self.segments[stop].signature == self.segments[number].signature

    def _equal(self, number: int, other: int, size: int) -> bool:
        ours, theirs = self.segments[number : number + size], self.segments[other : other + size]
        same = [segment.signature for segment in ours] == [segment.signature for segment in theirs]
        return same and not any(node in segment.nodes for segment in theirs for node in self.network.outputs)

    def _keeps(self, number: int, size: int) -> bool:
        """Whether what segments make could be read by the same segments: of one size, with no fewer channels."""
        given, made = self.segments[number].given, self.segments[number + size - 1].made
        if given is None:
            return False
        x, y = self.shapes[given], self.shapes[made]
        strides = any(
            isinstance(node.op, Conv | Depthwise) and node.op.stride != 1 for node in self._nodes(number, size)
        )
        grows = isinstance(made.op, Concat) and y.channels > x.channels  # DenseNet: all read more than the one before
        return x[:2] == y[:2] and (x.channels == y.channels or grows) and not strides

    def _first_unit(self, number: int, size: int, free: int) -> int | None:
        """Where the unit before the repeats begins: like them, but for strides and what stands beside a skip."""
        repeat = self._nodes(number, size)
        wanted = outline(repeat)
        skips = any(isinstance(node.op, Add) for node in repeat)
        nodes: list[Node] = []
        for start in range(number - 1, free - 1, -1):
            segment = self.segments[start]
            nodes = segment.nodes + nodes
            if segment.given is None or len(nodes) > 2 * len(repeat) + 4:
                return None
            if is_like(nodes, wanted, repeat, skips):
                return None if self._is_image(segment.given) else start
        return None

    def _is_image(self, node: Node) -> bool:
        """Whether a node is the image, with zeros around it perhaps: what reads it is a stem."""
        while isinstance(node.op, ZeroPad):
            [node] = node.inputs
        return node.op is None or node in self.front


def _is_preprocessing(op: Op | None) -> bool:
    return isinstance(op, Rescale | Standardize) or (isinstance(op, Opaque) and op.inert)
