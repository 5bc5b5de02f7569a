"""What a network costs, counted from its record alone: the reader that needs no Keras.

| quantity | unit | what counts | source |
|---|---|---|---|
| `params` | numbers | every weight, the untrained ones too: `model.count_params()` | keras |
| `macs` | multiply-adds per image | convolutions and dense layers, without biases | the "FLOPS" of arXiv:1905.11946 |
| `flops` | operations per image | 2 * macs | |
| `activations` | numbers per image | outputs of convolutions and dense layers | arXiv:2103.06877, section 3 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, TypeVar

from keras_effnet.checks import check_int, plain
from keras_effnet.errors import BuildError, SpecError
from keras_effnet.network import Network, Node, Pooling, Reader, RecordedBlock, record_network, run_block
from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    ChannelScale,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    GlobalPool,
    LayerNorm,
    Multiply,
    Op,
    Opaque,
    Pool,
    Standardize,
    ZeroPad,
)
from keras_effnet.padding import window_cells
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec

FLOAT32_BYTES = 4


class Shape(NamedTuple):
    """The shape of what flows through a network; a vector counts as an image of 1 x 1.

    Args:
        height: number of rows.
        width: number of columns.
        channels: number of channels.
    """

    height: int
    width: int
    channels: int


class Counts(NamedTuple):
    """Sums over layers.

    Args:
        params: number of all weights.
        trainable_params: number of weights that training changes.
        macs: multiply-adds per image.
        activations: number of outputs of convolutions and dense layers, per image.
    """

    params: int = 0
    trainable_params: int = 0
    macs: int = 0
    activations: int = 0

    def plus(self, more: Counts, times: int = 1) -> Counts:
        """These sums with `times` times `more` added."""
        a, b, c, d = more
        return Counts(
            self.params + times * a,
            self.trainable_params + times * b,
            self.macs + times * c,
            self.activations + times * d,
        )


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage.

    Args:
        operator: the block as the paper's Table 1 writes it.
        input: (height, width, channels) that the stage reads.
        output: (height, width, channels) that the stage emits.
        depth: number of blocks.
        params: number of all weights.
        trainable_params: number of weights that training changes.
        macs: multiply-adds per image.
        activations: number of outputs of convolutions and dense layers, per image.
    """

    operator: str
    input: Shape
    output: Shape
    depth: int
    params: int
    trainable_params: int
    macs: int
    activations: int


@dataclass(frozen=True)
class Cost:
    """The cost of a network, and of each of its stages.

    Args:
        params: number of all weights, as `model.count_params()` counts them.
        trainable_params: number of weights that training changes.
        macs: multiply-adds per image in convolutions and dense layers: the paper's "FLOPS".
        activations: number of outputs of convolutions and dense layers, per image.
        stages: costs of the stem (with preprocessing), the stages, the head, and the top (classifier or pooling) if
            there is one.
    """

    params: int
    trainable_params: int
    macs: int
    activations: int
    stages: tuple[StageCost, ...]

    @property
    def flops(self) -> int:
        """Floating-point operations per image: one multiplication and one addition for each of `macs`."""
        return 2 * self.macs

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights in float32."""
        return FLOAT32_BYTES * self.params


def estimate_cost(
    spec: BackboneSpec | str,
    *,
    resolution: int | tuple[int, int] | None = None,
    channels: int = 3,
    classes: int = 1000,
    include_top: bool = True,
    pooling: Pooling | None = None,
) -> Cost:
    """Counts what `build_model(spec, ...)` would cost, exactly, without building it or importing Keras.

    The time does not grow with depth: equal blocks in a row are counted once. Only DenseNet's blocks, which
    all read more than the one before, are counted one by one.

    Args:
        spec: a backbone, or the name of a registered one.
        resolution: side of the image in pixels, or (height, width), at least the total stride; the spec's by default.
        channels: number of channels of the image, at least 1.
        classes: number of classes of the classifier, at least 1.
        include_top: whether the classifier counts.
        pooling: how features are pooled without the top: "avg", "max" or None. Costs no parameters.

    Returns:
        The cost; `params` equals `model.count_params()`.

    Raises:
        BuildError: an argument outside its range.
        RegistryError: an unknown name.
        SpecError: a block that cannot exist at these widths, or a stage of over 10,000 blocks that all differ.

    Example:
        >>> cost = estimate_cost("efficientnet_b0")
        >>> cost.params, cost.macs
        (5330571, 385814752)
    """
    spec = resolve_backbone(spec)
    size = spec.resolution if resolution is None else plain(resolution)
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise BuildError("`resolution` must be one side or (height, width).", received=f"{resolution=}")
    for side in sides:
        check_int(BuildError, "resolution", side, spec.total_stride)
    channels = check_int(BuildError, "channels", channels, 1)
    shape = {"include_top": include_top, "pooling": pooling, "classes": classes}
    network = record_network(spec, channels=channels, size=sides, fold=True, **shape)
    return count_network(network, Shape(*sides, channels))


def count_network(network: Network, image: Shape) -> Cost:
    """Counts a recorded network.

    Args:
        network: the network.
        image: shape of the image that it reads.

    Returns:
        The cost. Its first stage has the preprocessing with it; a top that does nothing is left out.

    Raises:
        SpecError: an operation that is impossible on the shape that it reads.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> count_network(record_network(resnet50_spec), Shape(224, 224, 3)).params
        25636712
    """
    values, stages = dict.fromkeys(network.inputs, image), []
    total, booked, x = Counts(), Counts(), image
    for stage in network.stages:
        for block in stage.blocks:
            total = total.plus(count_block(block, values, CostCounter))
        if stage.name == "input" or not any(block.nodes for block in stage.blocks):
            continue
        y = values[stage.blocks[-1].output]
        stages.append(StageCost(stage.operator, x, y, stage.depth, *total.plus(booked, -1)))
        booked, x = total, y
    return Cost(*total, tuple(stages))


class Sums(Protocol):
    """What can be added up."""

    def plus(self, more: Self, times: int = 1) -> Self:
        """These sums with `times` times `more` added."""
        ...


SumsT = TypeVar("SumsT", bound=Sums)


class LayerCost(NamedTuple):
    """The cost of one layer.

    Args:
        shape: shape of its output.
        trainable_params: number of weights that training changes.
        untrained_params: number of weights that training does not change.
        macs: multiply-adds per image.
        activations: number of outputs per image, if it is a convolution or a dense layer.
    """

    shape: Shape
    trainable_params: int = 0
    untrained_params: int = 0
    macs: int = 0
    activations: int = 0


def layer_cost(op: Op, name: str, x: Shape, *others: Shape) -> LayerCost:
    """Counts one operation.

    Args:
        op: the operation.
        name: name of its layer, for messages.
        x: shape of what it reads.
        *others: shapes of what it reads besides.

    Returns:
        Its cost, and the shape of what it makes.

    Raises:
        SpecError: the operation is impossible on these shapes.

    Example:
        >>> layer_cost(Conv(8, kernel=3, stride=2), "stem", Shape(32, 32, 3))[:2]
        (Shape(height=16, width=16, channels=8), 216)
    """
    channels = x.channels
    match op:
        case Conv():
            width, groups = op.width, op.groups
            if channels % groups or width % groups:
                raise SpecError(
                    f"layer {name!r} must read and emit whole groups of channels: both must be multiples of `groups`.",
                    received=f"{channels} channels read, {width} emitted, {groups=}",
                )
            weights = op.kernel * op.kernel * (channels // groups) * width
            return _window_cost(op, name, x, width, weights)
        case BatchNorm():
            return LayerCost(x, 2 * channels, 2 * channels)
        case Activation() | Dropout() | Multiply():
            return LayerCost(x)
        case Depthwise():
            width = channels * op.multiplier
            return _window_cost(op, name, x, width, op.kernel * op.kernel * width)
        case Add() if x != others[0]:
            raise SpecError(f"layer {name!r} adds images of different shapes.", received=f"{x} and {others[0]}")
        case GlobalPool():
            return LayerCost(Shape(1, 1, channels))
        case Dense():
            cells, weights = x.height * x.width, channels * op.width
            return LayerCost(
                x._replace(channels=op.width), weights + op.width * op.bias, 0, cells * weights, cells * op.width
            )
        case LayerNorm():
            return LayerCost(x, 2 * channels)
        case ChannelScale():
            return LayerCost(x, channels)
        case Pool():
            return LayerCost(_window(op, name, x, channels))
        case Concat():
            if x[:2] != others[0][:2]:
                raise SpecError(f"layer {name!r} joins images of different sizes.", received=f"{x} and {others[0]}")
            return LayerCost(x._replace(channels=channels + others[0].channels))
        case ZeroPad():
            return LayerCost(Shape(x.height + sum(op.rows), x.width + sum(op.columns), channels))
        case Standardize(mean=None):
            # A mean and a variance per channel, and Keras' count of the images they were taken from.
            return LayerCost(x, 0, 2 * channels + 1)
        case Opaque():
            untrained = op.params - op.trainable_params
            return LayerCost(Shape(*op.shape), op.trainable_params, untrained, op.macs)
    return LayerCost(x)


def _window_cost(op: Conv | Depthwise, name: str, x: Shape, width: int, weights: int) -> LayerCost:
    y = _window(op, name, x, width)
    cells = y.height * y.width
    return LayerCost(y, weights + width * op.bias, 0, cells * weights, cells * width)


def _window(op: Conv | Depthwise | Pool, name: str, x: Shape, channels: int) -> Shape:
    """The shape that a window leaves when it slides over an image of shape `x`."""
    height, width, _ = x
    if op.stride > 1 or op.padding in ("valid", "symmetric"):
        height = window_cells(height, op.kernel, op.stride, op.padding) or 0
        width = window_cells(width, op.kernel, op.stride, op.padding) or 0
        if height < 1 or width < 1:
            raise SpecError(
                f"layer {name!r} would have no output: its kernel of {op.kernel} exceeds its input. Raise the "
                "resolution or lower a stride.",
                received=(f"input {x.height}x{x.width}, padding={op.padding!r}, stride={op.stride}"),
            )
    return Shape(height, width, channels)


class CostCounter:
    """The reader that adds up; `counts` are the sums over everything read so far."""

    def __init__(self) -> None:
        self._trainable = self._untrained = self._macs = self._activations = 0

    @property
    def counts(self) -> Counts:
        """The sums."""
        return Counts(self._trainable + self._untrained, self._trainable, self._macs, self._activations)

    def read(self, op: Op, name: str, *inputs: Shape) -> Shape:
        """Adds the cost of one operation, and returns the shape of what it makes."""
        shape, trainable, untrained, macs, activations = layer_cost(op, name, *inputs)
        self._trainable += trainable
        self._untrained += untrained
        self._macs += macs
        self._activations += activations
        return shape


class Adding(Reader[Shape], Protocol[SumsT]):
    """A reader of shapes that adds something up."""

    @property
    def counts(self) -> SumsT:
        """The sums."""
        ...


def count_block(block: RecordedBlock, values: dict[Node, Shape], make: Callable[[], Adding[SumsT]]) -> SumsT:
    """Adds up all the blocks that a recorded one stands for.

    Args:
        block: the block.
        values: shapes of what was made so far, by node. Those that the block makes are added.
        make: gives a reader that has read nothing yet, such as `CostCounter`.

    Returns:
        The sums over the blocks.
    """
    total, y = make().counts, values[block.input]
    for left in range(block.times, 0, -1):
        counter, x, values[block.input] = make(), y, y
        y = run_block(block, counter, values)
        if y == x:
            # It keeps the shape, so that all the others cost the same.
            return total.plus(counter.counts, left)
        total = total.plus(counter.counts)
    return total
