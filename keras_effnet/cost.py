"""What a network costs, counted from its spec alone: the reader that needs no Keras.

| quantity | unit | what counts | source |
|---|---|---|---|
| `params` | numbers | every weight, the untrained ones too: `model.count_params()` | keras |
| `macs` | multiply-adds an image | convolutions and dense layers, without biases | the "FLOPS" of arXiv:1905.11946 |
| `flops` | operations an image | 2 * macs | |
| `activations` | numbers an image | outputs of convolutions and dense layers | arXiv:2103.06877, section 3 |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from keras_effnet.checks import check_int
from keras_effnet.errors import BuildError, SpecError
from keras_effnet.network import Pooling, read_network
from keras_effnet.ops import BatchNorm, Norm, Ops, Padding, PoolKind, padding_zeros
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec

FLOAT32_BYTES = 4
# Ten times the layers of the deepest published network, ResNet-1202 (arXiv:1512.03385, section 4.2).
MAX_UNEQUAL_BLOCKS = 10_000


class Shape(NamedTuple):
    """The shape of what flows through a network; a vector is an image of 1 x 1."""

    height: int
    width: int
    channels: int


class Counts(NamedTuple):
    """Sums over layers."""

    params: int = 0
    trainable_params: int = 0
    macs: int = 0
    activations: int = 0


Sums = TypeVar("Sums", bound=tuple)


def plus(sums: Sums, more: Sums, times: int = 1) -> Sums:
    """`sums` and `times` times `more`, field by field; both are named tuples of one kind."""
    return type(sums)(*(a + times * b for a, b in zip(sums, more, strict=True)))


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage.

    Args:
        operator: the block as the paper's Table 1 writes it.
        input: (height, width, channels) that the stage reads.
        output: (height, width, channels) that it emits.
        depth: number of its blocks.
        params: all its weights.
        trainable_params: those that training changes.
        macs: multiply-adds an image.
        activations: outputs of its convolutions and dense layers, an image.
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
        params: all weights, as `model.count_params()` counts them.
        trainable_params: those that training changes.
        macs: multiply-adds an image in convolutions and dense layers: the paper's "FLOPS".
        activations: outputs of convolutions and dense layers, numbers an image.
        stages: stem (with preprocessing), stages, head, and the top (classifier or pooling) where there is one.
    """

    params: int
    trainable_params: int
    macs: int
    activations: int
    stages: tuple[StageCost, ...]

    @property
    def flops(self) -> int:
        """Floating-point operations an image: one multiplication and one addition for each of `macs`."""
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

    The time does not grow with depth: equal blocks in a row are counted once. Only DenseNet's, of which each reads more
    than the one before, are counted one by one.

    Args:
        spec: a backbone or the name of a registered one.
        resolution: of the image, in pixels, or (height, width); the spec's by default. At least the total stride.
        channels: of the image, at least 1.
        classes: of the classifier, at least 1.
        include_top: whether the classifier counts.
        pooling: without top, "avg", "max" or None; costs no parameters.

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
    size = spec.resolution if resolution is None else resolution
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2:
        raise BuildError(f"`resolution` must be one side or (height, width). Received: {resolution=}")
    for side in sides:
        check_int(BuildError, "resolution", side, spec.total_stride)
    check_int(BuildError, "channels", channels, 1)
    counter, image = CostCounter(), Shape(*sides, channels)
    output = read_network(spec, counter, image, include_top=include_top, pooling=pooling, classes=classes)
    if include_top or pooling or counter.totals != counter.closed:
        # Some networks normalise the features that they give in place of a classifier.
        operator = "Pooling & FC" if include_top else "Pooling" if pooling else "Normalisation"
        counter.close_stage(operator, counter.stages[-1].output, output, depth=1)
    return Cost(*counter.totals, tuple(counter.stages))


class CostCounter(Ops[Shape]):
    """The reader that adds up.

    `totals` are over everything read so far, `closed` over the stages that are finished, `stages` over each of them.
    """

    def __init__(self) -> None:
        self.totals = Counts()
        self.stages: list[StageCost] = []
        self.closed = Counts()

    def close_stage(self, operator: str, input: Shape, output: Shape, depth: int) -> None:
        """Books all that was counted since the last stage was closed."""
        counts = plus(self.totals, self.closed, times=-1)
        self.stages.append(StageCost(operator, input, output, depth, *counts))
        self.closed = self.totals

    def stage(
        self, x: Shape, block: Callable[[int, Shape], Shape], *, depth: int, repeated: range, operator: str
    ) -> Shape:
        index, y = 0, x
        while index < depth:
            before, previous = self.totals, y
            y = block(index, y)
            times = 1
            if index in repeated:
                if y == previous:
                    # It kept the shape, so that all the others of its kind are equal to it.
                    times = repeated.stop - index
                    self.totals = plus(before, plus(self.totals, before, times=-1), times)
                elif depth > MAX_UNEQUAL_BLOCKS:
                    raise SpecError(
                        f"a stage whose blocks all differ (as {operator} do) may have {MAX_UNEQUAL_BLOCKS:,} blocks: "
                        f"each is counted by itself. Lower its depth or phi. Received: depth={depth:,}"
                    )
            index += times
        self.close_stage(operator, x, y, depth)
        return y

    def channels(self, x: Shape) -> int:
        return x.channels

    def size(self, x: Shape) -> tuple[int, int]:
        return x.height, x.width

    def _count(self, weights: int, macs: int, activations: int, untrained: int = 0) -> None:
        self.totals = plus(self.totals, Counts(weights + untrained, weights, macs, activations))

    def _window(self, x: Shape, channels: int, kernel: int, stride: int, padding: Padding, name: str) -> Shape:
        """The image that a window leaves when it slides over `x`."""
        sides = []
        for size in (x.height, x.width):
            cells = (size + sum(padding_zeros(padding, kernel, stride, size)) - kernel) // stride + 1
            if cells < 1:
                raise SpecError(
                    f"layer {name!r} would have no output: its kernel of {kernel} exceeds its input. Raise the "
                    f"resolution or lower a stride. Received: input {x.height}x{x.width}, {padding=}, {stride=}"
                )
            sides.append(cells)
        return Shape(sides[0], sides[1], channels)

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
        if x.channels % groups or width % groups:
            raise SpecError(
                f"layer {name!r} must read and emit whole groups of channels: both must be multiples of `groups`. "
                f"Received: {x.channels} channels read, {width} emitted, {groups=}"
            )
        y = self._window(x, width, kernel, stride, padding, name)
        weights = kernel * kernel * (x.channels // groups) * width
        self._count(weights + width * bias, y.height * y.width * weights, y.height * y.width * width)
        return y

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
        width = x.channels * multiplier
        y = self._window(x, width, kernel, stride, padding, name)
        weights = kernel * kernel * width
        self._count(weights + width * bias, y.height * y.width * weights, y.height * y.width * width)
        return y

    def dense(self, x: Shape, width: int, *, activation: str | Callable[..., Any] | None = None, name: str) -> Shape:
        weights = x.channels * width
        self._count(weights + width, x.height * x.width * weights, x.height * x.width * width)
        return Shape(x.height, x.width, width)

    def norm(self, x: Shape, norm: Norm, *, name: str) -> Shape:
        self._count(2 * x.channels, 0, 0, untrained=2 * x.channels if isinstance(norm, BatchNorm) else 0)
        return x

    def scale(self, x: Shape, initial: float, *, name: str) -> Shape:
        self._count(x.channels, 0, 0)
        return x

    def act(self, x: Shape, activation: str | Callable[..., Any] | None, *, name: str) -> Shape:
        return x

    def pool(
        self, x: Shape, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> Shape:
        return self._window(x, x.channels, kernel, stride, padding, name)

    def global_pool(self, x: Shape, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> Shape:
        return Shape(1, 1, x.channels)

    def add(self, x: Shape, y: Shape, *, name: str) -> Shape:
        if x != y:
            raise SpecError(f"layer {name!r} adds images of different shapes. Received: {x} and {y}")
        return x

    def mul(self, x: Shape, y: Shape, *, name: str) -> Shape:
        return x

    def concat(self, x: Shape, y: Shape, *, name: str) -> Shape:
        if x[:2] != y[:2]:
            raise SpecError(f"layer {name!r} joins images of different sizes. Received: {x} and {y}")
        return x._replace(channels=x.channels + y.channels)

    def dropout(self, x: Shape, rate: float, *, per_sample: bool = False, name: str) -> Shape:
        return x

    def flatten(self, x: Shape, *, name: str) -> Shape:
        return x

    def rescale(self, x: Shape, scale: float, offset: float, *, name: str) -> Shape:
        return x

    def standardize(
        self,
        x: Shape,
        *,
        mean: Sequence[float] | None = None,
        variance: Sequence[float] | None = None,
        name: str,
    ) -> Shape:
        if mean is None:
            # A mean and a variance for each channel, and Keras' count of the images they were taken from.
            self._count(0, 0, 0, untrained=2 * x.channels + 1)
        return x

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
        self._count(trainable_params, macs, 0, untrained=params - trainable_params)
        return Shape(*shape)
