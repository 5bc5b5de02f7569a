"""Zeros around an image, and what a window that slides over it leaves."""

from __future__ import annotations

from typing import Literal, get_args

from keras_effnet.errors import SpecError

Padding = Literal["same", "correct", "even", "symmetric", "valid"]
"""How an image is padded with zeros before a window of `kernel` slides over it with a stride.

* `same`: TensorFlow's rule: the output has ceil(size / stride) cells; an odd zero goes to the end.
* `even`: the zeros that `same` would add to an even size, whatever the size is (Keras' MobileNet).
* `correct`: `same` where the size is known, `even` where it is not (Keras' `correct_pad`: EfficientNet, MobileNetV2).
* `symmetric`: kernel // 2 on every side (PyTorch; Keras' ResNet stem).
* `valid`: none.

They differ only where stride > 1 (and for `valid`, and for `symmetric` with an even kernel).
"""
PADDINGS = get_args(Padding)


def padding_zeros(padding: Padding, kernel: int, stride: int, size: int | None) -> tuple[int, int]:
    """Number of zeros put before and after one axis of an image.

    Args:
        padding: one of `PADDINGS`.
        kernel: length of the window, in cells.
        stride: step of the window, in cells.
        size: length of the axis in cells, or None if it is known only when the model runs.

    Returns:
        (before, after), in cells. `same` padding of an unknown size has no answer before the model runs: ask the
        framework.

    Raises:
        SpecError: `same` with stride > 1 of an unknown size.

    Example:
        >>> padding_zeros("same", kernel=3, stride=2, size=224)
        (0, 1)
        >>> padding_zeros("symmetric", kernel=7, stride=2, size=224)
        (3, 3)
    """
    if padding == "valid":
        return 0, 0
    if padding == "symmetric":
        return kernel // 2, kernel // 2
    if size is None and stride > 1 and padding == "same":
        raise SpecError("the zeros of 'same' padding depend on the size.", received=f"{padding=}, {stride=}, {size=}")
    if size is None or padding == "even":
        size = stride  # any multiple of the stride: "even" for stride 2
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def window_cells(size: int | None, kernel: int, stride: int, padding: Padding) -> int | None:
    """Number of cells that a window leaves of one axis; below 1 if the window does not fit.

    Args:
        size: length of the axis in cells, or None if it is known only when the model runs.
        kernel: length of the window, in cells.
        stride: step of the window, in cells.
        padding: one of `PADDINGS`.

    Returns:
        The number of cells, or None if `size` is None.

    Example:
        >>> window_cells(224, kernel=7, stride=2, padding="symmetric")
        112
    """
    if size is None:
        return None
    if padding == "same":
        return -(-size // stride)
    return (size + sum(padding_zeros(padding, kernel, stride, size)) - kernel) // stride + 1
