"""A network as a value: the operations of its blocks, in order, cut into stages and blocks.

`record_network` makes one of a spec, and `read_model` of a Keras model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from keras_effnet.ops import Op, Reuse

T = TypeVar("T")


class Reader(Protocol[T]):
    """Gives operations a meaning; `T` is what flows between them."""

    def read(self, op: Op, name: str, *inputs: T) -> T:
        """Takes one operation.

        Args:
            op: the operation.
            name: name of its layer in the Keras model.
            *inputs: what it reads: two values or more for `Joining` operations, one for all others but `Opaque`.

        Returns:
            What it makes.
        """
        ...


@dataclass(eq=False, slots=True)
class Node:
    """One operation at one place of a network; also stands for what it makes. Two nodes are never equal.

    Args:
        op: the operation; None for an input of the network.
        name: name of its layer in the Keras model.
        inputs: the nodes whose outputs it reads.
        channels: number of channels of its output.
    """

    op: Op | None
    name: str
    # Not shown: each shows its own, and with sums of sums their number doubles at every step.
    inputs: tuple[Node, ...] = field(repr=False)
    channels: int


@dataclass(eq=False, slots=True)
class RecordedBlock:
    """One block, or what stands before or after all blocks.

    Args:
        input: the node that it reads.
        nodes: its operations, in the order in which an image goes through them.
        output: the node that makes its output; its input where it does nothing.
        times: number of equal blocks in a row that it stands for, at least 1.
    """

    input: Node
    nodes: list[Node]
    output: Node
    times: int = 1


@dataclass(eq=False, slots=True)
class RecordedStage:
    """Neighbouring blocks.

    Args:
        name: "input" (preprocessing), "stem", "stage 1" and so on, "head" or "top".
        operator: the block as the paper's Table 1 writes it: "MBConv6, k3x3".
        kind: name of the block's class, or of the classifier's.
        blocks: its blocks, in order.
        strides_last: whether the last block has the stage's stride instead of the first.
    """

    name: str
    operator: str
    kind: str
    blocks: list[RecordedBlock]
    strides_last: bool = False

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return sum(block.times for block in self.blocks)


@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """A recorded network.

    Args:
        name: name of the network.
        inputs: nodes without an operation, one for each input.
        outputs: the nodes that make the outputs.
        stages: all stages, in order.
    """

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    stages: tuple[RecordedStage, ...] = field(repr=False)

    @property
    def blocks(self) -> Iterator[RecordedBlock]:
        """All blocks, in order."""
        return (block for stage in self.stages for block in stage.blocks)

    @property
    def nodes(self) -> Iterator[Node]:
        """All operations, in order."""
        return (node for block in self.blocks for node in block.nodes)

    @property
    def shared(self) -> set[str]:
        """Names of the layers that are called more than once."""
        return {node.name for node in self.nodes if isinstance(node.op, Reuse)}

    def run(self, reader: Reader[T], *inputs: T) -> tuple[T, ...]:
        """Runs a reader over all operations, in order.

        Args:
            reader: the reader.
            *inputs: one value for each input of the network.

        Returns:
            One value for each output.
        """
        values = dict(zip(self.inputs, inputs, strict=True))
        for block in self.blocks:
            run_block(block, reader, values)
        return tuple(values[node] for node in self.outputs)


def run_block(block: RecordedBlock, reader: Reader[T], values: dict[Node, T]) -> T:
    """Runs a reader over the operations of one block, once.

    Args:
        block: the block.
        reader: the reader.
        values: values made so far, by node; those that the block makes are added.

    Returns:
        The block's output.
    """
    read, value = reader.read, values.__getitem__
    for node in block.nodes:
        # Only inputs of the network have no operation, and they stand in no block.
        values[node] = read(node.op, node.name, *map(value, node.inputs))  # pyright: ignore[reportArgumentType]
    return values[block.output]
