"""MBConv, the inverted residual with squeeze-and-excitation of EfficientNet, and its fused form.

| part | source |
|---|---|
| expand, depthwise, project, skip | MobileNetV2, Sandler et al. 2018, arXiv:1801.04381, Table 1 |
| squeeze-and-excitation | Hu et al. 2018, arXiv:1709.01507; reduced from the block's *input* width as in MnasNet |
| order and names of the layers | Tan and Le 2019, arXiv:1905.11946; keras.applications' efficientnet and _v2 |
| one convolution in place of expansion and depthwise | EfficientNetV2, Tan and Le 2021, arXiv:2104.00298, Figure 2 |
| drop-path | Huang et al. 2016, arXiv:1603.09382 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, hidden_width
from keras_effnet.checks import check_bool, check_choice, check_name, check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import KERAS_NORM, Norm, Ops, T, check_norm
from keras_effnet.padding import PADDINGS, Padding, padding_zeros
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class MBConv(Block):
    """Expand (1x1), filter each channel (depthwise), squeeze and excite, project (1x1), add the input.

    The input is added if `skip` is true, the stride is 1 and the width does not change.

    Args:
        kernel: size of the depthwise convolution, 1 to 31.
        expand: number of hidden channels per input channel, above 0, at most 1e6; 1 leaves the expansion layer out.
        se_ratio: number of squeezed channels per *input* channel, in [0, 1]; 0 leaves squeeze-and-excitation out.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.
        padding: padding of the depthwise convolution, one of `keras_effnet.ops.PADDINGS`.
        skip: whether the input is added where it has the same shape.
        depthwise_name: end of the depthwise layer's name: "dwconv2" in Keras' EfficientNetV2.

    Raises:
        SpecError: a value outside its range, or a padding that changes the size of what the input is added to.

    Example:
        >>> from keras_effnet import StageSpec
        >>> StageSpec(MBConv(kernel=5, expand=6), width=40, depth=2, stride=2).block.describe()
        'MBConv6, k5x5'
    """

    kernel: int = 3
    expand: float = 6
    se_ratio: float = 0.25
    activation: str = "swish"
    norm: Norm = KERAS_NORM
    padding: Padding = "correct"
    skip: bool = True
    depthwise_name: str = "dwconv"

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)
        check_norm(self.norm)
        check_bool(SpecError, "skip", self.skip)
        check_padding_keeps_size(self.padding, self.kernel, self.skip)
        check_name(SpecError, "depthwise_name", self.depthwise_name, layer=True)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        channels, prefix = ops.channels(x), f"block{at.stage}{at.letter}"
        hidden = hidden_width(channels, self.expand)
        y = x
        if self.expand != 1:
            y = ops.conv(y, hidden, name=f"{prefix}_expand_conv")
            y = ops.norm(y, self.norm, name=f"{prefix}_expand_bn")
            y = ops.act(y, self.activation, name=f"{prefix}_expand_activation")
        y = ops.depthwise(y, self.kernel, at.stride, padding=self.padding, name=f"{prefix}_{self.depthwise_name}")
        y = ops.norm(y, self.norm, name=f"{prefix}_bn")
        y = ops.act(y, self.activation, name=f"{prefix}_activation")
        if self.se_ratio > 0:
            y = squeeze_excite(ops, y, max(1, int(channels * self.se_ratio)), self.activation, f"{prefix}_se")
        y = ops.conv(y, at.width, name=f"{prefix}_project_conv")
        y = ops.norm(y, self.norm, name=f"{prefix}_project_bn")
        return add_input(ops, x, y, at, prefix) if self.skip else y

    def describe(self) -> str:
        return f"MBConv{self.expand:g}, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class FusedMBConv(Block):
    """Filter and expand in one convolution, squeeze and excite, project (1x1), add the input.

    With `expand=1` a single convolution does all of it. The input is added as in `MBConv`.

    Args:
        kernel: size of the first convolution, 1 to 31.
        expand: number of hidden channels per channel of the width that `expands` names, above 0, at most 1e6.
        se_ratio: number of squeezed channels per *input* channel, in [0, 1]; 0 leaves squeeze-and-excitation out.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.
        padding: padding of the first convolution, one of `keras_effnet.ops.PADDINGS`.
        skip: whether the input is added where it has the same shape.
        expands: width that `expand` multiplies: "input", or "output" (EfficientNet-EdgeTPU's first block).

    Raises:
        SpecError: a value outside its range, or a padding that changes the size of what the input is added to.

    Example:
        >>> FusedMBConv().describe()
        'Fused-MBConv4, k3x3'
    """

    kernel: int = 3
    expand: float = 4
    se_ratio: float = 0.0
    activation: str = "swish"
    norm: Norm = KERAS_NORM
    padding: Padding = "same"
    skip: bool = True
    expands: Literal["input", "output"] = "input"

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)
        check_norm(self.norm)
        check_bool(SpecError, "skip", self.skip)
        check_padding_keeps_size(self.padding, self.kernel, self.skip)
        check_choice(SpecError, "expands", self.expands, ("input", "output"))
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        channels, prefix = ops.channels(x), f"block{at.stage}{at.letter}"
        y, kernel, stride = x, self.kernel, at.stride
        if self.expand != 1:
            hidden = hidden_width(channels if self.expands == "input" else at.width, self.expand)
            y = ops.conv(y, hidden, kernel, stride, padding=self.padding, name=f"{prefix}_expand_conv")
            y = ops.norm(y, self.norm, name=f"{prefix}_expand_bn")
            y = ops.act(y, self.activation, name=f"{prefix}_expand_activation")
            kernel = stride = 1
        if self.se_ratio > 0:
            y = squeeze_excite(ops, y, max(1, int(channels * self.se_ratio)), self.activation, f"{prefix}_se")
        y = ops.conv(y, at.width, kernel, stride, padding=self.padding, name=f"{prefix}_project_conv")
        y = ops.norm(y, self.norm, name=f"{prefix}_project_bn")
        if self.expand == 1:
            y = ops.act(y, self.activation, name=f"{prefix}_project_activation")
        return add_input(ops, x, y, at, prefix) if self.skip else y

    def describe(self) -> str:
        return f"Fused-MBConv{self.expand:g}, k{self.kernel}x{self.kernel}"


def check_padding_keeps_size(padding: Padding, kernel: int, skip: bool = True) -> None:
    """Raises SpecError if a block adds its input (`skip`) and this padding would change the size of the image."""
    check_choice(SpecError, "padding", padding, PADDINGS)
    if skip and sum(padding_zeros(padding, kernel, stride=1, size=1)) != kernel - 1:
        raise SpecError(
            "`padding` must keep the size of the image where the input is added: give 'same', or an odd kernel with "
            "'symmetric', or skip=False.",
            received=f"padding={padding!r}, kernel={kernel}, skip=True",
        )


def add_input(ops: Ops[T], x: T, y: T, at: Placement, prefix: str) -> T:
    """Adds the block's input if it has the output's shape.

    Args:
        ops: reader of the verbs.
        x: the block's input, as the reader represents it.
        y: what the block makes of it.
        at: where the block stands.
        prefix: text that layer names start with.

    Returns:
        The sum, or `y` where the shapes differ.
    """
    if at.stride > 1 or ops.channels(x) != at.width:
        return y
    y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
    return ops.add(y, x, name=f"{prefix}_add")


def squeeze_excite(
    ops: Ops[T], x: T, squeezed: int, activation: str, prefix: str, gate_activation: str = "sigmoid"
) -> T:
    """Weighs each channel by a gate computed from the means of all channels (arXiv:1709.01507, section 3).

    Args:
        ops: reader of the verbs.
        x: image, as the reader represents it.
        squeezed: number of channels between the two layers of the gate, at least 1.
        activation: activation between these layers, a name in `keras.activations`.
        prefix: text that layer names start with.
        gate_activation: activation of the gate, a name in `keras.activations`.

    Returns:
        `x` with each channel multiplied by its gate.
    """
    gate = ops.global_pool(x, keepdims=True, name=f"{prefix}_squeeze")
    gate = ops.conv(gate, squeezed, bias=True, activation=activation, name=f"{prefix}_reduce")
    gate = ops.conv(gate, ops.channels(x), bias=True, activation=gate_activation, name=f"{prefix}_expand")
    return ops.mul(x, gate, name=f"{prefix}_excite")
