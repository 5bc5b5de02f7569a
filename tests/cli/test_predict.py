"""`keras-effnet predict`: what it prints, what it leaves out, and how it fails."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support import as_if_trained, tiny_spec

from keras_effnet import Preprocessing, build_model
from keras_effnet.blocks import InvertedResidual
from keras_effnet.builder.embedded_spec import EMBEDDED_LAYER, name_classes, note_images, read_embedded_spec
from keras_effnet.cli.main import main, make_parser
from keras_effnet.cli.model_arguments import open_classifier

SIDE = 16
GRAYS = {"dark.png": 20, "middle.png": 120, "sub/bright.png": 240}
NAMES = ("black", "gray", "white")
# Scores that are largest for a gray of 0, of 127.5 and of 255, of an image's mean: -(gray / 50 - target)**2, without
# the square of the gray, which is the same for all.
TARGETS = np.array([0.0, 127.5, 255.0]) / 50

Predict = Callable[..., tuple[int, str, str]]


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Runs the command in a folder with images in `images/`: its status, and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name, gray in GRAYS.items():
        path = Path("images") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (gray, gray, gray)).save(path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(make_parser().parse_args(["predict", *arguments]))
        out, err = capsys.readouterr()
        return status, out, err

    return run


@cache
def gray_scale(softmax: bool, side: int | None, channels: int) -> bytes:
    """The file of a model that classifies images by brightness, and has no class names."""
    pixels = keras.Input((side, side, channels))
    dense = keras.layers.Dense(3, activation="softmax" if softmax else None)
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(pixels)))
    kernel = np.repeat(2 * TARGETS[None] / 50, channels, axis=0) / channels
    dense.set_weights([kernel, -(TARGETS**2)])
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / "scale.keras")
        return (Path(folder) / "scale.keras").read_bytes()


def save_gray_scale(softmax: bool = True, side: int | None = SIDE, channels: int = 3) -> None:
    Path("scale.keras").write_bytes(gray_scale(softmax, side, channels))


def expected(gray: float) -> np.ndarray:
    scores = np.exp(-((gray / 50 - TARGETS) ** 2))
    return scores / scores.sum()


def answers(out: str) -> dict[str, dict[str, float]]:
    content = json.loads(out)
    return {
        row["image"]: {found["class"]: found["probability"] for found in row["classes"]} for row in content["images"]
    }


def test_a_temperature_flattens_probabilities_and_changes_no_answer(predict: Predict) -> None:
    save_gray_scale()
    options = ("scale.keras", "images", "--format", "json", "--top", "3")
    plain, flat = (answers(predict(*options, *more)[1]) for more in ((), ("--temperature", "3")))
    for name, found in flat.items():
        assert list(found) == list(plain[name])
        scores = np.log([plain[name][each] for each in found]) / 3
        np.testing.assert_allclose(list(found.values()), np.exp(scores) / np.exp(scores).sum(), rtol=1e-3)
    status, _, err = predict("scale.keras", "images", "--temperature", "0")
    assert status == 1
    assert "`temperature`" in err


def test_mirrored_images_are_seen_too(predict: Predict) -> None:
    """A model that looks at the left half alone sees both halves."""
    pixels = keras.Input((SIDE, SIDE, 3))
    left = keras.layers.Cropping2D(((0, 0), (0, SIDE // 2)))(pixels)
    dense = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(left)))
    dense.set_weights([np.array([[0, 0.01]] * 3), np.array([0, -2.0])])
    model.save("left.keras")
    half = np.zeros((SIDE, SIDE, 3), np.uint8)
    half[:, : SIDE // 2] = 200
    Image.fromarray(half).save("half.png")
    asked = ("left.keras", "half.png", "--format", "json", "--top", "2")
    bright = 1 / (1 + np.exp(2 - 0.01 * 3 * 200))
    dark = 1 / (1 + np.exp(2))
    assert answers(predict(*asked)[1])["half.png"]["1"] == pytest.approx(bright, abs=1e-3)
    for option in ("--mirror", "--tta"):
        assert answers(predict(*asked, option)[1])["half.png"]["1"] == pytest.approx((bright + dark) / 2, abs=1e-3)


def test_images_are_explained(predict: Predict) -> None:
    """A red spot and a green one speak for their classes, in a model that returns logits."""
    pixels = keras.Input((SIDE, SIDE, 3))
    colours = keras.layers.Conv2D(2, 1, activation="relu")
    top = keras.layers.Dense(2)
    model = keras.Model(pixels, top(keras.layers.GlobalAveragePooling2D()(colours(pixels))))
    colours.set_weights([np.array([[[[1, 0], [0, 1], [0, 0]]]]), np.zeros(2)])
    top.set_weights([np.eye(2), np.zeros(2)])
    model.save("spots.keras")
    for folder, channel, row in (("a", 0, 2), ("b", 1, 12)):
        image = np.zeros((SIDE, SIDE, 3), np.uint8)
        image[row : row + 2, 6:8, channel] = 250
        Path(folder).mkdir()
        Image.fromarray(image).save(f"{folder}/spot.png")
    status, out, err = predict("spots.keras", "a", "b", "--explain", "maps", "--batch-size", "1")
    assert status == 0
    assert len(out.splitlines()) == 2
    assert "explaining" in err
    assert sorted(os.listdir("maps")) == ["spot.png", "spot_1.png"]
    for name, row in (("spot.png", 2), ("spot_1.png", 12)):
        drawn = np.asarray(Image.open(f"maps/{name}"), int)
        scale = len(drawn) // SIDE
        place = np.unravel_index(np.ptp(drawn, axis=-1).argmax(), drawn.shape[:2])
        assert row <= place[0] / scale <= row + 2
        assert 6 <= place[1] / scale <= 8
    save_gray_scale()
    status, _, err = predict("scale.keras", "a", "--explain", "maps")
    assert status == 1
    assert "4 x 4 cells" in err
    Path("net.tflite").touch()
    status, _, err = predict("net.tflite", "a", "--explain", "maps")
    assert status == 1
    assert "no gradients" in err


def test_each_image_gets_its_most_probable_classes(predict: Predict) -> None:
    save_gray_scale()
    Path("names.txt").write_text("\n".join(NAMES) + "\n")
    status, out, err = predict("scale.keras", "images", "--classes", "names.txt", "--format", "json", "--top", "2")
    assert status == 0
    assert "left out" not in err
    found = answers(out)
    assert list(found) == [f"images/{name}" for name in GRAYS]
    for gray, (name, classes) in zip(GRAYS.values(), found.items(), strict=True):
        order = np.argsort(-expected(gray))[:2]
        assert list(classes) == [NAMES[number] for number in order], name
        assert list(classes.values()) == pytest.approx(expected(gray)[order], abs=1e-4)


def test_csv_and_table_say_the_same(predict: Predict) -> None:
    save_gray_scale()
    Path("names.json").write_text(json.dumps(["a, b", 'c"d', "e"]))  # a name may hold a comma
    options = ("scale.keras", "images/dark.png", "--classes", "names.json", "--top", "2")
    _, out, _ = predict(*options, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["image"], row["rank"], row["class"]) for row in rows] == [
        ("images/dark.png", "1", "a, b"),
        ("images/dark.png", "2", 'c"d'),
    ]
    share = expected(20)[0]
    assert float(rows[0]["probability"]) == pytest.approx(share, abs=1e-4)
    _, table, _ = predict(*options)
    assert table.split("  ")[:2] == ["images/dark.png", f"a, b {share:.1%}"]


def test_class_names_come_from_any_editor_and_from_keras(predict: Predict) -> None:
    save_gray_scale()
    Path("bom.txt").write_text("dark\nmiddle\nbright\n", encoding="utf-8-sig")
    Path("indices.json").write_text(json.dumps({"bright": 2, "dark": 0, "middle": 1}))
    for name in ("bom.txt", "indices.json"):
        _, out, _ = predict("scale.keras", "images/dark.png", "--classes", name, "--format", "json")
        assert list(answers(out)["images/dark.png"]) == ["dark", "middle", "bright"]
    for wrong in ('{"a": "x"}', '{"a": null}', "[" * 99999):
        Path("wrong.json").write_text(wrong)
        status, _, err = predict("scale.keras", "images", "--classes", "wrong.json")
        assert status == 1
        assert "cannot be read" in err.splitlines()[-1]


def test_results_go_to_a_file_alone_where_asked(predict: Predict) -> None:
    save_gray_scale()
    _, printed, _ = predict("scale.keras", "images", "--format", "csv")
    status, out, _ = predict("scale.keras", "images", "--format", "csv", "--output", "new/found.csv")
    assert (status, out) == (0, "")
    assert Path("new/found.csv").read_text() == printed


def test_classes_without_names_are_numbers(predict: Predict) -> None:
    save_gray_scale()
    _, out, _ = predict("scale.keras", "images/sub/bright.png", "--format", "json", "--top", "9")
    assert list(answers(out)["images/sub/bright.png"]) == ["2", "1", "0"]


def test_what_cannot_be_read_is_left_out_and_named(predict: Predict) -> None:
    save_gray_scale()
    Path("images/notes.txt").write_text("no image")
    Path("images/cut.png").write_bytes(Path("images/dark.png").read_bytes()[:60])
    status, out, err = predict("scale.keras", "images", "missing.png", "--format", "json")
    assert status == 0
    assert len(answers(out)) == 3
    skipped = {each["name"]: each["reason"] for each in json.loads(out)["skipped"]}
    assert list(skipped) == ["images/cut.png", "images/notes.txt", "missing.png"]
    assert "truncated" in skipped["images/cut.png"]
    assert skipped["images/notes.txt"] == "no image of a format that Pillow reads"
    assert skipped["missing.png"] == "there is no such file"
    for name, reason in skipped.items():
        assert f"left out {name} ({reason})\n" in err


@pytest.mark.parametrize("given", ["empty", "missing.png", "empty/notes.txt"])
def test_without_any_readable_image_it_fails(predict: Predict, given: str) -> None:
    save_gray_scale()
    Path("empty").mkdir()
    Path("empty/notes.txt").write_text("no image")
    status, out, err = predict("scale.keras", given)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith(
        "keras-effnet predict: there must be at least one readable image. Received: "
    )


def test_a_image_named_twice_is_read_once(predict: Predict) -> None:
    save_gray_scale()
    _, out, _ = predict("scale.keras", "images/dark.png", "images", "--format", "json")
    assert len(json.loads(out)["images"]) == 3


def test_logits_get_a_softmax(predict: Predict) -> None:
    save_gray_scale(softmax=False)
    _, out, _ = predict("scale.keras", "images/middle.png", "--format", "json")
    assert answers(out)["images/middle.png"]["1"] == pytest.approx(expected(120)[1], abs=1e-4)


def test_a_model_of_gray_images_sees_gray(predict: Predict) -> None:
    save_gray_scale(channels=1)
    Image.new("RGB", (9, 9), (255, 0, 0)).save("red.png")
    _, out, _ = predict("scale.keras", "red.png", "--format", "json")
    luma = round(255 * 0.299)  # ITU-R Rec. 601
    found = answers(out)["red.png"]
    assert [found[str(number)] for number in range(3)] == pytest.approx(expected(luma), abs=1e-3)


def test_a_model_of_rectangles_and_how_its_images_get_there(predict: Predict) -> None:
    """A bright image that is as wide as high, for a model that is three times as wide: a third of it when padded."""
    pixels = keras.Input((10, 30, 3))
    dense = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(pixels)))
    dense.set_weights([np.repeat(2 * TARGETS[None] / 50, 3, axis=0) / 3, -(TARGETS**2)])
    model.save("wide.keras")
    Image.new("RGB", (20, 20), (240, 240, 240)).save("square.png")
    for resize, gray in (("stretch", 240), ("crop", 240), ("pad", 80)):
        _, out, _ = predict("wide.keras", "square.png", "--resize", resize, "--format", "json")
        found = answers(out)["square.png"]
        assert [found[str(number)] for number in range(3)] == pytest.approx(expected(gray), abs=1e-3)
    assert predict("wide.keras", "square.png", "--resolution", "10x30")[0] == 0
    status, _, err = predict("wide.keras", "square.png", "--resolution", "30x10")
    assert status == 1
    assert "`--resolution` must be the size" in err
    assert "--resolution=30x10 for an input of shape (None, 10, 30, 3)" in err


def test_a_model_remembers_how_its_images_were_read(predict: Predict) -> None:
    model = build_model(tiny_spec(InvertedResidual(), depth=1, resolution=32), classes=3)
    name_classes(model, NAMES)
    note_images(model, resize="pad", bits=12)
    model.save("ours.keras")
    arguments = make_parser().parse_args(["predict", "ours.keras", "x.png"])
    found = open_classifier(arguments)
    assert (found.resize, found.bits, found.class_names) == ("pad", 12, NAMES)
    asked = make_parser().parse_args(["predict", "ours.keras", "x.png", "--resize", "crop"])
    assert open_classifier(asked).resize == "crop"
    note_images(model)
    assert (read_embedded_spec(model).resize, read_embedded_spec(model).bits) == ("stretch", None)
    assert read_embedded_spec(model).class_names == NAMES


def test_images_of_sixteen_bits_are_as_bright_as_their_bits_say(predict: Predict) -> None:
    save_gray_scale()
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save("xray.png")
    _, out, _ = predict("scale.keras", "xray.png", "--format", "json")
    found = answers(out)["xray.png"]
    assert [found[str(number)] for number in range(3)] == pytest.approx(expected(4000 / 4095 * 255), abs=1e-2)


def test_bands_are_what_the_model_takes_and_others_are_left_out(predict: Predict) -> None:
    save_gray_scale(channels=5)
    np.save("five.npy", np.full((9, 9, 5), 120, np.uint8))
    np.save("four.npy", np.zeros((9, 9, 4), np.uint8))
    status, out, err = predict("scale.keras", "five.npy", "four.npy", "images", "--format", "json")
    assert status == 0
    found = answers(out)
    assert list(found) == ["five.npy"]
    assert [found["five.npy"][str(number)] for number in range(3)] == pytest.approx(expected(120), abs=1e-3)
    assert "left out four.npy (it has 4 channels, and 5 are read: 4 would take it)" in err
    assert "left out images/dark.png (it has 1 or 3 channels, and 5 are read" in err
    status, _, err = predict("scale.keras", "images")
    assert status == 1
    assert "at least one readable image" in err


def test_the_middle_alone_is_seen_where_asked(predict: Predict) -> None:
    save_gray_scale()
    framed = np.full((40, 40, 3), 255, np.uint8)
    framed[10:30, 10:30] = 0
    Image.fromarray(framed).save("framed.png")
    for share, gray in (("1", 255 * 0.75), ("0.5", 0)):
        _, out, _ = predict("scale.keras", "framed.png", "--center-crop", share, "--format", "json")
        found = answers(out)["framed.png"]
        assert [found[str(number)] for number in range(3)] == pytest.approx(expected(gray), abs=0.03)


def test_a_model_of_any_size_must_be_told_one(predict: Predict) -> None:
    save_gray_scale(side=None)
    status, _, err = predict("scale.keras", "images")
    assert status == 1
    assert "choose one with `--resolution`" in err
    assert predict("scale.keras", "images", "--resolution", "10")[0] == 0


def without_spec(model: keras.Model) -> keras.Model:
    """The same network without the layer that holds its spec."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name == EMBEDDED_LAYER:
            return keras.layers.Activation("linear", name="nothing")
        return layer.__class__.from_config(layer.get_config())

    plain: Any = keras.models.clone_model(model, clone_function=copy)
    plain.set_weights(model.get_weights())
    return plain


@pytest.mark.parametrize("mode", ["caffe", *(pytest.param(each, marks=pytest.mark.slow) for each in ("tf", "torch"))])
def test_preprocessing_is_applied_once(predict: Predict, mode: Any) -> None:
    # The same network three times: as it was built, with its spec; within another model; and with no spec at all.
    spec = tiny_spec(InvertedResidual(), depth=1, resolution=32, preprocessing=Preprocessing(mode=mode))
    model = build_model(spec, classes=3, input_shape=(32, 32, 3))
    as_if_trained(model)
    name_classes(model, NAMES)
    model.save("ours.keras")
    pixels = keras.Input((32, 32, 3))
    keras.Model(pixels, model(pixels)).save("nested.keras")
    without_spec(model).save("foreign.keras")
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(noise).save("noise.png")
    preprocess: Any = keras.applications.imagenet_utils.preprocess_input
    scores = np.asarray(model(preprocess(noise[None].astype(np.float32), mode=mode)))[0]
    assert np.ptp(scores) > 0.01
    for name in ("ours.keras", "nested.keras"):
        _, out, _ = predict(name, "noise.png", "--format", "json")
        ours = answers(out)["noise.png"]
        assert [ours[name] for name in NAMES] == pytest.approx(scores, abs=1e-4)
    _, out, _ = predict("foreign.keras", "noise.png", "--preprocessing", mode, "--format", "json")
    foreign = answers(out)["noise.png"]
    assert [foreign[str(number)] for number in range(3)] == pytest.approx(scores, abs=1e-4)
    for name in ("ours.keras", "nested.keras"):
        status, _, err = predict(name, "noise.png", "--preprocessing", mode)
        assert status == 1
        assert "know their preprocessing" in err


def test_models_and_values_that_are_wrong(predict: Predict) -> None:
    save_gray_scale()
    build_model(tiny_spec(InvertedResidual()), include_top=False).save("features.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save("numbers.keras")
    Path("two.txt").write_text("one\ntwo\n")
    for arguments, word in (
        (("missing.keras", "images"), "no such model"),
        (("features.keras", "images"), "must end in a classifier"),
        (("numbers.keras", "images"), "must take images"),
        (("scale.keras", "images", "--classes", "two.txt"), "3 class names"),
        (("scale.keras", "images", "--classes", "none.txt"), "cannot be read"),
        (("scale.keras", "images", "--resolution", "17"), "`--resolution` must be the size"),
        (("scale.keras", "images", "--top", "0"), "`top`"),
        (("scale.keras", "images", "--batch-size", "0"), "`batch_size`"),
        (("scale.keras", "images", "--center-crop", "0"), "`center_crop`"),
    ):
        status, out, err = predict(*arguments)
        assert (status, out) == (1, ""), arguments
        last = err.splitlines()[-1]
        assert last.startswith("keras-effnet predict: "), last
        assert word in last
        assert "Received: " in last


@pytest.mark.slow
def test_the_program_prints_results_alone(tmp_path: Path, predict: Predict) -> None:
    save_gray_scale()
    os.link("images/dark.png", b"images/caf\xe9.png")  # a name that is no UTF-8
    os.link("images/dark.png", "images/\u732b.png")  # and one that the output's encoding does not hold
    command = [sys.executable, "-m", "keras_effnet", "predict", "scale.keras", "images", "--format", "csv"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "images/caf\\udce9.png,1,0," in done.stdout
    assert "images/\\u732b.png,1,0," in done.stdout
    assert done.stdout.startswith("image,rank,class,probability\nimages/")
    assert "images/dark.png,1,0," in done.stdout
    assert "predicting: 100%" in done.stderr
    for line in re.split(r"[\r\n]+", done.stderr.strip()):
        assert line.startswith(("predicting: ", "checking images: ", "keras-effnet predict: ")), line
