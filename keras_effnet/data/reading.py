"""Decodes an image file of any kind to pixels of 8 bits.

JPEG, by far the commonest, is decoded by simplejpeg, to the bits that Pillow gives, in two thirds of its time; what
Pillow reads in part by `bands`; and all others by Pillow, also a JPEG that is damaged or of other colours.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from keras_effnet.data.bands import TiffBands, dropped_bands, is_array_file, is_tiff, open_array
from keras_effnet.errors import KerasEffnetError

BITS = (8, 10, 12, 14, 16)  # what cameras, scanners and X-ray detectors deliver in files of 16 bits
LARGEST_16_BITS = 65535
# Pillow first averages whole pixels down to at most this many times the target size, then interpolates: faster, and at
# 3.0 "indistinguishable" from slow resizing (Pillow's documentation of `reducing_gap`).
REDUCING_GAP = 3.0
# Our choice: 2 GB in Pillow, which keeps a pixel in 4 bytes. Its own limit, a third of that, is on what a file says
# its size is, of which a JPEG need not be decoded at all.
LARGEST = 2**29
LARGE = 2**25  # pixels, 134 MB, from which on images are decoded one at a time: two for each core would fill a memory
BUFFER = 2**16  # bytes, most JPEG as a whole: at each read threads pass on Python's global lock, and wait for it
FEWEST_LEVELS = 64  # of the 256 that are left of 16 bits if there were 14

# Pillow has a decoder for each of some fifty formats, and on a broken file any of them may raise anything.
UNREADABLE = (Exception,)
ORIENTATION = 0x0112  # the tag of EXIF 2.3, table 4
# How a JPEG begins (ITU-T T.81, table B.1), and the segment in which EXIF and XMP note how it is turned.
JPEG, APP1 = b"\xff\xd8\xff", b"\xff\xe1"
_JPEG_COLOURS = ("Gray", "YCbCr", "RGB")
# What brings an image upright, by the value of that tag: whether rows and columns change places, and then the steps
# along both. Not `ImageOps.exif_transpose`, which also writes the tags anew, and fails where one that nobody asked for
# is damaged.
_TURNS = {
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
_AVERAGED = ("L", "RGB", "CMYK", "LA", "RGBA")  # modes whose pixels Pillow averages

_large_images, _pillows_limit = threading.Lock(), threading.Lock()


class ImageFacts(NamedTuple):
    """What is known of an image that was decoded to its end.

    Args:
        channels: the numbers of channels that it can be read as, in rising order.
        peak: its largest value if it has 16 bits; 0 for all others.
    """

    channels: tuple[int, ...] = (1, 3)
    peak: int = 0


def read_image(
    file: Path | BinaryIO, size: int | None = None, *, channels: int = 3, bits: int = 16, banner: int = 0
) -> np.ndarray:
    """Decodes an image.

    To 3 channels: gray, palette and CMYK images are converted, and transparency is laid on white. The rotation noted in
    EXIF is applied. Values of 16 bits are scaled by `bits`; others that are no bytes by their own range.

    Args:
        file: path of the image, or an open binary file.
        size: number of pixels that the shorter side needs at least. JPEG is then decoded at a half, a quarter or an
            eighth of its size if that is enough, which is several times faster, and other images are averaged down to
            `REDUCING_GAP` times of it. None decodes at full size. Default: None.
        channels: 3 for RGB; any other number for the bands as they are in the file, which must be as many. Default: 3.
        bits: number of bits that images of 16 bits use, up to 16: the largest value is white. Default: 16.
        banner: rows of pixels to cut off at the bottom of the full-size image, at least 0. Default: 0.

    Returns:
        uint8 array of shape `(height, width, channels)`.

    Raises:
        UNREADABLE: one of these errors, if the file is broken, not an image, or one of other channels.
    """
    if isinstance(file, Path) and not is_array_file(file):
        with file.open("rb", BUFFER) as opened:
            return read_image(opened, size, channels=channels, bits=bits, banner=banner)
    read = _read_jpeg(file, size) if channels == 3 else None
    pixels, whole = _read_any(file, size, channels, bits) if read is None else read
    return pixels[: round(len(pixels) * (1 - banner / whole))] if banner else pixels


def inspect_image(file: Path | BinaryIO) -> ImageFacts:
    """Decodes an image completely, to find out whether that is possible.

    Args:
        file: path of the image, or an open binary file.

    Returns:
        What it can be read as.

    Raises:
        UNREADABLE: one of these errors, if it cannot.
    """
    with _opened(file, size=1) as (found, _):  # a JPEG at an eighth: decodes all of the data into few pixels
        if isinstance(found, np.ndarray):
            bands = found.shape[2]
            _to_eight_bits(found, 16)
            return ImageFacts((1, 3) if bands in (1, 3) else (bands,), _peak(found))
        deep = ";16" in str(getattr(found, "tile", "")) and not found.mode.startswith(("I", "F"))
        found.load()
        if deep:
            _check_depth(found)
        peak = _peak(np.asarray(found)) if found.mode.startswith("I") else 0
        for part in _parts(found, 1, 3, 16):
            part.load()
        own = _bands(found)
        return ImageFacts((1, 3) if own in (1, 3) else tuple(sorted((1, 3, own))), peak)


def why_unreadable(error: Exception) -> str:
    """What is wrong with a file, as a line that need not name it.

    Args:
        error: what was raised when it was read.
    """
    if isinstance(error, UnidentifiedImageError):  # its own text names an object's address
        return "no image of a format that Pillow reads"
    if isinstance(error, KerasEffnetError):
        return error.rule
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def bits_for(peak: int) -> int:
    """The fewest bits that hold a value, of those that come in files of 16 bits.

    Args:
        peak: the value, 0..65535.

    Example:
        >>> bits_for(4095), bits_for(4096)
        (12, 14)
    """
    return next(bits for bits in BITS if peak < 2**bits)


def _read_jpeg(file: Path | BinaryIO, size: int | None) -> tuple[np.ndarray, int] | None:
    """The pixels of a JPEG and the height of the whole; None of another image, and of one that is left to Pillow."""
    if isinstance(file, Path) or not _begins(file, JPEG):
        return None
    data = file.read()
    try:
        header: Any = simplejpeg.decode_jpeg_header(data)
        whole, wide, colours, _ = header
        least = min(whole, wide)
        shrink = 1 if size is None else next((each for each in (8, 4, 2) if least >= each * size), 1)  # as Pillow does
        height, width = -(-whole // shrink), -(-wide // shrink)
        if colours not in _JPEG_COLOURS or _factor(min(height, width), size) > 1:
            return None
        with _turn(height * width):
            pixels = np.empty((height, width, 3), np.uint8)
            simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, buffer=pixels)
    except ValueError:  # Pillow reads it nevertheless, or says what is wrong
        return None
    return (_upright(pixels, _orientation(_open(io.BytesIO(data)))) if APP1 in data else pixels), whole


def _begins(file: BinaryIO, start: bytes) -> bool:
    """Whether a file begins with some bytes; leaves it at its beginning."""
    file.seek(0)
    found = file.read(len(start))
    file.seek(0)
    return found == start


def _read_any(file: Path | BinaryIO, size: int | None, channels: int, bits: int) -> tuple[np.ndarray, int]:
    """The pixels of an image of any kind, and the height of the whole."""
    with _opened(file, size) as (found, whole):
        parts = [_smaller(part, size) for part in _parts(found, size, channels, bits)]
        for part in parts:
            part.load()  # or NumPy takes an AttributeError of the decoder for an object that is no array
        arrays = [np.asarray(part) for part in parts]
        pixels = arrays[0] if channels == 3 else np.stack(arrays, axis=-1)
        return (pixels if isinstance(found, np.ndarray) else _upright(pixels, _orientation(found))), whole


@contextmanager
def _opened(file: Path | BinaryIO, size: int | None) -> Iterator[tuple[Image.Image | np.ndarray, int]]:
    """An image, which Pillow decodes when it is used, or an array of bands; and the height of the whole image."""
    if is_array_file(file) and isinstance(file, Path):
        array = open_array(file)
        with _turn(array.size):
            yield array, len(array)
        return
    bands, image = 0, None
    try:
        image = _open(file)
        bands = dropped_bands(image)
    except UnidentifiedImageError:
        if not is_tiff(file):
            raise
    if image is None or bands:
        with image or nullcontext(), closing(TiffBands(file, bands)) as tiff, _turn(tiff.size):
            array = tiff.read()
            yield array, len(array)
        return
    with image:
        whole = image.height
        if size is not None:
            image.draft(None, (size, size))  # pyright: ignore[reportArgumentType] - Pillow itself takes None
        with _turn(image.width * image.height):
            yield image, whole


def _open(file: Path | BinaryIO) -> Image.Image:
    try:
        return Image.open(file)
    except Image.DecompressionBombError:  # `_turn` has a limit of its own
        with _pillows_limit:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(file)
            finally:
                Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _turn(pixels: int) -> Iterator[None]:
    """Lets large images in one at a time, and those that are too large not at all."""
    if pixels > LARGEST:
        raise ValueError(f"{pixels / 1e6:,.0f} million pixels, and {LARGEST / 1e6:,.0f} million are read at most")
    with _large_images if pixels > LARGE else nullcontext():
        yield


def _parts(found: Image.Image | np.ndarray, size: int | None, channels: int, bits: int) -> list[Image.Image]:
    """An image as RGB, or as a gray image for each of its bands."""
    if isinstance(found, np.ndarray):
        if found.shape[2] not in ((1, 3) if channels == 3 else (channels,)):
            raise ValueError(f"it has {found.shape[2]} bands, not {channels}")
        pixels = _to_eight_bits(found, bits)
        if channels == 3 and found.shape[2] == 3:
            return [Image.fromarray(np.ascontiguousarray(pixels))]
        planes = [Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(pixels.shape[2])]
        return [planes[0].convert("RGB")] if channels == 3 else planes
    if channels == 3:
        return [_to_rgb(_smaller(found, size), bits)]
    if _bands(found) != channels:
        raise ValueError(f"it has {_bands(found)} bands, not {channels}")
    # As they are in the file: a fourth band need not be transparency.
    return list((found.convert("RGBA") if found.mode.startswith("P") else found).split())


def _bands(image: Image.Image) -> int:
    """The number of bands of an image that Pillow reads."""
    if image.mode.startswith("P"):
        return 4 if image.has_transparency_data else 3
    return len(image.getbands())


def _smaller(image: Image.Image, size: int | None) -> Image.Image:
    """Averages pixels, as far as resizing would do it anyway: so that of a large image little is kept."""
    factor = _factor(min(image.size), size)
    return image if factor == 1 or image.mode not in _AVERAGED or "transparency" in image.info else image.reduce(factor)


def _factor(side: int, size: int | None) -> int:
    """How many pixels are averaged to one along each side of an image, whose shorter one is given: at least 1."""
    return 1 if size is None else max(1, int(side / (size * REDUCING_GAP)))


def _orientation(image: Image.Image) -> int:
    """The orientation that EXIF notes; 0 without one, or if it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION, 0))
    except Exception:  # the pixels may still be whole
        return 0


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns pixels as EXIF says."""
    swapped, down, across = _TURNS.get(orientation, (False, 1, 1))
    return (pixels.swapaxes(0, 1) if swapped else pixels)[::down, ::across]


def _to_rgb(image: Image.Image, bits: int) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_eight_bits(np.asarray(image), bits))
    if image.has_transparency_data:
        # convert("RGB") alone would reveal the colours that editors leave below transparent areas.
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Scales values to 0..255: those of 16 bits by the bits that they use, others by their own minimum and maximum."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("it contains values that are not finite")
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu" and low >= 0 and high <= LARGEST_16_BITS:
        return _scale(bits)[values]
    span = float(high) - float(low) or 1.0  # a uniform image has no contrast to stretch
    return np.rint((values.astype(np.float64) - low) * (255 / span)).astype(np.uint8)


@cache
def _scale(bits: int) -> np.ndarray:
    """The byte for each value of 16 bits."""
    white = 2**bits - 1
    values: Any = np.minimum(np.arange(LARGEST_16_BITS + 1), white)
    return np.rint(values * (255 / white)).astype(np.uint8)


def _peak(values: np.ndarray) -> int:
    if values.dtype == np.uint8 or values.dtype.kind not in "iu":
        return 0
    low, high = int(values.min()), int(values.max())
    return high if low >= 0 and high <= LARGEST_16_BITS else 0


def _check_depth(image: Image.Image) -> None:
    """Refuses colours of which too little is left: of 16 bits Pillow keeps the upper 8, whatever they hold.

    Raises:
        ValueError: they are of 14 bits or fewer, or as dark as that.
    """
    colours: Any = image.getextrema()
    brightest = max(high for _, high in colours[: 1 if image.mode.startswith("L") else 3])
    if 0 < brightest < FEWEST_LEVELS:
        raise ValueError(
            f"colours of 16 bits, of which Pillow keeps {brightest + 1} levels: save it with 8 bits, or as .npy"
        )
