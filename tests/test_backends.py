"""JAX and PyTorch give what TensorFlow gives: outputs, heat maps, augmented images, scores; they train, save, load."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
from backend_check import DILATED, EVERY_OPERATION, SPECS, augmented, scored
from support import FOREIGN, import_file, outputs, random_images, randomize, run_python

from keras_effnet import build_model, feature_extractor
from keras_effnet.network import record_network
from keras_effnet.ops import Flatten, Op, Opaque
from keras_effnet.report.class_maps import class_maps

HERE = Path(__file__).parent
# Programs that run once are not worth optimising.
FAST = {"PYTHONPATH": str(HERE), "XLA_FLAGS": "--xla_backend_optimization_level=0"}
# TensorFlow on a CPU builds models whose channels come first but cannot run them, and PyTorch is slow to; JAX can.
EVERYWHERE = (
    "same outputs",
    "growth",
    "features",
    "training",
    "recalibration",
    "class maps",
    "augmentation",
    "scores",
    "rates",
)
ASKED = {"jax": (*EVERYWHERE, "channels first"), "torch": EVERYWHERE}
# Classifiers of three kinds: dense, two convolutions, behind a normalisation.
SEEN = ("efficientnet_b0", "mobilenet_v3_small", "convnext_tiny")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the reference is written under TensorFlow"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights and outputs of each family, class activation maps of three, augmented images and scores."""
    folder = tmp_path_factory.mktemp("tensorflow")
    keras.utils.set_random_seed(3)
    peaks = 0
    for name, spec in SPECS.items():
        model = build_model(spec, classes=5)
        randomize(model, seed=3)
        model.save_weights(folder / f"{name}.weights.h5")
        np.save(folder / f"{name}.npy", outputs(model, random_images(2, spec.resolution, spec.resolution, 3)))
        if name in DILATED:
            images = random_images(2, spec.resolution, spec.resolution, 3)
            np.savez(
                folder / f"{name}.maps.npz", **feature_extractor(model, output_stride=8).predict(images, verbose=0)
            )
        if name in SEEN:
            maps = class_maps(model, random_images(3, spec.resolution, spec.resolution, 3), np.arange(3)).maps
            peaks += int((maps.max(axis=(1, 2)) == 1).sum())
            np.save(folder / f"{name}.cam.npy", maps)
    assert peaks > 3, "maps of nothing prove nothing"
    for engine in ("keras", "keras_cv"):
        if engine == "keras" or importlib.util.find_spec(engine):
            np.savez(folder / f"{engine}.augmented.npz", *augmented(engine))
    model = import_file(HERE / "search" / "test_scores.py").small_model(activation="swish")
    model.save(folder / "scored.keras")
    (folder / "scores.json").write_text(json.dumps(scored(model)))
    return folder


@cache
def answers(backend: str, folder: Path) -> dict[str, Any]:
    """What one process under that backend says to all that is asked of it."""
    # Programs that were compiled once serve the loaded model too.
    kept = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    code = "import runpy; runpy.run_module('backend_check', run_name='__main__')"
    printed = run_python(code, str(folder), *ASKED[backend], KERAS_BACKEND=backend, **FAST, **kept)
    return json.loads(printed.splitlines()[-1])


def test_the_network_that_is_trained_has_every_operation() -> None:
    found = {type(node.op) for node in record_network(SPECS[EVERY_OPERATION]).nodes}
    assert found == {*get_args(Op)} - {Flatten, Opaque} - FOREIGN


@pytest.mark.parametrize(("backend", "check"), [(backend, check) for backend in ASKED for check in ASKED[backend]])
def test_another_backend_does_as_tensorflow_does(backend: str, check: str, written: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    told = answers(backend, written)
    assert told["backend"] == backend
    assert told["failed"][check] == ""
