"""Behaviour of `keras_effnet.data.augment`. Pillow and NumPy say what an operation does."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from support import run_python

from keras_effnet.data.array_flow import TensorFlowFlow
from keras_effnet.data.augment import Augmentation, Augmenter, augmentation_for, center_box, random_box
from keras_effnet.data.operations import Draws, operations_of
from keras_effnet.errors import DataError, MissingExtraError

SIDE = 16
ENGINES = ("keras", "keras_cv")


def batch(count: int = 8, side: int = SIDE, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Smooth images, each with a label of its own kind."""
    generator = np.random.default_rng(3)
    coarse = generator.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    images = np.stack([np.asarray(Image.fromarray(one).resize((side, side))) for one in coarse])
    return images[..., :channels], np.eye(count, dtype=np.float32)


def only(**changes: Any) -> Augmentation:
    return Augmentation(**changes)


class TestAugmentation:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("crop", value) for value in (0, 1.1, -1, math.nan, "1")),
            *(("flip", value) for value in (1, None)),
            *(("operations", value) for value in (-1, 1.0, True)),
            *(("magnitude", value) for value in (-0.1, 10.1, math.inf)),
            *((mix, value) for mix in ("mixup", "cutmix") for value in (-0.1, 1.1)),
            *(("engine", value) for value in ("pillow", "", None)),
        ],
    )
    def test_a_value_out_of_range_is_an_error(self, field: str, value: object) -> None:
        with pytest.raises(DataError, match=f"`{field}`.*Received: {field}="):
            Augmentation(**{field: value})  # pyright: ignore[reportArgumentType]

    def test_it_goes_through_json(self) -> None:
        made = augmentation_for(5.5)
        assert Augmentation(**json.loads(json.dumps(dataclasses.asdict(made)))) == made

    def test_nothing_heavy_is_imported_for_it(self) -> None:
        code = "import sys, keras_effnet.data.augment; print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
        assert run_python(code) == "set()"


class TestAugmentationFor:
    # google/automl's efficientnetv2/effnetv2_configs.py: S, M and L beside B4, B5 and B7.
    @pytest.mark.parametrize(
        ("phi", "magnitude", "mix"), [(0, 0, 0), (4, 10, 0), (5, 10, 0.2), (6, 10, 0.35), (7, 10, 0.5), (9, 10, 0.5)]
    )
    def test_it_follows_the_published_table(self, phi: float, magnitude: float, mix: float) -> None:
        made = augmentation_for(phi)
        assert (made.magnitude, made.mixup, made.cutmix) == pytest.approx((magnitude, mix, mix))

    def test_strength_never_falls_with_phi(self) -> None:
        made = [augmentation_for(phi) for phi in np.linspace(-3, 10, 60)]
        for field in ("operations", "magnitude", "mixup", "cutmix"):
            values = [getattr(one, field) for one in made]
            assert values == sorted(values)
            assert values[0] == 0 < values[-1]

    @pytest.mark.parametrize("phi", [-8, -0.5, 0])
    def test_small_networks_get_a_crop_and_a_flip_alone(self, phi: float) -> None:
        made = augmentation_for(phi)
        assert made == Augmentation(crop=made.crop, flip=True)
        assert 0 < made.crop < 1

    def test_the_flip_can_be_left_out(self) -> None:
        assert not augmentation_for(3, flip=False).flip

    @pytest.mark.parametrize("phi", [math.nan, math.inf, "1"])
    def test_phi_must_be_a_number(self, phi: object) -> None:
        with pytest.raises(DataError, match="Received: phi="):
            augmentation_for(phi)  # pyright: ignore[reportArgumentType]


class TestBoxes:
    @pytest.mark.parametrize(("height", "width"), [(48, 48), (20, 100), (301, 200), (1, 1)])
    @pytest.mark.parametrize("smallest", [0.08, 0.5, 0.95])
    def test_a_crop_lies_in_the_image_and_keeps_its_share(self, height: int, width: int, smallest: float) -> None:
        generator = np.random.default_rng(0)
        boxes = np.array([random_box(height, width, smallest, generator.random(4)) for _ in range(2000)])
        left, top, right, bottom = boxes.T
        assert left.min() >= 0
        assert top.min() >= 0
        assert right.max() <= width
        assert bottom.max() <= height
        share = (right - left) * (bottom - top) / (height * width)
        assert share.min() >= smallest * (1 - 1e-9)
        assert share.mean() == pytest.approx((1 + smallest) / 2, abs=0.02)  # drawn evenly
        aspect = (right - left) / (bottom - top) / (width / height)
        assert 3 / 4 - 1e-9 <= aspect.min() <= aspect.max() <= 4 / 3 + 1e-9
        assert np.median(aspect) == pytest.approx(1, abs=0.03)
        # Every corner is reached.
        assert left.min() / width < 0.02
        assert right.max() / width > 0.98
        assert top.min() / height < 0.02
        assert bottom.max() / height > 0.98

    def test_without_a_crop_the_whole_image_is_taken(self) -> None:
        assert random_box(20, 30, 1.0, np.random.default_rng(0).random(4)) == (0, 0, 30, 20)

    def test_the_middle(self) -> None:
        assert center_box(256, 256, 0.875) == (16, 16, 240, 240)
        assert center_box(11, 7, 1.0) == (0, 0, 7, 11)

    def test_pillow_takes_a_box(self) -> None:
        image = Image.new("L", (37, 21), 9)
        for seed in range(50):
            box = random_box(21, 37, 0.2, np.random.default_rng(seed).random(4))
            assert np.asarray(image.resize((8, 8), box=box)).min() == 9


class TestMixing:
    @pytest.mark.parametrize("kind", ["mixup", "cutmix"])
    def test_labels_say_how_much_of_each_image_there_is(self, kind: str) -> None:
        # Each image is one gray of its own, and so tells what it was mixed from.
        grays = np.array([0, 1, 4, 16, 64, 128], np.float32)
        images = np.broadcast_to(grays[:, None, None, None], (6, 32, 32, 3))
        augmenter = Augmenter(only(**{kind: 1.0}), 32, 6)
        results = [augmenter(images, np.eye(6, dtype=np.float32), (1, 0, step)) for step in range(5)]
        mixed, labels = (np.concatenate(arrays) for arrays in zip(*results, strict=True))
        assert mixed.dtype == labels.dtype == np.float32
        assert labels.sum(axis=1) == pytest.approx(1, abs=1e-6)
        # CutMix's box has borders between pixels: the label may be off by a row and a column of 128.
        tolerance = 1e-3 if kind == "mixup" else 2 * 128 / 32
        assert mixed.mean(axis=(1, 2, 3)) == pytest.approx(labels @ grays, abs=tolerance)
        assert ((labels > 0).sum(axis=1) == 2).sum() >= 15
        if kind == "cutmix":
            assert set(np.unique(mixed)) <= set(grays)

    @pytest.mark.parametrize(("alpha", "spread"), [(1.0, 1 / math.sqrt(12)), (0.2, math.sqrt(0.25 / 1.4))])
    def test_mixups_share_is_drawn_from_the_papers_beta(self, alpha: float, spread: float) -> None:
        augmenter = Augmenter(only(mixup=alpha), 1, 500)
        images, labels = np.zeros((500, 1, 1, 3), np.float32), np.eye(500, dtype=np.float32)
        shares = np.concatenate([np.diag(augmenter(images, labels, (0, 0, step))[1]) for step in range(4)])
        assert shares.mean() == pytest.approx(0.5, abs=0.03)
        assert shares.std() == pytest.approx(spread, rel=0.06)  # of Beta(alpha, alpha)

    def test_with_both_each_batch_is_mixed_by_either(self) -> None:
        images = np.broadcast_to(np.array([0, 200], np.float32)[:, None, None, None], (2, 8, 8, 1))
        augmenter = Augmenter(only(mixup=1.0, cutmix=1.0), 8, 2)
        cut = mixed = 0
        for step in range(60):
            found, labels = augmenter(images, np.eye(2, dtype=np.float32), (5, 0, step))
            if labels.max(axis=1).min() < 0.9:
                between = ((found > 0) & (found < 200)).any()
                cut, mixed = cut + (not between), mixed + between
        assert min(cut, mixed) >= 5

    def test_zero_strength_changes_nothing(self) -> None:
        images, labels = batch()
        for augmentation in (only(), only(operations=2), only(magnitude=9), only(crop=0.1, flip=True)):
            augmenter = Augmenter(augmentation, SIDE, 8)
            same, same_labels = augmenter(images, labels, (0, 0, 0))
            assert augmenter.engine is None
            assert same.dtype == np.float32
            np.testing.assert_array_equal(same, images)
            np.testing.assert_array_equal(same_labels, labels)

    def test_a_batch_of_another_shape_is_an_error(self) -> None:
        images, labels = batch()
        augmenter = Augmenter(only(mixup=0.2), SIDE, 8)
        for wrong in ((images[0], labels[0]), (images[:, :8], labels), (images, labels[:, :4]), (images, labels[:3])):
            with pytest.raises(DataError, match="Received: "):
                augmenter(*wrong, (0, 0, 0))


class TestEngine:
    def test_keras_is_taken_unless_keras_cv_is_asked_for(self) -> None:
        assert Augmenter(only(operations=1, magnitude=1), SIDE, 8).engine == "keras"
        assert Augmenter(only(operations=1, magnitude=1, engine="keras"), SIDE, 8).engine == "keras"

    def test_without_keras_cv_keras_does_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "keras_cv", None)
        assert Augmenter(only(operations=1, magnitude=1), SIDE, 8).engine == "keras"
        with pytest.raises(MissingExtraError, match=r"engine 'keras_cv' \(engine 'keras' .*the extra \[keras-cv\]"):
            Augmenter(only(operations=1, magnitude=1, engine="keras_cv"), SIDE, 8)

    def test_the_engine_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level("INFO"):
            Augmenter(only(operations=1, magnitude=1), SIDE, 8)
        assert "RandAugment is computed by Keras" in caplog.text


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "keras_cv":
        pytest.importorskip("keras_cv")
    return request.param


@pytest.fixture(scope="module")
def augmenter(engine: str) -> Augmenter:
    # The engine is one of the two by the fixture above.
    return Augmenter(only(operations=1, magnitude=8, mixup=0.4, cutmix=0.6, engine=engine), SIDE, 8)


@pytest.fixture(scope="module")
def unmixed(engine: str) -> Augmenter:
    """An augmenter that mixes no images, and does two things to each."""
    return Augmenter(only(operations=2, magnitude=9, engine=engine), SIDE, 8)


@pytest.mark.slow
class TestRandAugment:
    # An augmenter traces its operations for each shape of a batch, which takes seconds: the tests share two of them.
    def test_the_same_seed_gives_the_same_bits_in_threads_too(self, augmenter: Augmenter, engine: str) -> None:
        images, labels = batch()
        seeds = [(4, 1, 9), (4, 1, 10)]
        expected = [augmenter(images, labels, seed) for seed in seeds]
        assert augmenter.engine == engine
        assert (expected[0][0] != expected[1][0]).any()
        fresh = Augmenter(augmenter.augmentation, SIDE, 8)  # two threads may want to trace it at once
        found: dict[int, list[Any]] = {0: [], 1: []}

        def work(number: int) -> None:
            for _ in range(5):
                found[number].append(fresh(images, labels, seeds[number]))

        threads = [threading.Thread(target=work, args=(number,)) for number in found]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, (first, first_labels) in enumerate(expected):
            found[number].append(augmenter(images.astype(np.float32), labels, seeds[number]))
            assert len(found[number]) == 6
            for again, again_labels in found[number]:
                np.testing.assert_array_equal(again, first)
                np.testing.assert_array_equal(again_labels, first_labels)

    def test_each_part_of_the_seed_counts(self, augmenter: Augmenter) -> None:
        images, labels = batch()
        results = [augmenter(images, labels, seed)[0] for seed in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
        for number, one in enumerate(results):
            for other in results[:number]:
                assert (one != other).any(axis=(1, 2, 3)).sum() >= 4

    def test_keras_own_state_of_chance_is_neither_read_nor_moved(self, augmenter: Augmenter) -> None:
        import keras

        images, labels = batch()
        found = []
        for seed in (1, 2):
            keras.utils.set_random_seed(seed)
            found.append(augmenter(images, labels, (3, 3, 3))[0])
        np.testing.assert_array_equal(*found)
        drawn = np.asarray(keras.random.uniform((3,)))
        keras.utils.set_random_seed(2)
        np.testing.assert_array_equal(drawn, np.asarray(keras.random.uniform((3,))))

    def test_values_stay_in_their_range(self, augmenter: Augmenter) -> None:
        generator = np.random.default_rng(0)
        labels = np.eye(8, dtype=np.float32)
        for step in range(20):
            hard = generator.choice([0, 255], (8, SIDE, SIDE, 3)).astype(np.uint8)
            images, mixed = augmenter(hard, labels, (0, 0, step))
            assert np.isfinite(images).all()
            assert images.min() >= 0
            assert images.max() <= 255
            assert mixed.sum(axis=1) == pytest.approx(1, abs=1e-5)

    def test_a_image_does_not_depend_on_the_others(self, unmixed: Augmenter) -> None:
        images, labels = batch()
        whole, _ = unmixed(images, labels, (0, 0, 0))
        changed, _ = unmixed(np.concatenate([images[:4], images[4:] // 2]), labels, (0, 0, 0))
        np.testing.assert_array_equal(whole[:4], changed[:4])
        few, _ = unmixed(images[:4], labels[:4], (0, 0, 0))
        np.testing.assert_array_equal(whole[:4], few)

    def test_each_image_gets_operations_of_its_own(self, unmixed: Augmenter) -> None:
        images, labels = batch()
        same = np.repeat(images[:1], 8, axis=0)
        found, _ = unmixed(same, labels, (0, 0, 0))
        assert len({image.tobytes() for image in found}) >= 6

    def test_gray_images(self, engine: str) -> None:
        images, labels = batch(channels=1)
        gray, _ = Augmenter(only(operations=1, magnitude=9, engine=engine), SIDE, 8)(images, labels, (0, 0, 0))
        assert gray.shape == (8, SIDE, SIDE, 1)
        assert (gray != images).any(axis=(1, 2, 3)).sum() >= 4

    def test_mixed_precision_does_not_reach_the_images(self, augmenter: Augmenter) -> None:
        import keras

        images, labels = batch()
        expected, expected_labels = augmenter(images, labels, (0, 0, 2))
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            found, found_labels = Augmenter(augmenter.augmentation, SIDE, 8)(images, labels, (0, 0, 2))
        finally:
            keras.config.set_dtype_policy("float32")
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found_labels, expected_labels)


# RandAugment's section 3, in its order.
FOURTEEN = (
    *("identity", "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize", "contrast", "brightness"),
    *("sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
)
Operation = Callable[[np.ndarray, int], np.ndarray]


def operation(engine: str, name: str, magnitude: float) -> Operation:
    """One operation, as a function of an image and a seed."""
    import tensorflow as tf

    draws = Draws(TensorFlowFlow())
    apply = operations_of(engine, magnitude, draws)[name]

    @tf.function
    def compute(image: Any, seed: Any) -> Any:
        draws.start(seed)
        return apply(image)

    return lambda image, seed: compute(tf.constant(image, tf.float32), tf.constant([7, seed])).numpy()


def pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image.astype(np.uint8))


@pytest.mark.slow
class TestOperations:
    def test_they_are_the_papers_fourteen(self, engine: str) -> None:
        assert tuple(operations_of(engine, 1, Draws(TensorFlowFlow()))) == FOURTEEN

    @pytest.mark.parametrize("name", sorted(set(FOURTEEN) - {"auto_contrast", "equalize"}))
    def test_at_magnitude_zero_nothing_happens(self, engine: str, name: str) -> None:
        image = batch()[0][0].astype(np.float32)
        image[0, 0] = 255
        assert operation(engine, name, 0)(image, 1) == pytest.approx(image, abs=2e-3)

    def test_posterize_keeps_pillows_bits(self, engine: str) -> None:
        image = batch()[0][0]
        found = operation(engine, "posterize", 10)(image, 1)
        np.testing.assert_array_equal(found, np.asarray(ImageOps.posterize(pillow(image), 4)))

    def test_auto_contrast_is_pillows(self, engine: str) -> None:
        image = 40 + batch()[0][0] // 2
        found = operation(engine, "auto_contrast", 5)(image, 1)
        assert found == pytest.approx(np.asarray(ImageOps.autocontrast(pillow(image))), abs=1.01)

    def test_equalize_is_nearly_pillows(self, engine: str) -> None:
        image = batch(side=64)[0][0] // 2
        found = operation(engine, "equalize", 5)(image, 1)
        # Pillow rounds its steps down to whole numbers.
        assert np.abs(found - np.asarray(ImageOps.equalize(pillow(image)))).mean() < 4

    def test_solarize_inverts_what_is_bright(self, engine: str) -> None:
        image = np.repeat(np.arange(256, dtype=np.float32).reshape(16, 16, 1), 3, axis=-1)
        solarize = operation(engine, "solarize", 5)
        for seed in range(30):
            found = solarize(image, seed)
            threshold = int((found == image).all(axis=-1).sum())
            assert threshold >= 128  # 256 * (1 - 5 / 10)
            expected = np.asarray(ImageOps.solarize(pillow(image), threshold))
            assert found == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize(
        ("name", "enhance"),
        [("color", ImageEnhance.Color), ("contrast", ImageEnhance.Contrast), ("sharpness", ImageEnhance.Sharpness)],
    )
    def test_enhancing_stays_between_pillows_ends_and_goes_both_ways(
        self, engine: str, name: str, enhance: Callable[[Image.Image], Any]
    ) -> None:
        image = 100 + batch()[0][0] // 5  # far from 0 and 255, so that nothing is cut off
        ends = [np.asarray(enhance(pillow(image)).enhance(factor), np.float64) for factor in (0.5, 1.5)]
        direction = (ends[1] - ends[0]).ravel()
        compute = operation(engine, name, 5 / 0.9)
        along = [
            float((compute(image, seed) - image).ravel() @ direction / (direction @ direction)) for seed in range(40)
        ]
        # 0.5 times the way between Pillow's factors of 0.5 and 1.5; its gray and its mean are rounded.
        assert -0.6 < min(along) < -0.25
        assert 0.25 < max(along) < 0.6

    def test_brightness_goes_both_ways(self, engine: str) -> None:
        image = np.full((8, 8, 3), 127.0)
        compute = operation(engine, "brightness", 5)
        values = [compute(image, seed) for seed in range(40)]
        assert all(np.ptp(value) == 0 for value in values)
        change = np.array([value[0, 0, 0] - 127 for value in values])
        assert -0.225 * 255 <= change.min() < -30
        assert 30 < change.max() <= 0.225 * 255

    @pytest.mark.parametrize(
        ("name", "axis", "largest"),
        # Where the pixels come from: moved by 100 of 224, sheared by 0.3, turned by 30 degrees at magnitude 10.
        [
            ("translate_x", 0, 100 / 224),
            ("translate_y", 1, 100 / 224),
            ("shear_x", 0, 0.3),
            ("shear_y", 1, 0.3),
            ("rotate", 0, 0.5),
            ("rotate", 1, 0.5),
        ],
    )
    def test_moves_go_as_far_as_the_papers_and_both_ways(
        self, engine: str, name: str, axis: int, largest: float
    ) -> None:
        side = 64
        ramp = np.linspace(60, 190, side)
        # An image whose gray tells a pixel's column, or its row.
        image = np.repeat(np.broadcast_to(ramp[:, None] if axis else ramp, (side, side))[..., None], 3, axis=-1)
        compute = operation(engine, name, 10)
        found = []
        for seed in range(40):
            shift = (compute(image, seed) - image)[..., 0] / (ramp[1] - ramp[0])  # in pixels
            shift = shift if axis == 0 else shift.T  # across where it grows
            if name.startswith("translate"):
                found.append(shift[side // 2, side // 2] / side)
            else:
                found.append((shift[40, side // 2] - shift[24, side // 2]) / 16)
        assert -largest * 1.05 <= min(found) < -largest / 2
        assert largest / 2 < max(found) <= largest * 1.05

    @pytest.mark.parametrize(("name", "axis"), [("translate_x", 1), ("shear_y", 0)])
    def test_moves_leave_the_other_direction_alone(self, engine: str, name: str, axis: int) -> None:
        ramp = np.linspace(60, 190, 32)
        image = np.repeat(np.broadcast_to(ramp[:, None] if axis else ramp, (32, 32))[..., None], 3, axis=-1)
        compute, changed = operation(engine, name, 4), 0
        for seed in range(10):
            found = compute(image, seed)
            middle = (slice(13, 19), slice(13, 19))  # where no gray comes in
            assert found[middle] == pytest.approx(image[middle], abs=1e-3)
            changed += np.abs(found - image).max() > 1
        assert changed >= 5

    def test_what_moves_in_is_gray(self, engine: str) -> None:
        image = np.zeros((16, 16, 3))
        found = operation(engine, "translate_x", 10)(image, 3)
        assert found.min() == 0
        assert found.max() == 128
        assert set(np.unique(found[0])) == set(np.unique(found[15]))
