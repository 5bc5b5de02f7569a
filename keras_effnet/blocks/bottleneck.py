"""ResNet's bottleneck, version 1, and the stem that goes with it (He et al. 2016, arXiv:1512.03385, Table 1).

Both are as in keras.applications.resnet: the stride stands in the first 1x1 convolution (as in the paper; "v1.5" moves
it to the 3x3), convolutions have biases, and normalisation has epsilon 1.001e-5.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, hidden_width
from keras_effnet.errors import SpecError
from keras_effnet.ops import BatchNorm, Ops, T

RESNET_NORM = BatchNorm(epsilon=1.001e-5)


@dataclass(frozen=True)
class Bottleneck(Block):
    """Narrow (1x1), filter (kernel x kernel), widen (1x1), add the input; ReLU after the addition.

    A stage's `width` is the narrow width (64, 128, 256, 512 in ResNet-50); the block emits `expand * width` channels.
    The shortcut of a stage's first block is a 1x1 convolution.

    Args:
        kernel: of the middle convolution, 1 to 31.
        expand: emitted channels for each narrow channel, above 0.
        bias: whether the convolutions have biases.
        activation: a name that `keras.activations` knows.
        norm: of all convolutions.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> Bottleneck().describe()
        'Bottleneck4, k3x3'
    """

    kernel: int = 3
    expand: float = 4
    bias: bool = True
    activation: str = "relu"
    norm: BatchNorm = RESNET_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        # ResNet counts its stages from the stem, which is conv1.
        prefix = f"conv{at.stage + 1}_block{at.block + 1}"
        width_out = hidden_width(at.width, self.expand)
        shortcut = x
        if at.block == 0 or at.stride > 1 or ops.channels(x) != width_out:
            shortcut = self._conv_norm(ops, x, width_out, 1, at.stride, f"{prefix}_0")
        y = self._conv_norm(ops, x, at.width, 1, at.stride, f"{prefix}_1")
        y = ops.act(y, self.activation, name=f"{prefix}_1_relu")
        y = self._conv_norm(ops, y, at.width, self.kernel, 1, f"{prefix}_2")
        y = ops.act(y, self.activation, name=f"{prefix}_2_relu")
        y = self._conv_norm(ops, y, width_out, 1, 1, f"{prefix}_3")
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
        y = ops.add(shortcut, y, name=f"{prefix}_add")
        return ops.act(y, self.activation, name=f"{prefix}_out")

    def _conv_norm(self, ops: Ops[T], x: T, width: int, kernel: int, stride: int, prefix: str) -> T:
        x = ops.conv(x, width, kernel, stride, bias=self.bias, name=f"{prefix}_conv")
        return ops.norm(x, self.norm, name=f"{prefix}_bn")

    def describe(self) -> str:
        return f"Bottleneck{self.expand:g}, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class ResNetStem(Block):
    """A large convolution, then max pooling 3x3 with stride 2 where the stem's stride is even and above 2.

    Args:
        kernel: of the convolution, 1 to 31.
        bias: whether it has a bias.
        activation: a name that `keras.activations` knows.
        norm: of the convolution.

    Raises:
        SpecError: a value outside its range, or (when applied) a stride other than 1, 2 or 4.
    """

    kernel: int = 7
    bias: bool = True
    activation: str = "relu"
    norm: BatchNorm = RESNET_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        if at.stride not in (1, 2, 4):
            raise SpecError(
                "the stride of ResNetStem must be 1, 2 or 4 (4: half from the convolution, half from max pooling). "
                f"Received: stride={at.stride}"
            )
        x = ops.conv(
            x, at.width, self.kernel, min(at.stride, 2), padding="symmetric", bias=self.bias, name="conv1_conv"
        )
        x = ops.norm(x, self.norm, name="conv1_bn")
        x = ops.act(x, self.activation, name="conv1_relu")
        # ReLU leaves nothing below zero, so the zeros around the picture never win the maximum.
        return ops.pool(x, 3, 2, padding="symmetric", name="pool1_pool") if at.stride == 4 else x

    def describe(self) -> str:
        return f"Conv, k{self.kernel}x{self.kernel} & Pooling"
