"""JAX and PyTorch: files written under TensorFlow give the same outputs there, and models train, save and load."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from support import BACKEND_SPECS, outputs, random_images, randomize, run_python

from keras_effnet import build_model

HERE = Path(__file__).parent
# Programs that run once are not worth optimising.
FAST = {"PYTHONPATH": str(HERE), "XLA_FLAGS": "--xla_backend_optimization_level=0"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the reference is written under TensorFlow"),
]


def needs(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")


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


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_computes_the_same_trains_saves_and_loads(backend: str, written: Path) -> None:
    needs(backend)
    code = "import backend_check, pathlib, sys; backend_check.main(pathlib.Path(sys.argv[1]))"
    printed = run_python(code, str(written), KERAS_BACKEND=backend, **FAST)
    assert printed.splitlines()[-1] == backend


CHANNELS_FIRST = """
import tempfile, pathlib, keras
from support import assert_same_outputs, outputs, random_images, randomize
from keras_effnet import applications, scale_spec
from keras_effnet.latency import measure_latency
keras.config.set_image_data_format("channels_first")
for name, shape in (("EfficientNetB0", (3, 49, 64)), ("MobileNet", (3, 64, 65)), ("MobileNetV2", (3, 64, 65))):
    options = {"include_top": False, "pooling": "avg", "input_shape": shape}
    theirs = getattr(keras.applications, name)(weights=None, **options)
    randomize(theirs, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "theirs.weights.h5"
        theirs.save_weights(path)
        ours = getattr(applications, name)(weights=str(path), **options)
    x = random_images(1, *shape)
    assert_same_outputs(outputs(ours, x), outputs(theirs, x))
found = measure_latency(scale_spec("mobilenet_v1", -6), channels=2, classes=10)
assert 0 < found.median_ms and found.machine["data format"] == "channels_first"
print("equal")
"""


def test_channels_first_equals_keras_applications() -> None:
    # TensorFlow on a CPU builds such models but cannot run them; JAX can.
    needs("jax")
    assert run_python(CHANNELS_FIRST, KERAS_BACKEND="jax", **FAST).endswith("equal")
