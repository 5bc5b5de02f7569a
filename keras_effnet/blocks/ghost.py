"""GhostNet's block (Han et al. 2020, arXiv:1911.11907): half of the channels are convolved, the others made from them.

The second half, the "ghosts", are cheap: each is one channel of the first half, filtered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from keras_effnet.blocks.base import Block, Placement, centred, check_expand, check_kernel, whole_width
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.blocks.mbconv import squeeze_excite
from keras_effnet.checks import check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import Norm, Ops, T, check_norm

# The cheap operation's kernel: huggingface/pytorch-image-models, timm/models/ghostnet.py, GhostModule, `dw_size`.
CHEAP_KERNEL = 3


@dataclass(frozen=True)
class GhostBottleneck(Block):
    """Two Ghost modules and a shortcut, with a depthwise convolution between them if the block strides (Figure 3).

    Args:
        kernel: height and width of the kernels of the depthwise convolutions that stride, 1 to 31.
        expand: number of hidden channels per input channel, above 0, at most 1e6.
        se_ratio: number of squeezed channels per hidden channel, in [0, 1]; 0 leaves squeeze-and-excitation out.
        norm: normalisation after each convolution.

    Raises:
        SpecError: a value is outside its range; or, where the block is used, an odd width.

    Example:
        >>> GhostBottleneck(kernel=5, expand=3).describe()
        'Ghost3, k5x5'
    """

    kernel: int = 3
    expand: float = 3
    se_ratio: float = 0.0
    norm: Norm = PYTORCH_NORM

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_expand(self.expand)
        check_number(SpecError, "se_ratio", self.se_ratio, 0, 1)
        check_norm(self.norm)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        prefix = f"ghost{at.stage}{at.letter}"
        channels = ops.channels(x)
        if at.width % 2:
            raise SpecError(
                "a GhostBottleneck's width must be even: every channel has its ghost. Give an even width.",
                received=f"width={at.width!r}",
            )
        hidden = 2 * math.ceil(channels * self.expand / 2)
        y = self._ghost(ops, x, hidden, "relu", f"{prefix}_1")
        if at.stride > 1:
            y = self._depthwise_norm(ops, y, self.kernel, at.stride, f"{prefix}_stride")
        if self.se_ratio > 0:
            squeezed = whole_width(hidden * self.se_ratio, divisor=4, least=4)
            y = squeeze_excite(ops, y, squeezed, "relu", f"{prefix}_se", gate_activation="hard_sigmoid")
        y = self._ghost(ops, y, at.width, None, f"{prefix}_2")
        if at.stride > 1 or channels != at.width:
            x = self._depthwise_norm(ops, x, self.kernel, at.stride, f"{prefix}_shortcut")
            x = ops.conv(x, at.width, name=f"{prefix}_shortcut_conv")
            x = ops.norm(x, self.norm, name=f"{prefix}_shortcut_conv_bn")
        y = ops.dropout(y, at.drop_path, per_sample=True, name=f"{prefix}_drop")
        return ops.add(y, x, name=f"{prefix}_add")

    def _ghost(self, ops: Ops[T], x: T, width: int, activation: str | None, prefix: str) -> T:
        """The Ghost module: half of the channels by a 1x1 convolution, their ghosts by a depthwise one."""
        x = ops.conv(x, width // 2, name=f"{prefix}_conv")
        x = ops.norm(x, self.norm, name=f"{prefix}_bn")
        x = ops.act(x, activation, name=f"{prefix}_act") if activation else x
        ghosts = self._depthwise_norm(ops, x, CHEAP_KERNEL, 1, f"{prefix}_cheap")
        ghosts = ops.act(ghosts, activation, name=f"{prefix}_cheap_act") if activation else ghosts
        return ops.concat(x, ghosts, name=f"{prefix}_concat")

    def _depthwise_norm(self, ops: Ops[T], x: T, kernel: int, stride: int, prefix: str) -> T:
        x = ops.depthwise(x, kernel, stride, padding=centred(kernel), name=f"{prefix}_dw")
        return ops.norm(x, self.norm, name=f"{prefix}_dw_bn")

    def widened(self, width: int, coefficient: float) -> tuple[Block, int]:
        # Every channel has its ghost.
        return self, width + width % 2

    def describe(self) -> str:
        return f"Ghost{self.expand:g}, k{self.kernel}x{self.kernel}"
