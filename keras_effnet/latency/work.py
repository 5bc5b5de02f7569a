"""The reader that adds up the kinds of work that cost different times."""

from __future__ import annotations

import math
from typing import NamedTuple

from keras_effnet.counting import Shape, count_block, layer_cost
from keras_effnet.deployed.folded_network import record_deployed
from keras_effnet.network import Network, record_network
from keras_effnet.ops import (
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    Op,
    Opaque,
    Rescale,
    Standardize,
    TransposedConv,
    Unflatten,
    first_call,
)
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec
from keras_effnet.windows import both


class Work(NamedTuple):
    """What a network does for one image, in the kinds of work that cost different times.

    Args:
        call: number of calls: 1.
        layers: number of layers that are run.
        pointwise: multiply-adds of 1x1 convolutions and dense layers.
        spatial: multiply-adds of larger convolutions.
        depthwise: multiply-adds of depthwise convolutions.
        numbers: number of values that layers write.
    """

    call: float = 0
    layers: float = 0
    pointwise: float = 0
    spatial: float = 0
    depthwise: float = 0
    numbers: float = 0

    def plus(self, more: Work, times: int = 1) -> Work:
        """This work with `times` times `more` added."""
        return Work(*(ours + times * theirs for ours, theirs in zip(self, more, strict=True)))


# What costs no time worth counting when a model runs.
_FREE = Dropout | Flatten | Unflatten | Rescale | Standardize


class WorkReader:
    """The reader that sorts multiply-adds by the kind of layer; `counts` are the sums over everything read so far."""

    def __init__(self) -> None:
        self.counts = Work()

    def read(self, op: Op, name: str, *inputs: Shape) -> Shape:
        """Adds the work of one operation, and returns the shape of what it makes."""
        cost = layer_cost(op, name, *inputs)
        if not isinstance(first_call(op), _FREE):
            # Global pooling reads the whole image to write one cell.
            touched = inputs[0] if isinstance(first_call(op), GlobalPool) else cost.shape
            done = {"layers": self.counts.layers + 1, "numbers": self.counts.numbers + math.prod(touched)}
            kind = _kind(op)
            if kind is not None:
                done[kind] = getattr(self.counts, kind) + cost.macs
            self.counts = self.counts._replace(**done)
        return cost.shape


def _kind(op: Op) -> str | None:
    """The field of `Work` that the multiply-adds of an operation belong to."""
    match first_call(op):
        case Conv(kernel=kernel):
            return "pointwise" if both(kernel) == (1, 1) else "spatial"
        case TransposedConv():
            return "spatial"
        case Depthwise():
            return "depthwise"
        case Dense() | Opaque():
            return "pointwise"
    return None


def read_work(spec: BackboneSpec | str, channels: int = 3, classes: int = 1000, *, deployed: bool = False) -> Work:
    """The work of a network for one image.

    Args:
        spec: a backbone, or the name of a registered one.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        deployed: whether the network runs from an exported file: normalization folded, branches merged.

    Returns:
        The work, in layers, multiply-adds and values.

    Raises:
        BuildError, RegistryError, SpecError: as `estimate_cost`.

    Example:
        >>> work = read_work("resnet50")
        >>> work.depthwise, work.spatial > work.pointwise
        (0, True)
    """
    spec = resolve_backbone(spec)
    side = spec.resolution
    if deployed:
        network = record_deployed(spec, channels=channels, classes=classes)
    else:
        network = record_network(spec, channels=channels, size=(side, side), classes=classes, fold=True)
    return network_work(network, Shape(side, side, channels))


def network_work(network: Network, image: Shape) -> Work:
    """The work of a recorded network for one image.

    Args:
        network: the network.
        image: shape of the image.

    Returns:
        The work.
    """
    work, values = Work(call=1), dict.fromkeys(network.inputs, image)
    for block in network.blocks:
        work = work.plus(count_block(block, values, WorkReader))
    return work
