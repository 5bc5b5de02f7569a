"""The common representation of the tensors of all weight files.

One module per layout finds the weight that each array belongs to (`keras_pairing`, `timm_weights`, `tf_checkpoint`);
`assign` compares them with the model, in one place for all layouts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_effnet.errors import WeightsError

# The types that weights may have. Integers would be misread bits; NumPy has no bfloat16.
_FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True)
class Tensor:
    """One array to be loaded from a file into a model.

    Attributes:
        source: name of the tensor in the file.
        layer: name of the model's layer that the tensor belongs to; None if it belongs to none. Default: None.
        index: index of the tensor among the weights of that layer, from 0. Default: 0.
        array: content of the tensor in Keras' layout; None if the file lacks it. Default: None.
        unwanted: why no model of this architecture uses the tensor; "" if one should. Default: "".
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
            f"weights must be float16, float32 or float64, but tensor {name!r} is {array.dtype}; nothing was loaded. "
            "Convert it first.",
            received=repr(str(path)),
        )
