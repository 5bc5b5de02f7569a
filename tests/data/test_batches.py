"""Batches: in order or shuffled, resumed, shared among processes, read by `fit`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
from data_files import write_noise

from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches, balanced_weights
from keras_effnet.data.image_files import ImageFiles
from keras_effnet.data.images import Images
from keras_effnet.data.resizing import resize_image
from keras_effnet.errors import DataError

COUNT, SIDE = 23, 8
STRONG = Augmentation(crop=0.5, flip=True)


@pytest.fixture(scope="module")
def source() -> Images:
    """Images of random pixels, whose first one tells which it is."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
    images[:, 0, 0] = np.arange(COUNT)[:, None]
    return Images(images, np.arange(COUNT, dtype=np.int32) % 3, ("a", "b", "c"))


def make(source: Images, **options: Any) -> Batches:
    return Batches(source, **{"resolution": SIDE, "batch_size": 4, **options})


def order(batches: Batches) -> list[int]:
    """Which images the batches of an epoch hold, fillers too."""
    return [int(image[0, 0, 0]) for step in range(len(batches)) for image in batches[step][0]]


def assert_equal(one: tuple, two: tuple) -> None:
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_padding_a_batch_is_what_keras_takes_everywhere(source: Images) -> None:
    batches = make(source)
    assert [len(batches[step][0]) for step in range(len(batches))] == [4] * 5 + [3]
    padded = make(source, padded=True)
    for step in range(len(batches)):
        images, labels = batches[step]
        assert_equal((images, labels), tuple(part[: len(images)] for part in padded[step][:2]))
    x = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(x, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x)))
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    assert model.predict(batches, verbose=0).shape == (COUNT, 3)
    found = model.predict(source.images.astype("float32"), verbose=0)
    scores = model.evaluate(batches, verbose=0, return_dict=True)
    assert scores["accuracy"] == pytest.approx(np.mean(found.argmax(axis=1) == source.labels))
    model.fit(make(source, shuffle=True), class_weight={0: 1.0, 1: 2.0, 2: 0.5}, verbose=0)


def test_class_weights_are_scikit_learns_and_follow_mixed_labels(source: Images) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    few = source.take(np.array([0, 1, 2, 3, 6, 9, 12]))
    weights = balanced_weights(few.labels, 3)
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=few.labels), rtol=1e-6)
    assert balanced_weights(np.array([0, 2, 2]), 4).tolist() == [1.5, 0, 0.75, 0]
    for options in ({}, {"padded": True}, {"augmentation": Augmentation(mixup=0.5, cutmix=0.5)}):
        for images, labels, found in make(few, class_weights=weights, **options):
            assert len(images) == len(found)
            kept = found > 0  # the others fill the batch up
            assert kept.sum() > 0
            np.testing.assert_allclose(found[kept], (labels @ weights)[kept], rtol=1e-6)
    for wrong in ([1, 1], [1, 1, -1], [0, 0, 0], [1, 1, float("nan")]):
        with pytest.raises(DataError, match=r"3 numbers, one for each class.*Received: class_weights="):
            make(source, class_weights=wrong)


def test_in_order_and_filled_up(source: Images) -> None:
    batches = make(source, padded=True)
    assert len(batches) == 6
    assert order(batches)[:COUNT] == list(range(COUNT))
    images, labels, weights = batches[5]
    assert images.dtype == labels.dtype == weights.dtype == np.float32
    assert (images.shape, labels.shape) == ((4, SIDE, SIDE, 3), (4, 3))
    assert weights.tolist() == [1, 1, 1, 0]
    np.testing.assert_array_equal(images[2], source.images[22])
    assert labels[2].tolist() == [0, 1, 0]
    assert sum(float(batch[2].sum()) for batch in batches) == COUNT


def test_shuffled_each_image_comes_once_before_any_comes_twice(source: Images) -> None:
    row: list[int] = []
    for epoch in range(23):
        row += order(make(source, shuffle=True, epoch=epoch))
    assert len(row) == 23 * 24
    for start in range(0, len(row) - COUNT + 1, COUNT):
        assert sorted(row[start : start + COUNT]) == list(range(COUNT))
    assert row[:COUNT] != row[COUNT : 2 * COUNT]
    assert order(make(source, shuffle=True, seed=1)) != row[:24]


def test_balanced_each_class_comes_equally_often_and_each_of_its_images(source: Images) -> None:
    few = source.take(np.array([0, 3, 6, 9, 12, 15, 18, 1, 4, 2]))  # seven, two and one of the classes a, b, c
    row: list[int] = []
    for epoch in range(14):
        row += order(make(few, shuffle=True, balanced=True, epoch=epoch))
    assert len(row) == 14 * 3 * 4  # an epoch has as many batches as otherwise
    numbers = np.array(row)
    for first in range(0, len(row) - 2, 3):  # each class once in three images
        assert sorted(numbers[first : first + 3] % 3) == [0, 1, 2]
    for label, count in ((0, 7), (1, 2), (2, 1)):  # each image of a class once before any comes twice
        turns = numbers[numbers % 3 == label]
        for first in range(0, len(turns) - count + 1, count):
            assert len(set(turns[first : first + count])) == count
    classes = (numbers % 3).reshape(-1, 3)
    assert len({tuple(each) for each in classes}) == 6, "in any order"
    for one, two in ((1, 0), (0, 1)):
        other = make(few, shuffle=True, balanced=True, seed=one, epoch=two)
        assert order(other) != row[:12]
    with pytest.raises(DataError, match=r"`shuffle=True`.*Received: shuffle=False"):
        make(source, balanced=True)


def test_labels_stay_with_their_images(source: Images) -> None:
    images, labels, weights = make(source, shuffle=True, padded=True, batch_size=COUNT)[0]
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels.argmax(1))
    assert weights.tolist() == [1] * COUNT


@pytest.mark.parametrize("more", [{}, {"augmentation": STRONG}, {"balanced": True}], ids=str)
def test_a_batch_is_the_same_whatever_was_read_before_and_by_whom(source: Images, more: dict[str, Any]) -> None:
    options: dict[str, Any] = {"shuffle": True, "seed": 3, "epoch": 2, **more}
    first = make(source, **options)
    expected = [first[step] for step in range(len(first))]
    again = make(source, **options)
    with ThreadPoolExecutor(4) as threads:
        for found, one in zip(threads.map(again.__getitem__, reversed(range(6))), reversed(expected), strict=True):
            assert_equal(found, one)


def test_the_next_batch_is_read_beside_the_work(source: Images) -> None:
    read = {index: threading.Event() for index in range(COUNT)}
    threads: set[int] = set()

    class Noted(Images):
        def read(self, index: int, size: int | None = None) -> np.ndarray:
            threads.add(threading.get_ident())
            read[index].set()
            return super().read(index, size)

    batches = make(Noted(source.images, source.labels, source.class_names))
    batches[0]
    assert all(read[index].wait(10) for index in range(8)), "the second batch too, that nobody asked for"
    batches[1]
    assert all(read[index].wait(10) for index in range(8, 12))
    assert not any(read[index].is_set() for index in range(12, COUNT))
    assert threading.get_ident() not in threads


def test_epochs_and_seeds_differ_in_order_and_augmentation(source: Images) -> None:
    def batch(**changes: Any) -> np.ndarray:
        return make(source, augmentation=STRONG, **changes)[0][0]

    assert not np.array_equal(batch(), batch(epoch=1))
    assert not np.array_equal(batch(), batch(seed=1))
    # In order, so that it is the crop that differs, not the images.
    assert np.abs(batch().mean((1, 2, 3)) - batch(epoch=1).mean((1, 2, 3))).max() < 30


def test_half_of_the_images_are_mirrored(source: Images) -> None:
    batches = make(source, batch_size=COUNT, augmentation=Augmentation(flip=True))
    mirrored = []
    for epoch in range(20):
        batches.epoch = epoch
        for image, original in zip(batches[0][0], source.images, strict=True):
            if not np.array_equal(image, original):
                np.testing.assert_array_equal(image, original[:, ::-1])
                mirrored.append(epoch)
    assert 0.4 < len(mirrored) / (20 * COUNT) < 0.6


@pytest.mark.parametrize("order", [{}, {"shuffle": True}, {"shuffle": True, "balanced": True}], ids=str)
def test_processes_share_the_rows_of_one_batch(source: Images, order: dict[str, bool]) -> None:
    whole = make(source, augmentation=STRONG, padded=True, **order)
    shares = [make(source, augmentation=STRONG, padded=True, shard=(rank, 2), **order) for rank in range(2)]
    for step in range(len(whole)):
        parts = zip(*(share[step] for share in shares), strict=True)
        assert_equal(tuple(np.concatenate(part) for part in parts), whole[step])


def test_gray_is_one_channel(source: Images) -> None:
    images = make(source, channels=1)[1][0]
    assert images.shape == (4, SIDE, SIDE, 1)
    luma = source.images[4:8] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(images[..., 0], luma, atol=0.51)


def test_rectangles_are_resized_in_every_way(source: Images) -> None:
    ramp = np.broadcast_to(np.arange(0, 240, 10, dtype=np.uint8)[None, None, :, None], (1, 24, 24, 3))
    one = Images(ramp.copy(), np.zeros(1, np.int32), ("a",))
    for resize in ("stretch", "pad", "crop"):
        [image] = make(one, resolution=(8, 16), resize=resize)[0][0]
        expected = resize_image(ramp[0], (8, 16), resize=resize)
        np.testing.assert_array_equal(image, expected)
    for augmentation in (STRONG, Augmentation(crop=0.5, operations=2, magnitude=9, mixup=0.2, cutmix=0.5)):
        images, _ = make(source, resolution=(8, 16), augmentation=augmentation, resize="pad")[0]
        assert images.shape == (4, 8, 16, 3)


def test_every_operation_takes_images_of_any_number_of_bands() -> None:
    class Bands(Images):
        channels = 5

        def read(self, index: int, size: int | None = None) -> np.ndarray:
            return np.random.default_rng(index).integers(0, 256, (20, 30, 5), np.uint8)

    bands = Bands(np.zeros((40, 8, 8, 3), np.uint8), np.zeros(40, np.int32), ("a",))
    strong = Augmentation(crop=0.5, flip=True, operations=3, magnitude=9, mixup=0.2)
    images, _ = make(bands, channels=5, batch_size=40, resolution=(12, 16), augmentation=strong)[0]
    assert images.shape == (40, 12, 16, 5)
    assert 0 <= images.min() < images.max() <= 255


def test_a_centre_crop_shows_the_middle() -> None:
    images = np.zeros((1, 40, 40, 3), np.uint8)
    images[:, 5:35, 5:35] = 200
    framed = Images(images, np.zeros(1, np.int32), ("a",))
    assert make(framed, resolution=20)[0][0].min() == 0
    assert make(framed, resolution=20, center_crop=0.7)[0][0].min() == 200


def test_a_crop_keeps_at_least_its_share() -> None:
    """A ramp from left to right: the range of values in a crop tells how much of the width it kept."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, None, :, None], (1, 256, 256, 3))
    batches = make(Images(ramp.copy(), np.zeros(1, np.int32), ("a",)), augmentation=Augmentation(crop=0.25))
    widths = []
    for epoch in range(200):
        batches.epoch = epoch
        widths.append(np.ptp(batches[0][0][0]) / 255)
    assert min(widths) > 0.36  # half the width at least, less where the crop is wider than high; SIDE pixels blur it
    assert np.std(widths) > 0.1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"resolution": 0}, "`resolution`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"channels": 4}, r"those of the images, or 1.*Received: channels=4 for images of 3"),
        ({"resolution": (8, 0)}, "`sides of resolution`"),
        ({"resolution": (8, 8, 3)}, r"`resolution` must be one side, or \(height, width\)"),
        ({"resize": "squash"}, "`resize` must be one of 'stretch', 'pad', 'crop'"),
        ({"seed": -1}, "`seed`"),
        ({"epoch": -1}, "`epoch`"),
        ({"center_crop": 0.0}, "`center_crop`"),
        ({"shard": (2, 2)}, "`rank`"),
        ({"shard": (0, 3)}, "multiple of 3.*Received: batch_size=4"),
        ({"shard": (0, 2)}, "several processes need.*`padded=True`.*Received: shard="),
    ],
)
def test_values_outside_their_range(source: Images, wrong: dict, message: str) -> None:
    with pytest.raises(DataError, match=f"{message}.*"):
        make(source, **wrong)


def test_no_images_are_an_error(source: Images) -> None:
    with pytest.raises(DataError, match="Received: a source of 0 images"):
        make(source.take([]))


class Watched(Batches):
    """Notes which batches are read in which epoch."""

    noted: ClassVar[list[tuple[int, int]]] = []

    def __getitem__(self, step: int) -> Any:
        self.noted.append((self.epoch, step))
        return super().__getitem__(step)


def dense() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def test_fit_reads_every_batch_of_every_epoch_once(source: Images) -> None:
    batches = Watched(source, resolution=SIDE, batch_size=4, shuffle=True)
    batches.noted.clear()
    dense().fit(batches, epochs=3, verbose=0)
    assert batches.epoch == 3
    for epoch in range(3):
        steps = [step for number, step in batches.noted if number == epoch]
        assert set(steps) == set(range(6))
    assert len(batches.noted) <= 3 * 6 + 2  # two more are read to learn their shape


def test_fillers_count_for_nothing_in_weighted_metrics(source: Images) -> None:
    model = dense()
    metrics = [keras.metrics.CategoricalCrossentropy(name="entropy"), keras.metrics.CategoricalAccuracy(name="right")]
    model.compile(loss="categorical_crossentropy", weighted_metrics=metrics, jit_compile=False)
    found = model.evaluate(make(source, batch_size=8), verbose=0, return_dict=True)
    predicted = model.predict(source.images.astype("float32"), verbose=0)
    rows = np.arange(COUNT)
    assert found["entropy"] == pytest.approx(-np.log(predicted[rows, source.labels]).mean(), rel=1e-4)
    assert found["right"] == pytest.approx((predicted.argmax(1) == source.labels).mean())


def test_a_file_that_vanishes_stops_the_training_and_is_named(tmp_path: Path) -> None:
    paths = [write_noise(tmp_path / f"{number}.jpg", (20, 16), number) for number in range(6)]
    batches = Batches(ImageFiles(paths, np.arange(6) % 3, ("a", "b", "c")), resolution=SIDE, batch_size=2)
    assert_equal(batches[0], batches[0])
    paths[5].unlink()
    with pytest.raises(Exception, match=r"5\.jpg"):
        dense().fit(batches, verbose=0)
    assert isinstance(batches.failure, DataError)
    assert "5.jpg" in str(batches.failure)
