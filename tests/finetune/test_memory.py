"""What training takes: more of everything is never less, and what does not fit is told with a batch that does."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_effnet.finetune.memory import MemoryEstimate, estimate_memory, warn_of_memory
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.registry import backbones

SHAPE = {"resolution": 96, "channels": 3, "classes": 10}
# What benchmarks/memory.py measured: the largest resident memory of fresh processes on TensorFlow.
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "memory.json"
MEASURED = [row for row in json.loads(RESULTS.read_text())["rows"] if "task" in row]


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['task']} {row['network']} {row['batch']}")
def test_an_estimate_is_within_a_quarter_of_what_was_measured(row: dict[str, Any]) -> None:
    recipe = Recipe(batchnorm="trained", average=0.0) if row["task"] == "train" else None
    shape = {**SHAPE, "resolution": row["resolution"], "batch_size": row["batch"]}
    found = estimate_memory(backbones.get(row["network"]), recipe, **shape)
    assert found.total == pytest.approx(row["measured"], rel=0.25)


def test_norms_that_do_not_learn_and_predictions_take_less() -> None:
    spec = backbones.get("resnet50")
    frozen, trained = (estimate_memory(spec, Recipe(batchnorm=mode), **SHAPE) for mode in ("frozen", "trained"))
    runs = estimate_memory(spec, **SHAPE)
    assert runs.per_image < frozen.per_image < trained.per_image
    assert runs.fixed < frozen.fixed == trained.fixed
    assert runs.batch_size == 32


def test_more_is_never_less() -> None:
    spec, recipe = backbones.get("efficientnet_b0"), Recipe(average=0.0)
    least = estimate_memory(spec, recipe, **SHAPE)
    for other in (
        estimate_memory(spec, recipe, **{**SHAPE, "resolution": 128}),
        estimate_memory(spec, replace(recipe, optimizer="adamw"), **SHAPE),
        estimate_memory(spec, replace(recipe, average=0.9), **SHAPE),
        estimate_memory(spec, replace(recipe, batch_size=33), **SHAPE),
        estimate_memory(backbones.get("efficientnet_b1"), recipe, **SHAPE),
    ):
        assert other.total > least.total
    assert estimate_memory(spec, replace(recipe, precision="mixed_bfloat16"), **SHAPE).total < least.total


def test_what_does_not_fit_is_told_with_a_batch_that_does(caplog: pytest.LogCaptureFixture) -> None:
    tight = MemoryEstimate(fixed=2e9, per_image=1e8, batch_size=64, free=5e9)
    assert not tight.fits
    assert tight.suggested == 16  # 0.8 * 5 - 2 = 2 GB, 20 images
    assert replace(tight, batch_size=tight.suggested).fits
    assert replace(tight, free=1e9).suggested == 1
    with caplog.at_level(logging.INFO):
        warn_of_memory(tight)
        warn_of_memory(replace(tight, batch_size=8))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "--batch-size 16" in caplog.text
    assert "; up to 16 images a batch would fit" in caplog.text
