"""What counts and explains must not wait for Keras: imports are watched in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import run_python

import keras_effnet
from keras_effnet.errors import KerasEffnetError

HEAVY = ("keras", "tensorflow", "jax", "torch", "numpy", "h5py", "matplotlib", "sklearn", "PIL", "psutil")

REPORT = f"""
import sys
print(" ".join(sorted(set(sys.modules) & set({HEAVY!r}))))
"""

USE = """
import keras_effnet
from keras_effnet import applications, estimate_cost, explain, registry, scale_spec
for name in registry.backbones.names():
    scaled = scale_spec(name, 1.5)
    estimate_cost(scaled)
str(explain("efficientnet_b0", 2))
for rule in registry.rules.names():
    scale_spec("efficientnet_b0", 0, rule=rule)
for block in registry.blocks.names():
    registry.blocks.get(block)
dir(keras_effnet)
"""


def test_scaling_counting_and_explaining_import_nothing_heavy() -> None:
    assert run_python(USE + REPORT) == ""


SEARCH = """
import sys
from tempfile import mkdtemp
from keras_effnet.search import worker
from keras_effnet.search.searches import search_architecture
def train(task):
    return 1.0
search_architecture("mobilenet_v1", train, output=mkdtemp(), trials=2)
"""


def test_a_search_with_a_train_function_of_ones_own_imports_no_framework() -> None:
    told = run_python(SEARCH + REPORT).splitlines()[-1].split()
    assert "numpy" in told  # Optuna's own
    assert not {"keras", "tensorflow", "jax", "torch"} & {*told}


def test_the_test_above_would_see_an_import(tmp_path: Path) -> None:
    # Stand-in packages of the same names, so that this takes no seconds.
    for module in HEAVY:
        (tmp_path / f"{module}.py").touch()
    seen = run_python(f"import {', '.join(HEAVY)}{REPORT}", PYTHONPATH=str(tmp_path))
    assert seen.split() == sorted(HEAVY)


def test_what_builds_imports_keras_only_when_it_is_asked_for(tmp_path: Path) -> None:
    # With a Keras that cannot be imported, the names that need it fail and the others do not.
    (tmp_path / "keras.py").write_text("raise ImportError('no Keras here')")
    done = subprocess.run(
        [sys.executable, "-c", USE + "keras_effnet.build_model"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
    )
    assert "no Keras here" in done.stderr
    assert done.returncode == 1


def test_parts_of_the_package_resolve_when_they_are_asked_for() -> None:
    code = """
import sys
import keras_effnet as ke
early = "keras_effnet.search" in sys.modules
print(ke.scaling.__name__, ke.data.__name__, ke.applications.resnet50_spec.name)
print(early, {"scaling", "applications", "estimate_cost"} <= {*dir(ke)}, "Any" in dir(ke))
"""
    assert run_python(code).splitlines() == ["keras_effnet.scaling keras_effnet.data resnet50", "False True False"]


def test_every_public_name_resolves_and_is_listed() -> None:
    assert sorted(keras_effnet.__all__) == list(keras_effnet.__all__)
    for name in keras_effnet.__all__:
        found = getattr(keras_effnet, name)
        assert found.__name__ == name
        assert found.__doc__
        assert name in dir(keras_effnet)
    assert "__version__" in dir(keras_effnet)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        keras_effnet.no_such_name  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue] - the access is the test


def test_every_error_can_be_caught_as_one() -> None:
    from keras_effnet import errors

    found = [value for value in vars(errors).values() if isinstance(value, type)]
    assert len(found) > 5
    assert all(issubclass(error, KerasEffnetError) for error in found)
    # Each is also the built-in error that a caller would expect.
    assert all(len(error.__mro__) > 4 for error in found if error is not KerasEffnetError)
