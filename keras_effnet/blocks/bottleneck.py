"""ResNet's bottleneck and the variants that later networks made of it.

| option | source |
|---|---|
| none | He et al. 2016, arXiv:1512.03385, Figure 5, with Keras' biases |
| `stride_at="kernel"` | "v1.5": Goyal et al. 2017, arXiv:1706.02677, section 5.1 |
| `groups` | ResNeXt's cardinality, Xie et al. 2017, arXiv:1611.05431, Figure 3(c) |
| `group_width` | RegNet's X block, Radosavovic et al. 2020, arXiv:2003.13678, Figure 4 |
| `se_ratio`, `se_at="middle"` | RegNet's Y block, the same, section 4 |
| `se_ratio`, `se_at="end"` | Hu et al. 2018, arXiv:1709.01507, Figure 3; ResNet-RS, arXiv:2103.07579 |
| `shortcut="pool"` | ResNet-D, He et al. 2019, arXiv:1812.01187, Figure 2(c) |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, hidden_width
from keras_effnet.blocks.groups import nearest_multiple, widened_groups
from keras_effnet.blocks.mbconv import squeeze_excite
from keras_effnet.checks import check_bool, check_choice, check_int, check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import BatchNorm, Norm, Ops, T, check_norm
from keras_effnet.padding import Padding
from keras_effnet.windows import check_activation_name

# keras.applications.resnet.
RESNET_NORM = BatchNorm(epsilon=1.001e-5)
# The defaults of torch.nn.BatchNorm2d, whose momentum of 0.1 is the share of the new statistics, not of the old ones.
PYTORCH_NORM = BatchNorm(epsilon=1e-5, momentum=0.9)

StrideAt = Literal["first", "kernel"]
SqueezeAt = Literal["middle", "end"]
Shortcut = Literal["conv", "pool"]


@dataclass(frozen=True)
class Bottleneck(Block):
    """Narrow (1x1), filter (kernel x kernel), widen (1x1), add the input; activation after the addition.

    A stage's `width` is the narrow width (64, 128, 256, 512 in ResNet-50); the block emits `expand * width` channels.
    The shortcut of a stage's first block is a 1x1 convolution.

    Args:
        kernel: size of the middle convolution, 1 to 31.
        expand: number of emitted channels per narrow channel, above 0, at most 1e6.
        groups: number of groups in the middle convolution, at least 1; scaling keeps it.
        group_width: number of channels in each group, at least 1, in place of `groups`; scaling keeps it in proportion
            to the width. None if `groups` is given.
        se_ratio: number of squeezed channels, in [0, 1], per channel that the block reads (if `se_at` is "middle") or
            emits ("end"); 0 leaves squeeze-and-excitation out.
        se_at: place of squeeze-and-excitation: "middle" (after the middle convolution) or "end" (after the last).
        stride_at: convolution that strides: "first", or "kernel" for the middle one.
        shortcut: operation that strides in the shortcut: "conv", its 1x1 convolution, or "pool", average pooling 2x2
            before it.
        bias: whether the convolutions have biases.
        padding: padding of the middle convolution: "same", or "symmetric", which needs an odd kernel.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after each convolution.

    Raises:
        SpecError: a value outside its range, or (when applied) a width that groups do not divide.

    Example:
        >>> Bottleneck().describe()
        'Bottleneck4, k3x3'
        >>> Bottleneck(expand=1, group_width=16).describe()
        'Bottleneck1, k3x3, groups of 16'
    """

    kernel: int = 3
    expand: float = 4
    groups: int = 1
    group_width: int | None = None
    se_ratio: float = 0.0
    se_at: SqueezeAt = "middle"
    stride_at: StrideAt = "first"
    shortcut: Shortcut = "conv"
    bias: bool = True
    padding: Padding = "same"
    activation: str = "relu"
    norm: Norm = RESNET_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_int(SpecError, "groups", self.groups, 1)
        if self.group_width is not None:
            check_int(SpecError, "group_width", self.group_width, 1)
            if self.groups != 1:
                raise SpecError(
                    "give `groups` (their number) or `group_width` (the channels in each), not both.",
                    received=f"groups={self.groups}, group_width={self.group_width}",
                )
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)
        check_choice(SpecError, "se_at", self.se_at, get_args(SqueezeAt))
        check_choice(SpecError, "stride_at", self.stride_at, get_args(StrideAt))
        check_choice(SpecError, "shortcut", self.shortcut, get_args(Shortcut))
        check_bool(SpecError, "bias", self.bias)
        check_residual_padding(self.padding, self.kernel)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        # ResNet counts its stages from the stem, which is conv1.
        prefix = f"conv{at.stage + 1}_block{at.block + 1}"
        width_out = hidden_width(at.width, self.expand)
        first, middle = (at.stride, 1) if self.stride_at == "first" else (1, at.stride)
        shortcut = self._shortcut(ops, x, width_out, at, f"{prefix}_0")
        y = self._conv_norm(ops, x, at.width, 1, first, f"{prefix}_1")
        y = ops.act(y, self.activation, name=f"{prefix}_1_relu")
        y = self._conv_norm(ops, y, at.width, self.kernel, middle, f"{prefix}_2", self._groups_of(at.width))
        y = ops.act(y, self.activation, name=f"{prefix}_2_relu")
        if self.se_at == "middle":
            y = self._squeeze_excite(ops, y, ops.channels(x), prefix)
        y = self._conv_norm(ops, y, width_out, 1, 1, f"{prefix}_3")
        if self.se_at == "end":
            y = self._squeeze_excite(ops, y, width_out, prefix)
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
        y = ops.add(shortcut, y, name=f"{prefix}_add")
        return ops.act(y, self.activation, name=f"{prefix}_out")

    def _shortcut(self, ops: Ops[T], x: T, width: int, at: Placement, prefix: str) -> T:
        if at.block > 0 and at.stride == 1 and ops.channels(x) == width:
            return x
        stride = at.stride
        if self.shortcut == "pool" and stride > 1:
            # "same" leaves as many cells as the convolutions do, and takes no zeros into the mean.
            x, stride = ops.pool(x, 2, stride, kind="avg", padding="same", name=f"{prefix}_pool"), 1
        return self._conv_norm(ops, x, width, 1, stride, prefix)

    def _conv_norm(self, ops: Ops[T], x: T, width: int, kernel: int, stride: int, prefix: str, groups: int = 1) -> T:
        name = f"{prefix}_conv"
        x = ops.conv(x, width, kernel, stride, padding=self.padding, groups=groups, bias=self.bias, name=name)
        return ops.norm(x, self.norm, name=f"{prefix}_bn")

    def _squeeze_excite(self, ops: Ops[T], x: T, channels: int, prefix: str) -> T:
        if self.se_ratio == 0:
            return x
        return squeeze_excite(ops, x, max(1, int(channels * self.se_ratio)), self.activation, f"{prefix}_se")

    def _groups_of(self, width: int) -> int:
        if self.group_width is None:
            return self.groups
        if width % self.group_width:
            raise SpecError(
                "a stage's width must be a multiple of its block's `group_width`; scaling keeps it so.",
                received=f"width={width}, group_width={self.group_width}",
            )
        return width // self.group_width

    def widened(self, width: int, coefficient: float) -> tuple[Block, int]:
        if self.group_width is None:
            return self, nearest_multiple(width, self.groups)
        group_width, width = widened_groups(self.group_width, width, coefficient)
        return replace(self, group_width=group_width), width

    def describe(self) -> str:
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        if self.group_width is not None:
            groups = f", groups of {self.group_width}"
        return f"Bottleneck{self.expand:g}, k{self.kernel}x{self.kernel}{groups}"


def check_residual_padding(padding: object, kernel: int) -> None:
    """Raises SpecError unless a convolution with this padding and kernel has as many output cells as a shortcut."""
    check_choice(SpecError, "padding", padding, ("same", "symmetric"))
    if padding == "symmetric" and kernel % 2 == 0:
        raise SpecError(
            "with 'symmetric' padding `kernel` must be odd, or the block and its shortcut would differ in size.",
            received=f"kernel={kernel}, padding={padding!r}",
        )
