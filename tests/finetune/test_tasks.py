"""Several labels, and numbers, from a table to predictions: learned, kept in the model, told, exported."""

from __future__ import annotations

import csv
import io
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support import tiny_spec

from keras_effnet import grow_model
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.cli.main import main, make_parser
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.sets import load_data
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.job import FinetuneJob
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.inheritance.scaled_model import load_model

RECIPE = Recipe(
    head_epochs=0,
    epochs=12,
    rate=0.02,
    optimizer="adamw",
    batch_size=8,
    batchnorm="trained",
    label_smoothing=0.0,
    dropout=0.0,
    augmentation=Augmentation(crop=1.0),
)
SPEC = tiny_spec(MBConv(expand=2), depth=1, resolution=16)


def write_images(root: Path, count: int = 96) -> dict[str, Path]:
    """Images of one colour, and two tables of them: whether they are red and blue, and how red and blue they are."""
    generator = np.random.default_rng(0)
    (root / "p").mkdir(parents=True)
    labels, numbers = ["path,labels,split"], ["path,split,red,blue"]
    for index in range(count):
        red, blue = generator.integers(0, 256, 2)
        noise = generator.integers(-4, 5, (20, 16, 3))
        pixels = np.clip(np.array([red, 100, blue]) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / "p" / f"{index}.png")
        split = ("train", "train", "val", "test")[index % 4]
        said = "|".join(name for name, value in (("red", red), ("blue", blue)) if value >= 128)
        labels.append(f"p/{index}.png,{said},{split}")
        numbers.append(f"p/{index}.png,{split},{red / 10 + 100},{blue * 20 - 3000}")
    tables = {}
    for name, rows in (("multilabel", labels), ("regression", numbers)):
        tables[name] = root / f"{name}.csv"
        tables[name].write_text("\n".join(rows), encoding="utf-8")
    return tables


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A finished run of each task: its folder and its metrics."""
    root = tmp_path_factory.mktemp("tasks")
    patch = pytest.MonkeyPatch()
    patch.setenv("KERAS_HOME", str(root / "home"))
    tables, found = write_images(root / "data"), {}
    for task, path in tables.items():
        asked = None if task == "multilabel" else task
        recipe = RECIPE if task == "multilabel" else replace(RECIPE, head_epochs=2)
        options = FinetuneOptions(path, SPEC, "random", task=asked, recipe=recipe)  # pyright: ignore[reportArgumentType]
        metrics = FinetuneJob(options, root / task).run()
        found[task] = (root / task, metrics, path, options)
    patch.undo()
    return found


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main(make_parser().parse_args([str(word) for word in words]))
    out, err = capsys.readouterr()
    return status, out, err


def test_labels_are_learned(trained: dict[str, Any]) -> None:
    folder, metrics, *_ = trained["multilabel"]
    found = metrics["evaluation"]
    assert (metrics["task"], found["split"]) == ("multilabel", "test")
    assert found["mean_average_precision"] > 0.9
    assert found["f1"] > 0.8
    assert all(row["accuracy"] is None and row["val_accuracy"] is None for row in metrics["history"])
    assert metrics["best"]["val_loss"] == min(row["val_loss"] for row in metrics["history"])
    embedded = read_embedded_spec(load_model(folder / "model.keras"))
    assert (embedded.task, embedded.class_names) == ("multilabel", ("blue", "red"))
    assert embedded.thresholds == tuple(row["threshold"] for row in found["per_class"])


def test_numbers_are_learned_in_their_own_unit(trained: dict[str, Any]) -> None:
    folder, metrics, path, _ = trained["regression"]
    found = metrics["evaluation"]
    assert metrics["task"] == "regression"
    assert found["r2"] > 0.8
    names = [row["name"] for row in found["per_class"]]
    assert names == ["red", "blue"]
    for row in found["per_class"]:
        assert row["mae"] < 0.5 * row["deviation"]
    model: Any = keras.models.load_model(folder / "model.keras", safe_mode=True)
    test: Any = load_data(path, task="regression").test
    images = np.stack([test.read(number)[:16, :16] for number in range(len(test))]).astype(np.float32)
    with warnings.catch_warnings(action="error"):  # Keras': an image where it expects a list of one
        errors = np.abs(model(images, training=False) - test.labels)
    assert errors.mean(axis=0)[0] < 4
    assert errors.mean(axis=0)[1] < 800


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_finished_run_is_not_done_again_and_more_epochs_go_on(trained: dict[str, Any], task: str) -> None:
    folder, metrics, _, options = trained[task]
    before = (folder / "checkpoint" / "state.json").read_text()
    again: Any = FinetuneJob(options, folder).run()
    assert (folder / "checkpoint" / "state.json").read_text() == before
    assert again["history"] == metrics["history"]
    assert again["evaluation"] == metrics["evaluation"]


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_a_model_that_grows_says_the_same(trained: dict[str, Any], task: str) -> None:
    model = load_model(trained[task][0] / "model.keras")
    grown, report = grow_model(model, phi=1, return_report=True)
    assert report.exact
    ours, theirs = read_embedded_spec(model), read_embedded_spec(grown)
    assert (ours.task, ours.class_names, ours.thresholds) == (theirs.task, theirs.class_names, theirs.thresholds)
    side = grown.input_shape[1]
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    if side == model.input_shape[1]:
        np.testing.assert_allclose(model.predict_on_batch(images), grown.predict_on_batch(images), rtol=1e-3)


def test_predict_tells_the_labels_that_an_image_has(
    trained: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, path, _ = trained["multilabel"]
    model, images = folder / "model.keras", path.parent / "p"
    status, out, _ = run(capsys, "predict", model, images / "0.png", images / "1.png", "--format", "json")
    assert status == 0
    thresholds = dict(zip(("blue", "red"), read_embedded_spec(load_model(model)).thresholds or (), strict=True))
    for image in json.loads(out)["images"]:
        assert {row["label"] for row in image["labels"]} == {"red", "blue"}
        for row in image["labels"]:
            assert row["present"] == (row["probability"] >= thresholds[row["label"]])
    lines = csv.DictReader(io.StringIO(run(capsys, "predict", model, images / "0.png", "--format", "csv")[1]))
    assert [set(row) for row in lines] == [{"image", "label", "probability", "present"}] * 2
    text = run(capsys, "predict", model, images)[1]
    assert len(text.splitlines()) == 96
    assert "no label" in text
    status, _, err = run(capsys, "predict", model, images / "0.png", "--temperature", "2")
    assert status == 1
    assert "a temperature is for the probabilities of classes" in err


def test_predict_tells_numbers(trained: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _, path, _ = trained["regression"]
    words = ("predict", folder / "model.keras", path.parent / "p" / "3.png")
    [image] = json.loads(run(capsys, *words, "--format", "json")[1])["images"]
    assert set(image["numbers"]) == {"red", "blue"}
    [row] = csv.DictReader(io.StringIO(run(capsys, *words, "--format", "csv")[1]))
    assert float(row["red"]) == pytest.approx(image["numbers"]["red"], rel=1e-5)
    assert f"red {image['numbers']['red']:.5g}  blue" in run(capsys, *words)[1]


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_evaluate_finds_what_the_run_found(
    trained: dict[str, Any], task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, metrics, path, _ = trained[task]
    status, out, _ = run(capsys, "evaluate", folder / "model.keras", path, "--json")
    assert status == 0
    found = json.loads(out)
    name = {"multilabel": "mean_average_precision", "regression": "r2"}[task]
    assert found["split"] == "test"
    assert found[name] == pytest.approx(metrics["evaluation"][name], rel=1e-4)
    assert len(found["per_class"]) == 2
    assert metrics["evaluation"]["headline"].split(",")[0] in run(capsys, "evaluate", folder / "model.keras", path)[1]


def test_the_tasks_of_model_and_data_must_agree(
    trained: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task, other in (("multilabel", "digits"), ("regression", "digits")):
        status, _, err = run(capsys, "evaluate", trained[task][0] / "model.keras", other)
        assert status == 1
        assert f"must be labelled for the model's task, '{task}'" in err


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_an_exported_file_says_the_same(
    trained: dict[str, Any], task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras_effnet import export_model

    folder, _, path, _ = trained[task]
    export_model(folder / "model.keras", tmp_path / "net.onnx")
    words = (path.parent / "p" / "5.png", "--format", "json")
    ours = json.loads(run(capsys, "predict", folder / "model.keras", *words)[1])["images"][0]
    theirs = json.loads(run(capsys, "predict", tmp_path / "net.onnx", *words)[1])["images"][0]
    if task == "regression":
        assert theirs["numbers"] == pytest.approx(ours["numbers"], rel=1e-4)
    else:
        assert [row["present"] for row in theirs["labels"]] == [row["present"] for row in ours["labels"]]
        pairs = zip(theirs["labels"], ours["labels"], strict=True)
        assert all(one["probability"] == pytest.approx(two["probability"], abs=1e-4) for one, two in pairs)


def test_a_model_of_numbers_learns_others(trained: dict[str, Any], tmp_path: Path) -> None:
    folder, *_, options = trained["regression"]
    other = replace(options, backbone=folder / "model.keras", weights="saved", targets="blue")
    other = replace(other, recipe=replace(RECIPE, head_epochs=1, epochs=1))
    metrics: Any = FinetuneJob(other, tmp_path / "out").run()
    assert [row["name"] for row in metrics["evaluation"]["per_class"]] == ["blue"]
    model = load_model(tmp_path / "out" / "model.keras")
    assert sum(isinstance(layer, keras.layers.Rescaling) for layer in model.layers[-3:]) == 1
    assert model.output_shape == (None, 1)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("multilabel", {"class_weights": "balanced"}, "class_weights='balanced' for the task 'multilabel'"),
        ("regression", {"focal": 2.0}, "focal=2.0 for the task 'regression'"),
    ],
)
def test_options_for_classes_are_refused(
    trained: dict[str, Any], task: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    options = trained[task][3]
    wrong = replace(options, recipe=replace(RECIPE, **changes))
    with pytest.raises(TrainingError, match=message):
        FinetuneJob(wrong, tmp_path / "out").run()
    assert not (tmp_path / "out").exists()
