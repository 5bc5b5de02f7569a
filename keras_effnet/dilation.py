"""The same network with a finer last map: strides become 1, and windows behind them skip cells in their place.

A window that reads every d-th cell of a map d times as fine computes, at every d-th cell, what it computed before (Yu
et al. 2017, arXiv:1705.09914, section 2; Chen et al. 2016, arXiv:1606.00915, section 3.1). Here it does so exactly:
each window keeps its weights, the pixels that it sees, and its zeros before the image, d times as many. Only means over
the whole image, as in squeeze-and-excitation, are then taken over more cells. Importing this loads no keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, cast

from keras_effnet.checks import check_choice
from keras_effnet.errors import BuildError
from keras_effnet.levels import Grid, Lengths, walk_grids
from keras_effnet.ops import Conv, Crop, Depthwise, Merge, Opaque, Pool, Reshaping, Reuse, TransposedConv, ZeroPad
from keras_effnet.padding import Padding, padding_zeros
from keras_effnet.recorded import Network, Node
from keras_effnet.windows import Window, both, reaches

OUTPUT_STRIDES = (8, 16, 32)

Pair = tuple[int, int]


def dilate_network(network: Network, output_stride: int, size: Lengths = (None, None)) -> Network:
    """The network with no map coarser than `output_stride`.

    Args:
        network: the network; it stays as it is.
        output_stride: pixels of the image from one cell of the coarsest map to the next: 8, 16 or 32.
        size: (height, width) of its images in pixels; None for a side that is unknown, where "same" padding is taken to
            be that of sides which all strides divide.

    Returns:
        The network, for the weights of the old one.

    Raises:
        BuildError: another `output_stride`, or an operation behind a stride that became 1 which has no dilated form.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.network import record_network
        >>> dilated = dilate_network(record_network(resnet50_spec, include_top=False), 16)
        >>> {node.name: node.op for node in dilated.nodes}["conv5_block2_2_conv"].dilation
        (2, 2)
    """
    became = dilated_nodes(network, output_stride, size)
    made = dict(zip(network.inputs, network.inputs, strict=True))
    for node in network.nodes:
        image = made[node.inputs[0]]
        made[node] = became[node][-1] if became[node] else image
    blocks = {
        block: replace(
            block,
            input=made[block.input],
            nodes=[each for node in block.nodes for each in became[node]],
            output=made[block.output],
        )
        for block in network.blocks
    }
    stages = tuple(replace(stage, blocks=[blocks[block] for block in stage.blocks]) for stage in network.stages)
    return replace(network, outputs=tuple(made[node] for node in network.outputs), stages=stages)


def dilated_nodes(network: Network, output_stride: int, size: Lengths = (None, None)) -> dict[Node, list[Node]]:
    """What each operation of a network becomes in `dilate_network`.

    Args:
        network: as there.
        output_stride: as there.
        size: as there.

    Returns:
        The new operations by the old one, in order; the last makes what the old one made. None where a window takes
        every cell that it reads.

    Raises:
        BuildError: as there.
    """
    output_stride = check_choice(BuildError, "output_stride", output_stride, OUTPUT_STRIDES)
    made: dict[Node, Node] = dict(zip(network.inputs, network.inputs, strict=True))
    grids: dict[Node, Grid | None] = dict.fromkeys(network.inputs, Grid((1, 1), size))
    # How many cells of the new map stand for one of the old.
    finer: dict[Node, Pair] = dict.fromkeys(network.inputs, (1, 1))
    became: dict[Node, list[Node]] = {}
    for _, node, grids[node] in walk_grids(network, size):
        image = next((each for each in node.inputs if grids[each] is not None), node.inputs[0])
        d, given = finer[image], replace(node, inputs=tuple(made[each] for each in node.inputs))
        if isinstance(node.op, Conv | Depthwise | Pool):
            steps, finer[node] = _steps(node, grids[image], d, output_stride)
            same = finer[node] == (1, 1)
            placed = [given] if same else list(_window(given, cast(Grid, grids[image]).sides, steps, d))
        else:
            # A vector has no cells.
            finer[node] = d if grids[node] is not None else (1, 1)
            placed = [given if d == (1, 1) else replace(given, op=_elsewhere(node, d))]
        made[node] = placed[-1] if placed else made[image]
        became[node] = placed
    return became


def _steps(node: Node, grid: Grid | None, d: Pair, output_stride: int) -> tuple[Pair, Pair]:
    """The stride that is left to a window, and how much finer it makes its map than it was, (down, to the right)."""
    strides = both(cast(Window, node.op).stride)
    if grid is None:
        if strides != (1, 1):
            raise _undilated(node, "strides behind layers of which only Keras knows what they do to the resolution")
        return strides, d
    if d != (1, 1):
        return (1, 1), (d[0] * strides[0], d[1] * strides[1])
    down, right = (
        max(step for step in range(1, stride + 1) if stride % step == 0 and step * before <= max(output_stride, before))
        for stride, before in zip(strides, grid.stride, strict=True)
    )
    return (down, right), (strides[0] // down, strides[1] // right)


def _window(node: Node, sides: Lengths, steps: Pair, d: Pair) -> Iterator[Node]:
    """The operations that do what a window did, on a map that is `d` times as fine, with a stride of `steps`."""
    op = cast(Window, node.op)
    if isinstance(op, Pool) and both(op.kernel) == steps == (1, 1):
        return  # it took every other cell, and takes every cell
    axes = list(zip(reaches(op), sides, steps, d, strict=True))
    rows, columns = (_zeros(op.padding, *window, side, step, each) for window, side, step, each in axes)
    seen = [each * (reach - 1) + 1 for (reach, _), _, _, each in axes]
    padding = _word(op, seen, (rows, columns)) if steps == (1, 1) else None
    if isinstance(op, Pool) and d != (1, 1):
        padding = None  # Keras has no pooling that skips cells: the cells are laid over each other
    if padding is None and any((*rows, *columns)):
        if (
            isinstance(op, Pool)
            and op.padding == "same"
            and any(any(_own_zeros(op.padding, *axis[:2])) for axis in axes)
        ):
            raise _undilated(node, "leaves out of account what stands beyond the border, for which zeros would stand")
        node = replace(node, inputs=(replace(node, op=ZeroPad(rows, columns), name=f"{node.name}_pad"),))
        yield node.inputs[0]
    if isinstance(op, Pool) and d != (1, 1):
        yield from _laid_over(node, op, d)
        return
    changes: dict[str, Any] = {"stride": steps, "padding": padding or "valid"}
    if not isinstance(op, Pool):
        down, right = both(op.dilation)
        changes["dilation"] = (down * d[0], right * d[1])
    yield replace(node, op=replace(op, **changes))


def _zeros(padding: Padding, reach: int, stride: int, side: int | None, step: int, d: int) -> Pair:
    """Zeros before and after one axis of a map that is `d` times as fine as the one that a window strode over."""
    before, after = _own_zeros(padding, (reach, stride), side)
    if stride == 1:
        return d * before, d * after
    # As many as leave each cell, or each `step`-th one, its window.
    return d * before, max(d * (reach - 1) + 1 - step - d * before, 0)


def _own_zeros(padding: Padding, window: tuple[int, int], side: int | None) -> Pair:
    """Zeros before and after one axis for the window that strode over it."""
    reach, stride = window
    if padding == "same" and side is None and stride > 1:
        padding = "even"
    return padding_zeros(padding, reach, stride, side)


def _word(op: Window, seen: list[int], zeros: tuple[Pair, Pair]) -> Padding | None:
    """The padding that puts these zeros around an image for a window without a stride; None if there is none."""
    # Keras' own pooling does not take the zeros of "same" into account, but those of other words.
    words: tuple[Padding, ...] = (op.padding, "same", "valid") if isinstance(op, Pool) else ("same", "valid")
    wanted = list(zip(seen, zeros, strict=True))
    return next(
        (word for word in words if all(padding_zeros(word, reach, 1, None) == of for reach, of in wanted)), None
    )


def _laid_over(node: Node, op: Pool, d: Pair) -> Iterator[Node]:
    """Pooling over every d-th cell: the image moved by each cell of the window, and the mean or maximum of all."""
    height, width = both(op.kernel)
    moved = []
    for row, column in product(range(height), range(width)):
        rows, columns = (row * d[0], (height - 1 - row) * d[0]), (column * d[1], (width - 1 - column) * d[1])
        moved.append(replace(node, op=Crop(rows, columns), name=f"{node.name}_{row}_{column}"))
    yield from moved
    yield replace(node, op=Merge("average" if op.kind == "avg" else "maximum"), inputs=tuple(moved))


def _elsewhere(node: Node, d: Pair) -> Any:
    """What another operation becomes on a map that is `d` times as fine."""
    match node.op:
        case ZeroPad(rows, columns) | Crop(rows, columns):
            down, right = d
            return replace(
                node.op, rows=(down * rows[0], down * rows[1]), columns=(right * columns[0], right * columns[1])
            )
        case Opaque(inert=False, elementwise=False):
            raise _undilated(node, "is known to Keras alone")
        case Reuse(op) if isinstance(op, Conv | Depthwise | Pool):
            raise _undilated(node, "is called on maps of several resolutions")
        case op if isinstance(op, Reshaping | TransposedConv):
            raise _undilated(node, "moves cells")
    return node.op


def _undilated(node: Node, reason: str) -> BuildError:
    return BuildError(
        f"with this `output_stride` layer {node.name!r} would have to skip cells, which it cannot: it {reason}. Leave "
        "`output_stride` out, or make it larger.",
        received=f"{node.name!r}, {type(node.op).__name__}",
    )
