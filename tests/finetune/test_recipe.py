"""Recipes: what they refuse, that they come back from JSON, and what they say of rates and dropout."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import RecipeError
from keras_effnet.finetune.phases import HEAD, Phase, RateTable, phase_rates
from keras_effnet.finetune.recipe import Recipe, batchnorm_momentum, dropout_for, rate_at, read_recipe

OTHER: dict[str, Any] = {
    "head_epochs": 3,
    "head_rate": 0.5,
    "epochs": 4,
    "rate": 0.25,
    "batch_size": 8,
    "optimizer": "adamw",
    "decay": "exponential",
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip": 0.0,
    "label_smoothing": 0.0,
    "average": 0.5,
    "batchnorm": "trained",
    "unfreeze": "gradual",
    "precision": "mixed_bfloat16",
    "accumulate": 2,
    "views": 3,
    "dropout": 0.5,
    "drop_path": 0.1,
    "augmentation": Augmentation(crop=0.5, flip=True),
    "center_crop": 0.875,
    "seed": 7,
}


def test_a_recipe_comes_back_from_its_file(tmp_path: Path) -> None:
    assert set(OTHER) == {field.name for field in fields(Recipe)}
    for recipe in (Recipe(), Recipe(**OTHER)):
        path = tmp_path / "recipe.json"
        path.write_text(recipe.to_json())
        assert read_recipe(str(path)) == recipe
        assert hash(recipe) == hash(read_recipe(str(path)))
    assert Recipe.from_dict({"epochs": 3}) == Recipe(epochs=3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epochs": -1}, "epochs"),
        ({"head_epochs": 0, "epochs": 0}, "at least one epoch"),
        ({"batch_size": 0}, "batch_size"),
        ({"rate": 0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"warmup": 1}, "warmup"),
        ({"weight_decay": -1e-9}, "weight_decay"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"center_crop": 0}, "center_crop"),
        ({"dropout": 1.0}, "dropout"),
        ({"batchnorm": "melted"}, "'frozen'"),
        ({"augmentation": None}, "augmentation"),
        ({"accumulate": True}, "accumulate"),
    ],
)
def test_a_recipe_refuses_nonsense(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=rf"(?s){words}.*Received: "):
        Recipe(**wrong)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"epoch": 3}', '{"augmentation": {"flop": true}}', '{"epochs": "3"}'])
def test_a_file_that_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Received: "):
        Recipe.from_json(text)
    with pytest.raises(RecipeError, match=r"cannot be read.*Received: "):
        read_recipe(str(tmp_path))


def test_the_rate_rises_and_falls_as_keras_own_cosine() -> None:
    recipe = Recipe(warmup=0.25)
    found = [rate_at(recipe, 0.1, step, 40, 4) for step in range(40)]
    theirs = keras.optimizers.schedules.CosineDecay(0.1, 30)
    assert found[10:] == pytest.approx([float(theirs(step)) for step in range(30)], rel=1e-5)
    assert found[:10] == pytest.approx(np.linspace(0.01, 0.1, 10))


def test_the_papers_decay_is_three_per_cent_every_2_4_epochs() -> None:
    recipe = Recipe(warmup=0.0, decay="exponential")
    theirs = keras.optimizers.schedules.ExponentialDecay(0.1, 24, 0.97, staircase=True)
    for step in (0, 23, 24, 47, 48, 99):
        assert rate_at(recipe, 0.1, step, 100, 10) == pytest.approx(float(theirs(step)), rel=1e-5)
    assert rate_at(replace(recipe, decay="constant"), 0.1, 99, 100, 10) == 0.1


def test_an_optimizer_that_accumulates_sees_every_second_rate() -> None:
    recipe = Recipe(epochs=3, accumulate=2)
    one = phase_rates(Phase("whole", 3, 0, 3), replace(recipe, accumulate=1), 4)
    assert phase_rates(Phase("whole", 3, 0, 3), recipe, 4) == one[::2]
    assert len(phase_rates(Phase(HEAD, 3, 0, 3), recipe, 4)) == 12
    # Phases that share a course go on where the one before stopped.
    parts = [phase_rates(Phase(name, count, first, 3), recipe, 4) for name, count, first in (("a", 1, 0), ("b", 2, 1))]
    assert [rate for part in parts for rate in part] == one[::2]
    table = RateTable(one)
    assert float(table(5)) == pytest.approx(one[5])
    assert float(table(500)) == pytest.approx(one[-1], abs=1e-9)


def test_dropout_and_momentum_follow_their_papers() -> None:
    assert [dropout_for(phi) for phi in (-3, 0, 3.5, 7, 20)] == [0.2, 0.2, 0.35, 0.5, 0.5]
    assert [batchnorm_momentum(steps) for steps in (1, 100, 200, 1000)] == pytest.approx([0.9, 0.9, 0.95, 0.99])
    assert json.loads(Recipe().to_json())["augmentation"]["crop"] == 1.0
