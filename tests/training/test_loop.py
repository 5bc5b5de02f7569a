"""The training loop: what it draws, and what it restores."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
from tqdm import tqdm

from keras_effnet import build_model
from keras_effnet.data.images import Images
from keras_effnet.data.rows import batch_rows
from keras_effnet.errors import DataError
from keras_effnet.transfer.options import TransferOptions, transfer_spec
from keras_effnet.transfer.training import (
    Schedule,
    compile_for,
    copy_features,
    evaluate,
    jitter,
    restore,
    snapshot,
    train,
)

SCHEDULE = Schedule(steps=12, batch_size=8, rate=3e-3, jitter=0.1)


@pytest.fixture
def stripes() -> Images:
    """Two classes that anything can tell apart: bright left half, bright right half."""
    images = np.zeros((16, 16, 16, 3), np.uint8)
    labels = np.arange(16, dtype=np.int32) % 2
    images[labels == 0, :, :8] = 255
    images[labels == 1, :, 8:] = 255
    return Images(images, labels, ("left", "right"))


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    spec = transfer_spec(TransferOptions(phi=-14, resolution=16))
    model = build_model(spec, classes=2)
    compile_for(model, SCHEDULE)
    return model


def quiet() -> tqdm:
    return tqdm(disable=True)


@pytest.mark.slow
def test_training_learns_what_can_be_learned(model: keras.Model, stripes: Images) -> None:
    before = evaluate(model, stripes)["loss"]
    schedule = replace(SCHEDULE, steps=40)
    train(model, stripes, schedule, seed=0, progress=quiet())
    after = evaluate(model, stripes)
    assert after["accuracy"] == 1
    assert after["loss"] < before


@pytest.mark.slow
def test_a_run_in_two_parts_is_the_run_in_one(model: keras.Model, stripes: Images) -> None:
    start = snapshot(model)
    train(model, stripes, SCHEDULE, seed=1, progress=quiet())
    whole = model.get_weights()
    restore(start)
    train(model, stripes, SCHEDULE, seed=1, progress=quiet(), last=5)
    train(model, stripes, SCHEDULE, seed=1, progress=quiet(), first=5)
    for one, two in zip(whole, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_restoring_puts_back_weights_and_optimizer(model: keras.Model, stripes: Images) -> None:
    start = snapshot(model)
    train(model, stripes, SCHEDULE, seed=1, progress=quiet())
    restore(start)
    for variable, value in start:
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    assert int(model.optimizer.iterations.numpy()) == 0


@pytest.mark.slow
def test_what_is_returned_are_means_over_all_steps(model: keras.Model, stripes: Images) -> None:
    start = snapshot(model)
    parts = [train(model, stripes, SCHEDULE, seed=1, progress=quiet(), first=step, last=step + 1) for step in range(4)]
    restore(start)
    whole = train(model, stripes, SCHEDULE, seed=1, progress=quiet(), last=4)
    for name in ("loss", "accuracy"):
        assert whole[name] == pytest.approx(np.mean([part[name] for part in parts]), abs=1e-4)


def test_every_image_comes_once_before_any_comes_twice() -> None:
    stream = np.concatenate([batch_rows(10, 4, step, epoch=0, seed=3, shuffle=True)[0] for step in range(25)])
    for start in range(0, 100, 10):
        assert sorted(stream[start : start + 10]) == list(range(10))
    assert not np.array_equal(stream[:10], stream[10:20])


def test_the_rate_rises_then_falls_to_zero() -> None:
    schedule = Schedule(steps=100, batch_size=1, rate=2.0, warmup=0.1)
    rates = [schedule.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(2.0)
    assert rates.index(max(rates)) in (9, 10)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[-1] < 0.01


def test_copying_leaves_the_classifier_alone(model: keras.Model) -> None:
    spec = transfer_spec(TransferOptions(phi=-14, resolution=16))
    other = build_model(spec, classes=5)
    copy_features(model, other)
    pairs = list(zip(model.layers, other.layers, strict=True))
    for theirs, ours in pairs[:-1]:
        for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert pairs[-1][0].kernel.shape[-1] == 2
    assert pairs[-1][1].kernel.shape[-1] == 5


def test_jitter_moves_images_a_little(stripes: Images) -> None:
    moved = jitter(stripes.images, 0.1, np.random.default_rng(0))
    assert moved.dtype == np.uint8
    assert not np.array_equal(moved, stripes.images)
    # The bright half stays the bright half.
    assert np.array_equal(moved[:, :, :8].mean((1, 2, 3)) > moved[:, :, 8:].mean((1, 2, 3)), stripes.labels == 0)
    assert jitter(stripes.images, 0.0, np.random.default_rng(0)) is stripes.images


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run(model: keras.Model, stripes: Images) -> None:
    kernel = model.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(DataError, match="no longer a number"):
        train(model, stripes, SCHEDULE, seed=0, progress=quiet())


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"rate": 0}, {"warmup": 1}, {"jitter": -1}])
def test_a_schedule_refuses_nonsense(wrong: dict) -> None:
    with pytest.raises(DataError, match=f"{next(iter(wrong))}.*Received: "):
        replace(SCHEDULE, **wrong)
