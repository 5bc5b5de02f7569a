"""How images of other proportions get to the network's size, against arithmetic on pixels that the tests put there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_effnet.data import resizing
from keras_effnet.data.augment import random_box
from keras_effnet.data.resizing import resize_image

WIDE = np.full((20, 40, 3), 200, np.uint8)  # the left half red, the right half blue
WIDE[:, :20] = (255, 0, 0)
WIDE[:, 20:] = (0, 0, 255)


@pytest.fixture(params=["cykooz", "pillow"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both that average pixels: Pillow does where the other is not built."""
    if request.param == "pillow":
        monkeypatch.setattr(resizing, "_resizer", None)
    else:
        pytest.importorskip("cykooz_resizer")


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("seed", range(60))
def test_pixels_are_averaged_as_by_pillow(seed: int) -> None:
    generator = np.random.default_rng(seed)
    height, width, *side = (int(side) for side in generator.integers(1, 90, 4))
    noise = generator.integers(0, 256, (height, width, 3), np.uint8)
    box = random_box(height, width, 0.05, generator.random(4)) if seed % 3 else None
    expected = Image.fromarray(noise).resize((side[1], side[0]), Image.Resampling.BILINEAR, box=box)
    np.testing.assert_allclose(resize_image(noise, (side[0], side[1]), box).astype(int), np.asarray(expected), atol=1)


@pytest.mark.parametrize(
    ("resolution", "rows", "columns"),
    [
        (8, slice(2, 6), slice(0, 8)),  # twice as wide as high: a quarter is black above, and below
        ((8, 32), slice(0, 8), slice(8, 24)),
        ((10, 20), slice(0, 10), slice(0, 20)),  # the same proportions
        (80, slice(20, 60), slice(0, 80)),  # larger than it was
    ],
)
def test_padding_keeps_the_proportions_and_all_of_the_image(
    resolution: int | tuple[int, int], rows: slice, columns: slice
) -> None:
    white = np.full((20, 40, 3), 255, np.uint8)
    found = resize_image(white, resolution, resize="pad")
    expected = np.zeros_like(found)
    expected[rows, columns] = 255
    np.testing.assert_array_equal(found, expected)


def test_padding_pads_a_box_of_the_image() -> None:
    found = resize_image(WIDE, 8, (24, 0, 40, 8), resize="pad")  # the upper right: twice as wide as high, all blue
    np.testing.assert_array_equal(found[2:6], np.broadcast_to([0, 0, 255], (4, 8, 3)))
    assert found[:2].max() == found[6:].max() == 0


def test_cropping_keeps_the_middle() -> None:
    framed = np.zeros((20, 40, 3), np.uint8)
    framed[:, 10:30] = 255
    assert resize_image(framed, 8, resize="crop")[:, 1:-1].min() == 255
    assert resize_image(framed, 8)[:, 0].max() == 0
    high = np.zeros((40, 20, 3), np.uint8)
    high[15:25] = 255
    assert resize_image(high, (8, 16), resize="crop")[1:-1].min() == 255
    np.testing.assert_array_equal(resize_image(WIDE, (10, 20), resize="crop"), resize_image(WIDE, (10, 20)))


def test_what_has_its_size_stays_as_it_is() -> None:
    for resize in ("stretch", "pad", "crop"):
        assert resize_image(WIDE, (20, 40), resize=resize) is WIDE


@pytest.mark.parametrize("bands", [2, 5])
@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_every_band_is_resized_as_a_gray_image_is(bands: int, resize: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (30, 50, bands), np.uint8)
    found = resize_image(noise, (12, 16), resize=resize)
    assert found.shape == (12, 16, bands)
    for band in range(bands):
        alone = resize_image(np.repeat(noise[..., band : band + 1], 3, axis=2), (12, 16), resize=resize)
        np.testing.assert_array_equal(found[..., band], alone[..., 0])


def test_gray_is_padded_too() -> None:
    found = resize_image(np.full((20, 40, 3), 255, np.uint8), 8, gray=True, resize="pad")
    assert found.shape == (8, 8, 1)
    assert found[:, 0, 0].tolist() == [0, 0, 255, 255, 255, 255, 0, 0]
