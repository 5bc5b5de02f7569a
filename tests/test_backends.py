"""JAX and PyTorch: files written under TensorFlow give the same outputs there, and models train, save and load."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import BACKEND_SPECS, outputs, random_images, randomize, run_python

from keras_effnet import build_model

HERE = Path(__file__).parent
# Programs that run once are not worth optimising.
FAST = {"PYTHONPATH": str(HERE), "XLA_FLAGS": "--xla_backend_optimization_level=0"}
# TensorFlow on a CPU builds models whose channels come first but cannot run them, and PyTorch is slow to; JAX can.
ASKED = {"jax": ("same outputs", "channels first", "recalibration"), "torch": ("same outputs", "recalibration")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the reference is written under TensorFlow"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights and outputs of each family."""
    folder = tmp_path_factory.mktemp("tensorflow")
    keras.utils.set_random_seed(3)
    for name, spec in BACKEND_SPECS.items():
        model = build_model(spec, classes=5)
        randomize(model, seed=3)
        model.save_weights(folder / f"{name}.weights.h5")
        np.save(folder / f"{name}.npy", outputs(model, random_images(2, spec.resolution, spec.resolution, 3)))
    return folder


@cache
def answers(backend: str, folder: Path) -> dict[str, Any]:
    """What one process under that backend says to all that is asked of it."""
    # Programs that were compiled once serve the loaded model too.
    kept = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    code = "import runpy; runpy.run_module('backend_check', run_name='__main__')"
    printed = run_python(code, str(folder), *ASKED[backend], KERAS_BACKEND=backend, **FAST, **kept)
    return json.loads(printed.splitlines()[-1])


@pytest.mark.parametrize(("backend", "check"), [(backend, check) for backend in ASKED for check in ASKED[backend]])
def test_another_backend_does_as_tensorflow_does(backend: str, check: str, written: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    told = answers(backend, written)
    assert told["backend"] == backend
    assert told["failed"][check] == ""
