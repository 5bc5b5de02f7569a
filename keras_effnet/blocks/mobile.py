"""The blocks of MobileNetV1 and MobileNetV2, with the layer names of keras.applications.

| block | source |
|---|---|
| `DepthwiseSeparable` | MobileNets, Howard et al. 2017, arXiv:1704.04861, Figure 3 |
| `InvertedResidual` | MobileNetV2, Sandler et al. 2018, arXiv:1801.04381, Table 1; momentum 0.999 as in Keras |
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, hidden_width
from keras_effnet.checks import check_int
from keras_effnet.errors import SpecError
from keras_effnet.ops import KERAS_NORM, BatchNorm, Ops, T
from keras_effnet.windows import check_activation_name

MOBILENET_V2_NORM = BatchNorm(epsilon=1e-3, momentum=0.999)


@dataclass(frozen=True)
class DepthwiseSeparable(Block):
    """Filter each channel (depthwise), then mix the channels (1x1); no skip connection.

    Args:
        kernel: size of the depthwise convolution, 1 to 31.
        multiplier: number of depthwise filters per input channel, at least 1 (Keras' `depth_multiplier`).
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> DepthwiseSeparable().describe()
        'DWConv, k3x3'
    """

    kernel: int = 3
    multiplier: int = 1
    activation: str = "relu6"
    norm: BatchNorm = KERAS_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_int(SpecError, "multiplier", self.multiplier, 1)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        number = "stem" if at.stage == 0 else at.index + 1
        padding = "same" if at.stride == 1 else "even"
        x = ops.depthwise(
            x, self.kernel, at.stride, padding=padding, multiplier=self.multiplier, name=f"conv_dw_{number}"
        )
        x = ops.norm(x, self.norm, name=f"conv_dw_{number}_bn")
        x = ops.act(x, self.activation, name=f"conv_dw_{number}_relu")
        x = ops.conv(x, at.width, name=f"conv_pw_{number}")
        x = ops.norm(x, self.norm, name=f"conv_pw_{number}_bn")
        return ops.act(x, self.activation, name=f"conv_pw_{number}_relu")

    def describe(self) -> str:
        return f"DWConv, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class InvertedResidual(Block):
    """Expand (1x1), filter each channel (depthwise), project (1x1, no activation), add the input.

    The input is added if the stride is 1 and the width does not change.

    Args:
        kernel: size of the depthwise convolution, 1 to 31.
        expand: number of hidden channels per input channel, above 0, at most 1e6; 1 leaves the expansion layer out.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> InvertedResidual(expand=1).describe()
        'InvertedResidual1, k3x3'
    """

    kernel: int = 3
    expand: float = 6
    activation: str = "relu6"
    norm: BatchNorm = MOBILENET_V2_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        # Keras names the first block of MobileNetV2 after the paper's figure and numbers the others.
        prefix = "stem" if at.stage == 0 else f"block_{at.index}" if at.index else "expanded_conv"
        channels, y = ops.channels(x), x
        if self.expand != 1:
            y = ops.conv(y, hidden_width(channels, self.expand), name=f"{prefix}_expand")
            y = ops.norm(y, self.norm, name=f"{prefix}_expand_BN")
            y = ops.act(y, self.activation, name=f"{prefix}_expand_relu")
        y = ops.depthwise(y, self.kernel, at.stride, padding="correct", name=f"{prefix}_depthwise")
        y = ops.norm(y, self.norm, name=f"{prefix}_depthwise_BN")
        y = ops.act(y, self.activation, name=f"{prefix}_depthwise_relu")
        y = ops.conv(y, at.width, name=f"{prefix}_project")
        y = ops.norm(y, self.norm, name=f"{prefix}_project_BN")
        if at.stride == 1 and channels == at.width:
            y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
            y = ops.add(x, y, name=f"{prefix}_add")
        return y

    def describe(self) -> str:
        return f"InvertedResidual{self.expand:g}, k{self.kernel}x{self.kernel}"
