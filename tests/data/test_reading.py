"""Decoding of single images, against pixels that the tests put there."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from data_files import write_noise
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from keras_effnet.data.reading import is_readable, read_rgb, resize_square

LEFT_RED = np.zeros((20, 32, 3), np.uint8)
LEFT_RED[:, :16] = (255, 0, 0)
LEFT_RED[:, 16:] = (0, 0, 255)


def encoded(image: Image.Image, kind: str = "png", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "png"), ("L", "jpeg"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpeg"), ("I;16", "png")],
)
@pytest.mark.parametrize("size", [None, 4])
def test_white_is_white_in_every_mode(mode: str, kind: str, size: int | None) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((9, 14), 65535, np.uint16))
    else:
        image = Image.new("RGBA" if "A" in mode else "RGB", (14, 9), "white").convert(mode)
    pixels = read_rgb(encoded(image, kind), size)
    assert pixels.dtype == np.uint8
    # A JPEG may come at half its size.
    assert pixels.shape in ({(9, 14, 3)} if size is None or kind != "jpeg" else {(9, 14, 3), (5, 7, 3)})
    assert pixels.min() == 255


# What each EXIF orientation asks for, done by NumPy: the number says where row 0 and column 0 of the file belong.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: x.transpose(1, 0, 2)[:, ::-1],
    7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda x: x.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_tag_is_no_reason_to_lose_an_image_or_its_orientation(kind: str) -> None:
    # An orientation of 6, and a unit of the resolution that is a text instead of a number.
    tags = struct.pack("<HHIHHHHI4s", 274, 3, 1, 6, 0, 296, 2, 3, b"in\0\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + struct.pack("<I", 0)
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(Image.open(encoded(Image.new("RGB", (8, 4)), kind, exif=exif)))
    assert read_rgb(encoded(Image.new("RGB", (8, 4)), kind, exif=exif)).shape == (8, 4, 3)


@pytest.mark.parametrize("error", [AttributeError, MemoryError, AssertionError, struct.error])
def test_a_decoder_may_raise_anything(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    file = encoded(Image.new("RGB", (8, 4)))

    def broken(*_: object) -> None:
        raise error

    assert is_readable(file)
    monkeypatch.setattr(Image.Image, "load", broken)
    monkeypatch.setattr(PngImageFile, "load", broken)
    assert not is_readable(file)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_images_are_turned_as_exif_says(orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_rgb(encoded(Image.fromarray(pixels), exif=exif))
    np.testing.assert_array_equal(found, UPRIGHT[orientation](pixels))


@pytest.mark.parametrize(("size", "height"), [(None, 600), (400, 600), (300, 300), (100, 150), (70, 75), (1, 75)])
def test_a_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path, size: int | None, height: int) -> None:
    file = write_noise(tmp_path / "a.jpg", (800, 600))
    pixels = read_rgb(file, size)
    assert pixels.shape == (height, height * 4 // 3, 3)
    small, whole = (resize_square(part, 32).astype(int) for part in (pixels, read_rgb(file)))
    assert np.abs(small - whole).mean() < 2


@pytest.mark.parametrize("size", [None, 30])
def test_a_banner_is_cut_off_whatever_the_scale(size: int | None) -> None:
    pixels = np.full((240, 300, 3), 200, np.uint8)
    pixels[-24:] = 0
    found = read_rgb(encoded(Image.fromarray(pixels), "jpeg", quality=95), size, banner=24)
    assert found.shape[0] == (216 if size is None else 27)
    assert found[:-1].min() > 190  # the last row may have taken a little from the banner below


def test_a_square_is_cut_from_a_box() -> None:
    square = resize_square(LEFT_RED, 8, (18, 0, 32, 20))  # pixels next to the box take part a little
    assert square.shape == (8, 8, 3)
    np.testing.assert_array_equal(square, np.broadcast_to([0, 0, 255], (8, 8, 3)))


def test_gray_is_the_luma_of_rec_601() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    found = resize_square(pixels, 6, gray=True)
    assert found.shape == (6, 6, 1)
    np.testing.assert_allclose(found[..., 0], luma, atol=0.51)


def test_what_cannot_be_decoded_to_its_end_is_not_readable(tmp_path: Path) -> None:
    whole = write_noise(tmp_path / "a.jpg").read_bytes()
    assert is_readable(io.BytesIO(whole))
    for broken in (b"", b"no image", whole[: len(whole) * 9 // 10], whole[:100]):
        assert not is_readable(io.BytesIO(broken))
    assert not is_readable(tmp_path / "nowhere.jpg")
    assert not is_readable(tmp_path)
