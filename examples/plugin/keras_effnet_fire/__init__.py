"""SqueezeNet 1.1 with simple bypass (Iandola et al. 2016, arXiv:1602.07360): few channels read by many.

Importing this imports no keras: a block says what it does in the verbs of `keras_effnet.ops`.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet import BackboneSpec, Coefficients, Preprocessing, StageSpec
from keras_effnet.blocks import Block, ConvClassifier, Placement
from keras_effnet.blocks.base import check_expand, check_kernel, hidden_width
from keras_effnet.checks import check_number
from keras_effnet.errors import ScalingError, SpecError
from keras_effnet.ops import Ops, T


@dataclass(frozen=True)
class FireStem(Block):
    """A convolution and ReLU, without normalisation.

    Args:
        kernel: height and width of the kernel, 1 to 31.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> FireStem().describe()
        'Conv, k3x3'
    """

    kernel: int = 3

    def __post_init__(self) -> None:
        check_kernel(self.kernel)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        x = ops.conv(x, at.width, self.kernel, at.stride, bias=True, name="conv1")
        return ops.act(x, "relu", name="conv1_relu")

    def describe(self) -> str:
        return f"Conv, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class Fire(Block):
    """Squeeze to a few channels (1x1), expand them by a 1x1 and a larger convolution side by side, add the input.

    The input is added if the stride is 1 and the width does not change. With a stride, max pooling comes first.

    Args:
        kernel: height and width of the larger convolution's kernel, 1 to 31.
        squeeze: number of squeezed channels per output channel, above 0.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> Fire(squeeze=0.25).describe()
        'Fire0.25, k3x3'
    """

    kernel: int = 3
    squeeze: float = 1 / 8

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.squeeze)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = f"fire{at.stage}{at.letter}"
        if at.width % 2:
            raise SpecError("a fire module's width must be even: it has two halves.", received=f"width={at.width!r}")
        if at.stride > 1:
            x = ops.pool(x, 3, at.stride, padding="same", name=f"{prefix}_pool")
        y = ops.conv(x, hidden_width(at.width, self.squeeze), bias=True, name=f"{prefix}_squeeze")
        y = ops.act(y, "relu", name=f"{prefix}_squeeze_relu")
        half = at.width // 2
        point = ops.conv(y, half, bias=True, activation="relu", name=f"{prefix}_point")
        large = ops.conv(y, half, self.kernel, bias=True, activation="relu", name=f"{prefix}_large")
        y = ops.concat(point, large, name=f"{prefix}_concat")
        if at.stride == 1 and ops.channels(x) == at.width:
            y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
            y = ops.add(y, x, name=f"{prefix}_add")
        return y

    def widened(self, width: int, coefficient: float) -> tuple[Block, int]:
        # Each half has as many channels as the other.
        return self, width + width % 2

    def describe(self) -> str:
        return f"Fire{self.squeeze:g}, k{self.kernel}x{self.kernel}"


squeezenet_spec = BackboneSpec(
    name="squeezenet",
    stem=StageSpec(FireStem(), width=64, stride=2),
    stages=(
        StageSpec(Fire(), width=128, depth=2, stride=2),
        StageSpec(Fire(), width=256, depth=2, stride=2),
        StageSpec(Fire(), width=384, depth=2, stride=2),
        StageSpec(Fire(), width=512, depth=2),
    ),
    classifier=ConvClassifier(dropout=0.5),
    resolution=224,
    preprocessing=Preprocessing(mode="torch"),
)


@dataclass(frozen=True)
class FireWidth:
    """Width alone, times 1.5 for each step of phi.

    Args:
        beta: width multiplier at phi = 1, above 0.

    Example:
        >>> FireWidth()(1).width
        1.5
    """

    beta: float = 1.5

    def __call__(self, phi: float) -> Coefficients:
        """Returns the coefficients at `phi`, which may be any finite number.

        Raises:
            ScalingError: phi is not a finite number, or so large that the width overflows.
        """
        check_number(ScalingError, "phi", phi, float("-inf"))
        try:
            return Coefficients(width=self.beta**phi)
        except OverflowError as error:
            raise ScalingError("`phi` is so large that the width overflows.", received=f"{phi=}") from error


FIRE_WIDTH = FireWidth()
