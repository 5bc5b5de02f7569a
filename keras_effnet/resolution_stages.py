"""Stages for a network that has none of its own: they begin where the resolution changes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from keras_effnet.counting import Shape
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage
from keras_effnet.ops import (
    Activation,
    BatchNorm,
    Conv,
    Crop,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    Op,
    Opaque,
    Pool,
    Resize,
    TransposedConv,
    UpSample,
    ZeroPad,
    first_call,
)
from keras_effnet.windows import both

# Number of the stage of vectors, behind those of all images.
_VECTORS = 1_000_000
# Operations that count as layers of a stage: those with multiply-adds, or with some that nobody knows.
_LAYERED = frozenset({Conv, TransposedConv, Depthwise, Dense, Opaque})
# The most frequent operations that leave an image at its size.
_STILL = frozenset({BatchNorm, Activation, Dropout})
_BORDERS = frozenset({ZeroPad, Crop})


def cut_by_resolution(network: Network, shapes: Mapping[Node, Shape]) -> Network:
    """Cuts a network into stages where its resolution changes.

    A strided window, an enlargement or a resizing begins a stage; zeros around an image, a cut border and a window
    without zeros do not. What becomes of an image once it is a vector is the top. A side branch that comes back, such
    as squeeze-and-excitation, belongs to the stage that it comes back to.

    Args:
        network: a network whose stages do not matter, such as `read_model` gives.
        shapes: shape of each input, and of what each operation makes.

    Returns:
        The same operations, in an order in which those of a stage stand together. A stage has a block for each
        convolution and dense layer, with what follows it.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.counting import count_nodes
        >>> from keras_effnet.network import record_network
        >>> network = record_network(resnet50_spec)
        >>> shapes = {node: cost.shape for node, cost in count_nodes(network, Shape(224, 224, 3)).items()}
        >>> cut = cut_by_resolution(network, shapes)
        >>> [(stage.name, stage.operator, stage.depth) for stage in cut.stages]  # doctest: +NORMALIZE_WHITESPACE
        [('stage 1', 'Conv, k7x7', 1), ('stage 2', 'Conv, k1x1, k3x3', 10), ('stage 3', 'Conv, k1x1, k3x3', 13),
         ('stage 4', 'Conv, k1x1, k3x3', 19), ('stage 5', 'Conv, k1x1, k3x3', 10), ('top', 'Pooling & FC', 1)]
    """
    first, vectors = _first_numbers(network, shapes)
    final = _joined_branches(network, first)
    nodes = list(network.nodes)
    numbers = sorted({final[node] for node in nodes})
    groups: dict[int, list[Node]] = {number: [] for number in numbers}
    for node in nodes:
        groups[final[node]].append(node)
    for number, following in pairwise(numbers):
        if not any(_layered(node) for node in groups[number]):
            # Preprocessing belongs to the stem, and a pooling to what comes next.
            groups[following] = [*groups.pop(number), *groups[following]]
    stages, read = [], network.inputs[0]
    for place, (number, nodes) in enumerate(groups.items(), start=1):
        trunk = [node for node in nodes if first[node] == number]
        blocks = _blocks(read, nodes, trunk[-1])
        read = blocks[-1].output
        last = place == len(groups) > 1 and read in vectors
        stages.append(RecordedStage("top" if last else f"stage {place}", describe(trunk), "", blocks))
    return Network(network.name, network.inputs, network.outputs, tuple(stages))


def _layered(node: Node) -> bool:
    return type(first_call(node.op)) in _LAYERED


def _first_numbers(network: Network, shapes: Mapping[Node, Shape]) -> tuple[dict[Node, int], set[Node]]:
    """The number of the stage of each node if side branches were stages, too; and the nodes that make vectors."""
    vectors = {node for node in network.inputs if shapes[node][:2] == (1, 1)}
    found = {node: _VECTORS if node in vectors else 0 for node in network.inputs}
    for node in network.nodes:
        op, given = first_call(node.op), node.inputs[0]
        if type(op) in _STILL:
            found[node] = found[given]
            if given in vectors:
                vectors.add(node)
            continue
        x, y = shapes[given], shapes[node]
        vector = y[:2] == (1, 1) and all(each in vectors for each in node.inputs)
        number = found[given]
        if len(node.inputs) > 1:
            # Of several inputs those count that are as the output is: not what is broadcast over them.
            alike = [each for each in node.inputs if (each in vectors) == vector and shapes[each][:2] == y[:2]]
            number = max([found[each] for each in alike or node.inputs])
        if _takes_all(op, x, y):
            vector, number = True, max(number + (given not in vectors), _VECTORS)
        elif _changes(op, x, y):
            number += 1
        found[node] = number
        if vector:
            vectors.add(node)
    return found, vectors


def _takes_all(op: Op, x: Shape, y: Shape) -> bool:
    """Whether an operation makes a vector of a whole image, or a window or a layer without a word one cell."""
    if y[:2] != (1, 1):
        return False
    if isinstance(op, GlobalPool | Flatten):
        return True
    if x[:2] == (1, 1):
        return False
    return isinstance(op, Opaque) or (isinstance(op, Conv | Depthwise | Pool) and both(op.kernel) == x[:2])


def _changes(op: Op, x: Shape, y: Shape) -> bool:
    match op:
        case Conv() | Depthwise() | Pool() | TransposedConv():
            return both(op.stride) != (1, 1)
        case UpSample():
            return (op.rows, op.columns) != (1, 1)
        case Resize() | Opaque():
            return x[:2] != y[:2]
    return False


def _joined_branches(network: Network, first: dict[Node, int]) -> dict[Node, int]:
    """Numbers in which nothing comes after what reads it: a branch that comes back has the number of where it does.

    Zeros around an image, and a cut border, belong to what reads them, also in `first`.
    """
    final, readers = {}, dict[Node, int]()
    for node in reversed(list(network.nodes)):
        number = first[node]
        if type(node.op) in _BORDERS:
            number = first[node] = readers.get(node, number)
        final[node] = number = min(number, readers.get(node, number))
        for given in node.inputs:
            readers[given] = min(readers.get(given, number), number)
    return final


def _blocks(read: Node, nodes: list[Node], output: Node) -> list[RecordedBlock]:
    """One block for each layer, with what follows it."""
    blocks: list[RecordedBlock] = []
    seen = False
    for node in nodes:
        if not blocks or (_layered(node) and seen):
            blocks.append(RecordedBlock(blocks[-1].output if blocks else read, [], node))
        seen = seen or _layered(node)
        blocks[-1].nodes.append(node)
        blocks[-1].output = node
    blocks[-1].output = output
    return blocks


def describe(nodes: list[Node]) -> str:
    """What a stage consists of, in the words of the paper's Table 1: "Conv, k1x1, k3x3 & Depthwise, k3x3".

    Args:
        nodes: its operations.
    """
    words: dict[str, set[tuple[int, int]]] = {}
    for node in nodes:
        op = first_call(node.op)
        if isinstance(op, GlobalPool):
            words.setdefault("Pooling", set())
        elif isinstance(op, Conv | TransposedConv | Depthwise | Dense | Opaque):
            name = {Dense: "FC", TransposedConv: "Transposed conv", Opaque: "Other"}.get(type(op), type(op).__name__)
            words.setdefault(name, set()).update(() if isinstance(op, Dense | Opaque) else {both(op.kernel)})
    if not words:
        return type(first_call(nodes[-1].op)).__name__
    return " & ".join(", ".join([name, *_kernels(found)]) for name, found in words.items())


def _kernels(found: set[tuple[int, int]]) -> list[str]:
    texts = [f"k{rows}x{columns}" for rows, columns in sorted(found)]
    return texts if len(texts) <= 3 else [f"{texts[0]} to {texts[-1]}"]
