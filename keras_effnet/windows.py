"""Operations of the vocabulary (`keras_effnet.ops`) whose window slides over an image, or takes all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from keras_effnet.errors import KerasEffnetError
from keras_effnet.padding import Padding, window_cells

PoolKind = Literal["avg", "max"]
ActivationFunction = str | Callable[..., Any] | None  # one of `ACTIVATIONS`, or none
# The names in `keras.activations`, but for "glu", which halves the channels, and "threshold", which needs numbers.
ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "swish", "tanh", "tanh_shrink",
)  # fmt: skip
Sides = int | tuple[int, int]
"""One number for rows and columns alike, or (rows, columns) where these differ."""


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution.

    Args:
        width: number of output channels, a multiple of `groups`.
        kernel: side of the window in cells, or its (height, width).
        stride: step of the window in cells, or (down, to the right).
        padding: one of `PADDINGS`.
        groups: number of groups that the channels are split into; the input channels are a multiple of it.
        bias: whether a trained bias is added to each output channel.
        activation: activation applied to the output; None for none.
        dilation: distance between the cells that the window reads, in cells, or (down, to the right).
    """

    width: int
    kernel: Sides = 1
    stride: Sides = 1
    padding: Padding = "same"
    groups: int = 1
    bias: bool = False
    activation: ActivationFunction = None
    dilation: Sides = 1


@dataclass(frozen=True, slots=True)
class TransposedConv:
    """The transpose of a convolution: each cell is spread over a window of the output.

    Args:
        width: number of output channels.
        kernel: side of the window in cells, or its (height, width).
        stride: step of the window over the output in cells, or (down, to the right).
        padding: "same" (the output has `stride` times the cells) or "valid" (all that the windows reach).
        bias: whether a trained bias is added to each output channel.
        activation: activation applied to the output; None for none.
    """

    width: int
    kernel: Sides
    stride: Sides = 1
    padding: Literal["same", "valid"] = "valid"
    bias: bool = True
    activation: ActivationFunction = None


@dataclass(frozen=True, slots=True)
class Depthwise:
    """A convolution that filters each channel on its own.

    Args:
        kernel: side of the window in cells, or its (height, width).
        stride: step of the window in cells, or (down, to the right).
        padding: one of `PADDINGS`.
        multiplier: number of filters per input channel, at least 1.
        bias: whether a trained bias is added to each output channel.
        dilation: distance between the cells that the window reads, in cells, or (down, to the right).
    """

    kernel: Sides
    stride: Sides = 1
    padding: Padding = "same"
    multiplier: int = 1
    bias: bool = False
    dilation: Sides = 1


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling over a window.

    Args:
        kernel: side of the window in cells, or its (height, width).
        stride: step of the window in cells, or (down, to the right).
        kind: "max" or "avg".
        padding: one of `PADDINGS`.
    """

    kernel: Sides
    stride: Sides
    kind: PoolKind = "max"
    padding: Padding = "valid"


@dataclass(frozen=True, slots=True)
class GlobalPool:
    """Pooling over the whole image.

    Args:
        kind: "avg" or "max".
        keepdims: whether the output is a (1, 1, channels) image instead of a (channels,) vector.
    """

    kind: PoolKind = "avg"
    keepdims: bool = False


Window = Conv | Depthwise | Pool


def both(sides: Sides) -> tuple[int, int]:
    """(rows, columns), also where one number stands for both.

    Example:
        >>> both(3), both((1, 7))
        ((3, 3), (1, 7))
    """
    return sides if isinstance(sides, tuple) else (sides, sides)


def reaches(op: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """How far the window of an operation reaches, and how far it steps.

    Args:
        op: the operation.

    Returns:
        (reach, stride) in cells along the rows, and the same along the columns. The reach of a dilated window counts
        the cells that it skips.

    Example:
        >>> reaches(Conv(8, kernel=(3, 1), stride=2, dilation=2))
        ((5, 2), (1, 2))
    """
    kernel, stride, dilation = op.kernel, op.stride, 1 if isinstance(op, Pool) else op.dilation
    if type(kernel) is int and type(stride) is int and dilation == 1:
        return (kernel, stride), (kernel, stride)
    pairs = zip(both(kernel), both(stride), both(dilation), strict=True)
    (down, right) = ((step * (side - 1) + 1, each) for side, each, step in pairs)
    return down, right


def sides_behind(op: Window, sides: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    """The (height, width) that a window leaves of an image's; None for a side that is unknown.

    Args:
        op: the operation.
        sides: (height, width) of the image in cells; None for a side that is unknown.

    Example:
        >>> sides_behind(Pool(2, 2), (7, None))
        (3, None)
    """
    height, width = (
        window_cells(side, reach, stride, op.padding) for side, (reach, stride) in zip(sides, reaches(op), strict=True)
    )
    return height, width


def sides_behind_transposed(op: TransposedConv, sides: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The (height, width) of what a transposed convolution makes; None for a side that is unknown.

    Args:
        op: the operation.
        sides: (height, width) of the image in cells; None for a side that is unknown.

    Example:
        >>> sides_behind_transposed(TransposedConv(8, kernel=3, stride=2), (7, None))
        (15, None)
    """
    found = []
    for side, kernel, stride in zip(sides, both(op.kernel), both(op.stride), strict=True):
        more = max(kernel - stride, 0) if op.padding == "valid" else 0
        found.append(None if side is None else side * stride + more)
    return tuple(found)


def check_activation_name(error: type[KerasEffnetError], activation: object) -> None:
    """Raises `error` unless an activation is None, a callable or one of `ACTIVATIONS`. Imports no Keras to know."""
    if activation is None or callable(activation) or (isinstance(activation, str) and activation in ACTIVATIONS):
        return
    near = get_close_matches(activation, ACTIVATIONS, n=1) if isinstance(activation, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise error(
        f"an activation must be a name that keras.activations knows, a callable or None{hint}",
        received=f"activation={activation!r:.200}",
    )
