"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import keras_effnet
from keras_effnet import applications

PACKAGE = Path(keras_effnet.__file__).parent
# Modules whose examples take over a second.
SLOW = (
    "keras_effnet.applications.own_arguments",
    "keras_effnet.inheritance.embedded_network",
    "keras_effnet.inheritance.grow",
    "keras_effnet.inheritance.recalibrate",
    "keras_effnet.inheritance.scaled_model",
    "keras_effnet.latency.timing",
    "keras_effnet.report.class_maps",
    "keras_effnet.report.explained_prediction",
    "keras_effnet.search.evolution",
    "keras_effnet.search.scores",
    "keras_effnet.search.searches",
    "keras_effnet.testing",
    "keras_effnet.training.seeding",
    "keras_effnet.weights.load",
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    files = [
        file
        for file in sorted(PACKAGE.rglob("*.py"))
        if re.search(r"^ +>>> ", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    return [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]


@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in modules_with_examples()],
)
def test_examples(module: str) -> None:
    found = doctest.testmod(import_module(module), optionflags=FLAGS)
    assert found.failed == 0
    assert found.attempted >= 1


SLOW_BUILDERS = ("EfficientNetB0", "EfficientNetB3", "ResNet50")


@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_BUILDERS)]
)
def test_examples_of_builders_made_by_a_function(name: str) -> None:
    # doctest does not find these by itself: their code lies in another module than their name.
    [example] = doctest.DocTestFinder().find(getattr(applications, name), name, globs={})
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(example)
    assert runner.failures == 0
    assert runner.tries == 2
