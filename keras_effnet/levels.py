"""Levels of a recorded network: the last thing that it makes at each resolution. Importing this loads no keras.

Level P3 is the map whose cells lie 2**3 pixels of the image apart (Lin et al. 2017, arXiv:1612.03144, section 3). It is
what the last block of that resolution makes, before a head convolution. Where no block ends at a resolution, as inside
a stem that halves the image twice, it is what the operation reads that leaves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from keras_effnet.checks import check_int, plain
from keras_effnet.errors import BuildError
from keras_effnet.ops import (
    Conv,
    Crop,
    Depthwise,
    Flatten,
    GlobalPool,
    Opaque,
    Pool,
    Resize,
    TransposedConv,
    UpSample,
    ZeroPad,
    first_call,
)
from keras_effnet.recorded import Network, Node, RecordedBlock
from keras_effnet.windows import both, sides_behind

Lengths = tuple[int | None, int | None]


class Grid(NamedTuple):
    """The cells of an image that flows through a network.

    Args:
        stride: pixels of the network's image from one cell to the next, (down, to the right).
        sides: (height, width) in cells; None for a side that is unknown.
    """

    stride: tuple[int, int]
    sides: Lengths


def grid_behind(node: Node, grid: Grid | None) -> Grid | None:
    """The cells of what an operation makes.

    Args:
        node: the operation.
        grid: the cells of what it reads; None if that is no image, or unknown.

    Returns:
        The cells; None for a vector, and behind what makes images larger or is known to Keras alone.
    """
    if grid is None:
        return None
    op = first_call(node.op)
    match op:
        case Conv() | Depthwise() | Pool():
            down, right = both(op.stride)
            stride = grid.stride[0] * down, grid.stride[1] * right
            return Grid(stride, sides_behind(op, grid.sides))
        case ZeroPad() | Crop():
            sign = 1 if isinstance(op, ZeroPad) else -1
            height, width = grid.sides
            return Grid(
                grid.stride,
                (
                    None if height is None else height + sign * sum(op.rows),
                    None if width is None else width + sign * sum(op.columns),
                ),
            )
        case Opaque() if not (op.inert or op.elementwise):
            # Blocks that ask for a size which is unknown say None or 0.
            if tuple(side or None for side in op.shape[:2]) != grid.sides:
                return None
        case GlobalPool() | Flatten() | TransposedConv() | UpSample() | Resize():
            return None
    return grid


def walk_grids(network: Network, size: Lengths = (None, None)) -> Iterator[tuple[RecordedBlock, Node, Grid | None]]:
    """Goes through a network with the cells of each image.

    Args:
        network: the network.
        size: (height, width) of its images in pixels; None for a side that is unknown.

    Yields:
        Each operation, in order, with its block and the cells of what it makes.
    """
    grids: dict[Node, Grid | None] = dict.fromkeys(network.inputs, Grid((1, 1), size))
    for block in network.blocks:
        for node in block.nodes:
            grids[node] = grid_behind(node, next(filter(None, (grids[each] for each in node.inputs)), None))
            yield block, node, grids[node]


def find_levels(network: Network, size: Lengths = (None, None)) -> dict[str, Node]:
    """Finds the levels of a network: where it is about to change the resolution, or ends.

    Args:
        network: the network, without head, pooling and classifier.
        size: (height, width) of its images in pixels; None for a side that is unknown.

    Returns:
        What makes each level, by the level's name, from the highest resolution to the lowest.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.network import record_network
        >>> levels = find_levels(record_network(resnet50_spec, include_top=False))
        >>> levels["P1"].name, levels["P2"].name
        ('conv1_relu', 'conv2_block3_out')
    """
    ends: dict[str, Node] = {}
    inside: dict[str, Node] = {}
    strides: dict[Node, tuple[int, int]] = {}
    for block, node, grid in walk_grids(network, size):
        if grid is None:
            continue
        strides[node] = grid.stride
        for each in node.inputs:
            if strides.get(each, grid.stride) != grid.stride:
                inside |= _named(each, strides[each])
        if node is block.output:
            ends |= _named(node, grid.stride)
    found = inside | ends
    return {name: found[name] for name in sorted(found, key=level_number)}


def keep_levels(network: Network, names: Sequence[str], size: Lengths = (None, None)) -> Network:
    """The network with one output for each level, and nothing behind the last of them.

    Args:
        network: the network, without head, pooling and classifier.
        names: names of the levels, such as "P3", in any order.
        size: (height, width) of its images in pixels; None for a side that is unknown.

    Returns:
        The network; its outputs are in the order of the levels.

    Raises:
        BuildError: a level that the network does not have.
    """
    found = find_levels(network, size)
    names = check_levels(names)
    missing = [name for name in names if name not in found]
    if missing:
        there = ", ".join(f"{name} (stride {2 ** level_number(name)})" for name in found) or "none"
        raise BuildError(
            f"a level must be one at which a block of {network.name!r} ends: it has {there}.",
            received=", ".join(map(repr, missing)),
        )
    return keep_nodes(network, tuple(found[name] for name in names))


def keep_nodes(network: Network, outputs: tuple[Node, ...]) -> Network:
    """The network with other outputs, and nothing that none of them needs.

    Args:
        network: the network.
        outputs: nodes of it, in the order of the new outputs.
    """
    needed: set[Node] = set()
    left = list(outputs)
    while left:
        node = left.pop()
        if node not in needed:
            needed.add(node)
            left += node.inputs
    stages = []
    for stage in network.stages:
        blocks = [_without(block, needed) for block in stage.blocks]
        blocks = [block for block in blocks if block.nodes or stage.name == "input"]
        stages += [replace(stage, blocks=blocks)] if blocks else []
    return replace(network, outputs=outputs, stages=tuple(stages))


def _without(block: RecordedBlock, needed: set[Node]) -> RecordedBlock:
    """The block without what nothing needs."""
    nodes = [node for node in block.nodes if node in needed]
    output = block.output if block.output in needed or not nodes else nodes[-1]
    return replace(block, nodes=nodes, output=output)


def check_levels(names: Sequence[str]) -> tuple[str, ...]:
    """Returns names of levels in their order; raises BuildError unless they are a list of some."""
    listed = plain(list(names)) if isinstance(names, list | tuple) else ()
    if not listed or not all(isinstance(name, str) and re.fullmatch(r"P[1-9]\d?", name) for name in listed):
        raise BuildError(
            "levels must be a list of names such as ('P3', 'P4'): P3 is the map whose cells lie 2**3 pixels apart.",
            received=f"levels={names!r}",
        )
    return tuple(sorted(set(listed), key=level_number))


def levels_of_strides(strides: Sequence[int]) -> tuple[str, ...]:
    """The names of levels with these strides.

    Args:
        strides: pixels from one cell of a level to the next, powers of two from 2.

    Raises:
        BuildError: no list, or a stride that no level has.

    Example:
        >>> levels_of_strides((8, 16))
        ('P3', 'P4')
    """
    listed = plain(list(strides)) if isinstance(strides, list | tuple) else ()
    for stride in listed:
        if check_int(BuildError, "strides", stride, 2).bit_count() > 1:
            break
    else:
        if listed:
            return check_levels([f"P{stride.bit_length() - 1}" for stride in listed])
    raise BuildError("`strides` must be a list of powers of two such as (8, 16).", received=f"strides={strides!r}")


def level_number(name: str) -> int:
    """3 for "P3": the logarithm of the level's stride."""
    return int(name[1:])


def _named(node: Node, stride: tuple[int, int]) -> dict[str, Node]:
    """What makes a level, by the level's name; nothing where no level has the stride."""
    down, right = stride
    return {f"P{down.bit_length() - 1}": node} if down == right > 1 and down.bit_count() == 1 else {}
