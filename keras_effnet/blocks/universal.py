"""The universal inverted bottleneck of MobileNetV4 (Qin et al. 2024, arXiv:2404.10518, section 3.1 and Figure 2).

One block is an inverted bottleneck, a ConvNeXt-like block, a feed-forward block or all of them ("ExtraDW"), by which of
its two depthwise convolutions it has.

| `start_kernel` | `kernel` | the paper's name |
|---|---|---|
| 0 | above 0 | inverted bottleneck (IB) |
| above 0 | 0 | ConvNext |
| above 0 | above 0 | ExtraDW |
| 0 | 0 | FFN |
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, whole_width
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.blocks.mbconv import add_input, check_padding_keeps_size
from keras_effnet.checks import check_int
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.padding import Padding
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class UniversalInvertedBottleneck(Block):
    """Filter (depthwise), expand (1x1), filter again (depthwise), project (1x1), add the input.

    The input is added if the stride is 1 and the width does not change. The stride is that of the second depthwise
    convolution, of the first where there is no second, of the expansion where there is neither.

    Args:
        start_kernel: size of the depthwise convolution before the expansion, which no activation follows, 1 to 31; 0
            leaves it out.
        kernel: size of the depthwise convolution behind the expansion, 1 to 31; 0 leaves it out.
        expand: number of hidden channels per input channel, above 0; their number is rounded to a multiple of 8.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.
        padding: padding of the depthwise convolutions, one of `keras_effnet.ops.PADDINGS`.

    Raises:
        SpecError: a value outside its range, or a padding that changes the size of what the input is added to.

    Example:
        >>> UniversalInvertedBottleneck(start_kernel=3, kernel=5).describe()
        'UIB4, k3x3 and k5x5'
    """

    start_kernel: int = 0
    kernel: int = 3
    expand: float = 4
    activation: str = "relu"
    norm: Norm = PYTORCH_NORM
    padding: Padding = "symmetric"

    def __post_init__(self) -> None:
        for name in ("start_kernel", "kernel"):
            kernel = check_int(SpecError, name, getattr(self, name), 0)
            if kernel:
                check_kernel(kernel)
                check_padding_keeps_size(self.padding, kernel)
        check_expand(self.expand)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = f"uib{at.stage}{at.letter}"
        # Only the last one of those that can stride does.
        strides = "dw" if self.kernel else "start" if self.start_kernel else "expand"

        def stride(part: str) -> int:
            return at.stride if part == strides else 1

        y = x
        if self.start_kernel:
            name = f"{prefix}_start_dwconv"
            y = ops.depthwise(y, self.start_kernel, stride("start"), padding=self.padding, name=name)
            y = ops.norm(y, self.norm, name=f"{prefix}_start_bn")
        hidden = whole_width(ops.channels(x) * self.expand)
        y = ops.conv(y, hidden, stride=stride("expand"), name=f"{prefix}_expand_conv")
        y = ops.norm(y, self.norm, name=f"{prefix}_expand_bn")
        y = ops.act(y, self.activation, name=f"{prefix}_expand_activation")
        if self.kernel:
            y = ops.depthwise(y, self.kernel, stride("dw"), padding=self.padding, name=f"{prefix}_dwconv")
            y = ops.norm(y, self.norm, name=f"{prefix}_bn")
            y = ops.act(y, self.activation, name=f"{prefix}_activation")
        y = ops.conv(y, at.width, name=f"{prefix}_project_conv")
        y = ops.norm(y, self.norm, name=f"{prefix}_project_bn")
        return add_input(ops, x, y, at, prefix)

    def describe(self) -> str:
        kernels = [f"k{kernel}x{kernel}" for kernel in (self.start_kernel, self.kernel) if kernel]
        return f"UIB{self.expand:g}, {' and '.join(kernels) or 'k1x1'}"
