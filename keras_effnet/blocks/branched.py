"""Blocks of parallel branches that training needs and a deployed network does not: their sum is one convolution.

`fold_batchnorm` and every export merge them, exactly (`keras_effnet.deployed.branches`).

| block | source |
|---|---|
| `RepVGGBlock` | RepVGG, Ding et al. 2021, arXiv:2101.03697, Figure 2 |
| `MobileOneBlock` | MobileOne, Vasu et al. 2022, arXiv:2206.04040, Figure 3 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, centred, check_kernel, whole_width
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.blocks.mbconv import squeeze_excite
from keras_effnet.checks import check_int, check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm
from keras_effnet.windows import check_activation_name

# Of copies of one convolution, which MobileOne has one to four of.
MAX_BRANCHES = 32


@dataclass(frozen=True)
class RepVGGBlock(Block):
    """The sum of a convolution, a 1x1 convolution and, where it has the same shape, the input, each normalised.

    Args:
        kernel: size of the larger convolution, 1 to 31.
        activation: name of an activation in `keras.activations`, applied to the sum.
        norm: normalisation of each branch.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> RepVGGBlock().describe()
        'RepVGG, k3x3'
    """

    kernel: int = 3
    activation: str = "relu"
    norm: Norm = PYTORCH_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = f"rep{at.stage}{at.letter}"
        y = ops.conv(x, at.width, self.kernel, at.stride, padding=centred(self.kernel), name=f"{prefix}_conv")
        y = ops.norm(y, self.norm, name=f"{prefix}_bn")
        point = ops.conv(x, at.width, 1, at.stride, name=f"{prefix}_point_conv")
        y = ops.add(y, ops.norm(point, self.norm, name=f"{prefix}_point_bn"), name=f"{prefix}_add")
        if at.stride == 1 and ops.channels(x) == at.width:
            y = _add_input(ops, x, y, self.norm, at, prefix)
        return ops.act(y, self.activation, name=f"{prefix}_activation")

    def describe(self) -> str:
        return f"RepVGG, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class MobileOneBlock(Block):
    """A depthwise convolution, then a 1x1 convolution, each the sum of several branches.

    Both halves sum copies of their convolution and, where it has the same shape, their input; the depthwise half also
    sums one factor for each channel, a 1x1 kernel. Every branch is normalised; an activation follows each sum.

    Args:
        kernel: size of the depthwise convolution, 1 to 31.
        branches: number of copies of each convolution, 1 to 32.
        se_ratio: number of squeezed channels per channel, in [0, 1], behind each sum and before its activation; 0
            leaves squeeze-and-excitation out.
        activation: name of an activation in `keras.activations`.
        norm: normalisation of each branch.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> MobileOneBlock(branches=4).describe()
        'MobileOne4, k3x3'
    """

    kernel: int = 3
    branches: int = 1
    se_ratio: float = 0.0
    activation: str = "relu"
    norm: Norm = PYTORCH_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_int(SpecError, "branches", self.branches, 1, MAX_BRANCHES)
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)
        check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix, padding = f"one{at.stage}{at.letter}", centred(self.kernel)

        def depthwise(name: str) -> T:
            return ops.depthwise(x, self.kernel, at.stride, padding=padding, name=name)

        scaled = ops.depthwise(x, 1, at.stride, name=f"{prefix}_scale_dwconv")
        scaled = ops.norm(scaled, self.norm, name=f"{prefix}_scale_bn")
        y = self._sum(ops, [scaled], depthwise, f"{prefix}_dw")
        filtered = self._finish(ops, y, x if at.stride == 1 else None, at, f"{prefix}_dw")

        def mix(name: str) -> T:
            return ops.conv(filtered, at.width, name=name)

        y = self._sum(ops, [], mix, f"{prefix}_pw")
        same = ops.channels(filtered) == at.width
        return self._finish(ops, y, filtered if same else None, at, f"{prefix}_pw")

    def _sum(self, ops: Ops[T], terms: list[T], copy: Callable[[str], T], prefix: str) -> T:
        """The sum of some terms and of copies of a convolution."""
        for number in range(1, self.branches + 1):
            terms = [*terms, ops.norm(copy(f"{prefix}conv_{number}"), self.norm, name=f"{prefix}_bn_{number}")]
        total = terms[0]
        for number, term in enumerate(terms[1:], 1):
            total = ops.add(total, term, name=f"{prefix}_add_{number}")
        return total

    def _finish(self, ops: Ops[T], y: T, skip: T | None, at: Placement, prefix: str) -> T:
        """Adds the input, squeezes and excites, activates."""
        if skip is not None:
            y = _add_input(ops, skip, y, self.norm, at, prefix)
        if self.se_ratio > 0:
            # timm's rule: the nearest multiple of 8, not less than 8 (timm/layers/squeeze_excite.py, SEModule).
            squeezed = whole_width(ops.channels(y) * self.se_ratio, divisor=8, least=8, limit=0)
            y = squeeze_excite(ops, y, squeezed, "relu", f"{prefix}_se")
        return ops.act(y, self.activation, name=f"{prefix}_activation")

    def describe(self) -> str:
        return f"MobileOne{self.branches}, k{self.kernel}x{self.kernel}"


def _add_input(ops: Ops[T], x: T, y: T, norm: Norm, at: Placement, prefix: str) -> T:
    """Adds the input, normalised, as one more branch."""
    y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
    return ops.add(y, ops.norm(x, norm, name=f"{prefix}_skip_bn"), name=f"{prefix}_skip_add")
