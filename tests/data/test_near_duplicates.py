"""Near-duplicates: copies that were re-encoded and resized are found, distinct images are not."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import write_image, write_noise
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_effnet.data.near_duplicates import MOST_DIFFERENT, difference_hashes, near_duplicates
from keras_effnet.data.sets import load_data
from keras_effnet.data.source import Source


class Pixels(Source):
    """Images of any sizes."""

    def __init__(self, pixels: list[np.ndarray]) -> None:
        self.pixels, self.labels = pixels, np.zeros(len(pixels), np.int32)

    def read(self, index: int, size: int | None = None) -> np.ndarray:
        return self.pixels[index]

    def name_of(self, index: int) -> str:
        return str(index)

    def fingerprint(self) -> str:
        return ""

    def take(self, indices: Any) -> Pixels:
        return Pixels([self.pixels[index] for index in indices])


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


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file))


def third(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((pixels.shape[1] // 3, pixels.shape[0] // 3)))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a third of the size": third,
    "JPEG of quality 30": lambda pixels: jpeg(pixels, 30),
    "both": lambda pixels: jpeg(third(pixels), 50),
    "without colours": lambda pixels: np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_differ_in_fewer_places_than_the_limit(tmp_path: Path, change: str) -> None:
    blobs = [np.asarray(Image.open(write_noise(tmp_path / "a.png", (300, 200), seed=seed))) for seed in range(30)]
    images = [*blobs, *load_sample_images().images]
    hashes, changed = (difference_hashes(Pixels(each)) for each in (images, list(map(CHANGES[change], images))))
    assert (hashes != changed).sum(axis=1).max() <= MOST_DIFFERENT
    assert near_duplicates(changed, hashes) == [(number, number) for number in range(len(images))]


@pytest.mark.parametrize("side", [106, 53])
def test_no_two_distinct_pieces_of_photographs_are_taken_for_copies(side: int) -> None:
    """11,781 pairs of pieces that do not overlap, often of one sky or one flower bed."""
    photographs = load_sample_images().images
    pieces = [
        photograph[top : top + side, left : left + side]
        for photograph in photographs
        for top in range(0, photograph.shape[0] - side, side)
        for left in range(0, photograph.shape[1] - side, side)
    ]
    hashes = difference_hashes(Pixels(pieces))
    for number in range(1, len(hashes)):
        assert near_duplicates(hashes[number:], hashes[number - 1 : number]) == []


def test_nothing_is_compared_with_nothing() -> None:
    none, some = np.zeros((0, 256), bool), np.ones((2, 256), bool)
    assert near_duplicates(none, some) == near_duplicates(some, none) == []
