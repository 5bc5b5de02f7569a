"""GhostNet (Han et al. 2020, arXiv:1911.11907): half of the channels are convolved, the others made from them cheaply.

Importing this imports no keras: a block says what it does in the verbs of `keras_effnet.ops`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_effnet import BackboneSpec, Coefficients, Preprocessing, StageSpec
from keras_effnet.blocks import Block, ConvBlock, HiddenConvClassifier, Placement
from keras_effnet.blocks.base import check_expand, check_kernel, whole_width
from keras_effnet.checks import check_number
from keras_effnet.errors import ScalingError, SpecError
from keras_effnet.ops import BatchNorm, Ops, T

# GhostNet was released with the defaults of torch.nn.BatchNorm2d.
NORM = BatchNorm(epsilon=1e-5, momentum=0.9)
# The cheap operation's kernel: huggingface/pytorch-image-models, timm/models/ghostnet.py, GhostModule, `dw_size`.
CHEAP_KERNEL = 3


@dataclass(frozen=True)
class GhostBottleneck(Block):
    """Two Ghost modules and a shortcut, with a depthwise convolution between them if the block strides (Figure 3).

    Args:
        kernel: height and width of the kernels of the depthwise convolutions that stride, 1 to 31.
        expand: number of hidden channels per input channel, above 0.
        se_ratio: number of squeezed channels per hidden channel, in [0, 1]; 0 leaves squeeze-and-excitation out.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> GhostBottleneck(kernel=5, expand=3).describe()
        'Ghost3, k5x5'
    """

    kernel: int = 3
    expand: float = 3
    se_ratio: float = 0.0

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = f"ghost{at.stage}{at.letter}"
        channels = ops.channels(x)
        hidden = 2 * math.ceil(channels * self.expand / 2)
        y = self._ghost(ops, x, hidden, "relu", f"{prefix}_1")
        if at.stride > 1:
            y = self._depthwise_norm(ops, y, self.kernel, at.stride, f"{prefix}_stride")
        if self.se_ratio > 0:
            y = self._squeeze_excite(ops, y, whole_width(hidden * self.se_ratio, divisor=4, least=4), f"{prefix}_se")
        y = self._ghost(ops, y, at.width, None, f"{prefix}_2")
        if at.stride > 1 or channels != at.width:
            x = self._depthwise_norm(ops, x, self.kernel, at.stride, f"{prefix}_shortcut")
            x = ops.conv(x, at.width, name=f"{prefix}_shortcut_conv")
            x = ops.norm(x, NORM, name=f"{prefix}_shortcut_conv_bn")
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
        return ops.add(y, x, name=f"{prefix}_add")

    def _ghost(self, ops: Ops[T], x: T, width: int, activation: str | None, prefix: str) -> T:
        """The Ghost module: half of the channels by a 1x1 convolution, their ghosts by a depthwise one."""
        x = ops.conv(x, width // 2, name=f"{prefix}_conv")
        x = ops.norm(x, NORM, name=f"{prefix}_bn")
        x = ops.act(x, activation, name=f"{prefix}_act") if activation else x
        ghosts = self._depthwise_norm(ops, x, CHEAP_KERNEL, 1, f"{prefix}_cheap")
        ghosts = ops.act(ghosts, activation, name=f"{prefix}_cheap_act") if activation else ghosts
        return ops.concat(x, ghosts, name=f"{prefix}_concat")

    def _depthwise_norm(self, ops: Ops[T], x: T, kernel: int, stride: int, prefix: str) -> T:
        # With an even kernel, symmetric padding would leave one cell more than the shortcut has.
        padding = "symmetric" if kernel % 2 else "same"
        x = ops.depthwise(x, kernel, stride, padding=padding, name=f"{prefix}_dw")
        return ops.norm(x, NORM, name=f"{prefix}_dw_bn")

    def _squeeze_excite(self, ops: Ops[T], x: T, squeezed: int, prefix: str) -> T:
        gate = ops.global_pool(x, keepdims=True, name=f"{prefix}_squeeze")
        gate = ops.conv(gate, squeezed, bias=True, activation="relu", name=f"{prefix}_reduce")
        gate = ops.conv(gate, ops.channels(x), bias=True, activation="hard_sigmoid", name=f"{prefix}_expand")
        return ops.mul(x, gate, name=f"{prefix}_excite")

    def widened(self, width: int, coefficient: float) -> tuple[Block, int]:
        # Every channel has its ghost.
        return self, width + width % 2

    def describe(self) -> str:
        return f"Ghost{self.expand:g}, k{self.kernel}x{self.kernel}"


# (kernel, hidden width, width, se_ratio, stride): huggingface/pytorch-image-models, timm/models/ghostnet.py.
_ROWS = (
    (3, 16, 16, 0, 1),
    (3, 48, 24, 0, 2),
    (3, 72, 24, 0, 1),
    (5, 72, 40, 0.25, 2),
    (5, 120, 40, 0.25, 1),
    (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 480, 112, 0.25, 1),
    (3, 672, 112, 0.25, 1),
    (5, 672, 160, 0.25, 2),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
)


def _stages() -> tuple[StageSpec, ...]:
    widths_in = (16, *(width for _, _, width, _, _ in _ROWS))
    return tuple(
        StageSpec(GhostBottleneck(kernel, hidden / width_in, se_ratio), width, stride=stride)
        for width_in, (kernel, hidden, width, se_ratio, stride) in zip(widths_in, _ROWS, strict=False)
    )


ghostnet_spec = BackboneSpec(
    name="ghostnet",
    stem=StageSpec(ConvBlock(padding="symmetric", norm=NORM), width=16, stride=2),
    stages=_stages(),
    head=StageSpec(ConvBlock(kernel=1, norm=NORM, names=("top_conv", "top_bn", "top_activation")), width=960),
    classifier=HiddenConvClassifier(dropout=0.2, width=1280, activation="relu"),
    resolution=224,
    preprocessing=Preprocessing(mode="torch"),
)


@dataclass(frozen=True)
class GhostWidth:
    """GhostNet's own sizes: width times 1.3 for each step of phi (timm has GhostNet 0.5x, 1.0x and 1.3x).

    Args:
        beta: width multiplier at phi = 1, above 0.

    Example:
        >>> GhostWidth()(1).width
        1.3
    """

    beta: float = 1.3

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


GHOST_WIDTH = GhostWidth()
