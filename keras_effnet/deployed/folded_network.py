"""A recorded network as it runs on a device. Importing this loads no keras."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

from keras_effnet.deployed.branches import merge_network
from keras_effnet.network import Network, Node, RecordedBlock, record_network
from keras_effnet.ops import BatchNorm, Conv, Dense, Depthwise, TransposedConv
from keras_effnet.resolution import Resolution, sides_of
from keras_effnet.spec import BackboneSpec


def record_deployed(
    spec: BackboneSpec, *, channels: int = 3, classes: int = 1000, resolution: Resolution | None = None
) -> Network:
    """Records a network as it runs on a device; equal blocks in a row once, with their number.

    Args:
        spec: the network.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        resolution: side of the image in pixels, or (height, width); by default the spec's.

    Raises:
        BuildError, SpecError: as `record_network`.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> any(isinstance(node.op, BatchNorm) for node in record_deployed(resnet50_spec).nodes)
        False
    """
    size = sides_of(spec.resolution if resolution is None else resolution)
    return deployed_network(record_network(spec, channels=channels, size=size, classes=classes, fold=True))


def deployed_network(network: Network) -> Network:
    """The network as it runs on a device: normalization folded, branches merged.

    Args:
        network: the network as it is trained.

    Example:
        >>> from keras_effnet.applications import repvgg_a0_spec
        >>> from keras_effnet.network import record_network
        >>> trained = record_network(repvgg_a0_spec)
        >>> sum(1 for _ in trained.nodes), sum(1 for _ in deployed_network(trained).nodes)
        (188, 49)
    """
    return merge_network(fold_network(network)[0])[0]


def fold_network(network: Network) -> tuple[Network, dict[str, str]]:
    """Leaves out each BatchNorm that can be folded into the operation before it.

    Args:
        network: the network.

    Returns:
        The network without them, whose convolutions in their place have a bias; and the name of the BatchNorm that each
        operation takes in, by the operation's name.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.network import record_network
        >>> folded, norms = fold_network(record_network(resnet50_spec))
        >>> norms["conv1_conv"], any(isinstance(node.op, BatchNorm) for node in folded.nodes)
        ('conv1_bn', False)
    """
    readers = Counter(given for node in network.nodes for given in node.inputs)
    readers.update(network.outputs)
    swapped: dict[Node, Node] = dict(zip(network.inputs, network.inputs, strict=True))
    norms: dict[str, str] = {}
    shared = network.shared
    blocks: dict[RecordedBlock, RecordedBlock] = {}
    for block in network.blocks:
        nodes = []
        for node in block.nodes:
            given = tuple(swapped[each] for each in node.inputs)
            alone = readers[node.inputs[0]] == 1 and shared.isdisjoint((node.name, given[0].name))
            if isinstance(node.op, BatchNorm) and alone and _takes_norm(given[0], norms):
                before = given[0]
                before.op = replace(cast(Conv | TransposedConv | Depthwise | Dense, before.op), bias=True)
                norms[before.name] = node.name
                swapped[node] = before
                continue
            swapped[node] = Node(node.op, node.name, given, node.channels)
            nodes.append(swapped[node])
        blocks[block] = RecordedBlock(swapped[block.input], nodes, swapped[block.output], block.times)
    stages = tuple(
        replace(stage, blocks=[blocks[block] for block in stage.blocks])  # a copy: the old network stays as it is
        for stage in network.stages
    )
    return Network(network.name, network.inputs, tuple(swapped[node] for node in network.outputs), stages), norms


def _takes_norm(node: Node, norms: dict[str, str]) -> bool:
    """Whether a BatchNorm behind an operation can be folded into it."""
    if not isinstance(node.op, Conv | TransposedConv | Depthwise | Dense) or node.name in norms:
        return False
    return isinstance(node.op, Depthwise) or node.op.activation is None
