"""The demonstration in small: what it leaves behind, and that it continues where it was killed."""

from __future__ import annotations

import csv
import io
import json
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support import fork_program, tiny_spec

from keras_effnet import BackboneSpec
from keras_effnet.blocks import MBConv
from keras_effnet.cli.main import main, make_parser
from keras_effnet.data.sets import load_data
from keras_effnet.errors import DataError, TrainingError
from keras_effnet.finetune.demonstration import Demonstration, demonstration_spec
from keras_effnet.finetune.options import DemonstrationOptions
from keras_effnet.registry import backbones
from keras_effnet.report.draws import format_draws, summarize_draws
from keras_effnet.serialization import write_spec

WORDS = (
    "transfer",
    "--phi",
    "-14",
    "--resolution",
    "16",
    "--letters",
    "256",
    "--pretrain-epochs",
    "2",
    "--epochs",
    "2",
)
OPTIONS = DemonstrationOptions(phi=-14, resolution=16, letters=256, pretrain_epochs=2, epochs=2, repeats=2)
TOLD = ("phase", "step", "loss", "accuracy", "val_loss", "val_accuracy", "rate")


def command(*words: str) -> tuple[int, str, str]:
    """Status, output and errors of a command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(make_parser().parse_args([*WORDS, *words]))
    return status, out.getvalue(), err.getvalue()


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Words that ask for two draws with a network of one block."""
    path = tmp_path_factory.mktemp("spec") / "small.json"
    write_spec(tiny_spec(MBConv(expand=2, se_ratio=0.25), depth=1), path)
    return "--backbone", str(path), "--repeats", "2"


@pytest.fixture(scope="module")
def whole(small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A run of two draws: its folder, what it printed, and its progress."""
    folder = tmp_path_factory.mktemp("transfer") / "whole"
    status, out, err = command(*small, "--output", str(folder))
    assert status == 0
    return folder, out, err


@pytest.mark.slow
def test_a_run_leaves_a_model_a_history_metrics_and_curves(
    whole: tuple[Path, str, str], small: tuple[str, ...]
) -> None:
    folder, out, err = whole
    assert "from scratch" in out
    assert "draw 2" in out
    assert "image/s" in err, "progress shows a rate"
    found = metrics(folder)
    model: Any = keras.models.load_model(folder / "model.keras")
    assert model.count_params() == found["network"]["params"]
    # The saved model is the first draw's transferred network, and scores what the history says: another reader of
    # images, Keras' own prediction.
    held_out = load_data("digits", validation=0.5, seed=0).validation
    assert len(held_out) == found["images"]["held_out"]
    pixels = [Image.fromarray(held_out.read(index)).resize((16, 16), 2) for index in range(len(held_out))]
    images = np.stack([np.asarray(image) for image in pixels]).astype("float32")
    score = np.mean(model.predict(images, verbose=0).argmax(1) == held_out.labels)
    assert score == pytest.approx(found["summary"]["runs"][0]["transferred"], abs=1e-3)

    rows = list(csv.DictReader((folder / "history.csv").open()))
    kinds = [f"draw {run}, {kind}" for run in (1, 2) for kind in ("transferred", "from scratch")]
    assert list(dict.fromkeys(row["phase"] for row in rows)) == ["letters", *kinds]
    assert [max(int(row["step"]) for row in rows if row["phase"] == kind) for kind in kinds] == [2, 4, 2, 4]
    with Image.open(folder / "curves.png") as image:
        assert min(image.size) > 300

    # Finished: the same command says the same again, without training anything.
    before = (folder / "model.keras").stat().st_mtime_ns
    assert command(*small, "--output", str(folder))[:2] == (0, out)
    assert (folder / "model.keras").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_killed_run_continues_where_it_was(
    whole: tuple[Path, str, str], small: tuple[str, ...], tmp_path: Path
) -> None:
    """Killed with no chance to tidy up, then started again: the finished part stays, the end is the same."""
    process = fork_program(*WORDS, *small, "--output", str(tmp_path))
    state = tmp_path / "checkpoint" / "state.json"
    deadline = time.monotonic() + 600
    while not (state.exists() and json.loads(state.read_text())["history"]):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    done_before = json.loads(state.read_text())["history"]
    assert len(done_before) < len(metrics(whole[0])["history"])

    status, out, _ = command(*small, "--output", str(tmp_path))
    assert status == 0
    assert out.splitlines()[:-1] == whole[1].splitlines()[:-1], "the same table"
    ends = [metrics(folder)["history"] for folder in (whole[0], tmp_path)]
    assert ends[1][: len(done_before)] == done_before
    for one, two in zip(*ends, strict=True):
        assert [one[name] for name in TOLD] == pytest.approx([two[name] for name in TOLD], abs=1e-3)


@pytest.mark.slow
def test_a_folder_of_images_takes_the_place_of_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds of noise in images of any size and mode, and a file that is none; a spec file for the network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))  # where it is kept which files can be read
    generator = np.random.default_rng(0)
    for name, mean in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(generator.normal(mean, 20, (20 + number, 30)), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels).convert("L" if number % 2 else "RGBA")
            image.save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "data" / "dark" / "broken.png").write_bytes(b"not an image")
    path = tmp_path / "mine.json"
    write_spec(replace(tiny_spec(MBConv(expand=2), depth=1), name="mine"), path)
    words = ["--data", str(tmp_path / "data"), "--labels-per-class", "2", "--repeats", "1"]
    words += ["--backbone", str(path), "--output", str(tmp_path / "out")]
    status, out, _ = command(*words)
    assert status == 0
    assert "mine, phi = -14" in out
    assert "4 labelled images of 2 classes, accuracy on 6 others" in out
    assert "1 files skipped:" in out
    assert "broken.png" in out
    model: Any = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert model.output_shape == (None, 2)
    # Read again, as the program does: the same spec, the same run. Changed in between: another one.
    assert command(*words)[1] == out
    path.write_text(path.read_text().replace('"drop_path": 0.2', '"drop_path": 0.1'))
    status, _, err = command(*words)
    assert status == 1
    assert "another backbone" in err


def fresh(folder: Path, options: DemonstrationOptions = OPTIONS) -> Path:
    """The state of a run that has just begun."""

    class Stopped(BaseException):
        pass

    def stop(self: Demonstration, checkpoint: Any) -> None:
        checkpoint.save()
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Demonstration, "_pretrain", stop)
        with pytest.raises(Stopped):
            Demonstration(options, folder).run()
    return folder / "checkpoint" / "state.json"


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path) -> None:
    base = backbones.get("efficientnet_b0")
    mine = replace(OPTIONS, backbone=replace(base, name="mine"))
    state = fresh(tmp_path, mine)
    text = state.read_text()
    assert mine.to_dict()["backbone"]["name"] == "mine"
    fresh(tmp_path, replace(mine, backbone=BackboneSpec.from_json(replace(base, name="mine").to_json())))
    others = {
        "seed, images": replace(mine, seed=7),
        "resolution": replace(mine, resolution=24),
        "backbone.drop_path": replace(mine, backbone=replace(base, name="mine", drop_path=0.1)),
    }
    for name, other in {**others, "backbone": replace(mine, backbone="efficientnet_b0")}.items():
        with pytest.raises(TrainingError, match=rf"another {name};.*Received: "):
            Demonstration(other, tmp_path).run()
        assert state.read_text() == text


def test_a_broken_state_is_an_error_that_names_the_file_and_the_fix(tmp_path: Path) -> None:
    state = fresh(tmp_path)
    good = json.loads(state.read_text())
    for broken in ("{", "[]", "null", {}, {**good, "phase": "1"}, {**good, "history": None}, {**good, "history": [{}]}):
        state.write_text(broken if isinstance(broken, str) else json.dumps(broken))
        with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Delete the folder.*Received: .*state.json"):
            Demonstration(OPTIONS, tmp_path).run()


def test_an_output_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*Received: "):
        Demonstration(OPTIONS, tmp_path / "taken").run()


def test_too_few_images_are_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels_per_class.*Received: labels_per_class=500, of which '\d' has \d+"):
        Demonstration(DemonstrationOptions(labels_per_class=500), tmp_path / "new").run()
    assert not (tmp_path / "new").exists()


def test_every_backbone_fits_small_images() -> None:
    for backbone in backbones.names():
        spec = demonstration_spec(DemonstrationOptions(backbone=backbone, phi=-8))
        assert spec.total_stride <= 4
        assert spec.resolution == 16
        assert spec.preprocessing.in_model


@pytest.mark.parametrize("name", ["resolution", "letters", "pretrain_epochs", "epochs", "repeats", "seed"])
def test_options_refuse_nonsense(name: str) -> None:
    with pytest.raises(TrainingError, match=f"{name}.*Received: {name}=-1"):
        DemonstrationOptions(**{name: -1})


def test_the_summary_favours_the_rival() -> None:
    """Of the transferred network the last score counts, of the one from scratch the best."""
    scores = {
        "draw 1, transferred": (0.9, 0.8),
        "draw 1, from scratch": (0.7, 0.6),
        "draw 2, transferred": (0.5, 0.9),
        "draw 2, from scratch": (0.1, 0.5),
    }
    found = {
        "options": asdict(OPTIONS),
        "network": {"params": 1, "macs": 1},
        "images": {"labelled": 10, "held_out": 5, "classes": ["a", "b"]}
        | {"skipped": [{"name": "half.png", "reason": "truncated"}]},
        "history": [{"phase": name, "val_accuracy": score} for name, row in scores.items() for score in row],
    }
    summary = summarize_draws(found)
    assert [row["gain"] for row in summary["runs"]] == pytest.approx([0.1, 0.4])
    assert summary["gain"]["mean"] == pytest.approx(0.25)
    assert summary["transferred"]["std"] == pytest.approx(0.0707, abs=1e-3)
    assert "half.png" in format_draws(found)
