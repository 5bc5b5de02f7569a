"""What training takes: more of everything is never less, and what does not fit is told with a batch that does."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from keras_effnet.finetune.memory import MemoryEstimate, estimate_memory, warn_of_memory
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.registry import backbones

SHAPE = {"resolution": 96, "channels": 3, "classes": 10}
# Peak of the process over three steps, in GB: TensorFlow 2.21, float32, measured (docs/finetune.md).
MEASURED = {
    ("efficientnet_b0", 96, 16, "sgd"): 1.38,
    ("efficientnet_b0", 96, 64, "sgd"): 2.44,
    ("resnet50", 96, 32, "adamw"): 2.29,
    ("mobilenet_v2", 128, 32, "sgd"): 1.31,
}


@pytest.mark.parametrize(("name", "resolution", "batch_size", "optimizer"), MEASURED)
def test_an_estimate_is_not_too_low(name: str, resolution: int, batch_size: int, optimizer: str) -> None:
    recipe = Recipe(batch_size=batch_size, optimizer=optimizer)  # pyright: ignore[reportArgumentType]
    found = estimate_memory(backbones.get(name), recipe, **{**SHAPE, "resolution": resolution})
    measured = 1e9 * MEASURED[name, resolution, batch_size, optimizer]
    assert measured <= found.total <= 2 * measured


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
