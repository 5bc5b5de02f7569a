"""Models of other people, without a spec: folded, exported, timed, explained, shown images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from foreign_models import CLASSES, CLASSIFIERS, MAKE, SIDE, foreign_model
from PIL import Image
from support import assert_same_outputs, outputs, random_images

from keras_effnet import export_model, fold_batchnorm, open_exported
from keras_effnet.cli.main import main, parse
from keras_effnet.export.formats import FORMATS
from keras_effnet.export.model_outputs import outputs_of
from keras_effnet.report.gradcam import grad_cam, split_at_last_map

slow = pytest.mark.slow


@pytest.mark.parametrize("name", MAKE)
def test_normalization_is_folded(name: str, tmp_path: Path) -> None:
    model, images = foreign_model(name), random_images(2, SIDE, SIDE, 3)
    folded = fold_batchnorm(model)
    left = [layer.name for layer in folded.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert not left
    folded.save(tmp_path / "folded.keras")
    again: Any = keras.models.load_model(tmp_path / "folded.keras", safe_mode=True)
    assert_same_outputs(outputs(again, images), outputs(model, images))


FORMAT_NAMES = ["onnx", *(pytest.param(each, marks=slow) for each in ("openvino", "litert", "saved_model"))]


@pytest.mark.parametrize("format", FORMAT_NAMES)
@pytest.mark.parametrize("name", MAKE)
def test_files_compute_what_the_model_does(name: str, format: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{FORMATS[format].suffix}"
    report = export_model(foreign_model(name), path, tolerance=1e-4)
    images = random_images(3, SIDE, SIDE, 3)
    assert_same_outputs(open_exported(path).predict_on_batch(images), outputs(foreign_model(name), images), 1e-4)
    assert report.agreement == (1 if name in CLASSIFIERS else None)


@slow
@pytest.mark.parametrize("name", MAKE)
def test_int8_files_run(name: str, tmp_path: Path) -> None:
    images = random_images(8, SIDE, SIDE, 3)
    options: dict[str, Any] = {"calibration": images, "tolerance": 10.0, "format": "litert-int8"}
    report = export_model(foreign_model(name), tmp_path / "net.tflite", **options)
    assert report.difference < 1


def last(*more: Any) -> keras.Model:
    return keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D(), *more])


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda: foreign_model("sequential"), "probabilities"),
        (lambda: foreign_model("mobilenet"), "probabilities"),
        (lambda: foreign_model("two_ways"), "probabilities"),
        (lambda: foreign_model("u_net"), "features"),
        (last, "logits"),
        (lambda: last(keras.layers.Dense(1, activation="sigmoid")), "labels"),
        (lambda: last(keras.layers.Dense(2), keras.layers.Softmax()), "probabilities"),
        (
            lambda: last(keras.layers.Dense(2, "softmax"), keras.layers.Activation(None)),
            "probabilities",
        ),
        (lambda: last(last_in_model()), "labels"),
    ],
)
def test_what_a_model_returns_is_told_by_its_last_layers(make: Any, found: str) -> None:
    assert outputs_of(make()) == found


def last_in_model() -> keras.Model:
    x = keras.Input((3,))
    return keras.Model(x, keras.layers.Dropout(0.5)(keras.ops.sigmoid(keras.layers.Dense(2)(x))))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_grad_cam_is_a_map_of_the_last_cut(name: str) -> None:
    model, images = foreign_model(name), random_images(2, SIDE, SIDE, 3)
    features, head = split_at_last_map(model)
    scores = outputs(head, outputs(features, images))
    powers = np.exp(scores - scores.max(1, keepdims=True))
    assert_same_outputs(powers / powers.sum(1, keepdims=True), outputs(model, images), 1e-4)
    found = grad_cam(model, images, np.array([0, 2]))
    assert found.shape == (2, *features.output_shape[1:3])
    assert found.max() == 1


def command(*words: str | Path) -> int:
    return main(parse(["keras-effnet", *map(str, words)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of three classes."""
    for number, name in enumerate("abc"):
        (tmp_path / "images" / name).mkdir(parents=True)
        pixels = random_images(SIDE, SIDE, 3, seed=number).astype(np.uint8)
        for file in ("one.png", "two.png"):
            Image.fromarray(pixels).save(tmp_path / "images" / name / file)
    return tmp_path


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_model_without_a_spec_is_shown_pixels_and_that_is_said(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign_model(name).save(folder / "net.keras")
    assert command("predict", folder / "net.keras", folder / "images", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert "is shown RGB pixels from 0 to 255" in err
    assert "--preprocessing" in err
    pixels = np.stack([random_images(SIDE, SIDE, 3, seed=number // 2).astype(np.uint8) for number in range(6)])
    expected = outputs(foreign_model(name), pixels.astype("float32"))
    for image, row in zip(json.loads(out)["images"], expected, strict=True):
        told = {int(each["class"]): each["probability"] for each in image["classes"]}
        np.testing.assert_allclose([told[number] for number in range(CLASSES)], row, atol=1e-4)


def test_how_pixels_are_preprocessed_is_asked_of_files_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign_model("mobilenet").save(folder / "net.keras")
    export_model(foreign_model("mobilenet"), folder / "net.onnx")
    told = {}
    for name in ("net.keras", "net.onnx"):
        options = ("--preprocessing", "tf", "--format", "json")
        assert command("predict", folder / name, folder / "images", *options) == 0
        out, err = capsys.readouterr()
        assert "is shown" not in err
        told[name] = [each["classes"][0] for each in json.loads(out)["images"]]
    for one, other in zip(*told.values(), strict=True):
        assert one["class"] == other["class"]
        assert abs(one["probability"] - other["probability"]) < 1e-4
    assert command("predict", folder / "net.onnx", folder / "images") == 0
    assert "is shown RGB pixels from 0 to 255" in capsys.readouterr().err
    expected = outputs(
        foreign_model("mobilenet"), random_images(SIDE, SIDE, 3, seed=0).astype(np.uint8)[None] / 127.5 - 1
    )
    assert abs(told["net.onnx"][0]["probability"] - expected.max()) < 1e-4


def test_evaluate_matches_classes_by_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    foreign_model("sequential").save(folder / "net.keras")
    assert command("evaluate", folder / "net.keras", folder / "images", "--json", "--split", "all") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 6


def test_a_model_of_one_label_is_a_classifier(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last(keras.layers.Dense(1, activation="sigmoid")).save(folder / "net.keras")
    assert command("predict", folder / "net.keras", folder / "images", "--format", "csv") == 0
    assert capsys.readouterr().out.count("\n") == 1 + 6


def test_benchmark_times_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sequential", "two_ways"):
        foreign_model(name).save(folder / f"{name}.keras")
    files = (folder / "sequential.keras", folder / "two_ways.keras")
    assert command("benchmark", *files, "--engine", "onnx", "keras", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(row["network"], row["engine"]) for row in rows} == {
        (name, engine) for name in ("sequential", "two_ways") for engine in ("onnx", "keras")
    }
