"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from keras_effnet import applications

KERAS_FREE = (
    "keras_effnet.backbones.convnext",
    "keras_effnet.backbones.efficientnet_v2",
    "keras_effnet.backbones.families",
    "keras_effnet.backbones.mobilenet_v3",
    "keras_effnet.backbones.timm_specs",
    "keras_effnet.block_strings",
    "keras_effnet.blocks.base",
    "keras_effnet.blocks.bottleneck",
    "keras_effnet.blocks.convnext_block",
    "keras_effnet.blocks.ends",
    "keras_effnet.blocks.groups",
    "keras_effnet.blocks.mbconv",
    "keras_effnet.blocks.mobile",
    "keras_effnet.blocks.mobile_v3",
    "keras_effnet.blocks.preact",
    "keras_effnet.blocks.stem",
    "keras_effnet.budget",
    "keras_effnet.checks",
    "keras_effnet.cost",
    "keras_effnet.data.paper",
    "keras_effnet.data.rows",
    "keras_effnet.errors",
    "keras_effnet.explanation",
    "keras_effnet.atomic",
    "keras_effnet.report.html",
    "keras_effnet.report.text",
    "keras_effnet.finetune.recipe",
    "keras_effnet.inheritance.maps",
    "keras_effnet.inheritance.members",
    "keras_effnet.latency.work",
    "keras_effnet.latency.table",
    "keras_effnet.network",
    "keras_effnet.ops",
    "keras_effnet.registry",
    "keras_effnet.scaling.coefficients",
    "keras_effnet.scaling.rounding",
    "keras_effnet.scaling.rules",
    "keras_effnet.scaling.scale",
    "keras_effnet.scaling.stride",
    "keras_effnet.scaling.tabulated",
    "keras_effnet.scaling.tinynet_rule",
    "keras_effnet.search.candidates",
    "keras_effnet.search.coefficient_grid",
    "keras_effnet.search.comparison",
    "keras_effnet.search.evolution",
    "keras_effnet.search.successive_halving",
    "keras_effnet.search.limits",
    "keras_effnet.search.reward",
    "keras_effnet.search.space",
    "keras_effnet.search.trial_tables",
    "keras_effnet.search.proxy_training",
    "keras_effnet.serialization",
    "keras_effnet.spec",
    "keras_effnet.trace",
    "keras_effnet.training.schedules",
    "keras_effnet.variants",
)
BUILDING = (
    "keras_effnet.builder.model",
    "keras_effnet.builder.embedded_spec",
    "keras_effnet.data.augment",
    "keras_effnet.data.batches",
    "keras_effnet.data.splits",
    "keras_effnet.data.images",
    "keras_effnet.data.sets",
    "keras_effnet.training.compilation",
    "keras_effnet.training.evaluation",
    "keras_effnet.finetune.demonstration",
    "keras_effnet.finetune.features",
    "keras_effnet.finetune.phases",
    "keras_effnet.gradient",
    "keras_effnet.report.gradcam",
    "keras_effnet.finetune.transfer_model",
    "keras_effnet.inheritance.grow",
    "keras_effnet.inheritance.recalibrate",
    "keras_effnet.inheritance.scaled_model",
    "keras_effnet.applications.mobilenet",
    "keras_effnet.applications.mobilenet_v2",
    "keras_effnet.latency.timing",
    "keras_effnet.weights.load",
    "keras_effnet.weights.timm_names",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run(module: str) -> int:
    """Runs the examples of a module; returns how many there were."""
    found = doctest.testmod(import_module(module), optionflags=FLAGS)
    assert found.failed == 0
    return found.attempted


@pytest.mark.parametrize("module", KERAS_FREE)
def test_examples_of_modules_without_keras(module: str) -> None:
    run(module)


def test_there_are_examples() -> None:
    assert sum(map(run, KERAS_FREE)) >= 15


SLOW = (
    "keras_effnet.search.architecture",
    "keras_effnet.search.coefficient_search",
    "keras_effnet.search.scores",
    "keras_effnet.search.store",
    "keras_effnet.testing",
)


@pytest.mark.parametrize("module", [*BUILDING, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_examples_that_build(module: str) -> None:
    assert run(module) >= 1


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetB3", "ResNet50", "MobileNetV3Small"])
def test_examples_of_builders_made_by_a_function(name: str) -> None:
    # doctest does not find these by itself: their code lies in another module than their name.
    [example] = doctest.DocTestFinder().find(getattr(applications, name), name, globs={})
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(example)
    assert runner.failures == 0
    assert runner.tries == 2
