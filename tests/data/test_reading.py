"""Decoding of single images, against pixels that the tests put there."""

from __future__ import annotations

import io
import struct
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from data_files import write_bands, write_noise
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from keras_effnet.data import reading
from keras_effnet.data.reading import bits_for, inspect_image, read_image, why_unreadable
from keras_effnet.data.resizing import resize_image
from keras_effnet.errors import DataError, MissingExtraError

LEFT_RED = np.zeros((20, 32, 3), np.uint8)
LEFT_RED[:, :16] = (255, 0, 0)
LEFT_RED[:, 16:] = (0, 0, 255)


def is_readable(file: Path | io.BytesIO) -> bool:
    try:
        inspect_image(file)
    except Exception:
        return False
    return True


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
    pixels = read_image(encoded(image, kind), size)
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
    assert read_image(encoded(Image.new("RGB", (8, 4)), kind, exif=exif)).shape == (8, 4, 3)


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
@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
def test_images_are_turned_as_exif_says(orientation: int, kind: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_image(encoded(image, kind, exif=exif))
    np.testing.assert_array_equal(found, UPRIGHT[orientation](np.asarray(Image.open(encoded(image, kind)))))


@pytest.mark.parametrize("size", [None, 70, 30, 12])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        *(("RGB", {"subsampling": each}) for each in ("4:4:4", "4:2:2", "4:2:0")),
        ("RGB", {"progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_a_jpeg_has_the_pixels_that_pillow_finds(mode: str, options: dict[str, Any], size: int | None) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (10, 13, 3), np.uint8)
    file = encoded(Image.fromarray(pixels).resize((147, 101)).convert(mode), "jpeg", **options)
    image = Image.open(file)
    if size is not None:
        image.draft(None, (size, size))  # pyright: ignore[reportArgumentType]
    assert (reading._read_jpeg(file, size) is None) == (mode == "CMYK")
    np.testing.assert_array_equal(read_image(file, size), np.asarray(image.convert("RGB")))


def test_of_two_images_in_a_jpeg_the_first_is_read() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (2, 20, 30, 3), np.uint8)
    first, second = (Image.fromarray(each) for each in pixels)
    file = encoded(first, "mpo", save_all=True, append_images=[second])
    assert Image.open(file).format == "MPO"
    np.testing.assert_array_equal(read_image(file), np.asarray(Image.open(encoded(first, "jpeg"))))


def test_a_jpeg_with_a_flaw_is_read_as_far_as_pillow_reads_it(tmp_path: Path) -> None:
    whole = write_noise(tmp_path / "a.jpg").read_bytes()
    flawed = bytearray(whole)
    place = len(whole) * 2 // 3
    flawed[place : place + 2] = b"\xff\xd0"  # a marker that has no business there
    with pytest.raises(ValueError, match="Corrupt JPEG data"):
        simplejpeg.decode_jpeg(bytes(flawed))
    found = read_image(io.BytesIO(flawed))
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(flawed))))
    with pytest.raises(OSError, match="truncated"):
        read_image(io.BytesIO(whole[: len(whole) * 9 // 10]))


@pytest.mark.parametrize(("size", "height"), [(None, 600), (400, 600), (300, 300), (100, 150), (70, 75), (1, 3)])
def test_a_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path, size: int | None, height: int) -> None:
    file = write_noise(tmp_path / "a.jpg", (800, 600))
    pixels = read_image(file, size)
    assert pixels.shape == (height, height * 4 // 3, 3)
    if size == 1:
        return  # three pixels are no image any more
    small, whole = (resize_image(part, 32).astype(int) for part in (pixels, read_image(file)))
    assert np.abs(small - whole).mean() < 2


@pytest.mark.parametrize("size", [None, 30])
def test_a_banner_is_cut_off_whatever_the_scale(size: int | None) -> None:
    pixels = np.full((240, 300, 3), 200, np.uint8)
    pixels[-24:] = 0
    found = read_image(encoded(Image.fromarray(pixels), "jpeg", quality=95), size, banner=24)
    assert found.shape[0] == (216 if size is None else 27)
    assert found[:-1].min() > 190  # the last row may have taken a little from the banner below


def test_a_square_is_cut_from_a_box() -> None:
    square = resize_image(LEFT_RED, 8, (18, 0, 32, 20))  # pixels next to the box take part a little
    assert square.shape == (8, 8, 3)
    np.testing.assert_array_equal(square, np.broadcast_to([0, 0, 255], (8, 8, 3)))


def test_gray_is_the_luma_of_rec_601() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    found = resize_image(pixels, 6, gray=True)
    assert found.shape == (6, 6, 1)
    np.testing.assert_allclose(found[..., 0], luma, atol=0.51)


def test_what_cannot_be_decoded_to_its_end_is_not_readable(tmp_path: Path) -> None:
    whole = write_noise(tmp_path / "a.jpg").read_bytes()
    assert is_readable(io.BytesIO(whole))
    for broken in (b"", b"no image", whole[: len(whole) * 9 // 10], whole[:100]):
        assert not is_readable(io.BytesIO(broken))
    assert not is_readable(tmp_path / "nowhere.jpg")
    assert not is_readable(tmp_path)


RAMP = np.linspace(0, 4095, 4096).astype(np.uint16).reshape(64, 64)


def test_twelve_bits_in_a_file_of_sixteen_keep_all_of_their_gray_levels() -> None:
    file = encoded(Image.fromarray(RAMP))
    assert inspect_image(file) == ((1, 3), 4095)
    assert bits_for(4095) == 12
    found = read_image(file, bits=12)
    assert len(np.unique(found)) == 256
    np.testing.assert_allclose(found[..., 0], RAMP / 4095 * 255, atol=0.5001)
    assert len(np.unique(read_image(file))) == 17, "by all 16 bits, 17 are left"
    np.testing.assert_array_equal(read_image(file, bits=10).max(axis=2), np.minimum(RAMP / 1023 * 255, 255).round())


@pytest.mark.parametrize(
    ("peak", "bits"), [(0, 8), (255, 8), (256, 10), (1023, 10), (4096, 14), (16384, 16), (65535, 16)]
)
def test_the_fewest_bits_that_hold_a_value(peak: int, bits: int) -> None:
    assert bits_for(peak) == bits


def test_colours_of_sixteen_bits_of_which_little_would_be_left_are_refused_with_the_reason() -> None:
    """PNG's 16-bit colours, written by hand: Pillow writes none."""

    def png(value: int) -> io.BytesIO:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        row = b"\0" + struct.pack(">3H", value, value, value) * 4
        head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
        parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * 4)) + chunk(b"IEND", b"")
        return io.BytesIO(b"\x89PNG\r\n\x1a\n" + parts)

    assert read_image(png(65535)).min() == 255
    assert is_readable(png(65535))
    assert is_readable(png(0))
    with pytest.raises(ValueError, match=r"colours of 16 bits, of which Pillow keeps 16 levels.*as \.npy"):
        inspect_image(png(4095))


BANDS = np.random.default_rng(2).integers(0, 256, (6, 9, 5), np.uint8)


def test_arrays_are_images_of_any_number_of_bands(tmp_path: Path) -> None:
    np.save(tmp_path / "five.npy", BANDS)
    np.save(tmp_path / "rgb.npy", BANDS[..., :3])
    np.save(tmp_path / "gray.npy", BANDS[..., 0])
    np.save(tmp_path / "deep.npy", np.minimum(16 * BANDS.astype(np.uint16), 4000))
    np.testing.assert_array_equal(read_image(tmp_path / "five.npy", channels=5), BANDS)
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.npy"), BANDS[..., :3])
    np.testing.assert_array_equal(read_image(tmp_path / "gray.npy"), np.repeat(BANDS[..., :1], 3, axis=2))
    assert inspect_image(tmp_path / "five.npy") == ((5,), 0)
    assert inspect_image(tmp_path / "gray.npy") == ((1, 3), 0)
    assert inspect_image(tmp_path / "deep.npy") == ((5,), 4000)
    deep = read_image(tmp_path / "deep.npy", channels=5, bits=12)
    np.testing.assert_allclose(deep, np.minimum(16.0 * BANDS, 4000) / 4095 * 255, atol=0.5001)
    for wrong in (3, 4):
        with pytest.raises(ValueError, match=f"it has 5 bands, not {wrong}"):
            read_image(tmp_path / "five.npy", channels=wrong)


def test_arrays_that_are_no_images_are_refused_and_nothing_in_them_is_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "row.npy", np.zeros(5))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.save(tmp_path / "nan.npy", np.full((3, 3), np.nan))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:-9])
    (tmp_path / "empty.npy").write_bytes(b"")
    for file in sorted(tmp_path.glob("*.npy")):
        with pytest.raises(
            ValueError, match=r"^(no whole array of numbers|it holds|it contains values that are not finite)"
        ):
            inspect_image(file)


@pytest.mark.parametrize(("mode", "bands"), [("RGBA", 4), ("CMYK", 4), ("LA", 2)])
def test_pillows_bands_come_as_they_are(mode: str, bands: int) -> None:
    pixels = BANDS[..., :bands].copy()
    file = encoded(Image.fromarray(pixels, mode), "tiff")
    assert inspect_image(file).channels == tuple(sorted((1, 3, bands)))
    np.testing.assert_array_equal(read_image(file, channels=bands), pixels)
    with pytest.raises(ValueError, match=f"it has {bands} bands, not 5"):
        read_image(file, channels=5)


@pytest.mark.parametrize("bands", [4, 5, 6])
def test_no_band_of_a_tiff_is_dropped_in_silence(tmp_path: Path, bands: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.concatenate([BANDS, BANDS], axis=2)[..., :bands]
    file = write_bands(tmp_path / "a.tif", pixels)
    with Image.open(file) as image:  # what Pillow makes of it
        np.testing.assert_array_equal(np.asarray(image), pixels[..., :3])
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(MissingExtraError, match=rf"image of {bands} bands needs .*\[tiff\].*pip install .*tifffile"):
        inspect_image(file)
    with pytest.raises(MissingExtraError):
        read_image(file)


@pytest.mark.parametrize(("bands", "dtype", "photometric"), [(4, "u1", 2), (5, "u1", 2), (5, "u2", 1), (7, "u2", 2)])
def test_every_band_of_a_tiff_is_read(tmp_path: Path, bands: int, dtype: str, photometric: int) -> None:
    pytest.importorskip("tifffile")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, {"u1": 256, "u2": 4096}[dtype], (6, 9, bands)).astype(dtype)
    file = write_bands(tmp_path / "a.tif", pixels, photometric)
    assert inspect_image(file) == ((bands,), 0 if dtype == "u1" else int(pixels.max()))
    expected = pixels if dtype == "u1" else pixels / 4095 * 255
    for each in (file, io.BytesIO(file.read_bytes())):
        np.testing.assert_allclose(read_image(each, channels=bands, bits=12), expected, atol=0.5001)
    with pytest.raises(ValueError, match=f"it has {bands} bands, not 3"):
        read_image(file)


def test_what_is_averaged_is_what_resizing_averages() -> None:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (600, 600, 3), np.uint8))
    file = encoded(noise)
    small = read_image(file, 30)
    assert small.shape == (100, 100, 3), "three times what is needed"
    found, expected = (resize_image(pixels, 30).astype(int) for pixels in (small, read_image(file)))
    assert np.abs(found - expected).max() <= 3, "of noise, in which every pixel counts"
    assert read_image(file, 150).shape == (600, 600, 3)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_that_stands_for_nothing_is_laid_on_white_before_it_is_averaged(mode: str) -> None:
    pixels = Image.fromarray(np.indices((60, 60)).sum(axis=0).astype(np.uint8) % 2 * 200).convert(mode)
    found = read_image(encoded(pixels, transparency=0 if mode == "L" else (0, 0, 0)), 5)
    assert found.shape == (15, 15, 3)
    np.testing.assert_allclose(found, (200 + 255) / 2, atol=1)


def test_the_limit_is_on_what_is_decoded_and_pillows_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    pixels = Image.new("RGB", (100, 80), "white")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(encoded(pixels))
    for kind in ("png", "jpeg"):
        assert read_image(encoded(pixels, kind)).shape == (80, 100, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr(reading, "LARGEST", 1000)
    assert read_image(encoded(pixels, "jpeg"), 8).shape == (10, 13, 3)
    with pytest.raises(ValueError, match=r"million pixels, and 0 million are read at most"):
        read_image(encoded(pixels))


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []
    most: list[int] = []
    parts = reading._parts

    def watched(*arguments: Any) -> Any:
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return parts(*arguments)

    monkeypatch.setattr(reading, "_parts", watched)

    def highest() -> int:
        most.clear()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(read_image, [encoded(Image.new("RGB", (8, 8))) for _ in range(8)]))
        return max(most)

    assert highest() > 1
    monkeypatch.setattr(reading, "LARGE", 10)
    assert highest() == 1


@pytest.mark.slow
def test_196_million_pixels_are_read(tmp_path: Path) -> None:
    Image.new("L", (14_000, 14_000), 200).save(tmp_path / "a.jpg")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.jpg")
    inspect_image(tmp_path / "a.jpg")
    found = read_image(tmp_path / "a.jpg", 224)
    assert found.shape == (875, 875, 3)
    assert found.min() == found.max() == 200


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.png"), "No such file or directory"),
        (OSError("image file is truncated"), "image file is truncated"),
        (DataError("the rule.", received="x"), "the rule."),
        (AssertionError(), "AssertionError"),
        (ValueError("one\ntwo"), "one"),
    ],
)
def test_the_reason_is_a_line(error: Exception, reason: str) -> None:
    assert why_unreadable(error) == reason
