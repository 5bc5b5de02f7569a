"""The block of MobileNetV3 (Howard et al. 2019, arXiv:1905.02244, Figure 4), with Keras' layer names.

| part | source |
|---|---|
| expand, depthwise, project, skip | MobileNetV2, arXiv:1801.04381, Table 1 |
| squeeze-and-excitation, reduced from the *hidden* width to a quarter | arXiv:1905.02244, section 5.3 |
| hard swish, hard sigmoid: relu6(x + 3) / 6 | arXiv:1905.02244, section 5.2 |
| hidden and squeezed widths in multiples of 8 | keras.applications.mobilenet_v3, `_depth` |
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, whole_width
from keras_effnet.blocks.mbconv import check_padding_keeps_size
from keras_effnet.blocks.mobile import MOBILENET_V2_NORM
from keras_effnet.checks import check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.padding import Padding
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class InvertedResidualV3(Block):
    """Expand (1x1), filter each channel (depthwise), squeeze and excite, project (1x1, no activation), add the input.

    The input is added if the stride is 1 and the width does not change.

    Args:
        kernel: size of the depthwise convolution, 1 to 31.
        expand: number of hidden channels per input channel, above 0; the product is rounded to a multiple of 8. 1
            leaves the expansion layer out.
        se_ratio: number of squeezed channels per *hidden* channel, in [0, 1]; the product is rounded likewise. 0 leaves
            squeeze-and-excitation out.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.
        padding: padding of the depthwise convolution, one of `keras_effnet.ops.PADDINGS`.

    Raises:
        SpecError: a value outside its range, or a padding that changes the size of what the input is added to.

    Example:
        >>> InvertedResidualV3(kernel=5, se_ratio=0.25).describe()
        'InvertedResidual4, k5x5, SE'
    """

    kernel: int = 3
    expand: float = 4
    se_ratio: float = 0.0
    activation: str = "hard_swish"
    norm: Norm = MOBILENET_V2_NORM
    padding: Padding = "correct"

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)
        check_norm(self.norm)
        check_padding_keeps_size(self.padding, self.kernel)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = "stem" if at.stage == 0 else f"expanded_conv_{at.index}" if at.index else "expanded_conv"
        channels, y = ops.channels(x), x
        if self.expand != 1:
            y = ops.conv(y, whole_width(channels * self.expand), name=f"{prefix}_expand")
            y = ops.norm(y, self.norm, name=f"{prefix}_expand_bn")
            y = ops.act(y, self.activation, name=f"{prefix}_expand_activation")
        y = ops.depthwise(y, self.kernel, at.stride, padding=self.padding, name=f"{prefix}_depthwise")
        y = ops.norm(y, self.norm, name=f"{prefix}_depthwise_bn")
        y = ops.act(y, self.activation, name=f"{prefix}_depthwise_activation")
        if self.se_ratio > 0:
            y = self._squeeze_excite(ops, y, f"{prefix}_squeeze_excite")
        y = ops.conv(y, at.width, name=f"{prefix}_project")
        y = ops.norm(y, self.norm, name=f"{prefix}_project_bn")
        if at.stride == 1 and channels == at.width:
            y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
            y = ops.add(x, y, name=f"{prefix}_add")
        return y

    def _squeeze_excite(self, ops: Ops[T], x: T, prefix: str) -> T:
        """Unlike in EfficientNet, ReLU whatever the block's activation, and a gate of straight lines."""
        gate = ops.global_pool(x, keepdims=True, name=f"{prefix}_avg_pool")
        gate = ops.conv(gate, whole_width(ops.channels(x) * self.se_ratio), bias=True, name=f"{prefix}_conv")
        gate = ops.act(gate, "relu", name=f"{prefix}_relu")
        gate = ops.conv(gate, ops.channels(x), bias=True, name=f"{prefix}_conv_1")
        gate = ops.act(gate, "hard_sigmoid", name=f"{prefix}_gate")
        return ops.mul(x, gate, name=f"{prefix}_mul")

    def describe(self) -> str:
        return f"InvertedResidual{self.expand:g}, k{self.kernel}x{self.kernel}" + (", SE" if self.se_ratio else "")
