"""Images of other channels and other bits: what a data set's images share, and what is left out with which reason."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from data_files import write_bands, write_image
from PIL import Image

from keras_effnet.data.batches import Batches
from keras_effnet.data.image_files import check_files
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError

# An X-ray detector's 12 bits in files of 16. A third of the images are dark, and of one class.
PEAKS = {"light": (4095, 4000, 3900, 3800), "dark": (900, 850, 800, 750)}


@pytest.fixture
def xrays(tmp_path: Path) -> Path:
    for name, peaks in PEAKS.items():
        (tmp_path / "xrays" / name).mkdir(parents=True)
        for number, peak in enumerate(peaks):
            pixels = np.linspace(0, peak, 48 * 64).astype(np.uint16).reshape(48, 64)
            Image.fromarray(pixels).save(tmp_path / "xrays" / name / f"{number}.png")
    return tmp_path / "xrays"


def test_all_images_of_a_set_are_scaled_by_the_bits_of_the_set(
    xrays: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "keras_effnet"):
        splits = load_data(xrays, cache=tmp_path / "cache")
    told = [record.getMessage() for record in caplog.records if "16 bits" in record.getMessage()]
    assert told == ["images of 16 bits have values up to 4095, and are scaled from 12 bits"]
    assert splits.train.bits == splits.validation.bits == 12
    for source in (splits.train, splits.validation):
        for index in range(len(source)):
            path = Path(source.name_of(index))
            peak = PEAKS[path.parent.name][int(path.stem)]
            assert source.read(index).max() == round(peak / 4095 * 255)
    brightest = max(range(len(splits.train)), key=lambda index: splits.train.read(index).max())
    assert len(np.unique(splits.train.read(brightest))) > 230
    assert load_data(xrays, cache=tmp_path / "cache", bits=16).train.read(0).max() == round(900 / 65535 * 255)
    with pytest.raises(DataError, match="`bits` must be an integer from 8 to 16"):
        load_data(xrays, cache=tmp_path / "cache", bits=7)


def test_the_bits_are_those_of_all_splits(xrays: Path, tmp_path: Path) -> None:
    for split, numbers in (("train", (0, 1)), ("test", (2, 3))):
        for name in PEAKS:
            (tmp_path / "split" / split / name).mkdir(parents=True)
            for number in numbers:
                (xrays / name / f"{number}.png").rename(tmp_path / "split" / split / name / f"{number}.png")
    for file in (tmp_path / "split" / "test" / "light").iterdir():
        Image.fromarray(np.full((8, 8), 700, np.uint16)).save(file)
    splits = load_data(tmp_path / "split", cache=tmp_path / "cache", validation=0.5)
    assert splits.test is not None
    assert splits.train.bits == splits.test.bits == 12
    assert {splits.test.read(index).max() for index in range(4)} == {
        round(value / 4095 * 255) for value in (700, 750, 800)
    }


def test_bits_that_are_known_cut_what_is_brighter_and_say_it(
    xrays: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "keras_effnet"):
        splits = load_data(xrays, cache=tmp_path / "cache", bits=10)
    assert "scaled from 10 bits: larger ones are white" in caplog.text
    assert splits.train.bits == 10
    assert splits.train.read(len(splits.train) - 1).max() == 255
    prints = {load_data(xrays, cache=tmp_path / "cache", bits=bits).train.fingerprint() for bits in (None, 10, 12, 16)}
    assert len(prints) == 3, "the set's own bits are 12"


def test_ordinary_images_have_no_bits_to_find(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "ab":
        for number in range(3):
            write_image(tmp_path / "data" / name / f"{number}.png", number)
    with caplog.at_level(logging.INFO, "keras_effnet"):
        assert load_data(tmp_path / "data", cache=tmp_path / "cache").train.bits is None
    assert "bits" not in caplog.text


@pytest.fixture
def five_bands(tmp_path: Path) -> Path:
    """Arrays of five bands, but for one of three; the class is told by the last band alone."""
    generator = np.random.default_rng(0)
    for name, level in (("a", 50), ("b", 200)):
        for number in range(5):
            pixels = generator.integers(0, 256, (12, 16, 5), np.uint8)
            pixels[..., 4] = level
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "data" / name / f"{number}.npy", pixels)
    np.save(tmp_path / "data" / "a" / "rgb.npy", np.zeros((12, 16, 3), np.uint8))
    return tmp_path / "data"


def test_bands_come_through_to_the_batches(five_bands: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = load_data(five_bands, cache=tmp_path / "cache", channels=5, validation=0.2)
    [skipped] = splits.skipped
    assert Path(skipped.name).name == "rgb.npy"
    assert skipped.reason == "it has 1 or 3 channels, and 5 are read: 3 would take it"
    assert f"Skipped 1 files: {skipped.name} ({skipped.reason})" in caplog.text
    assert splits.train.channels == splits.validation.channels == 5
    images, labels = Batches(splits.train, resolution=(6, 8), batch_size=8, channels=5)[0]
    assert images.shape == (8, 6, 8, 5)
    np.testing.assert_array_equal(images[..., 4].mean(axis=(1, 2)), np.where(labels[:, 0] == 1, 50, 200))
    with pytest.raises(DataError, match="Received: channels=3 for images of 5"):
        Batches(splits.train, resolution=8, batch_size=8)


def test_a_class_that_has_no_image_of_these_channels_is_an_error_with_the_reason(
    five_bands: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"no image of 4 channels.*Received: .*channels, and 4 are read"):
        load_data(five_bands, cache=tmp_path / "cache", channels=4)
    with pytest.raises(DataError, match=r"class 'b' has no image of 3 channels.*`--channels`.*it has 5 channels"):
        load_data(five_bands, cache=tmp_path / "cache")
    with pytest.raises(DataError, match=r"3 channels \(RGB\), or 1 \(gray\); only files have others.*channels=5"):
        load_data("digits", channels=5)
    with pytest.raises(DataError, match="`channels` must be an integer at least 1"):
        load_data("digits", channels=0)
    assert load_data("digits", channels=1).train.channels == 3, "batches make it gray"


def test_what_another_library_would_read_is_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_bands(tmp_path / "five.tif", np.zeros((4, 6, 5), np.uint8))
    gray = write_image(tmp_path / "gray.png")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "tifffile", None)
        missing, fine = check_files([file, gray], tmp_path / "cache")
    assert "image of 5 bands needs" in missing.reason
    assert not fine.reason
    record = (tmp_path / "cache" / "images.jsonl").read_text()
    assert "gray.png" in record
    assert "five.tif" not in record


def test_a_tiff_of_five_bands_among_others_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(3):
            write_image(tmp_path / "data" / name / f"{number}.png", number)
    write_bands(tmp_path / "data" / "a" / "five.tif", np.zeros((4, 6, 5), np.uint8))
    [skipped] = load_data(tmp_path / "data", cache=tmp_path / "cache").skipped
    assert Path(skipped.name).name == "five.tif"
    assert "5 bands" in skipped.reason or "it has 5 channels, and 3 are read" in skipped.reason
