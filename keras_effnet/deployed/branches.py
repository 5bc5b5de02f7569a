"""Parallel branches merged into one convolution.

Convolutions are linear: the sum of several that read the same image is one, whose kernel is the sum of theirs, each
smaller one padded with zeros to the size of the largest. The image itself is a convolution too, with a one in the
middle of the kernel, and so is BatchNorm of it (RepVGG, Ding et al. 2021, arXiv:2101.03697, section 3.3 and Figure 4).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations
from typing import cast

from keras_effnet.network import Network, Node, RecordedBlock
from keras_effnet.ops import Add, BatchNorm, Conv, Depthwise, Dropout, ZeroPad
from keras_effnet.padding import padding_zeros
from keras_effnet.windows import both, reaches


@dataclass(frozen=True)
class Branch:
    """What a node computes of an image: a convolution, a BatchNorm or nothing at all.

    Args:
        node: the node that makes the branch's output; the image itself if the branch does nothing.
        source: the image.
        rows: rows of zeros that the branch puts (above, below) the image.
        columns: columns of zeros (to the left, to the right).
        dropout: nodes of dropout behind it, which do nothing once the network is trained; the last one first.
    """

    node: Node
    source: Node
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)
    dropout: tuple[Node, ...] = ()

    @property
    def term(self) -> Node:
        """What the sum reads: the last dropout, or else the node itself."""
        return self.dropout[0] if self.dropout else self.node

    @property
    def op(self) -> Conv | Depthwise | BatchNorm | None:
        """The operation; None for the image itself."""
        return None if self.node is self.source else self.node.op  # pyright: ignore[reportReturnType]

    @property
    def kernel(self) -> int:
        return both(self.op.kernel)[0] if isinstance(self.op, Conv | Depthwise) else 1

    @property
    def stride(self) -> int:
        return both(self.op.stride)[0] if isinstance(self.op, Conv | Depthwise) else 1


@dataclass(frozen=True)
class MergedBranch:
    """One branch taken into a convolution beside it.

    Args:
        into: name of the convolution's layer.
        op: the convolution.
        branch: name of the branch's layer; None for the image itself.
        branch_op: the branch's operation; None for the image itself.
        channels: number of channels of the sum.
        place: (row, column) of the branch's kernel in the convolution's.
    """

    into: str
    op: Conv | Depthwise
    branch: str | None
    branch_op: Conv | Depthwise | BatchNorm | None
    channels: int
    place: tuple[int, int]


def merge_network(network: Network) -> tuple[Network, list[MergedBranch]]:
    """Replaces sums of branches that read the same image by one convolution each.

    Args:
        network: the network, with its normalization folded.

    Returns:
        The network with fewer operations, and what was merged, in order.

    Example:
        >>> import keras
        >>> from keras_effnet.reading.read_model import read_model
        >>> pixels = keras.Input((8, 8, 3))
        >>> wide = keras.layers.Conv2D(4, 3, padding="same", name="wide")(pixels)
        >>> point = keras.layers.Conv2D(4, 1, name="point")(pixels)
        >>> merged, merges = merge_network(read_model(keras.Model(pixels, keras.layers.Add(name="sum")([wide, point]))))
        >>> [node.name for node in merged.nodes], merges[0].branch, merges[0].place
        (['wide'], 'point', (1, 1))
    """
    readers = Counter(given for node in network.nodes for given in node.inputs)
    readers.update(network.outputs)
    shared = network.shared
    swapped: dict[Node, Node] = dict(zip(network.inputs, network.inputs, strict=True))
    single: set[Node] = set()  # new nodes that one operation reads
    merges: list[MergedBranch] = []
    blocks: dict[RecordedBlock, RecordedBlock] = {}
    for block in network.blocks:
        nodes: list[Node] = []
        for node in block.nodes:
            made = Node(node.op, node.name, tuple(swapped[each] for each in node.inputs), node.channels)
            if isinstance(node.op, Add):
                made, nodes, more = _summed(made, nodes, single.intersection(nodes))
                merges += more
            nodes.append(made)
            swapped[node] = made
            if readers[node] == 1 and node.name not in shared:
                single.add(made)
        blocks[block] = RecordedBlock(swapped[block.input], nodes, swapped[block.output], block.times)
    stages = tuple(replace(stage, blocks=[blocks[block] for block in stage.blocks]) for stage in network.stages)
    return Network(network.name, network.inputs, tuple(swapped[node] for node in network.outputs), stages), merges


def _summed(total: Node, nodes: list[Node], movable: set[Node]) -> tuple[Node, list[Node], list[MergedBranch]]:
    """A sum, all of whose terms that can be merged are.

    Args:
        total: the sum.
        nodes: what stands before it in its block.
        movable: those of them that nothing else reads.

    Returns:
        The sum of what is left, which is a convolution where that is one; what stands before it then; what was merged.
    """
    terms, merges = list(total.inputs), []
    while pair := _pair(terms, movable):
        made, merge = _merged(*pair)
        merges.append(merge)
        gone = {each for branch in pair for each in branch.dropout}
        gone |= {branch.node for branch in pair if branch.op is not None}
        nodes = [each for each in nodes if each not in gone]
        for branch in pair:
            terms.remove(branch.term)
        if not terms:
            return made, nodes, merges
        nodes.append(made)
        terms.append(made)
        movable = {*movable, made}
    return Node(total.op, total.name, tuple(terms), total.channels), nodes, merges


def _pair(terms: list[Node], movable: set[Node]) -> tuple[Branch, Branch] | None:
    """Two terms of a sum that can be merged, the one with the larger kernel first; None if there are none.

    Args:
        terms: the terms.
        movable: nodes of their block that nothing else reads.
    """
    for first, second in combinations(terms, 2):
        for one in _branches(first, movable):
            for other in _branches(second, movable):
                large, small = (other, one) if _reach(other) > _reach(one) else (one, other)
                if one.source is other.source and _fits(large, small):
                    return large, small
    return None


def _reach(branch: Branch) -> tuple[bool, int]:
    return isinstance(branch.op, Conv | Depthwise), branch.kernel


def _branches(node: Node, movable: set[Node]) -> list[Branch]:
    """How a node can be seen: as an operation on what it reads, and as an image."""
    dropout: list[Node] = []
    while isinstance(node.op, Dropout) and node in movable:
        dropout.append(node)
        node = node.inputs[0]
    return [replace(branch, dropout=tuple(dropout)) for branch in _views(node, movable)]


def _views(node: Node, movable: set[Node]) -> list[Branch]:
    seen = [Branch(node, node)]
    if node not in movable:
        return seen
    match node.op:
        case BatchNorm():
            seen.append(Branch(node, node.inputs[0]))
        case Conv() | Depthwise() as op if _plain(op):
            read = node.inputs[0]
            if isinstance(read.op, ZeroPad) and op.padding == "valid":
                seen.append(Branch(node, read.inputs[0], read.op.rows, read.op.columns))
            # The zeros of other paddings depend on the size of the image where there is a stride.
            elif op.stride == 1 or op.kernel == 1 or op.padding in ("symmetric", "valid"):
                [(kernel, stride), _] = reaches(op)
                zeros = padding_zeros(op.padding, kernel, stride, stride)
                seen.append(Branch(node, read, zeros, zeros))
    return seen


def _plain(op: Conv | Depthwise) -> bool:
    """Whether it is a convolution with a square window, and nothing behind it."""
    square = isinstance(op.kernel, int) and isinstance(op.stride, int) and op.dilation == 1
    return square and (isinstance(op, Depthwise) or op.activation is None)


def _fits(large: Branch, small: Branch) -> bool:
    """Whether the sum of two branches of one image is one convolution."""
    if not isinstance(large.op, Conv | Depthwise) or large.stride != small.stride:
        return False
    if isinstance(small.op, Conv | Depthwise):
        bare, other = (replace(op, kernel=1, padding="valid", bias=False) for op in (large.op, small.op))
        if bare != other:
            return False
    elif isinstance(large.op, Depthwise) and large.op.multiplier > 1:
        return False
    if large.node.channels != small.node.channels:
        return False
    more = large.kernel - small.kernel
    # As many zeros more as the window is larger leave outputs of one size; a sum may also repeat a smaller one.
    same = all(sum(one) - sum(other) == more for one, other in _sides(large, small))
    return same and all(0 <= place <= more for place in _place(large, small))


def _sides(large: Branch, small: Branch) -> tuple[tuple[tuple[int, int], tuple[int, int]], ...]:
    return (large.rows, small.rows), (large.columns, small.columns)


def _place(large: Branch, small: Branch) -> tuple[int, int]:
    """Where the smaller kernel begins in the larger one."""
    rows, columns = ((one[0] - other[0]) for one, other in _sides(large, small))
    return rows, columns


def _merged(large: Branch, small: Branch) -> tuple[Node, MergedBranch]:
    old, op = large.node, cast(Conv | Depthwise, large.op)
    name = None if small.op is None else small.node.name
    merge = MergedBranch(old.name, op, name, small.op, old.channels, _place(large, small))
    return Node(replace(op, bias=True), old.name, old.inputs, old.channels), merge
