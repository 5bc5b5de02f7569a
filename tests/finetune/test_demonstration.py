"""The main job in small: what it leaves behind, and that it goes on where it was killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from keras_effnet import BackboneSpec
from keras_effnet.errors import DataError
from keras_effnet.registry import backbones
from keras_effnet.serialization import write_spec
from keras_effnet.transfer.job import TransferJob
from keras_effnet.transfer.options import TransferOptions, transfer_spec
from keras_effnet.transfer.report import format_table, summarize

SMALL = ("--phi", "-14", "--resolution", "16", "--letters", "256", "--pretrain-epochs", "2", "--epochs", "2")
OPTIONS = TransferOptions(phi=-14, resolution=16, letters=256, pretrain_epochs=2, epochs=2, repeats=2)
COMMAND = (sys.executable, "-m", "keras_effnet", "transfer", *SMALL, "--repeats", "2")


@pytest.mark.slow
def test_a_job_leaves_a_model_a_history_metrics_and_curves(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--output", str(tmp_path)], capture_output=True, text=True, check=True)
    assert "from scratch" in done.stdout
    assert "draw 2" in done.stdout
    assert "step/s" in done.stderr, "progress shows a rate"

    metrics = json.loads((tmp_path / "metrics.json").read_text())
    model: Any = keras.models.load_model(tmp_path / "model.keras")
    assert model.count_params() == metrics["network"]["params"]
    # The saved model is the first draw's transferred network, and scores what the history says.
    from keras_effnet.data.images import load_digits, split_few

    _, held_out = split_few(load_digits(16), metrics["options"]["labels_per_class"], seed=0)
    found = np.mean(model.predict(held_out.images, verbose=0).argmax(1) == held_out.labels)
    assert found == pytest.approx(metrics["summary"]["runs"][0]["transferred"], abs=1e-3)

    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert {row["network"] for row in rows} == {"pre-training", "transferred", "from scratch"}
    assert max(int(row["step"]) for row in rows if row["network"] == "from scratch") == 4
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) > 300


@pytest.mark.slow
def test_a_folder_of_images_takes_the_place_of_the_digits(tmp_path: Path) -> None:
    """Two kinds of noise in images of any size and mode, and a file that is none."""
    generator = np.random.default_rng(0)
    for name, mean in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(generator.normal(mean, 20, (20 + number, 30)), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels).convert("L" if number % 2 else "RGBA")
            image.save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "data" / "dark" / "broken.png").write_bytes(b"not an image")
    command = (*COMMAND, "--data", str(tmp_path / "data"), "--labels-per-class", "2", "--repeats", "1")
    done = subprocess.run([*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, check=True)
    assert "4 labelled images of 2 classes, accuracy on the 8 others" in done.stdout
    assert "1 unreadable files skipped" in done.stdout
    assert "broken.png" in done.stdout
    model: Any = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert model.output_shape == (None, 2)


@pytest.mark.slow
def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed with no chance to tidy up, then started again: the finished part stays, the end is the same."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = {**os.environ, "TF_DETERMINISTIC_OPS": "1"}
    subprocess.run([*COMMAND, "--output", str(whole)], capture_output=True, check=True, env=environment)

    process = subprocess.Popen(
        [*COMMAND, "--output", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    state = killed / "checkpoint" / "state.json"
    deadline = time.monotonic() + 120
    while not (state.exists() and json.loads(state.read_text())["pretraining"]):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done_before = json.loads(state.read_text())["pretraining"]

    subprocess.run([*COMMAND, "--output", str(killed)], capture_output=True, check=True, env=environment)
    ends = [json.loads((folder / "metrics.json").read_text()) for folder in (whole, killed)]
    assert ends[1]["pretraining"][: len(done_before)] == done_before
    for one, two in zip(ends[0]["pretraining"], ends[1]["pretraining"], strict=True):
        assert one == pytest.approx(two, abs=1e-3)

    # Finished: the same command says the same again, without training anything.
    before = (killed / "model.keras").stat().st_mtime_ns
    again = subprocess.run([*COMMAND, "--output", str(killed)], capture_output=True, text=True, check=True)
    assert "draw 2" in again.stdout
    assert (killed / "model.keras").stat().st_mtime_ns == before


def test_a_folder_of_another_job_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "checkpoint" / "state.json"
    state.parent.mkdir()
    text = json.dumps({"options": {**OPTIONS.__dict__, "seed": 7}, "pretraining": [], "runs": []})
    state.write_text(text)
    with pytest.raises(DataError, match=r"another seed.*Received: "):
        TransferJob(OPTIONS, tmp_path).run()
    assert state.read_text() == text


def test_a_job_of_a_spec_file_goes_on_with_the_same_spec_only(tmp_path: Path) -> None:
    base = backbones.get("efficientnet_b0")
    options = replace(OPTIONS, backbone=replace(base, name="mine"))
    state = tmp_path / "checkpoint" / "state.json"
    state.parent.mkdir()
    state.write_text(json.dumps({"options": options.to_dict(), "pretraining": [], "runs": []}))
    assert options.to_dict()["backbone"]["name"] == "mine"
    # Read again, as the program does: the same spec, the same job.
    again = replace(options, backbone=BackboneSpec.from_json(replace(base, name="mine").to_json()))
    assert TransferJob(again, tmp_path)._load_state()["options"] == options.to_dict()
    # The file was changed in between; or the name that the spec was made from is given.
    for other in (replace(base, name="mine", drop_path=0.1), "efficientnet_b0"):
        with pytest.raises(DataError, match=r"another backbone;.*Received: "):
            TransferJob(replace(options, backbone=other), tmp_path)._load_state()


@pytest.mark.slow
def test_a_job_takes_a_spec_file_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    write_spec(replace(backbones.get("efficientnet_b0"), name="mine"), path)
    command = (*COMMAND[:-2], "--repeats", "1", "--backbone", "mine.json", "--output", "out")
    done = [subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path) for _ in range(2)]
    assert "mine, phi = -14" in done[0].stdout
    assert done[0].stdout == done[1].stdout
    path.write_text(path.read_text().replace('"drop_path": 0.2', '"drop_path": 0.1'))
    other = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert other.returncode == 1
    assert "another backbone" in other.stderr


def test_a_broken_state_is_an_error(tmp_path: Path) -> None:
    state = tmp_path / "checkpoint" / "state.json"
    state.parent.mkdir()
    state.write_text("{")
    with pytest.raises(DataError, match=r"cannot be read.*Received: "):
        TransferJob(OPTIONS, tmp_path).run()


def test_an_output_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"cannot be made.*Received: "):
        TransferJob(OPTIONS, tmp_path / "taken").run()


def test_too_few_images_are_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels_per_class"):
        TransferJob(TransferOptions(labels_per_class=500), tmp_path / "new").run()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("backbone", backbones.names())
def test_every_backbone_fits_small_images(backbone: str) -> None:
    spec = transfer_spec(TransferOptions(backbone=backbone, phi=-8))
    assert spec.total_stride <= 8
    assert spec.resolution == 32
    assert spec.preprocessing.in_model


def test_the_summary_favours_the_rival() -> None:
    """Of the transferred network the last score counts, of the one from scratch the best."""

    def run(number: int, network: str, *scores: float) -> dict:
        return {"run": number, "network": network, "history": [{"held_out_accuracy": score} for score in scores]}

    metrics = {
        "options": {**OPTIONS.__dict__},
        "network": {"params": 1, "macs": 1},
        "images": {"labelled": 10, "held_out": 5, "classes": ["a", "b"], "skipped": ["half.png"]},
        "runs": [
            run(1, "transferred", 0.9, 0.8),
            run(1, "from scratch", 0.7, 0.6),
            run(2, "transferred", 0.5, 0.9),
            run(2, "from scratch", 0.1, 0.5),
        ],
    }
    summary = summarize(metrics)
    assert [row["gain"] for row in summary["runs"]] == pytest.approx([0.1, 0.4])
    assert summary["gain"]["mean"] == pytest.approx(0.25)
    assert summary["transferred"]["std"] == pytest.approx(0.0707, abs=1e-3)
    assert "half.png" in format_table(metrics)
