"""Labelled images in memory: the source that needs no reading.

`Images` holds RGB images of one size with their labels. `load_digits` reads scikit-learn's handwritten digits.
"""

import dataclasses
import operator
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from PIL import Image

from keras_effnet.data.source import Source
from keras_effnet.errors import DataError
from keras_effnet.extras import import_extra

MAX_RESOLUTION = 4096  # a thousand larger RGB images would take over 50 GB: surely a typing error


@dataclasses.dataclass(frozen=True, eq=False)
class Images(Source):
    """Labelled RGB images of one size, in memory.

    Attributes:
        images: uint8 array of shape `(n, resolution, resolution, 3)`, values 0..255.
        labels: int32 array of shape `(n,)`, values in `0..len(class_names) - 1`.
        class_names: name of each class, indexed by label.
        numbers: int array of shape `(n,)`, the number of each image in its data set, by which `name_of` calls it; None
            numbers the images in order. Default: None.

    Raises:
        DataError: shapes or types do not match, or a label has no class name.

    Example:
        >>> blank = Images(np.zeros((2, 8, 8, 3), "uint8"), np.array([0, 1], "int32"), ("a", "b"))
        >>> len(blank), blank.resolution
        (2, 8)
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    numbers: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3 or self.images.dtype != np.uint8:
            raise DataError(
                "images must be a uint8 array of shape (n, resolution, resolution, 3).",
                received=f"{self.images.dtype} of shape {shape}",
            )
        if self.labels.shape != shape[:1] or self.labels.dtype != np.int32:
            raise DataError(
                f"labels must be an int32 array with one label for each of the {shape[0]} images.",
                received=f"{self.labels.dtype} of shape {self.labels.shape}",
            )
        if shape[0] and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise DataError(
                f"labels must be in 0..{len(self.class_names) - 1}, one number per class name.",
                received=f"labels from {self.labels.min()} to {self.labels.max()}",
            )

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[1]

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        return self.images[index]

    def name_of(self, index: int) -> str:
        return f"image {index if self.numbers is None else self.numbers[index]}"

    def fingerprint(self) -> str:
        digest = sha256(repr((self.class_names, self.images.shape)).encode())
        digest.update(self.images.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> "Images":
        rows = np.asarray(indices, int)
        numbers = rows if self.numbers is None else self.numbers[rows]
        return Images(self.images[rows], self.labels[rows], self.class_names, numbers)


def load_digits(resolution: int = 32) -> Images:
    """Loads scikit-learn's 1,797 handwritten digits, enlarged from 8x8 gray pixels. Nothing is downloaded.

    Args:
        resolution: side of the returned images in pixels, 1..4096. Default: 32.

    Returns:
        1,797 images of 10 classes ("0".."9"), bright ink on black.

    Raises:
        DataError: `resolution` is out of range.

    Example:
        >>> load_digits(32).images.shape
        (1797, 32, 32, 3)
    """
    datasets = import_extra("sklearn.datasets", "the set 'digits'")  # takes a second to import
    digits: Any = datasets.load_digits()
    gray = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # the data set counts ink from 0 to 16
    names = tuple(str(name) for name in digits.target_names)
    return Images(enlarge_gray(gray, resolution), digits.target.astype(np.int32), names)


def enlarge_gray(gray: np.ndarray, resolution: int) -> np.ndarray:
    """Resizes gray images bilinearly and repeats them in three channels.

    Args:
        gray: uint8 array of shape `(n, height, width)`.
        resolution: side of the returned images in pixels, 1..4096.

    Returns:
        uint8 array of shape `(n, resolution, resolution, 3)`.

    Raises:
        DataError: `resolution` is out of range.

    Example:
        >>> enlarge_gray(np.zeros((5, 8, 8), "uint8"), 32).shape
        (5, 32, 32, 3)
    """
    _check_resolution(resolution)
    size = (resolution, resolution)
    resized = np.empty((len(gray), *size), np.uint8)
    for index, image in enumerate(gray):
        resized[index] = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return np.repeat(resized[..., None], 3, axis=-1)


def _check_resolution(resolution: int) -> None:
    if not _is_integer(resolution) or not 1 <= resolution <= MAX_RESOLUTION:
        raise DataError(
            f"resolution must be an integer number of pixels in 1..{MAX_RESOLUTION}.", received=repr(resolution)
        )


def _is_integer(value: object) -> bool:
    """Whether `value` is a whole number of any integer type, NumPy's included, but not a bool."""
    if isinstance(value, bool):
        return False
    try:
        operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False
    return True
