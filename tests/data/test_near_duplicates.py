"""Near-duplicates: copies that were re-encoded and resized are found, distinct images are not."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from data_files import write_image, write_noise
from PIL import Image

from keras_effnet.data.images import Images, load_digits
from keras_effnet.data.near_duplicates import MOST_DIFFERENT, difference_hashes, near_duplicates
from keras_effnet.data.photographs import photographs
from keras_effnet.data.sets import load_data


def images_of(pixels: np.ndarray) -> Images:
    return Images(pixels.astype(np.uint8), np.zeros(len(pixels), np.int32), ("a",))


def differences(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (hashes[:, None] != others[None]).sum(axis=2)


def test_copies_are_found_whatever_was_done_to_them_and_distinct_images_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        for name in "ab":
            write_noise(tmp_path / "data" / "train" / name / f"{number}.png", (300, 200), seed=ord(name) + 10 * number)
    done = {"small.png": lambda x: x.resize((100, 66)), "coarse.jpg": lambda x: x, "bright.png": lambda x: x.point(f)}
    f = [min(255, round(1.1 * value + 5)) for value in range(256)] * 3
    for number, (name, change) in enumerate(done.items()):
        (tmp_path / "data" / "test" / "a").mkdir(parents=True, exist_ok=True)
        with Image.open(tmp_path / "data" / "train" / "a" / f"{number}.png") as image:
            change(image).save(tmp_path / "data" / "test" / "a" / name, quality=30)
    for number in range(6):
        write_noise(tmp_path / "data" / "test" / "b" / f"{number}.png", (300, 200), seed=900 + number)
    write_image(tmp_path / "data" / "train" / "a" / "flat.png", 10)
    write_image(tmp_path / "data" / "test" / "b" / "flat.png", 200)
    with caplog.at_level(logging.WARNING, "keras_effnet"):
        load_data(tmp_path / "data", cache=tmp_path / "cache", near_duplicates=True)
    told = [record.getMessage() for record in caplog.records if "look like" in record.getMessage()]
    [line] = [each for each in told if "test images look like training" in each or "test images look like val" in each]
    caplog.clear()
    assert "flat.png" not in line
    found = sum(f"test/a/{name} = " in each for each in told for name in done)
    assert found == 3, told
    assert "test/b/" not in "".join(told)
    load_data(tmp_path / "data", cache=tmp_path / "cache")
    assert "look like" not in caplog.text, "only where it is asked for"


@pytest.mark.slow
def test_how_many_distinct_images_are_taken_for_copies() -> None:
    """The numbers in docs/data.md."""
    pieces = photographs((96, 96, 3), pixels=True, count=400)
    hashes = difference_hashes(images_of(pieces))
    small = [np.asarray(Image.fromarray(each.astype(np.uint8)).resize((32, 32)).resize((96, 96))) for each in pieces]
    copies = difference_hashes(images_of(np.stack(small)))
    apart = differences(hashes, copies)
    own = np.diag(apart)
    others = apart[~np.eye(len(apart), dtype=bool)]
    assert np.mean(own <= MOST_DIFFERENT) > 0.95
    assert np.mean(others <= MOST_DIFFERENT) < 1e-4
    digits = difference_hashes(load_digits(8))
    pairs = differences(digits[:600], digits[600:1200])
    assert np.mean(pairs <= MOST_DIFFERENT) < 1e-2


def test_nothing_is_compared_with_nothing() -> None:
    none, some = np.zeros((0, 256), bool), np.ones((2, 256), bool)
    assert near_duplicates(none, some) == near_duplicates(some, none) == []
