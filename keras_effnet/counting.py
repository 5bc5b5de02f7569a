"""The reader that counts: what each operation costs on the shapes that it reads, added up over blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, Self, TypeVar

from keras_effnet.errors import SpecError
from keras_effnet.network import Network, Node, Reader, RecordedBlock, run_block
from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    ChannelScale,
    Concat,
    Conv,
    Crop,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    GroupNorm,
    Joining,
    LayerNorm,
    Merge,
    Multiply,
    Op,
    Opaque,
    Pool,
    PReLU,
    Reshaping,
    Resize,
    Reuse,
    RMSNorm,
    Sides,
    Standardize,
    TransposedConv,
    Unflatten,
    UpSample,
    Window,
    ZeroPad,
)
from keras_effnet.windows import sides_behind, sides_behind_transposed


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


def sized(image: Shape) -> Shape:
    """The shape of an image, with 256 cells for a side of 0, which may have any length."""
    return Shape(image.height or 256, image.width or 256, image.channels)


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
            weights = _area(op.kernel) * (channels // groups) * width
            return _window_cost(op, name, x, width, weights)
        case BatchNorm():
            return LayerCost(x, (op.center + op.scale) * channels, 2 * channels)
        case Activation() | Dropout():
            return LayerCost(x)
        case Add() | Multiply() | Merge() | Concat():
            return LayerCost(_joined(op, name, x, *others))
        case Depthwise():
            width = channels * op.multiplier
            return _window_cost(op, name, x, width, _area(op.kernel) * width)
        case GlobalPool():
            return LayerCost(Shape(1, 1, channels))
        case Dense():
            cells, weights = x.height * x.width, channels * op.width
            return LayerCost(
                x._replace(channels=op.width), weights + op.width * op.bias, 0, cells * weights, cells * op.width
            )
        case LayerNorm() | GroupNorm():
            return LayerCost(x, (op.center + op.scale) * channels)
        case ChannelScale() | RMSNorm():
            return LayerCost(x, channels)
        case Pool():
            return LayerCost(_window(op, name, x, channels))
        case Flatten() | Unflatten() | ZeroPad() | Crop() | UpSample() | Resize():
            return LayerCost(_moved(op, name, x))
        case TransposedConv():
            return _transposed_cost(op, x)
        case PReLU():
            return LayerCost(x, op.cells * channels)
        case Reuse():
            # The weights were counted where the layer was called first.
            return layer_cost(op.op, name, x, *others)._replace(trainable_params=0, untrained_params=0)
        case Standardize(mean=None):
            # A mean and a variance per channel, and Keras' count of the images they were taken from.
            return LayerCost(x, 0, 2 * channels + 1)
        case Opaque():
            untrained = op.params - op.trainable_params
            shape = op.shape if op.infer is None else op.infer(x, *others)
            return LayerCost(Shape(*shape), op.trainable_params, untrained, op.macs)
    return LayerCost(x)


def _area(kernel: Sides) -> int:
    return kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]


def _window_cost(op: Conv | Depthwise, name: str, x: Shape, width: int, weights: int) -> LayerCost:
    y = _window(op, name, x, width)
    cells = y.height * y.width
    return LayerCost(y, weights + width * op.bias, 0, cells * weights, cells * width)


def _window(op: Window, name: str, x: Shape, channels: int) -> Shape:
    """The shape that a window leaves when it slides over an image of shape `x`."""
    height, width, _ = x
    if op.stride != 1 or op.padding in ("valid", "symmetric"):
        height, width = (side or 0 for side in sides_behind(op, (height, width)))
        if height < 1 or width < 1:
            raise SpecError(
                f"layer {name!r} would have no output: its kernel of {op.kernel} exceeds its input. Raise the "
                "resolution or lower a stride.",
                received=(f"input {x.height}x{x.width}, padding={op.padding!r}, stride={op.stride}"),
            )
    return Shape(height, width, channels)


def _joined(op: Joining, name: str, *images: Shape) -> Shape:
    """The shape of what is made of several images."""
    if isinstance(op, Concat):
        if len({image[:2] for image in images}) > 1:
            raise SpecError(f"layer {name!r} joins images of different sizes.", received=" and ".join(map(str, images)))
        return images[0]._replace(channels=sum(image.channels for image in images))
    first, *others = images
    if all(each in (first, (1, 1, first.channels)) for each in others):
        return first
    sides = tuple(max(each) for each in zip(*images, strict=True))
    # An image may be multiplied with anything of one cell or one channel, which is broadcast over it.
    if any(side not in (1, whole) for image in images for side, whole in zip(image, sides, strict=True)):
        verb = {Add: "adds", Multiply: "multiplies"}.get(type(op), "joins")
        raise SpecError(f"layer {name!r} {verb} images of different shapes.", received=" and ".join(map(str, images)))
    return Shape(*sides)


def _moved(op: Reshaping, name: str, x: Shape) -> Shape:
    """The shape of an image whose cells were moved about."""
    height, width, channels = x
    match op:
        case Flatten():
            if op.cells not in (1, height * width):
                raise SpecError(
                    f"layer {name!r} makes a vector of {op.cells} cells, and what reads it has weights for as many: "
                    "keep the resolution.",
                    received=f"an image of {height}x{width} cells",
                )
            return Shape(1, 1, op.cells * channels) if op.cells > 1 else x
        case ZeroPad() | Crop():
            sign = 1 if isinstance(op, ZeroPad) else -1
            height, width = height + sign * sum(op.rows), width + sign * sum(op.columns)
            if min(height, width) < 1:
                raise SpecError(
                    f"layer {name!r} would leave nothing of its image. Raise the resolution.", received=str(x)
                )
        case UpSample():
            height, width = height * op.rows, width * op.columns
        case Resize():
            height, width = op.height, op.width
    return Shape(height, width, channels)


def _transposed_cost(op: TransposedConv, x: Shape) -> LayerCost:
    """Each cell that is read is multiplied with the whole kernel."""
    height, width = (side or 0 for side in sides_behind_transposed(op, x[:2]))
    y, weights = Shape(height, width, op.width), _area(op.kernel) * x.channels * op.width
    return LayerCost(y, weights + op.width * op.bias, 0, x.height * x.width * weights, math.prod(y))


def count_nodes(
    network: Network, *images: Shape, count: Callable[..., LayerCost] = layer_cost
) -> dict[Node, LayerCost]:
    """Counts each operation of a network once; the inputs, too, which cost nothing.

    Args:
        network: the network.
        *images: shape of each input.
        count: counts one operation; `layer_cost`, or one that knows which weights a model really has.

    Raises:
        SpecError: an operation that is impossible on the shape that it reads.
    """
    costs = {node: LayerCost(image) for node, image in zip(network.inputs, images, strict=True)}
    for node in network.nodes:
        costs[node] = count(node.op, node.name, *[costs[given].shape for given in node.inputs])
    return costs


def network_shapes(network: Network, *images: Shape) -> dict[Node, Shape]:
    """The shape of everything that a network reads and makes, as `count_nodes` finds it.

    Args:
        network: a recorded network, each of whose blocks stands for one.
        *images: shape of each of its inputs.

    Raises:
        SpecError: an operation is impossible on the shapes that it reads.
    """
    return {node: cost.shape for node, cost in count_nodes(network, *images).items()}


def uncounted(network: Network) -> tuple[str, ...]:
    """Names of the layers of which only the parameters are counted, since nobody knows what they compute.

    Args:
        network: a recorded network.
    """
    return tuple(node.name for node in network.nodes if isinstance(node.op, Opaque) and not node.op.counted)


class CostCounter:
    """The reader that adds up; `counts` are the sums over everything read so far.

    Args:
        cost: counts one operation; `layer_cost`, or one that knows which weights a model really has.
    """

    def __init__(self, cost: Callable[..., LayerCost] = layer_cost) -> None:
        self._cost = cost
        self._trainable = self._untrained = self._macs = self._activations = 0

    @property
    def counts(self) -> Counts:
        """The sums."""
        return Counts(self._trainable + self._untrained, self._trainable, self._macs, self._activations)

    def read(self, op: Op, name: str, *inputs: Shape) -> Shape:
        """Adds the cost of one operation, and returns the shape of what it makes."""
        shape, trainable, untrained, macs, activations = self._cost(op, name, *inputs)
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
