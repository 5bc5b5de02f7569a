"""A scaled network, and what became of each of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_effnet.cost import Cost, count_network, opaque_note
from keras_effnet.counting import Shape, uncounted
from keras_effnet.network import Network, Node, RecordedBlock, RecordedStage
from keras_effnet.ops import Depthwise, Mixing, first_call
from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.tables import Shown, aligned


@dataclass(frozen=True)
class ScaledStage:
    """What became of one stage.

    Args:
        name: name of the stage.
        operator: what it is made of.
        depth: number of its units, before and after.
        width: number of channels that it makes, before and after.
        size: (height, width) of what it makes in cells, before and after.
        kept: what was not scaled, and why.
    """

    name: str
    operator: str
    depth: tuple[int, int]
    width: tuple[int, int]
    size: tuple[tuple[int, int], tuple[int, int]]
    kept: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ScaledBlock:
    """A block of a scaled network.

    Args:
        block: the block.
        origin: the block of the base that it is like.
        twins: the node in the scaled network of each node of the base that the origin reads or makes.
    """

    block: RecordedBlock
    origin: RecordedBlock
    twins: Mapping[Node, Node]


@dataclass(frozen=True, eq=False, repr=False)
class ScaledNetwork(Shown):
    """A scaled network, and what became of each stage. `str()` is a table.

    Args:
        coefficients: factors that were asked for.
        base: the network before, cut into runs of units and what stands between them.
        network: the network after, cut likewise.
        images: shapes of the inputs, before and after.
        blocks: all blocks of the network after, in order.
        stages: what became of each stage.
        kept: what was not scaled anywhere, and why.
    """

    coefficients: Coefficients
    base: Network
    network: Network
    images: tuple[tuple[Shape, Shape], ...]
    blocks: tuple[ScaledBlock, ...]
    stages: tuple[ScaledStage, ...]
    kept: tuple[str, ...]

    @property
    def cost(self) -> Cost:
        """The cost of the scaled network."""
        return _counted(self.network, [after for _, after in self.images])

    @property
    def base_cost(self) -> Cost:
        """The cost of the network before."""
        return _counted(self.base, [before for before, _ in self.images])

    @property
    def realised(self) -> Coefficients:
        """Ratios of units, of mean widths and of the image's sides, after to before.

        Units and widths are those of stages that hold convolutions or dense layers, but for what makes an output; 1
        without any.
        """
        ends = {*self.base.outputs}
        rows = [
            row
            for row, stage in zip(self.stages, filter(_holds_nodes, self.base.stages), strict=True)
            if stage.blocks[-1].output not in ends
            and any(
                isinstance(first_call(node.op), Mixing | Depthwise) for block in stage.blocks for node in block.nodes
            )
        ]
        sides = [(sum(old[:2]), sum(new[:2])) for old, new in self.images if old[:2] != (1, 1)]
        pairs = {"depth": [row.depth for row in rows], "width": [row.width for row in rows], "resolution": sides[:1]}
        ratios: dict[str, Any] = {
            name: sum(new for _, new in each) / sum(old for old, _ in each) if each else 1.0
            for name, each in pairs.items()
        }
        return Coefficients(**ratios)

    @property
    def headline(self) -> str:
        """Name, and parameters and multiply-adds before and after."""
        before, after = self.base_cost, self.cost
        return (
            f"{self.network.name}: {before.params:,} to {after.params:,} parameters, {before.macs:,} to "
            f"{after.macs:,} MACs"
        )

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [("stage", "operator", "depth", "width", "size", "kept")]
        for row in self.stages:
            sizes = [f"{height}x{width}" for height, width in row.size]
            pairs = (map(str, row.depth), map(str, row.width), sizes)
            texts = (_change(*pair) for pair in pairs)
            cells.append((row.name, row.operator, *texts, "; ".join(row.kept)))
        notes = [*self.kept, *opaque_note(uncounted(self.network))]
        notes = ["", *notes] if notes else []
        return "\n".join([self.headline, "", *aligned(cells, text_column=None), *notes])


def _holds_nodes(stage: RecordedStage) -> bool:
    return any(block.nodes for block in stage.blocks)


def _counted(network: Network, images: Sequence[Shape]) -> Cost:
    return replace(count_network(network, *images), opaque=uncounted(network))


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"
