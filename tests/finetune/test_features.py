"""Features of a frozen network: the two halves are the whole, and nothing is computed twice."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import BASES, as_if_trained, outputs, random_images, tiny_spec

from keras_effnet import Coefficients, build_model, scale_spec
from keras_effnet.blocks import MBConv
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.images import Images, load_digits
from keras_effnet.data.resizing import resize_image
from keras_effnet.data.rows import BalancedRows
from keras_effnet.errors import DataError, TrainingError
from keras_effnet.finetune import features as module
from keras_effnet.finetune.features import FeatureBatches, cached_features, split_model
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.registry import backbones

SIZE: dict[str, Any] = {"resolution": 32, "channels": 3}
RECIPE = Recipe(augmentation=Augmentation(crop=0.5))


def built(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build_model(tiny_spec(MBConv(expand=2), depth=1), classes=10)
    as_if_trained(model, seed)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", BASES)
def test_every_familys_halves_make_the_whole(name: str) -> None:
    spec = scale_spec(backbones.get(name), coefficients=Coefficients(depth=0.1, width=0.2, resolution=1))
    side = 2 * spec.total_stride
    model = build_model(spec, classes=5, input_shape=(side, side, 3))
    as_if_trained(model)
    features, head = split_model(model)
    x = random_images(2, side, side, 3)
    np.testing.assert_allclose(outputs(head, outputs(features, x)), outputs(model, x), rtol=1e-5, atol=1e-6)
    assert len([layer for layer in head.layers if layer.weights]) == 1


def test_a_model_without_a_classifier_cannot_be_split() -> None:
    inputs = keras.Input((4, 4, 3))
    with pytest.raises(TrainingError, match=r"one layer with weights.*Received: "):
        split_model(keras.Model(inputs, keras.layers.Flatten()(inputs)))


def test_features_are_what_the_network_says_and_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits(8).take(np.arange(100))
    features, _ = split_model(built())
    found = cached_features(features, digits, RECIPE, tmp_path, **SIZE)
    images = np.stack([resize_image(image, 32) for image in digits.images])
    np.testing.assert_allclose(found, outputs(features, images.astype("float32")), rtol=1e-3, atol=1e-4)
    view = cached_features(features, digits, RECIPE, tmp_path, view=1, **SIZE)
    assert np.abs(view - found).max() > 0.01

    def never(*_: Any) -> None:
        raise AssertionError("computed twice")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_compute", never)
        np.testing.assert_array_equal(cached_features(features, digits, RECIPE, tmp_path, **SIZE), found)
        # What does not reach the features does not matter; what does, does.
        cached_features(features, digits, replace(RECIPE, rate=1.0, seed=5), tmp_path, **SIZE)
        cached_features(split_model(built())[0], digits, RECIPE, tmp_path, **SIZE)
        for other in (
            (split_model(built(seed=1))[0], digits, RECIPE, SIZE),
            (features, digits.take(np.arange(99)), RECIPE, SIZE),
            (features, digits, RECIPE, {**SIZE, "resolution": 24}),
            (features, digits, replace(RECIPE, center_crop=0.5), SIZE),
            (features, digits, RECIPE, {**SIZE, "view": 2}),
            (features, digits, replace(RECIPE, seed=5), {**SIZE, "view": 1}),
        ):
            with pytest.raises(AssertionError, match="computed twice"):
                cached_features(*other[:3], tmp_path, **other[3])


def test_features_go_on_where_they_were_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load_digits(8).take(np.arange(300))
    features, _ = split_model(built())
    whole = np.array(cached_features(features, digits, RECIPE, tmp_path / "whole", **SIZE))
    monkeypatch.setattr(module, "SAVE_EVERY", 1)
    calls: list[int] = []
    real = features.predict_on_batch

    def cut(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(images)

    monkeypatch.setattr(features, "predict_on_batch", cut)
    with pytest.raises(KeyboardInterrupt):
        cached_features(features, digits, RECIPE, tmp_path / "cut", **SIZE)
    found = cached_features(features, digits, RECIPE, tmp_path / "cut", **SIZE)
    assert len(calls) == 3 + 3  # five batches: two before the cut, three after it
    np.testing.assert_array_equal(found, whole)
    assert [path.suffix for path in (tmp_path / "cut").iterdir()] == [".npy"]


def test_a_note_that_cannot_be_read_costs_a_computation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note = tmp_path / "x.part.json"
    assert module._batches_done(note, 5) == 0
    assert not caplog.records
    for content, done in (("3", 3), ("5", 5), ("6", 0), ("-1", 0), ("[", 0), ("null", 0), ('"3"', 0), ("{}", 0)):
        caplog.clear()
        note.write_text(content)
        assert module._batches_done(note, 5) == done
        assert ("computed again" in caplog.text) == (not done)


def test_a_full_disk_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    features, _ = split_model(built())
    with pytest.raises(DataError, match=r"No space left on device.*Received: .* bytes"):
        cached_features(features, load_digits(8), RECIPE, tmp_path, **SIZE)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_features_come_with_their_labels() -> None:
    labels = np.arange(10) % 3
    views = [np.stack([labels, np.arange(10)], 1) + 100.0 * view for view in range(2)]
    batches = FeatureBatches(views, np.eye(3, dtype=np.float32)[labels], batch_size=4, seed=1, shuffle=True)
    assert len(batches) == 3
    for epoch in (0, 1, 2):
        batches.epoch = epoch
        rows = [batches[step] for step in range(3)]
        for features, targets, weights in rows:
            np.testing.assert_array_equal(features[:, 0] - 100 * (epoch % 2), targets.argmax(1))
            assert weights.sum() == 4
    seen = [row % 100 for epoch in range(5) for row in _numbers(batches, epoch)]
    assert [sorted(seen[first : first + 10]) for first in range(0, 60, 10)] == [list(range(10))] * 6
    fixed = FeatureBatches(views[:1], np.eye(3, dtype=np.float32)[labels], batch_size=4)
    assert [list(fixed[step][2]) for step in range(3)] == [[1] * 4, [1] * 4, [1, 1, 0, 0]]
    np.testing.assert_array_equal(np.concatenate([fixed[step][0] for step in range(3)])[:10], views[0])


def test_rows_of_features_are_drawn_as_images_are() -> None:
    labels = np.array([0] * 20 + [1] * 3 + [2])
    options: dict[str, Any] = {"batch_size": 6, "seed": 2, "shuffle": True}
    rows, targets = [np.arange(24.0)[:, None]], np.eye(3, dtype=np.float32)[labels]
    features = FeatureBatches(rows, targets, balanced=BalancedRows(labels), **options)
    pixels = np.broadcast_to(np.arange(24, dtype=np.uint8)[:, None, None, None], (24, 8, 8, 3))
    images = Batches(
        Images(pixels.copy(), labels.astype(np.int32), ("a", "b", "c")), resolution=8, balanced=True, **options
    )
    for epoch in (0, 3):
        features.epoch = images.epoch = epoch
        for step in range(len(images)):
            rows, targets, weights = features[step]
            np.testing.assert_array_equal(rows[:, 0], images[step][0][:, 0, 0, 0])
            assert targets.sum(axis=0).tolist() == [2, 2, 2]
            assert weights.tolist() == [1] * 6


def _numbers(batches: FeatureBatches, epoch: int) -> list[float]:
    batches.epoch = epoch
    return [row for step in range(len(batches)) for row in batches[step][0][:, 1]]
