"""What learns in which phase: checked by training, not by flags alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, outputs, random_images, tiny_spec

from keras_effnet import build_model
from keras_effnet.blocks import MBConv
from keras_effnet.finetune.phases import HEAD, Phase, compile_phase, plan_phases, rate_shares
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.training.compilation import compile_model
from keras_effnet.training.precision import set_precision
from keras_effnet.training.schedules import average_momentum
from keras_effnet.training.seeding import seed_dropout

SPEC = tiny_spec(MBConv(expand=2), MBConv(expand=2), depth=1)


def built() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = build_model(SPEC, classes=3)
    as_if_trained(model)
    return model


def changed(model: keras.Model, phase: Phase, recipe: Recipe) -> set[str]:
    """Names of the layers whose weights one step moves."""
    compile_phase(model, phase, recipe, steps_per_epoch=1)
    model.run_eagerly = True  # for one step no graph is worth its tracing
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.train_on_batch(random_images(4, 32, 32, 3), np.eye(3, dtype="float32")[[0, 1, 2, 0]], np.ones(4, "float32"))
    return {
        layer.name
        for layer in model.layers
        if any((old != new).any() for old, new in zip(before[layer.name], layer.get_weights(), strict=True))
    }


def norms(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}


def learners(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)}


@pytest.mark.slow
def test_frozen_statistics_stay_and_trained_ones_move() -> None:
    model = built()
    whole = Phase("whole", 1, 0, 1)
    assert changed(model, whole, Recipe(rate=0.1)) == learners(model) - norms(model)
    assert changed(model, whole, Recipe(rate=0.1, batchnorm="recalibrated")) == learners(model) - norms(model)
    assert changed(model, whole, Recipe(rate=0.1, batchnorm="trained")) == learners(model)
    assert {layer.momentum for layer in model.layers if layer.name in norms(model)} == {0.9}


@pytest.mark.slow
def test_gradual_unfreezing_goes_from_the_classifier_to_the_stem() -> None:
    model = built()
    recipe = Recipe(head_epochs=2, epochs=7, rate=0.1, batchnorm="trained", unfreeze="gradual")
    phases = plan_phases(model, recipe)
    assert phases[0] == Phase(HEAD, 2, 0, 2)
    # Classifier, head, two stages, stem: five parts.
    assert [phase.epochs for phase in phases[1:]] == [2, 2, 1, 1, 1]
    assert [phase.first_epoch for phase in phases[1:]] == [0, 2, 4, 5, 6]
    moved = [changed(model, phase, recipe) for phase in phases[1:]]
    assert moved[0] == {"predictions"}
    assert all(one < two for one, two in pairwise(moved))
    assert moved[-1] == learners(model)
    for phase, layers in zip(phases[1:], moved, strict=True):
        assert not layers & phase.frozen
    few = plan_phases(model, Recipe(head_epochs=0, epochs=2, unfreeze="gradual"))
    assert [phase.epochs for phase in few] == [1, 1]
    assert few[1].frozen == frozenset()


def moves(model: keras.Model, start: list[np.ndarray], recipe: Recipe) -> dict[str, np.ndarray]:
    """By how much one step moves each kernel."""
    model.set_weights(start)
    compile_phase(model, Phase("whole", 1, 0, 1), recipe, steps_per_epoch=1)
    model.run_eagerly = True
    seed_dropout(model, 0)
    before = {each.path: np.array(each) for each in model.trainable_variables if each.name == "kernel"}
    model.train_on_batch(random_images(4, 32, 32, 3), np.eye(3, dtype="float32")[[0, 1, 2, 0]], np.ones(4, "float32"))
    return {each.path: np.array(each) - before[each.path] for each in model.trainable_variables if each.path in before}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_each_part_learns_at_its_share_of_the_rate(optimizer: Any) -> None:
    model = built()
    start = model.get_weights()
    recipe = Recipe(rate=0.1, warmup=0.0, weight_decay=0.5, optimizer=optimizer)
    shares = rate_shares(model, 0.5)
    # Classifier, head, two stages, stem: five parts, named as `tiny_spec` builds them.
    named = {"predictions": 1.0, "top_conv": 0.5, "block2a_project_conv": 0.25, "block1a_project_conv": 0.125}
    assert {name: shares[name] for name in (*named, "stem_conv")} == {**named, "stem_conv": 0.0625}
    whole, parted = moves(model, start, recipe), moves(model, start, replace(recipe, layer_decay=0.5))
    assert set(whole) == set(parted)
    for path, expected in whole.items():
        share = shares[path.split("/")[0]]
        assert np.abs(expected).max() > 1e-4
        # What float32 loses where a small step is added to a weight.
        np.testing.assert_allclose(parted[path], share * expected, rtol=1e-3, atol=1e-6)


def test_an_average_follows_the_number_of_steps() -> None:
    model = built()

    def momentum(phase: Phase, average: Any) -> float | None:
        compile_phase(model, phase, Recipe(average=average), steps_per_epoch=50)
        optimizer: Any = model.optimizer
        return optimizer.ema_momentum if optimizer.use_ema else None

    assert momentum(Phase("whole", 3, 0, 3), "auto") == average_momentum(150)
    assert momentum(Phase("part", 2, 1, 3), "auto") == average_momentum(100)
    assert momentum(Phase("whole", 3, 0, 3), 0.5) == 0.5
    assert momentum(Phase("whole", 3, 0, 3), 0.0) is None
    assert momentum(Phase(HEAD, 3, 0, 3), "auto") is None


def test_decay_spares_norms_and_biases() -> None:
    model = built()
    compile_phase(
        model, Phase("whole", 1, 0, 1), Recipe(batchnorm="trained", weight_decay=0.5, rate=1.0, warmup=0.0), 1
    )
    optimizer: Any = model.optimizer
    spared = {each.path.split("/")[-1] for each in model.trainable_variables if not optimizer._use_weight_decay(each)}
    decayed = {each.path.split("/")[-1] for each in model.trainable_variables if optimizer._use_weight_decay(each)}
    assert spared == {"bias", "gamma", "beta"}
    assert decayed == {"kernel"}


def test_an_optimizer_that_accumulates_keeps_a_rate_for_two_batches() -> None:
    model = built()

    def rates(phase: Phase, accumulate: int) -> list[float]:
        compile_phase(model, phase, Recipe(epochs=3, accumulate=accumulate), steps_per_epoch=4)
        optimizer: Any = model.optimizer
        return optimizer.get_config()["learning_rate"]["config"]["rates"]

    whole = Phase("whole", 3, 0, 3)
    assert rates(whole, 2) == np.repeat(rates(whole, 1)[::2], 2).tolist()
    assert len(rates(Phase(HEAD, 3, 0, 3), 2)) == 12
    # Phases that share a schedule continue where the one before stopped.
    assert [*rates(Phase("a", 1, 0, 3), 2), *rates(Phase("b", 2, 1, 3), 2)] == rates(whole, 2)


def test_the_last_of_the_batches_that_make_an_update_uses_their_rate() -> None:
    rates = [0.5, 0.25, 0.125, 0.0625]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, use_bias=False)])
    compile_model(model, rates.__getitem__, steps=4, accumulate=2, optimizer="adamw")
    optimizer: Any = model.optimizer
    optimizer.build(model.trainable_variables)
    found = []
    for _ in range(4):
        before = np.array(model.get_weights()[0])
        optimizer.apply([keras.ops.ones((1, 2))])  # under Adam a step is as long as the rate
        found.append(float((before - model.get_weights()[0]).mean()))
    assert found == pytest.approx([0, 0.5, 0, 0.125], rel=1e-4)


def test_bfloat16_is_near_float32_and_leaves_no_trace() -> None:
    model, x = built(), random_images(4, 32, 32, 3)
    exact = outputs(model, x)
    set_precision(model, "mixed_bfloat16")
    found = outputs(keras.Model(model.input, model.output), x)
    assert 0 < np.abs(found - exact).max() < 0.1
    assert "bfloat16" not in {str(weight.dtype) for weight in model.weights}
    assert model.layers[-1].compute_dtype == "float32"
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    before = model.layers[: model.layers.index(model.get_layer("stem_conv"))]
    assert {layer.compute_dtype for layer in before} == {"float32"}
    set_precision(model, "float32")
    np.testing.assert_array_equal(outputs(keras.Model(model.input, model.output), x), exact)
