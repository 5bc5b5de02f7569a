"""A whole run in one folder: what it leaves, and that no kill, full disk or broken number loses what was done."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support import fork_program, tiny_spec

from keras_effnet.atomic import atomic_write
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.cli.finetune_command import read_options
from keras_effnet.cli.main import parse
from keras_effnet.data.augment import Augmentation
from keras_effnet.errors import DataError, RegistryError, TrainingError, WeightsError
from keras_effnet.finetune import job as module
from keras_effnet.finetune.job import FinetuneJob
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.serialization import write_spec

SPEC = tiny_spec(MBConv(expand=2, se_ratio=0.25), depth=2, resolution=16)
RECIPE = Recipe(
    head_epochs=2,
    epochs=3,
    batch_size=16,
    average="auto",
    layer_decay=0.8,
    sampling="balanced",
    dropout=0.3,
    batchnorm="trained",
    views=2,
    augmentation=Augmentation(crop=0.5, operations=1, magnitude=5, mixup=0.2),
)
OPTIONS = FinetuneOptions(backbone=SPEC, weights="random", labels_per_class=6, recipe=RECIPE, deterministic=True)
# The smallest network with all that a recipe tells apart: classifier, head, stage, stem.
QUICK = replace(
    OPTIONS,
    backbone=tiny_spec(MBConv(expand=2), depth=1, resolution=16),
    recipe=Recipe(head_epochs=1, epochs=2, batch_size=32),
    deterministic=False,
)
TOLD = ("loss", "accuracy", "val_loss", "val_accuracy", "rate")


def command(folder: Path, options: FinetuneOptions = OPTIONS) -> list[str]:
    """The command line of these options, behind the program's name."""
    write_spec(SPEC, folder.with_suffix(".spec.json"))
    recipe = folder.with_suffix(".recipe.json")
    recipe.write_text(options.recipe.to_json())
    words = ["finetune", "digits", "--weights", "random", "--deterministic"]
    words += ["--backbone", str(folder.with_suffix(".spec.json")), "--labels-per-class", str(options.labels_per_class)]
    return [*words, "--recipe", str(recipe), "--output", str(folder)]


PROGRAM = (sys.executable, "-m", "keras_effnet")


def told(folder: Path) -> list[list[float]]:
    """All numbers that training came to, but not how long it took."""
    history = json.loads((folder / "metrics.json").read_text())["history"]
    return [[row[name] for name in TOLD] for row in history]


def weights(folder: Path) -> list[np.ndarray]:
    model: Any = keras.models.load_model(folder / "model.keras")
    return model.get_weights()


def state(folder: Path) -> dict[str, Any]:
    path = folder / "checkpoint" / "state.json"
    return json.loads(path.read_text()) if path.exists() else {"history": [], "phase": 0}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_like_one_that_is_not(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uncut = fork_program(*command(whole))
    uncut.join()
    assert uncut.exitcode == 0
    assert len(told(whole)) == 5
    for epoch in (0, 2, 4):  # before the first epoch, between the phases, and before the last epoch
        process = fork_program(*command(killed))
        deadline = time.monotonic() + 600
        begun = killed / ("checkpoint" if epoch else "features")
        while not begun.exists() or len(state(killed)["history"]) < epoch:
            assert time.monotonic() < deadline
            assert process.is_alive()
            time.sleep(0.005)
        time.sleep(0.05 * epoch)
        process.kill()
        process.join()
        assert len(state(killed)["history"]) >= epoch
    rest = fork_program(*command(killed))
    rest.join()
    assert rest.exitcode == 0
    assert told(killed) == told(whole)
    for one, two in zip(weights(killed), weights(whole), strict=True):
        np.testing.assert_array_equal(one, two)
    numbers = [json.loads((folder / "metrics.json").read_text())["evaluation"] for folder in (whole, killed)]
    assert numbers[0] == numbers[1]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    words = [*PROGRAM, *command(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 600
    while not state(tmp_path / "out")["history"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the same command continues" in err
    assert "image/s" in err, "progress shows a rate"
    assert not out


@pytest.mark.slow
def test_a_run_leaves_all_that_people_and_programs_need(tmp_path: Path) -> None:
    metrics = FinetuneJob(QUICK, tmp_path).run()
    assert metrics is not None
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [row["phase"] for row in rows] == ["head", "whole", "whole"]
    assert "keras_effnet" not in json.dumps(_classes(tmp_path / "model.keras")), "loads without this package"
    # What is kept is what is reported: another reader of images, Keras' own prediction.
    model: Any = keras.models.load_model(tmp_path / "model.keras")
    from keras_effnet.data.sets import load_data

    test = load_data("digits", labels_per_class=6).test
    assert test is not None
    images = np.stack([np.asarray(Image.fromarray(test.read(index)).resize((16, 16), 2)) for index in range(len(test))])
    found = (model.predict(images.astype("float32"), verbose=0).argmax(1) == test.labels).mean()
    assert metrics["evaluation"]["accuracy"] == pytest.approx(found, abs=1e-6)
    assert metrics["best"]["val_accuracy"] == max(row["val_accuracy"] for row in metrics["history"])
    assert read_embedded_spec(model).class_names == tuple("0123456789")
    assert metrics["model"]["params"] == model.count_params()
    for name in ("curves.png", "report.html", "tensorboard"):
        assert (tmp_path / name).exists()
    assert metrics["model"]["path"] == str(tmp_path / "model.keras")
    assert metrics["realised"]["dropout"] == 0.2
    page = (tmp_path / "report.html").read_text()
    assert page.count('id="seen"') == 1, "what the whole network learned from"
    # Done: the same job trains nothing any more.
    before = (tmp_path / "model.keras").stat().st_mtime_ns
    assert FinetuneJob(QUICK, tmp_path).run()["evaluation"] == metrics["evaluation"]  # pyright: ignore[reportOptionalSubscript]
    assert (tmp_path / "model.keras").stat().st_mtime_ns == before
    with pytest.raises(TrainingError, match=r"another phi;.*Received: "):
        FinetuneJob(replace(QUICK, phi=0.5), tmp_path).run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "mixed_bfloat16", "accumulate": 2, "optimizer": "adamw", "head_epochs": 0},
        {"unfreeze": "gradual", "batchnorm": "recalibrated", "class_weights": "balanced", "focal": 2.0},
        {"epochs": 0},
    ],
    ids=str,
)
def test_every_part_of_a_recipe_trains(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write_report", lambda *_: None)  # another test reads it; here it costs seconds
    recipe = replace(Recipe(head_epochs=2, epochs=3, batch_size=16, rate=0.02), **changes)
    metrics = FinetuneJob(replace(QUICK, recipe=recipe, labels_per_class=20), tmp_path).run()
    assert metrics is not None
    assert len(metrics["history"]) == recipe.head_epochs + recipe.epochs
    assert metrics["history"][-1]["loss"] < metrics["history"][0]["loss"] + 0.05
    model: Any = keras.models.load_model(tmp_path / "model.keras")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.slow
def test_a_run_that_gets_no_better_ends_early_and_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_report", lambda *_: None)
    # At such a rate nothing changes, so that no epoch is better than the first.
    recipe = Recipe(head_epochs=1, epochs=6, batch_size=16, rate=1e-9, patience=2)
    options = replace(QUICK, recipe=recipe, labels_per_class=10)
    metrics = FinetuneJob(options, tmp_path).run()
    assert metrics is not None
    whole = [row for row in metrics["history"] if row["phase"] == "whole"]
    assert len(whole) < recipe.epochs
    assert len(whole) - (metrics["best"]["epoch"] - 1 if metrics["best"]["phase"] == "whole" else 0) == 2
    again = FinetuneJob(options, tmp_path).run()
    assert again is not None
    assert again["history"] == metrics["history"]


@pytest.mark.slow
def test_more_epochs_go_on_where_fewer_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "write_report", lambda *_: None)
    # With one rate throughout, two epochs and a third are three epochs, to the bit.
    recipe = replace(QUICK.recipe, decay="constant", warmup=0.0, average=0.9)
    options = replace(QUICK, deterministic=True)
    short, long = (replace(options, recipe=replace(recipe, epochs=epochs)) for epochs in (2, 3))
    for each in (short, short, long):
        found = FinetuneJob(each, tmp_path / "grown").run()
    said = capsys.readouterr().err
    whole = FinetuneJob(long, tmp_path / "whole").run()
    assert found is not None
    assert whole is not None
    names = ("phase", "epoch", *TOLD)
    assert [[row[name] for name in names] for row in found["history"]] == [
        [row[name] for name in names] for row in whole["history"]
    ]
    assert found["best"]["epoch"] == whole["best"]["epoch"]
    for one, two in zip(weights(tmp_path / "grown"), weights(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(one, two)
    assert "epoch 1 of 3, head: loss " in said
    assert "epoch 3 of 3, whole: loss " in said
    assert "epoch 4 of 4, whole: loss " in said
    with pytest.raises(TrainingError, match=r"another recipe\.epochs;.*Received: recipe\.epochs=2, not 3"):
        FinetuneJob(short, tmp_path / "grown").run()


def test_a_start_that_fails_leaves_the_folder_free(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="did you mean"):
        FinetuneJob(replace(QUICK, backbone="efficientnet_b77"), tmp_path / "out").run()
    with pytest.raises(WeightsError, match="Received: "):
        FinetuneJob(replace(QUICK, weights="missing.weights.h5"), str(tmp_path / "out")).run()
    assert not (tmp_path / "out").exists()


def test_random_weights_have_no_classifiers_phase() -> None:
    assert (FinetuneOptions(weights="random").recipe.head_epochs, FinetuneOptions().recipe.head_epochs) == (0, 30)
    assert FinetuneOptions(weights="random").recipe.batchnorm == "trained"
    words = ["keras-effnet", "finetune", "digits", "--weights", "random"]
    assert read_options(parse(words)).recipe.head_epochs == 0
    assert read_options(parse([*words, "--head-epochs", "2"])).recipe.head_epochs == 2


@pytest.mark.slow
def test_gray_images_and_a_file_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))  # where it is kept which files can be read
    generator = np.random.default_rng(0)
    for name, mean in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(generator.normal(mean, 20, (20, 30)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "data" / "dark" / "broken.png").write_bytes(b"no image")
    recipe = Recipe(head_epochs=1, epochs=2, batch_size=8)
    options = replace(QUICK, data=str(tmp_path / "data"), channels=1, labels_per_class=None, recipe=recipe)
    metrics = FinetuneJob(options, tmp_path / "out").run()
    assert metrics is not None
    [skipped] = metrics["data"]["skipped"]
    assert Path(skipped["name"]).name == "broken.png"
    assert skipped["reason"] == "no image of a format that Pillow reads"
    model: Any = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert model.input_shape == (None, 16, 16, 1)

    job = FinetuneJob(options, tmp_path / "again")
    real = module.train

    def vanishing(*arguments: Any, **options: Any) -> None:
        (tmp_path / "data" / "light" / "3.png").unlink(missing_ok=True)
        (tmp_path / "data" / "light" / "4.png").write_bytes(b"")
        real(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train", vanishing)
        with pytest.raises(DataError, match=r"light/[34].png"):
            job.run()
    assert (tmp_path / "again" / "model.keras").exists(), "what the classifier learned is kept"


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_best(tmp_path: Path) -> None:
    recipe = replace(QUICK.recipe, rate=1e30, warmup=0.0, epochs=3)
    with pytest.raises(TrainingError, match=r"no longer a number; lower the learning rate.*Received: loss="):
        FinetuneJob(replace(QUICK, recipe=recipe), tmp_path).run()
    assert all(np.isfinite(array).all() for array in weights(tmp_path))


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_the_same_job_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_effnet.training import checkpoint

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        count = 0

        def counted(path: Path, write: Callable[[Path], Any]) -> None:
            nonlocal count
            count += path.suffix == ".npz"
            atomic_write(path, full if count == 3 else write)

        patch.setattr(checkpoint, "atomic_write", counted)
        with pytest.raises(DataError, match=r"No space left on device.*Received: "):
            FinetuneJob(QUICK, tmp_path / "out").run()
    done = len(state(tmp_path / "out")["history"])
    assert 0 < done < 3
    monkeypatch.setattr(module, "write_report", lambda *_: None)
    metrics = FinetuneJob(QUICK, tmp_path / "out").run()
    assert metrics is not None
    assert len(metrics["history"]) == 3


def test_channels_first_is_refused(tmp_path: Path) -> None:
    keras.config.set_image_data_format("channels_first")
    with pytest.raises(TrainingError, match=r"channels last.*Received: .*channels_first"):
        FinetuneJob(QUICK, tmp_path).run()


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="Received: "):
        FinetuneJob(QUICK, tmp_path / "file" / "out").run()


def _classes(path: Path) -> list[str]:
    """What a file needs to be loaded: the modules of all that it names, its optimizer's too."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read("config.json").decode()
    return re.findall(r'"module": "([^"]+)"', text)
