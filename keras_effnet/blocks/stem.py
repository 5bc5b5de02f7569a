"""The stems of the ResNet and DenseNet families: down to a quarter of the image's side.

| block | source |
|---|---|
| `ResNetStem` | He et al. 2016, arXiv:1512.03385, Table 1, with the layer names of keras.applications.resnet |
| `DeepStem` | ResNet-RS, Bello et al. 2021, arXiv:2103.07579: ResNet-C's, and a convolution in place of max pooling |

ResNet-C (He et al. 2019, arXiv:1812.01187, Figure 2(b)) has three 3x3 convolutions in place of one 7x7.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, check_kernel, hidden_width
from keras_effnet.blocks.bottleneck import RESNET_NORM
from keras_effnet.checks import check_bool, check_name
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class ResNetStem(Block):
    """A large convolution, then max pooling 3x3 with stride 2 if the stem's stride is 4.

    Args:
        kernel: size of the convolution, 1 to 31.
        bias: whether the convolution has a bias.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after the convolution; None leaves normalisation and activation out, for networks whose
            blocks begin with them.
        pool_name: name of the pooling layer: "pool1" in Keras' DenseNet.

    Raises:
        SpecError: a value outside its range, or (when applied) a stride other than 1, 2 or 4.

    Example:
        >>> ResNetStem().describe()
        'Conv, k7x7 & Pooling'
    """

    kernel: int = 7
    bias: bool = True
    activation: str = "relu"
    norm: Norm | None = RESNET_NORM
    pool_name: str = "pool1_pool"

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_bool(SpecError, "bias", self.bias)
        if self.norm is not None:
            check_norm(self.norm)
        check_name(SpecError, "pool_name", self.pool_name, layer=True)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        check_stem_stride(at.stride, "ResNetStem")
        x = ops.conv(
            x, at.width, self.kernel, min(at.stride, 2), padding="symmetric", bias=self.bias, name="conv1_conv"
        )
        if self.norm is not None:
            x = ops.norm(x, self.norm, name="conv1_bn")
            x = ops.act(x, self.activation, name="conv1_relu")
        # The zeros around the image take part in the maximum. After ReLU they never win; without, Keras has it so.
        return ops.pool(x, 3, 2, padding="symmetric", name=self.pool_name) if at.stride == 4 else x

    def describe(self) -> str:
        return f"Conv, k{self.kernel}x{self.kernel} & Pooling"


@dataclass(frozen=True)
class DeepStem(Block):
    """Four convolutions 3x3: two of half the width, two of the width. The first strides; at stride 4, the last too.

    Args:
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.

    Raises:
        SpecError: a value outside its range, or (when applied) a stride other than 1, 2 or 4.

    Example:
        >>> DeepStem().describe()
        '4 Conv, k3x3'
    """

    activation: str = "relu"
    norm: Norm = RESNET_NORM

    def __post_init__(self) -> None:
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        check_stem_stride(at.stride, "DeepStem")
        half = hidden_width(at.width, 0.5)
        widths, strides = (half, half, at.width, at.width), (min(at.stride, 2), 1, 1, max(at.stride // 2, 1))
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
            x = ops.conv(x, width, 3, stride, padding="symmetric", name=f"conv1_{number}_conv")
            x = ops.norm(x, self.norm, name=f"conv1_{number}_bn")
            x = ops.act(x, self.activation, name=f"conv1_{number}_relu")
        return x

    def describe(self) -> str:
        return "4 Conv, k3x3"


def check_stem_stride(stride: int, block: str) -> None:
    """Raises SpecError unless `stride` is 1, 2 or 4."""
    if stride not in (1, 2, 4):
        raise SpecError(
            f"the stride of {block} must be 1, 2 or 4 (4: half from its first convolution, half from what follows).",
            received=f"stride={stride}",
        )
