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
from support import tiny_spec

from keras_effnet.blocks import MBConv
from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.serialization import write_spec
from keras_effnet.training.distribution import Distribution

SPEC = tiny_spec(MBConv(expand=2), depth=1, resolution=16)
RECIPE = Recipe(head_epochs=1, epochs=2, batch_size=16, batchnorm="trained", dropout=0.0, drop_path=0.0, rate=0.01)
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


def start(folder: Path, backend: str, *words: str, recipe: Recipe = RECIPE) -> subprocess.Popen[str]:
    write_spec(SPEC, folder.with_suffix(".json"))
    folder.with_suffix(".recipe.json").write_text(recipe.to_json())
    command = [sys.executable, "-m", "keras_effnet", "finetune", "digits", "--weights", "random"]
    command += ["--backbone", str(folder.with_suffix(".json")), "--recipe", str(folder.with_suffix(".recipe.json"))]
    command += ["--labels-per-class", "8", "--output", str(folder), *words]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


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


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def assert_same_run(one: Path, two: Path, tolerance: float) -> None:
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    for mine, theirs in zip(metrics(one)["history"], metrics(two)["history"], strict=True):
        assert [mine[name] for name in names] == pytest.approx([theirs[name] for name in names], abs=tolerance)
    models: list[Any] = [keras.models.load_model(folder / "model.keras") for folder in (one, two)]
    for mine, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=tolerance * max(1.0, float(np.abs(theirs).max())))


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Losses, weights and BatchNorm statistics, to 1e-4: sums of floats in another order."""
    end(start(tmp_path / "one", "jax"))
    end(*pair(tmp_path / "two"))
    assert_same_run(tmp_path / "two", tmp_path / "one", 1e-4)
    # And they go on where they stopped, whoever has the files.
    assert json.loads((tmp_path / "two" / "checkpoint" / "state.json").read_text())["phase"] == 2


@pytest.mark.slow
def test_a_lost_process_is_told_and_the_checkpoint_kept(tmp_path: Path) -> None:
    long = Recipe(head_epochs=1, epochs=1000, batch_size=16)
    processes = pair(tmp_path / "two", recipe=long)
    state = tmp_path / "two" / "checkpoint" / "state.json"
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
def test_backends_train_alike(tmp_path: Path) -> None:
    """Features, augmented views, moving averages, statistics; to 1e-3, over two dozen steps of floats."""
    augmentation = Augmentation(crop=0.6, flip=True, operations=1, magnitude=5)
    recipe = replace(RECIPE, views=2, average=0.8, augmentation=augmentation)
    for backend in ("tensorflow", "jax", "torch"):
        end(start(tmp_path / backend, backend, recipe=recipe))
    for backend in ("jax", "torch"):
        assert_same_run(tmp_path / backend, tmp_path / "tensorflow", 1e-3)


@pytest.mark.slow
def test_two_devices_of_tensorflow_train_as_one(tmp_path: Path) -> None:
    """To 1e-3: each device normalises its own half of a batch, so statistics are frozen here."""
    frozen = Recipe(head_epochs=1, epochs=2, batch_size=16, dropout=0.0, drop_path=0.0, rate=0.01)
    end(start(tmp_path / "one", "tensorflow", recipe=frozen))
    end(start(tmp_path / "two", "tensorflow", "--devices", "2", recipe=frozen))
    assert_same_run(tmp_path / "two", tmp_path / "one", 1e-3)
