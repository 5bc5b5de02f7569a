"""BatchNorm statistics taken anew: against NumPy, and with everything else left as it was.

Some of these run under the other backends too: `backend_check.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, outputs, random_images, tiny_spec

from keras_effnet import build_model, recalibrate
from keras_effnet.blocks import DepthwiseSeparable, MBConv
from keras_effnet.errors import DataError, InheritanceError

BATCHES = (7, 4, 1)  # of unequal sizes, so that a mean of means shows


def trained() -> keras.Model:
    model = build_model(tiny_spec(MBConv(), DepthwiseSeparable(), depth=1), classes=3)
    as_if_trained(model)
    return model


def norms(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def dropouts(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]


def state(model: keras.Model) -> list[Any]:
    """All that could have been changed."""
    arrays = [np.array(keras.ops.convert_to_numpy(variable)).tobytes() for variable in model.variables]
    switches = [(layer.trainable, layer.momentum) for layer in norms(model)]
    flags = [variable.trainable for variable in model.variables]
    return [*arrays, *switches, *flags, *[layer.rate for layer in dropouts(model)]]


def statistics(model: keras.Model) -> list[np.ndarray]:
    found = [variable for layer in norms(model) for variable in (layer.moving_mean, layer.moving_variance)]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in found]


def batches() -> list[np.ndarray]:
    return [random_images(count, 32, 32, 3, seed=count) for count in BATCHES]


def test_the_first_layer_gets_what_numpy_finds_in_all_images_at_once() -> None:
    model = trained()
    assert recalibrate(model, batches()) == sum(BATCHES)
    first = norms(model)[0]
    before = keras.Model(model.input, first.input)
    cells = outputs(before, np.concatenate(batches())).astype(float)
    np.testing.assert_allclose(statistics(model)[0], cells.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(statistics(model)[1], cells.var(axis=(0, 1, 2)), rtol=1e-4)


def test_after_one_batch_the_model_predicts_as_it_does_in_training() -> None:
    model, [batch, *_] = trained(), batches()
    recalibrate(model, [batch])
    predicted = outputs(model, batch)
    for layer in dropouts(model):
        layer.rate = 0.0
    training = np.asarray(keras.ops.convert_to_numpy(model(batch, training=True)))
    np.testing.assert_allclose(predicted, training, atol=1e-5)
    assert training.std() > 1e-3


@pytest.mark.slow
def test_a_second_time_changes_nothing_and_only_statistics_change() -> None:
    model = trained()
    before = state(model)
    recalibrate(model, batches())
    once = state(model)
    changed = [variable for variable, a, b in zip(model.variables, before, once, strict=False) if a != b]
    assert sorted(variable.path for variable in changed) == sorted(
        variable.path for layer in norms(model) for variable in (layer.moving_mean, layer.moving_variance)
    )
    assert before[len(model.variables) :] == once[len(model.variables) :]
    # Dropout would make the later statistics differ.
    recalibrate(model, batches())
    assert state(model) == once


def test_labels_tensors_frozen_layers_and_nested_models_make_no_difference() -> None:
    plain, other = trained(), trained()
    recalibrate(plain, batches())
    other.trainable = False
    whole = keras.Sequential([keras.Input((32, 32, 3)), other, keras.layers.GaussianNoise(0.5)])
    recalibrate(whole, ((keras.ops.convert_to_tensor(x), np.zeros(len(x))) for x in batches()))
    for ours, theirs in zip(statistics(other), statistics(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert not other.trainable_variables
    assert whole.layers[-1].stddev == 0.5


@pytest.mark.slow
def test_statistics_that_are_no_numbers_are_mended() -> None:
    plain, broken = trained(), trained()
    for layer in norms(broken):
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, np.nan))
    recalibrate(plain, batches())
    recalibrate(broken, batches())
    assert all(np.array_equal(*pair) for pair in zip(statistics(plain), statistics(broken), strict=True))


@cache
def half_frozen() -> keras.Model:
    """One model for all cases that must leave it as it was."""
    model = trained()
    norms(model)[0].trainable = False
    return model


def interrupted() -> Iterator[np.ndarray]:
    yield random_images(4, 32, 32, 3)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (list, DataError, "at least one batch"),
        (lambda: [random_images(4, 32, 32, 3), random_images(4, 16, 32, 3)], DataError, r"\(4, 16, 32, 3\)"),
        (lambda: random_images(4, 32, 32, 3), DataError, r"\(32, 32, 3\)"),
        (lambda: [random_images(4, 32, 32, 3)[:0]], DataError, r"\(0, 32, 32, 3\)"),
        (lambda: [np.full((2, 32, 32, 3), "a")], DataError, "array of numbers"),
        (lambda: [{"image": random_images(4, 32, 32, 3)}], DataError, "dict"),
        (lambda: [()], DataError, "tuple"),
        (lambda: [np.full((2, 32, 32, 3), np.nan)], DataError, "finite"),
        (interrupted, KeyboardInterrupt, None),
    ],
)
def test_what_goes_wrong_leaves_the_model_as_it_was(given: Any, error: type[BaseException], text: str | None) -> None:
    model = half_frozen()
    before = state(model)
    with pytest.raises(error, match=text):
        recalibrate(model, given())
    assert state(model) == before


def test_an_interruption_of_the_last_step_leaves_the_model_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    before = state(model)
    last = norms(model)[-1].moving_mean
    assign, seen = type(last).assign, []

    def interrupt_once(variable: Any, value: Any) -> Any:
        if variable is last and isinstance(value, np.ndarray) and not seen:
            seen.append(state(model))
            raise KeyboardInterrupt
        return assign(variable, value)

    monkeypatch.setattr(type(last), "assign", interrupt_once)
    with pytest.raises(KeyboardInterrupt):
        recalibrate(model, batches())
    assert seen[0] != before
    assert state(model) == before


def test_models_that_cannot_be_recalibrated() -> None:
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(InheritanceError, match="0 BatchNormalization layers"):
        recalibrate(plain, [np.zeros((2, 4))])
    flipping = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.RandomFlip(), keras.layers.BatchNormalization(name="norm")]
    )
    with pytest.raises(InheritanceError, match="a RandomFlip"):
        recalibrate(flipping, [np.zeros((2, 8, 8, 3))])
    assert flipping.get_layer("norm").momentum == 0.99
