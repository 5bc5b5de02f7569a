"""What learns in which phase: checked by training, not by flags alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, outputs, random_images, tiny_spec

from keras_effnet import build_model
from keras_effnet.blocks import MBConv
from keras_effnet.finetune.phases import HEAD, Phase, compile_phase, plan_phases
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.training.precision import set_precision

SPEC = tiny_spec(MBConv(expand=2), MBConv(expand=2), depth=1)


def built() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = build_model(SPEC, classes=3)
    as_if_trained(model)
    return model


def changed(model: keras.Model, phase: Phase, recipe: Recipe) -> set[str]:
    """Names of the layers whose weights one step moves."""
    compile_phase(model, phase, recipe, steps_per_epoch=1)
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


def test_an_optimizer_that_accumulates_follows_every_second_rate() -> None:
    model = built()

    def rates(phase: Phase, accumulate: int) -> list[float]:
        compile_phase(model, phase, Recipe(epochs=3, accumulate=accumulate), steps_per_epoch=4)
        optimizer: Any = model.optimizer
        return optimizer.get_config()["learning_rate"]["config"]["rates"]

    whole = Phase("whole", 3, 0, 3)
    assert rates(whole, 2) == rates(whole, 1)[::2]
    assert len(rates(Phase(HEAD, 3, 0, 3), 2)) == 12
    # Phases that share a schedule continue where the one before stopped.
    assert [*rates(Phase("a", 1, 0, 3), 2), *rates(Phase("b", 2, 1, 3), 2)] == rates(whole, 2)


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
