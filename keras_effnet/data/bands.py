"""Images of any number of bands, such as those of satellites and microscopes: NumPy's files, and TIFF.

Of a TIFF Pillow reads four bands at most, drops the others in silence, and does not know some kinds at all. Those are
read by tifffile, the field's library. A file of the suffix .npy holds an array of shape (height, width) or (height,
width, bands).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from keras_effnet.errors import MissingExtraError
from keras_effnet.extras import import_extra

SAMPLES_PER_PIXEL = 277  # the tag of TIFF 6.0, section 8
# TIFF 6.0, section 2, and BigTIFF: byte order, then 42 or 43.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_array_file(file: Path | BinaryIO) -> bool:
    """Whether a file holds an array of NumPy's, by its suffix."""
    return isinstance(file, Path) and file.suffix.lower() == ".npy"


def open_array(path: Path) -> np.ndarray:
    """The array in a file of NumPy's, which is read as it is used; nothing in it is executed.

    Returns:
        Array of shape `(height, width, bands)`, of any numbers.

    Raises:
        ValueError, OSError: the file is broken, or holds something else.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:  # NumPy's own words advise to execute what is in the file
        raise ValueError("no whole array of numbers in NumPy's format") from error
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size or array.dtype.kind not in "biuf":
        raise ValueError(
            f"it holds {array.dtype} of shape {array.shape}, not numbers of shape (height, width) or "
            "(height, width, bands)"
        )
    return array


def is_tiff(file: Path | BinaryIO) -> bool:
    """Whether a file begins as TIFF does."""
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(4) in _TIFF
    file.seek(0)
    return file.read(4) in _TIFF


def dropped_bands(image: Image.Image) -> int:
    """The number of bands in a TIFF that Pillow would read without some of them; 0 if it reads all."""
    tags: Any = getattr(image, "tag_v2", {})
    bands = int(tags.get(SAMPLES_PER_PIXEL, 1))
    return bands if bands > len(image.getbands()) else 0


class TiffBands:
    """The first page of a TIFF, to be read by tifffile.

    Args:
        file: path of the file, or an open binary file.
        bands: how many bands it has, as far as is known, for the message; 0 if it is not.

    Attributes:
        size: number of values in it.

    Raises:
        MissingExtraError: tifffile is not installed.
        Exception: any, if the file is broken.
    """

    def __init__(self, file: Path | BinaryIO, bands: int = 0) -> None:
        what = f"an image of {bands} bands" if bands else "a TIFF that Pillow does not read"
        tifffile = import_extra("tifffile", what)
        if not isinstance(file, Path):
            file.seek(0)
        self._tiff: Any = tifffile.TiffFile(file)
        self._page = self._tiff.pages[0]
        self.size = int(np.prod(self._page.shape))

    def read(self) -> np.ndarray:
        """The values, as an array of shape `(height, width, bands)`."""
        try:
            array = np.asarray(self._page.asarray(maxworkers=1))  # images are read in threads already
        except (ValueError, ImportError) as error:
            if isinstance(error, ValueError) and "imagecodecs" not in str(error):
                raise
            raise MissingExtraError(
                "this compression needs what the extra [tiff] of keras-effnet installs: pip install imagecodecs.",
                received=str(error),
            ) from error
        if array.ndim == 2:
            return array[..., None]
        if array.ndim != 3:
            raise ValueError(f"a page of axes {self._page.axes} is no image")
        return np.moveaxis(array, 0, -1) if self._page.axes.startswith("S") else array

    def close(self) -> None:
        """Closes the file."""
        self._tiff.close()
