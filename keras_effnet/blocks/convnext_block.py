"""ConvNeXt's block and stem (Liu et al. 2022, arXiv:2201.03545, Figure 4), with the layer names of keras.applications.

| part | source |
|---|---|
| depthwise 7x7, then wide and narrow again; one normalisation, one activation | sections 2.3 to 2.6 |
| patches: a window as large as its step, in the stem and between stages | sections 2.2 and 2.6 |
| layer scale, which starts at 1e-6 | Touvron et al. 2021, arXiv:2103.17239; Table 5 |

Layer names start with `prefix`, in Keras the model's name. It only names layers: blocks with different prefixes are
equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_effnet.blocks.base import Block, Placement, check_expand, check_kernel, hidden_width
from keras_effnet.blocks.ends import CONVNEXT_NORM
from keras_effnet.checks import check_name, check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.windows import check_activation_name


@dataclass(frozen=True)
class ConvNeXtBlock(Block):
    """Filter each channel (depthwise), normalise, widen and narrow (dense), scale each channel, add the input.

    A block that strides or changes the width downsamples first: normalisation, and a convolution without padding whose
    kernel is as large as its stride.

    Args:
        kernel: size of the depthwise convolution, 1 to 31.
        expand: number of hidden channels per channel, above 0, at most 1e6.
        layer_scale: initial value of each channel's factor, above 0; None leaves the factors out.
        activation: name of an activation in `keras.activations`.
        norm: normalisation in the block and before downsampling.
        prefix: text that layer names start with; not empty.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> ConvNeXtBlock().describe()
        'ConvNeXt4, k7x7'
        >>> ConvNeXtBlock(prefix="mine") == ConvNeXtBlock()
        True
    """

    kernel: int = 7
    expand: float = 4
    layer_scale: float | None = 1e-6
    activation: str = "gelu"
    norm: Norm = CONVNEXT_NORM
    prefix: str = field(default="convnext", compare=False)

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        if self.layer_scale is not None:
            check_number(SpecError, "layer_scale", self.layer_scale, 0, open_low=True)
        check_norm(self.norm)
        check_name(SpecError, "prefix", self.prefix, layer=True)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        if at.stride > 1 or ops.channels(x) != at.width:
            x = self._downsample(ops, x, at)
        # Keras counts stages from 0.
        prefix = f"{self.prefix}_stage_{at.stage - 1}_block_{at.block}"
        y = ops.depthwise(x, self.kernel, bias=True, name=f"{prefix}_depthwise_conv")
        y = ops.norm(y, self.norm, name=f"{prefix}_layernorm")
        y = ops.dense(y, hidden_width(at.width, self.expand), name=f"{prefix}_pointwise_conv_1")
        y = ops.act(y, self.activation, name=f"{prefix}_{self.activation}")
        y = ops.dense(y, at.width, name=f"{prefix}_pointwise_conv_2")
        if self.layer_scale is not None:
            y = ops.scale(y, self.layer_scale, name=f"{prefix}_layer_scale")
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_stochastic_depth")
        return ops.add(x, y, name=f"{prefix}_add")

    def _downsample(self, ops: Ops[T], x: T, at: Placement) -> T:
        # Keras counts downsamplings from the second stage, the first that has one in ConvNeXt.
        prefix, number = f"{self.prefix}_downsampling", f"_{at.stage - 2}" if at.stage > 1 else ""
        x = ops.norm(x, self.norm, name=f"{prefix}_layernorm{number}")
        return ops.conv(x, at.width, at.stride, at.stride, padding="valid", bias=True, name=f"{prefix}_conv{number}")

    def describe(self) -> str:
        return f"ConvNeXt{self.expand:g}, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class PatchStem(Block):
    """A convolution of patches without padding, then normalisation: ConvNeXt's "patchify" stem.

    Args:
        kernel: size of the convolution, 1 to 31; patches do not overlap if it equals the stride.
        norm: normalisation after the convolution.
        prefix: text that layer names start with; not empty.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> PatchStem().describe()
        'Conv, k4x4'
    """

    kernel: int = 4
    norm: Norm = CONVNEXT_NORM
    prefix: str = field(default="convnext", compare=False)

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_norm(self.norm)
        check_name(SpecError, "prefix", self.prefix, layer=True)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        name = f"{self.prefix}_stem_conv"
        x = ops.conv(x, at.width, self.kernel, at.stride, padding="valid", bias=True, name=name)
        return ops.norm(x, self.norm, name=f"{self.prefix}_stem_layernorm")

    def describe(self) -> str:
        return f"Conv, k{self.kernel}x{self.kernel}"
