"""The common representation of the tensors of all weight files.

One module per layout finds the weight that each array belongs to (`keras_pairing`, `timm_weights`, `tf_checkpoint`);
`assign` compares them with the model, in one place for all layouts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_effnet.errors import WeightsError

# The types that weights may have, beside bfloat16, which NumPy lacks.
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


def as_floats(name: str, array: np.ndarray, path: object) -> np.ndarray:
    """A tensor of a file as numbers that NumPy computes with; bfloat16 becomes float32, which holds its every value.

    Args:
        name: name of the tensor in the file, for messages.
        array: content of the tensor.
        path: path of the file, for messages.

    Raises:
        WeightsError: the tensor holds no floating-point numbers, or such of 8 bits.

    Example:
        >>> as_floats("kernel", np.ones(2, "float16"), "file").dtype
        dtype('float16')
    """
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype not in _FLOATS:
        raise _codes(name, array, path)
    return array


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 from the bits of bfloat16, which are the upper half of its own.

    Args:
        bits: an array of uint16.

    Example:
        >>> from_bfloat16(np.array([0x3F80, 0xC000], "uint16"))
        array([ 1., -2.], dtype=float32)
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


def check_kind(name: str, array: np.ndarray, variable: Any, path: object) -> None:
    """Raises WeightsError where codes would become floats, or floats codes.

    Args:
        name: name of a tensor in the file, for messages.
        array: content of the tensor.
        variable: the weight that it is for.
        path: path of the file, for messages.
    """
    fits = array.shape == tuple(variable.shape)
    if "float" in str(variable.dtype):
        # Codes of 4 bits share bytes, so that there are fewer of them than weights.
        if array.dtype not in _FLOATS and (fits or array.dtype.itemsize == 1):
            raise _codes(name, array, path)
    elif fits and array.dtype in _FLOATS and not np.array_equal(array, np.round(array)):
        raise WeightsError(
            f"the model's {variable.path!r} is {variable.dtype}, the codes of a quantised layer, which the file's "
            f"{array.dtype} cannot become; nothing was loaded. Load the file first, and quantise the model then.",
            received=repr(str(path)),
        )


def _codes(name: str, array: np.ndarray, path: object) -> WeightsError:
    return WeightsError(
        f"weights must be float16, bfloat16, float32 or float64, but tensor {name!r} is {array.dtype}; nothing was "
        "loaded. Where a network was quantised such numbers are codes, which mean nothing without their scales: take "
        "the file from before, or convert it to floats where it was made.",
        received=repr(str(path)),
    )


def arrays_of(variables: Iterable[Any]) -> list[np.ndarray]:
    """The values of Keras variables, on any backend."""
    import keras

    return [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables]


def layer_weights(layer: Any) -> list[Any]:
    """The weights of a layer that files store: all but the generator state of Dropout layers."""
    return [variable for variable in layer.weights if "seed_generator" not in variable.path]
