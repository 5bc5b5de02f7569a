"""What works without what is not installed, in environments that hold nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from environments import ROOT, make_environment
from PIL import Image

from keras_effnet import cost, extras, peak
from keras_effnet.errors import MissingExtraError


def run(python: Path, *words: str, folder: Path, status: int = 0, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "KERAS_BACKEND")}
    done = subprocess.run(
        [python, *words], capture_output=True, text=True, cwd=folder, env={**kept, **environment}, check=False
    )
    assert done.returncode == status, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_extras_are_those_of_the_project() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def packages(extra: str) -> set[str]:
        found = set()
        for line in groups[extra]:
            own = re.match(r"keras-effnet\[(.*)\]", line)
            found |= {name for each in own[1].split(",") for name in packages(each)} if own else {line.split(">")[0]}
        return found

    assert {name: set(each) for name, each in extras._PACKAGES.items()} == {
        name: packages(name) for name in groups if name not in ("all", "docs", "fuzz", "test")
    }
    assert packages("all") == {name for each in extras._PACKAGES.values() for name in each}


@pytest.mark.parametrize("name", ["keras_cv", "optuna", "ray", "sklearn.datasets", "onnx", "psycopg", "jax"])
def test_what_is_missing_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, name.split(".")[0], None)
    extra = extras._extra_of(name.split(".")[0])
    with pytest.raises(MissingExtraError, match=rf"^a test needs .* extra \[{extra}\] .*pip install .*Received: "):
        extras.import_extra(name, "a test")
    assert issubclass(MissingExtraError, ImportError)


def test_what_no_extra_brings_is_not_explained() -> None:
    assert extras.as_missing_extra(ModuleNotFoundError(name="numpyy")) is None
    with pytest.raises(ModuleNotFoundError, match="numpyy"):
        extras.import_extra("numpyy", "a test")


# What needs no backend, and what then does: the error names the extra.
CORE = """
import json, sys
import keras_effnet as ke
from keras_effnet.applications import MobileNetV2, resnet50_spec
from keras_effnet.serialization import read_spec, write_spec

small = ke.scale_spec(resnet50_spec, phi=-1)
fitted = ke.fit_to_budget("mobilenet_v2", macs=1e8, model_bytes=4e6)
ke.explain(fitted)
write_spec(small, "small.json")
assert read_spec("small.json") == small
errors = []
for call in (
    lambda: ke.build_model(small),
    lambda: ke.scale_model("resnet50", phi=1),
    lambda: MobileNetV2(weights=None),
    lambda: ke.fit_to_budget("resnet50", latency_ms=20),
    lambda: ke.search_coefficients,
    lambda: ke.load_data("digits"),
):
    try:
        call()
    except ImportError as error:
        errors.append(str(error))
print(json.dumps([ke.estimate_cost(small).params, ke.estimate_peak(fitted).values, errors]))
"""


def test_the_core_alone_counts_scales_and_explains(tmp_path: Path) -> None:
    python = make_environment(tmp_path / "core")
    params, values, errors = json.loads(run(python, "-c", CORE, folder=tmp_path))
    from keras_effnet import fit_to_budget, scale_spec

    assert params == cost.estimate_cost(scale_spec("resnet50", phi=-1)).params
    assert values == peak.estimate_peak(fit_to_budget("mobilenet_v2", macs=1e8, model_bytes=4e6)).values
    named = [re.search(r"extra \[(.*?)\]", error) for error in errors]
    assert [each and each[1] for each in named] == [*["tensorflow"] * 4, "search", "train"]

    def command(line: str, status: int = 0) -> str:
        return run(python, "-m", "keras_effnet", *line.split(), folder=tmp_path, status=status)

    assert "MACs" in command("fit efficientnet_b0 --macs 100M --output small.json")
    assert "FLOPs" in command("explain small.json --phi 0.5")
    assert "resnet50" in command("list families")
    for line in ("finetune small.json --output run", "transfer --output run", "benchmark small.json"):
        said = command(line, status=1)
        assert "the extra [tensorflow] of keras-effnet installs: pip install tensorflow" in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


# Trains with RandAugment, as the default recipe does; TensorFlow is not there.
WITHOUT_TENSORFLOW = """
import importlib.util
import keras
import numpy as np
assert importlib.util.find_spec("tensorflow") is None
import keras_effnet as ke
from keras_effnet.cli.main import main, parse
from keras_effnet.data.augment import Augmentation, Augmenter
from keras_effnet.search.scores import ZeroCost

model = ke.scale_model("mobilenet_v1", phi=-8, classes=3, weights=None)
grown = ke.scale_model(model, phi=1)
images = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3)).astype("float32")
labels = np.eye(3, dtype="float32")[np.arange(8) % 3]
augmenter = Augmenter(Augmentation(operations=2, magnitude=9.0, mixup=0.2, cutmix=0.2), 24, 3)
changed, mixed = augmenter(images, labels, (1, 2, 3))
assert changed.shape == images.shape and 0 <= changed.min() < changed.max() <= 255
assert np.abs(changed - images).mean(axis=(1, 2, 3)).min() > 0.1, "some image was left as it was"
np.testing.assert_allclose(mixed.sum(axis=1), 1, rtol=1e-5)
np.testing.assert_array_equal(augmenter(images, labels, (1, 2, 3))[0], changed)
assert np.abs(augmenter(images, labels, (1, 2, 4))[0] - changed).max() > 1
recipe = ke.Recipe(epochs=1, head_epochs=0, batch_size=16, augmentation=Augmentation(operations=1, magnitude=5.0))
options = ke.FinetuneOptions("data", "mobilenet_v1", phi=-8, weights="random", resolution=32, recipe=recipe)
print(sorted(ke.FinetuneJob(options, "run").run()))
assert main(parse(["keras-effnet", "predict", "run/model.keras", "data/a/0.png"])) == 0
assert main(parse(["keras-effnet", "export", "run/model.keras", "--format", "litert"])) == 1
if keras.backend.backend() == "torch":  # takes a third of the time that JAX needs to compile it
    sizes = {"trials": 2, "population": 2, "sample": 1, "lag": 0, "workers": 1}
    base = ke.scale_spec("mobilenet_v1", -8)
    print(ke.search_architecture(base, ZeroCost("naswot"), output="found", **sizes).summary.metric)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_all_but_tensorflow_s_own_works_without_tensorflow(backend: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(16):
            Image.fromarray(generator.integers(0, 256, (32, 32, 3), np.uint8)).save(
                tmp_path / "data" / name / f"{number}.png"
            )
    python = make_environment(tmp_path / backend, f"{backend},search")
    # Programs that run once are not worth optimising.
    environment = {"KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    said = run(python, "-c", WITHOUT_TENSORFLOW, folder=tmp_path, **environment)
    for words in ("accuracy", "0.png  ", "the extra [tensorflow]", *(["naswot"] if backend == "torch" else [])):
        assert words in said
