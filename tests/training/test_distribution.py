"""Several processes, devices or backends: the same numbers as one, and a clear end where one is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import fork_program, tiny_spec

from keras_effnet.blocks import MBConv
from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import TrainingError
from keras_effnet.finetune import job
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.serialization import write_spec
from keras_effnet.training.distribution import Distribution

SPEC = tiny_spec(MBConv(expand=2), depth=1, resolution=16)
# Each process draws RandAugment for its own share of a batch: there the pair may differ from one process.
RECIPE = Recipe(
    head_epochs=1,
    epochs=2,
    batch_size=16,
    batchnorm="trained",
    dropout=0.0,
    drop_path=0.0,
    rate=0.01,
    views=2,
    average=0.8,
    layer_decay=0.7,
    sampling="balanced",
    augmentation=Augmentation(crop=0.6, flip=True),
)
AUGMENTED = replace(RECIPE, augmentation=Augmentation(crop=0.6, flip=True, operations=1, magnitude=5))
SECONDS = 300


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": 0},
        {"processes": 2},
        {"address": "localhost:1"},
        {"processes": 2, "rank": 2, "address": "localhost:1"},
        {"processes": 2, "address": "localhost:1"},  # on TensorFlow
    ],
    ids=str,
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="Received: "):
        Distribution(**wrong)


def words(folder: Path, recipe: Recipe) -> list[str]:
    """The command line of a run, behind the program's name."""
    write_spec(SPEC, folder.with_suffix(".json"))
    folder.with_suffix(".recipe.json").write_text(recipe.to_json())
    found = ["finetune", "digits", "--weights", "random", "--backbone", str(folder.with_suffix(".json"))]
    found += ["--recipe", str(folder.with_suffix(".recipe.json")), "--labels-per-class", "8"]
    return [*found, "--output", str(folder)]


# The program with the numbers of its report alone. JAX needs no TensorFlow, which takes longer to import than to train.
UNREPORTED = """
import json, os, sys
class NoTensorFlow:
    def find_spec(self, name, *_):
        if name == "tensorflow":
            raise ModuleNotFoundError(name)
if os.environ["KERAS_BACKEND"] == "jax":
    sys.meta_path.insert(0, NoTensorFlow())
from keras_effnet.cli.main import main, parse
from keras_effnet.finetune import job
from keras_effnet.startup import import_less
import_less()
job.write_report = lambda metrics, *others: (others[4] / "metrics.json").write_text(json.dumps(metrics))
sys.exit(main(parse(sys.argv)))
"""


def start(folder: Path, backend: str, *more: str, recipe: Recipe = RECIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", UNREPORTED, *words(folder, recipe)]
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        # Programs that run a few times are not worth optimising, and are compiled once for all processes.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def pair(folder: Path, **options: Any) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = ("--address", f"127.0.0.1:{port}", "--processes", "2")
    return [start(folder, "jax", *together, "--rank", str(rank), **options) for rank in range(2)]


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, err[-3000:]


def history(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "checkpoint" / "state.json").read_text())["history"]


def assert_same_run(one: Path, two: Path, tolerance: float) -> None:
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    for mine, theirs in zip(history(one), history(two), strict=True):
        assert [mine[name] for name in names] == pytest.approx([theirs[name] for name in names], abs=tolerance)
    models: list[Any] = [keras.models.load_model(folder / "model.keras") for folder in (one, two)]
    for mine, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance * max(1.0, float(np.abs(theirs).max())))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def on_jax(folder: Path) -> Path:
    """A run of one process under JAX."""
    end(start(folder / "jax", "jax"))
    return folder / "jax"


def trained_here(folder: Path, recipe: Recipe) -> Path:
    """A run under TensorFlow, in this process and on one device."""
    options = FinetuneOptions(backbone=SPEC, weights="random", labels_per_class=8, recipe=recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "write_report", lambda *_: None)
        job.FinetuneJob(options, folder).run()
    return folder


@pytest.mark.slow
def test_two_processes_train_as_one(on_jax: Path, folder: Path) -> None:
    """Losses, weights and BatchNorm statistics, to 1e-4: sums of floats in another order."""
    end(*pair(folder / "two"))
    assert_same_run(folder / "two", on_jax, 1e-4)
    assert json.loads((folder / "two" / "metrics.json").read_text())["history"] == history(folder / "two")
    # And they go on where they stopped, whoever has the files.
    assert json.loads((folder / "two" / "checkpoint" / "state.json").read_text())["phase"] == 2


@pytest.mark.slow
def test_a_lost_process_is_told_and_the_checkpoint_kept(folder: Path) -> None:
    long = Recipe(head_epochs=1, epochs=1000, batch_size=16)
    processes = pair(folder / "lost", recipe=long)
    state = folder / "lost" / "checkpoint" / "state.json"
    deadline = time.monotonic() + SECONDS
    while not state.exists() or len(json.loads(state.read_text())["history"]) < 3:
        assert time.monotonic() < deadline
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGKILL)
    _, err = processes[0].communicate(timeout=60)
    processes[1].communicate()
    assert processes[0].returncode == 1
    assert "another process is gone" in err
    assert "start all of them again" in err
    kept = json.loads(state.read_text())
    assert len(kept["history"]) >= 3
    assert (state.parent / kept["weights"]).exists()


@pytest.mark.slow
def test_backends_train_alike(on_jax: Path, folder: Path) -> None:
    """Features, augmented views, moving averages, statistics; to 1e-3, over two dozen steps of floats."""
    end(start(folder / "torch", "torch", recipe=AUGMENTED))
    assert_same_run(on_jax, trained_here(folder / "tensorflow", RECIPE), 1e-3)
    assert_same_run(folder / "torch", trained_here(folder / "augmented", AUGMENTED), 1e-3)


@pytest.mark.slow
def test_two_devices_of_tensorflow_train_as_one(tmp_path: Path) -> None:
    """To 1e-3: each device normalises its own half of a batch, so statistics are frozen here."""
    frozen = Recipe(head_epochs=1, epochs=2, batch_size=16, dropout=0.0, drop_path=0.0, rate=0.01)
    two = fork_program(*words(tmp_path / "two", frozen), "--devices", "2", output=tmp_path / "told")
    one = trained_here(tmp_path / "one", frozen)
    two.join(SECONDS)
    assert two.exitcode == 0, (tmp_path / "told").read_text()[-3000:]
    assert_same_run(tmp_path / "two", one, 1e-3)
