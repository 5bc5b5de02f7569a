"""Behaviour of `keras_effnet.data.glyphs`."""

import numpy as np
import pytest

from keras_effnet.data.glyphs import CLASS_NAMES, COARSE_SIDES, LETTERS, SAME_SHAPE, render_letters
from keras_effnet.data.images import Images
from keras_effnet.errors import DataError


@pytest.fixture(scope="module")
def letters() -> Images:
    return render_letters(2010, resolution=32, seed=3)


def test_the_same_seed_renders_the_same_images(letters: Images) -> None:
    again = render_letters(2010, resolution=32, seed=3)
    np.testing.assert_array_equal(letters.images, again.images)
    np.testing.assert_array_equal(letters.labels, again.labels)


def test_another_seed_renders_others(letters: Images) -> None:
    other = render_letters(2010, resolution=32, seed=4)
    assert (letters.labels != other.labels).mean() > 0.9
    assert (letters.images != other.images).mean() > 0.3


def test_numpys_global_generator_is_neither_read_nor_moved() -> None:
    np.random.seed(5)
    first = render_letters(40, resolution=8)
    drawn = np.random.random()
    second = render_letters(40, resolution=8)
    np.testing.assert_array_equal(first.images, second.images)
    np.random.seed(5)
    assert np.random.random() == drawn


def test_classes_are_balanced_and_shuffled(letters: Images) -> None:
    counts = np.bincount(letters.labels, minlength=len(letters.class_names))
    assert set(counts.tolist()) == {50, 51}
    assert len(set(letters.labels[:40].tolist())) > 15


def test_classes_are_letters_and_every_letter_has_one() -> None:
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) == 40
    assert all(name.isalpha() and len(name) == 1 for name in CLASS_NAMES)
    assert not any(character.isdigit() for character in LETTERS)
    assert {SAME_SHAPE.get(letter, letter) for letter in LETTERS} == set(CLASS_NAMES)


def test_images_fill_the_range_and_show_something_bright_in_the_middle(letters: Images) -> None:
    assert letters.images.shape == (2010, 32, 32, 3)
    contrast = np.ptp(letters.images, axis=(1, 2, 3))
    assert (contrast > 60).mean() > 0.99
    middle, edge = letters.images[:, 8:24, 8:24].mean(), letters.images[:, :2].mean()
    assert middle > 1.5 * edge


def test_a_letter_differs_less_from_its_own_class_than_from_others(letters: Images) -> None:
    """Labels belong to their images: a nearest-mean rule does far better than the 1 in 40 of chance."""
    test = render_letters(800, resolution=32, seed=8)
    means = np.stack([letters.images[letters.labels == label].mean(axis=0) for label in range(40)])
    distance = ((test.images[:, None, ::4, ::4, 0] - means[None, :, ::4, ::4, 0]) ** 2).sum(axis=(2, 3))
    assert (distance.argmin(axis=1) == test.labels).mean() > 0.3


def test_images_are_as_coarse_as_promised(letters: Images) -> None:
    """Most are 8x8 at heart: reduced to 8x8 and enlarged again, they hardly change."""
    blocks = letters.images[..., 0].reshape(-1, 8, 4, 8, 4).astype(float)
    detail = blocks.std(axis=(2, 4)).mean()
    sharp = np.random.default_rng(0).integers(0, 256, blocks.shape).std(axis=(2, 4)).mean()
    assert detail < sharp / 2
    assert max(COARSE_SIDES) <= 16


def test_one_image_and_other_resolutions() -> None:
    assert render_letters(1, resolution=8).images.shape == (1, 8, 8, 3)
    assert render_letters(3, resolution=48).images.shape == (3, 48, 48, 3)


@pytest.mark.parametrize("count", [0, -3])
def test_no_images_are_an_error(count: int) -> None:
    with pytest.raises(DataError, match=f"at least 1. Received: {count}"):
        render_letters(count)


def test_an_impossible_resolution_is_an_error() -> None:
    with pytest.raises(DataError, match="Received: 0"):
        render_letters(4, resolution=0)
