"""Recipes: what they refuse, that they come back from JSON, and what they say of rates and dropout."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import RecipeError
from keras_effnet.finetune.phases import HEAD, Phase, phase_schedule
from keras_effnet.finetune.recipe import Recipe, dropout_for, read_recipe
from keras_effnet.training.compilation import RateTable
from keras_effnet.training.schedules import warmup_constant, warmup_cosine, warmup_exponential

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
    "class_weights": "balanced",
    "sampling": "uniform",
    "layer_decay": 0.75,
    "focal": 2.0,
    "patience": 3,
    "teacher_share": 0.25,
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
    recipe = Recipe(sampling="balanced", average="auto")
    assert Recipe.from_json(recipe.to_json()) == recipe


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
        ({"class_weights": "heavy"}, "'balanced'"),
        ({"sampling": "fair"}, "'uniform', 'balanced'"),
        ({"sampling": "balanced", "class_weights": "balanced"}, "not both"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"average": "automatic"}, "'auto'"),
        ({"average": 1.0}, "average"),
        ({"focal": -1.0}, "focal"),
        ({"patience": -1}, "patience"),
        ({"teacher_share": 1.5}, "teacher_share"),
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


def test_a_recipe_names_a_schedule() -> None:
    shape: dict[str, Any] = {"peak": 0.5, "steps": 30, "warmup": 0.1}
    expected = {
        "cosine": [warmup_cosine(step, **shape) for step in range(30)],
        "exponential": [warmup_exponential(step, every=24, **shape) for step in range(30)],
        "constant": [warmup_constant(step, **shape) for step in range(30)],
    }
    for decay, rates in expected.items():
        recipe = Recipe(rate=0.5, head_rate=0.25, decay=decay)  # pyright: ignore[reportArgumentType]
        schedule = phase_schedule(Phase("whole", 3, 0, 3), recipe, 10)
        assert [schedule(step) for step in range(30)] == pytest.approx(rates)
        head = phase_schedule(Phase(HEAD, 3, 0, 3), recipe, 10)
        assert [head(step) for step in range(30)] == pytest.approx([rate / 2 for rate in rates])
        # Phases that share a schedule continue where the one before stopped.
        parts = [phase_schedule(Phase(str(first), 1, first, 3), recipe, 10) for first in range(3)]
        assert [part(step) for part in parts for step in range(10)] == pytest.approx(rates)


def test_a_table_of_rates_keeps_its_last_one() -> None:
    table = RateTable([0.3, 0.2, 0.1])
    assert [float(table(step)) for step in (0, 1, 2, 500)] == pytest.approx([0.3, 0.2, 0.1, 0.1])


def test_dropout_follows_its_paper() -> None:
    assert [dropout_for(phi) for phi in (-3, 0, 3.5, 7, 20)] == [0.2, 0.2, 0.35, 0.5, 0.5]
    assert json.loads(Recipe().to_json())["augmentation"]["crop"] == 1.0
