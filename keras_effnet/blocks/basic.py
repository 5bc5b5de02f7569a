"""The block of ResNet-18 and 34: He et al. 2016, arXiv:1512.03385, Figure 5, left.

Only where the shape changes is the shortcut a 1x1 convolution: option B of the paper's section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, check_kernel
from keras_effnet.blocks.bottleneck import PYTORCH_NORM, check_residual_padding
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.padding import Padding
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class BasicBlock(Block):
    """Filter twice (kernel x kernel), add the input; activation after the addition.

    Both convolutions have the width of the stage. The first strides.

    Args:
        kernel: size of both convolutions, 1 to 31.
        padding: padding of both convolutions: "same", or "symmetric", which needs an odd kernel.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> BasicBlock().describe()
        'Basic, k3x3'
    """

    kernel: int = 3
    padding: Padding = "symmetric"
    activation: str = "relu"
    norm: Norm = PYTORCH_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_residual_padding(self.padding, self.kernel)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        # ResNet counts its stages from the stem, which is conv1.
        prefix, shortcut = f"conv{at.stage + 1}_block{at.block + 1}", x
        if at.stride > 1 or ops.channels(x) != at.width:
            shortcut = self._conv_norm(ops, x, at.width, 1, at.stride, f"{prefix}_0")
        y = self._conv_norm(ops, x, at.width, self.kernel, at.stride, f"{prefix}_1")
        y = ops.act(y, self.activation, name=f"{prefix}_1_relu")
        y = self._conv_norm(ops, y, at.width, self.kernel, 1, f"{prefix}_2")
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
        return ops.act(ops.add(shortcut, y, name=f"{prefix}_add"), self.activation, name=f"{prefix}_out")

    def _conv_norm(self, ops: Ops[T], x: T, width: int, kernel: int, stride: int, prefix: str) -> T:
        x = ops.conv(x, width, kernel, stride, padding=self.padding, name=f"{prefix}_conv")
        return ops.norm(x, self.norm, name=f"{prefix}_bn")

    def describe(self) -> str:
        return f"Basic, k{self.kernel}x{self.kernel}"
