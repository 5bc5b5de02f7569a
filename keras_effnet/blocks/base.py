"""What a block is, and where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from keras_effnet.checks import check_int, check_number
from keras_effnet.errors import SpecError
from keras_effnet.ops import Ops, T
from keras_effnet.padding import Padding

# RepLKNet's 31 x 31 (Ding et al. 2022, arXiv:2203.06717). Larger ones that were shown to help are sparse and are no
# squares: SLaK (Liu et al. 2022, arXiv:2207.03620).
MAX_KERNEL = 31

# A hundred thousand times the widest published. With it no count of a network overflows a float.
MAX_EXPAND = 1e6


@dataclass(frozen=True)
class Placement:
    """Where one block stands in a scaled network. Networks make placements; blocks read them.

    Args:
        width: number of channels that the stage asks for. Most blocks emit as many; `Bottleneck` emits `expand` times
            as many.
        stride: step over the image: the stage's stride in its first block (or its last, if `Block.strides_last`), 1 in
            the others.
        stage: number of the stage, from 1; the stem has 0.
        block: number of the block in its stage, from 0.
        index: number of the block among the blocks of all stages, from 0.
        drop_path: share of samples whose residual branch is dropped in training, in [0, 1).
    """

    width: int
    stride: int = 1
    stage: int = 0
    block: int = 0
    index: int = 0
    drop_path: float = 0.0

    @property
    def letter(self) -> str:
        """`a` to `z`, then `aa`, `ab`, ...: Keras' letter of a block, going on where Keras' ends in `{`."""
        number, letters = self.block, ""
        while number >= 0:
            letters = chr(ord("a") + number % 26) + letters
            number = number // 26 - 1
        return letters


@dataclass(frozen=True)
class Block(ABC):
    """A block of a network: a frozen dataclass of the options that do not scale, and one method, `apply`.

    The cost of a block may depend on its input's shape, on `at.width` and on `at.stride`, but not on its number: equal
    blocks in a row are counted once.
    """

    # Which block of a stage has the stage's stride: the first, or (ResNetV2 in Keras) the last.
    strides_last: ClassVar[bool] = False

    @abstractmethod
    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        """Writes the block in the verbs of `ops`.

        Args:
            ops: reader of the verbs, such as the one that counts or the one that builds.
            x: input, as the reader represents it: a shape, a Keras tensor, ...
            at: where the block stands. Layer names must be unique in a network: make them from it.

        Returns:
            The output, as the reader represents it.
        """

    @abstractmethod
    def describe(self) -> str:
        """Names the operator as the EfficientNet paper's Table 1 does: `MBConv6, k3x3`."""

    def widened(self, width: int, coefficient: float) -> tuple[Block, int]:
        """Adapts this block and its stage's width when scaling widens the stage.

        A block whose channels form groups overrides this, to widen the groups and to keep them whole.

        Args:
            width: the stage's scaled and rounded width, in channels.
            coefficient: factor by which the width was multiplied before it was rounded, above 0.

        Returns:
            Block and width of the widened stage.
        """
        return self, width


def check_kernel(kernel: object) -> None:
    """Raises SpecError unless `kernel` is an integer from 1 to 31."""
    check_int(SpecError, "kernel", kernel, 1, MAX_KERNEL)


def centred(kernel: int) -> Padding:
    """Padding with which a window has its middle where a 1x1 window has it, and leaves as many cells.

    Args:
        kernel: size of the window; an even one has no middle.

    Example:
        >>> centred(5)
        'symmetric'
    """
    return "symmetric" if kernel % 2 else "same"


def hidden_width(channels: int, expand: float) -> int:
    """Number of channels inside a block that expands (or, below 1, narrows) `channels` by `expand`.

    Raises:
        SpecError: no channel would be left.
    """
    hidden = int(channels * expand)
    if hidden < 1:
        raise SpecError(
            f"`expand` must leave at least one channel inside the block: with {channels} channels it must be at least "
            f"{1 / channels:g}.",
            received=f"expand={expand!r}",
        )
    return hidden


def whole_width(exact: float, divisor: int = 8, least: int = 8, limit: float = 0.9) -> int:
    """The multiple of `divisor` nearest to `exact`: MobileNet's `_make_divisible`, EfficientNet's `round_filters`.

    Args:
        exact: width before rounding, above 0.
        divisor: number that the width becomes a multiple of, at least 1.
        least: smallest width, at least 1.
        limit: smallest share of `exact` that the width may be rounded to, in [0, 1]; below it, the next multiple is
            taken instead.

    Example:
        >>> whole_width(18.4), whole_width(11)
        (24, 16)
    """
    rounded = max(least, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < limit * exact else rounded


def check_expand(expand: object) -> None:
    """Raises SpecError unless `expand` is above 0 and at most a million."""
    check_number(SpecError, "expand", expand, 0, MAX_EXPAND, open_low=True)
