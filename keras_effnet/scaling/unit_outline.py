"""What units of a recorded network do, so that two can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from keras_effnet.network import Node
from keras_effnet.ops import (
    Add,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    GlobalPool,
    GroupNorm,
    Mixing,
    Norm,
    Op,
    Opaque,
    Pool,
    Rescale,
    Reuse,
    TransposedConv,
    ZeroPad,
    first_call,
)
from keras_effnet.trace import is_unknown
from keras_effnet.windows import both


def signature_of(op: Op | None) -> Any:
    """What must be alike in two units that are equal: all but what is random when they learn."""
    if isinstance(op, Dropout):
        return Dropout
    return (Opaque, op.params) if isinstance(op, Opaque) else op


def outline(nodes: Sequence[Node]) -> list[tuple[Any, Node]]:
    """What a unit does, without what a first unit may lack or do otherwise: sums, dropout, strides, zeros, widths.

    Args:
        nodes: its operations, in order.

    Returns:
        What is left of each operation that counts, and the operation.
    """
    found: list[tuple[Any, Node]] = []
    readers = Counter(each for node in nodes for each in node.inputs)
    for node in nodes:
        op = node.op
        # A norm may stand beside a convolution, as in RepVGG, where a first unit has none.
        beside = isinstance(op, Norm) and readers[node.inputs[0]] > 1
        if beside or isinstance(op, Add | Dropout | ZeroPad | Rescale | Reuse):
            continue
        if isinstance(op, Conv):
            found.append(((Conv, op.kernel, op.bias, op.activation, op.groups == 1), node))
        elif isinstance(op, Depthwise):
            found.append(((Depthwise, op.kernel, op.bias), node))
        elif isinstance(op, Dense):
            found.append(((Dense, op.activation), node))
        else:
            follows = isinstance(op, Norm | Pool) or (isinstance(op, GroupNorm) and op.instance)
            found.append((type(op) if follows else signature_of(op), node))
    return found


def is_like(nodes: list[Node], wanted: list[tuple[Any, Node]], repeat: list[Node], skips: bool) -> bool:
    """Whether nodes are a first unit of a run: all that the repeats do is done there, in their order.

    Args:
        nodes: the operations that may be a first unit, in order.
        wanted: outline of a repeat.
        repeat: operations of a repeat, in order.
        skips: whether repeats have a skip, beside which a first unit may have a convolution.
    """
    there = outline(nodes)
    if not skips:
        return len(there) == len(wanted) and all(
            one[0] == other[0] and _proportional(one[1], other[1], nodes, repeat)
            for one, other in zip(there, wanted, strict=True)
        )
    left, beside = list(reversed(wanted)), 0
    for kind, node in reversed(there):
        if left and left[0][0] == kind and _proportional(node, left[0][1], nodes, repeat):
            left.pop(0)
        elif node is there[-1][1] or isinstance(node.op, Depthwise):
            return False
        else:
            beside += isinstance(node.op, Mixing)
    return not left and beside <= 1


def _proportional(node: Node, other: Node, nodes: list[Node], repeat: list[Node]) -> bool:
    """Whether two layers make as many channels, in numbers or in proportion to what their units read or make."""
    if _is_gate(node, nodes) or not isinstance(node.op, Mixing) or node.channels == other.channels:
        return True
    ours, theirs = _ends(nodes), _ends(repeat)
    return any(node.channels * b == other.channels * a for a, b in zip(ours, theirs, strict=True))


def _is_gate(node: Node, nodes: list[Node]) -> bool:
    """Whether a layer reads what was pooled over the whole image: its width may have been rounded."""
    inside = set(nodes)
    while node in inside and len(node.inputs) == 1:
        if isinstance(node.op, GlobalPool):
            return True
        node = node.inputs[0]
    return False


def _ends(nodes: list[Node]) -> tuple[int, int]:
    inside = set(nodes)
    given = next(each for node in nodes for each in node.inputs if each not in inside)
    return given.channels, nodes[-1].channels


def describe_unit(nodes: Sequence[Node]) -> str:
    """A unit in a few words: what it is made of, in the order of an image's way.

    Args:
        nodes: its operations.

    Example:
        >>> stem = Node(Conv(8, kernel=3, stride=2), "stem", (), 8)
        >>> describe_unit([stem, Node(Conv(8, kernel=(1, 7)), "wide", (stem,), 8)])
        'Conv 3x3, Conv 1x7'
    """
    words: list[str] = []
    for node in nodes:
        op = first_call(node.op)
        word = ""
        if isinstance(op, Conv | Depthwise | TransposedConv):
            word = f"{type(op).__name__} {'x'.join(map(str, both(op.kernel)))}"
        elif isinstance(op, Dense) or is_unknown(op):
            word = type(op).__name__
        elif isinstance(op, Pool):
            word = f"Pool {op.kind}"
        if word and word not in words:
            words.append(word)
    if len(words) > 4:
        words = [*words[:3], "..."]
    return ", ".join(words) or ", ".join(dict.fromkeys(type(node.op).__name__ for node in nodes[:2]))
