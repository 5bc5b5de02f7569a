"""The form that every weight file is brought into before it meets a model.

One small module for each layout says where the arrays of a file belong (`keras_files`, `timm`, `checkpoint`);
`assign` compares them with the model, in one place for all layouts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_effnet.errors import WeightsError

# What a number of a weight may be. Integers would be other bits read wrongly; NumPy has no bfloat16.
_FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True)
class Tensor:
    """One array on its way from a file into a model.

    Args:
        source: its name in the file.
        layer: name of the model's layer that it belongs to; None where it belongs to none.
        index: its place among the weights of that layer.
        array: in Keras' layout; None where the file lacks it.
        unwanted: why no model of this architecture has a place for it; "" where one should.
    """

    source: str
    layer: str | None = None
    index: int = 0
    array: np.ndarray | None = None
    unwanted: str = ""


def check_floats(name: str, array: np.ndarray, path: object) -> None:
    """Raises WeightsError unless `array` holds float16, float32 or float64."""
    if array.dtype not in _FLOATS:
        raise WeightsError(
            f"weights are float16, float32 or float64; nothing was loaded. Tensor {name!r} is {array.dtype}. Convert "
            f"it before. Received: {str(path)!r}"
        )
