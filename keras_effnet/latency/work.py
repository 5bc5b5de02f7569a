"""The reader that adds up the kinds of work that cost different times."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_effnet.cost import CostCounter, Shape, plus
from keras_effnet.network import read_network
from keras_effnet.ops import Norm, Padding, PoolKind
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec


class Work(NamedTuple):
    """What a network does for one image, in the kinds that cost different times.

    Args:
        call: 1: the call itself.
        layers: layers that are run.
        pointwise: multiply-adds of 1x1 convolutions and dense layers.
        spatial: multiply-adds of larger convolutions.
        depthwise: multiply-adds of depthwise convolutions.
        numbers: that layers write.
    """

    call: float = 0
    layers: float = 0
    pointwise: float = 0
    spatial: float = 0
    depthwise: float = 0
    numbers: float = 0


class LatencyReader(CostCounter):
    """The counting reader with `Work` for its totals.

    Example:
        >>> from keras_effnet.applications import mobilenet_v1_spec
        >>> read_work(mobilenet_v1_spec).depthwise
        17385984
    """

    def __init__(self) -> None:
        super().__init__()
        self.totals: Any = Work()
        self.closed: Any = Work()

    def close_stage(self, operator: str, input: Shape, output: Shape, depth: int) -> None:
        """Stages are not kept apart here."""

    def _count(self, weights: int, macs: int, activations: int, untrained: int = 0) -> None:
        """Weights take no time of their own."""

    def _did(self, y: Shape, **work: float) -> Shape:
        self.totals = plus(self.totals, Work(layers=1, numbers=math.prod(y), **work))
        return y

    def conv(
        self,
        x: Shape,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = False,
        activation: str | None = None,
        name: str,
    ) -> Shape:
        y = super().conv(
            x, width, kernel, stride, padding=padding, groups=groups, bias=bias, activation=activation, name=name
        )
        macs = math.prod(y) * kernel * kernel * x.channels / groups
        return self._did(y, **{"pointwise" if kernel == 1 else "spatial": macs})

    def depthwise(
        self,
        x: Shape,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding = "same",
        multiplier: int = 1,
        bias: bool = False,
        name: str,
    ) -> Shape:
        y = super().depthwise(x, kernel, stride, padding=padding, multiplier=multiplier, bias=bias, name=name)
        return self._did(y, depthwise=math.prod(y) * kernel * kernel)

    def dense(self, x: Shape, width: int, *, activation: str | Callable[..., Any] | None = None, name: str) -> Shape:
        y = super().dense(x, width, activation=activation, name=name)
        return self._did(y, pointwise=math.prod(y) * x.channels)

    def norm(self, x: Shape, norm: Norm, *, name: str) -> Shape:
        return self._did(super().norm(x, norm, name=name))

    def scale(self, x: Shape, initial: float, *, name: str) -> Shape:
        return self._did(super().scale(x, initial, name=name))

    def act(self, x: Shape, activation: str | Callable[..., Any] | None, *, name: str) -> Shape:
        return self._did(super().act(x, activation, name=name))

    def pool(
        self, x: Shape, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> Shape:
        return self._did(super().pool(x, kernel, stride, kind=kind, padding=padding, name=name))

    def global_pool(self, x: Shape, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> Shape:
        # It reads the whole image to write one cell.
        self._did(x)
        return super().global_pool(x, kind=kind, keepdims=keepdims, name=name)

    def add(self, x: Shape, y: Shape, *, name: str) -> Shape:
        return self._did(super().add(x, y, name=name))

    def mul(self, x: Shape, y: Shape, *, name: str) -> Shape:
        return self._did(super().mul(x, y, name=name))

    def concat(self, x: Shape, y: Shape, *, name: str) -> Shape:
        return self._did(super().concat(x, y, name=name))

    def layer(
        self,
        x: Shape,
        make: Callable[[str], Any],
        *,
        shape: tuple[int, int, int],
        params: int = 0,
        trainable_params: int = 0,
        macs: int = 0,
        name: str,
    ) -> Shape:
        y = super().layer(x, make, shape=shape, params=params, trainable_params=trainable_params, macs=macs, name=name)
        return self._did(y, pointwise=macs)


def read_work(spec: BackboneSpec | str, channels: int = 3, classes: int = 1000) -> Work:
    """The work of a network for one image.

    Args:
        spec: a backbone or the name of a registered one.
        channels: of the image.
        classes: of the classifier.

    Returns:
        The work, in layers, multiply-adds and numbers.

    Raises:
        BuildError, RegistryError, SpecError: as `estimate_cost`.

    Example:
        >>> work = read_work("resnet50")
        >>> work.depthwise, work.spatial > work.pointwise
        (0, True)
    """
    spec = resolve_backbone(spec)
    reader = LatencyReader()
    read_network(spec, reader, Shape(spec.resolution, spec.resolution, channels), classes=classes)
    return reader.totals._replace(call=1)
