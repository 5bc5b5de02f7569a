"""`explain_prediction` against what `keras-effnet predict` says, and on an image whose evidence is known."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from support import as_if_trained, outputs, random_images, tiny_spec

from keras_effnet import Preprocessing, build_model, explain_prediction
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import name_classes, note_images
from keras_effnet.cli.main import main, parse
from keras_effnet.errors import BuildError, DataError

NAMES = ("cat", "dog", "owl")
BYTES = random_images(30, 44, 3).astype(np.uint8)


@cache
def animals() -> keras.Model:
    """A model that wants its pixels preprocessed, and pads images."""
    keras.utils.set_random_seed(0)
    model = build_model(tiny_spec(MBConv(), depth=1, preprocessing=Preprocessing(mode="torch")), classes=3)
    as_if_trained(model)
    name_classes(model, NAMES)
    note_images(model, resize="pad")
    return model


@cache
def red_or_blue(activation: str | None = "softmax") -> keras.Model:
    """Its classes are a red cell of 4 x 4 pixels and a blue one, anywhere."""
    x = keras.Input((32, 32, 3))
    y = keras.layers.AveragePooling2D(4)(x)
    y = keras.layers.Conv2D(2, 1, activation="relu", name="colours")(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, keras.layers.Dense(2, activation=activation, name="top")(y))
    model.get_layer("colours").set_weights([np.array([[[[1, 0], [0, 0], [0, 1]]]], "float32"), np.zeros(2, "float32")])
    model.get_layer("top").set_weights([np.eye(2, dtype="float32"), np.zeros(2, "float32")])
    return model


def spots() -> np.ndarray:
    """Two red cells, one of them half as bright, and a blue one."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[4:8, 20:24, 0], image[28:, :4, 0], image[16:20, 8:12, 2] = 255, 127, 200
    return image


def test_it_says_what_predict_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    model, photo, told = tmp_path / "model.keras", tmp_path / "photo.png", tmp_path / "told.json"
    animals().save(model)
    Image.fromarray(BYTES).save(photo)
    words = ("predict", model, photo, "--format", "json", "--top", "3", "--output", told)
    assert main(parse(["keras-effnet", *map(str, words)])) == 0
    [row] = json.loads(told.read_text())["images"]
    expected = {each["class"]: each["probability"] for each in row["classes"]}
    assert max(expected.values()) - min(expected.values()) > 0.01
    found = explain_prediction(animals(), photo)
    assert found.class_name == max(expected, key=lambda name: expected[name])
    for number, name in enumerate(NAMES):
        for of_class in (name, number, np.int64(number)):
            each = explain_prediction(animals(), BYTES, of_class)
            assert (each.number, each.class_name) == (number, name)
            assert each.probability == pytest.approx(expected[name], abs=2e-4)
    assert found.image.shape == (32, 32, 3)
    assert not found.image[:4].any(), "padded, as its images were"
    assert found.map.shape == (16, 16)
    assert str(found).startswith(f"{found.class_name} ({found.probability:.1%}), by HiResCAM of 16 x 16 cells behind ")


def test_the_map_is_where_the_class_is() -> None:
    expected = np.zeros((8, 8), np.float32)
    expected[1, 5], expected[7, 0] = 1, 127 / 255
    found = explain_prediction(red_or_blue(), spots())
    np.testing.assert_allclose(found.map, expected, atol=1e-6)
    assert (found.number, found.class_name, found.layer) == (0, "0", "colours")
    blue = explain_prediction(red_or_blue(), spots(), of_class=1)
    np.testing.assert_array_equal(blue.map, np.eye(64, dtype="float32")[4 * 8 + 2].reshape(8, 8))
    assert found.probability + blue.probability == pytest.approx(1)
    dark = explain_prediction(red_or_blue(), np.zeros((32, 32, 3), np.uint8))
    assert not dark.map.any()
    assert str(dark).endswith("and nothing speaks for it")


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_logits_become_probabilities_and_labels_stay_as_they_are(activation: str | None) -> None:
    image = spots() // 64
    scores = outputs(red_or_blue(None), image[None].astype("float32"))[0]
    each = np.exp(scores)
    expected = each / each.sum() if activation is None else each / (1 + each)
    for number in range(2):
        found = explain_prediction(red_or_blue(activation), image, number)
        assert found.probability == pytest.approx(expected[number], abs=1e-5)


def test_floats_are_the_models_own_input() -> None:
    pixels = random_images(32, 32, 3)
    preprocessed = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = outputs(animals(), preprocessed[None].astype("float32"))[0]
    found = explain_prediction(animals(), preprocessed, "dog")
    assert found.probability == pytest.approx(expected[1], abs=1e-5)
    assert (found.image.min(), found.image.max()) == (0, pytest.approx(255))


def test_the_overlay_keeps_the_image_visible() -> None:
    """Where the map is 1 all over, and where it is 0, at least a third of the image's contrast is left."""
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, 16:] = 255
    for map_of in (np.ones, np.zeros):
        found = explain_prediction(red_or_blue(), stripes)
        object.__setattr__(found, "map", map_of((8, 8), np.float32))
        drawn = np.asarray(found.overlay(64), float)
        dark, bright = drawn[:, 16].mean(axis=0), drawn[:, -16].mean(axis=0)
        assert (bright - dark).mean() > 255 / 3
        colour = np.ptp(dark) + np.ptp(bright)
        assert colour > 100 if map_of is np.ones else colour == 0
    plain = np.asarray(found.overlay(64, strength=0), float)
    np.testing.assert_array_equal(plain[..., 0], plain[..., 2])


def test_it_is_saved_as_png(tmp_path: Path) -> None:
    found = explain_prediction(animals(), BYTES)
    found.save(tmp_path / "new" / "seen.png")
    with Image.open(tmp_path / "new" / "seen.png") as image:
        assert (image.format, image.size) == ("PNG", (512, 512))
        np.testing.assert_array_equal(np.asarray(image), np.asarray(found.overlay()))
    with pytest.raises(DataError, match=r"ends? in `\.png`.*Received: .*seen\.jpg"):
        found.save(str(tmp_path / "seen.jpg"))
    with pytest.raises(DataError, match=r"strength.*Received"):
        found.overlay(strength=1.5)


@pytest.mark.parametrize(
    ("image", "of_class", "said"),
    [
        ("nowhere.png", None, r"can be read: No such file.*Received: image='nowhere\.png'"),
        (BYTES[..., :2], None, r"\(height, width, 3\)\. Received: shape \(30, 44, 2\)"),
        (BYTES[None], None, r"\(height, width, 3\)"),
        (BYTES[:0], None, r"\(height, width, 3\)"),
        (BYTES / 255, None, r"own input.*\(32, 32, 3\).*Received: float64 of shape \(30, 44, 3\)"),
        (np.full((32, 32, 3), np.nan), None, r"finite"),
        (np.full((32, 32, 3), "a"), None, r"own input"),
        (BYTES, "cow", r"cat, dog, owl\. Received: of_class='cow'"),
        (BYTES, 3, r"`of_class`.*0 to 2"),
        (BYTES, True, r"`of_class`"),
    ],
)
def test_what_does_not_fit_is_said(image: Any, of_class: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        explain_prediction(animals(), image, of_class)


def test_models_without_classes_are_refused() -> None:
    spec = tiny_spec(MBConv(), depth=1)
    numbers = build_model(spec, classes=1, classifier_activation=None)
    name_classes(numbers, ["age"], "regression")
    features = build_model(spec, include_top=False)
    for model, said in ((numbers, "returns numbers"), (features, "returns features"), ("model.keras", "load")):
        with pytest.raises(BuildError, match=rf"{said}"):
            explain_prediction(model, BYTES)  # pyright: ignore[reportArgumentType]


def pair(named: bool) -> keras.Model:
    """What is on two images, each by an output of its own; a number beside them counts for both."""
    left, right = keras.Input((32, 32, 3), name="left"), keras.Input((32, 32, 3), name="right")
    more = keras.Input((1,), name="more")
    tower = keras.Model(red_or_blue().input, red_or_blue().get_layer("top").input)
    parts = [keras.layers.Dense(2, name=name) for name in ("first", "second")]
    sums = [keras.layers.Concatenate()([tower(each), more]) for each in (left, right)]
    ends = [part(each) for part, each in zip(parts, sums, strict=True)]
    for part in parts:
        part.set_weights([np.array([[1, 0], [0, 1], [0, 1]], "float32"), np.zeros(2, "float32")])
    if named:
        return keras.Model({"left": left, "right": right, "more": more}, {"a": ends[0], "b": ends[1]})
    return keras.Model([left, right, more], ends)


@pytest.mark.parametrize("named", [False, True])
def test_of_several_images_the_one_asked_for_is_explained(named: bool, tmp_path: Path) -> None:
    Image.fromarray(spots()).save(tmp_path / "spots.png")
    other = np.full((32, 32, 3), 7, np.uint8)
    given = {"left": other, "right": tmp_path / "spots.png", "more": np.array([2.0])}
    expected = explain_prediction(red_or_blue(), spots())
    output: Any = "b" if named else 1
    found = explain_prediction(pair(named), given, 0, output=output, image="right")
    np.testing.assert_allclose(found.map, expected.map, atol=1e-6)
    np.testing.assert_array_equal(found.image, expected.image)
    sums = [255 * (1 + 127 / 255) / 64, 200 / 64 + 2]
    assert found.probability == pytest.approx(1 / (1 + np.exp(sums[1] - sums[0])), abs=1e-4)
    with pytest.raises(BuildError, match=r"all ways.*Received: .*no size at all from 'left' to '(b|second)'"):
        explain_prediction(pair(named), given, 0, output=output, image="left")


@pytest.mark.parametrize(
    ("given", "options", "error", "said"),
    [
        ([BYTES, BYTES, [0.0]], {"image": "left"}, BuildError, r"`output=`, one of 'first', 'second'"),
        ([BYTES, BYTES, [0.0]], {"output": 0}, BuildError, r"`image=`, one of 'left', 'right'"),
        (BYTES, {"output": 0, "image": 0}, DataError, r"one array for each input, 'left', 'right', 'more'"),
        ([BYTES, BYTES, [0.0, 1.0]], {"output": 0, "image": 0}, DataError, r"own input.*shape \(2,\) for 'more'"),
    ],
)
def test_what_does_not_fit_several_inputs_is_said(given: Any, options: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        explain_prediction(pair(False), given, **options)


def test_gray_images_and_open_sizes() -> None:
    keras.utils.set_random_seed(0)
    model = build_model(tiny_spec(MBConv(), depth=1), classes=3, input_shape=(None, None, 1))
    gray = np.asarray(Image.fromarray(BYTES).convert("L"))
    found = [explain_prediction(model, each, 1) for each in (gray, gray[..., None])]
    assert found[0].image.shape == (32, 32, 1), "the resolution of its spec"
    np.testing.assert_array_equal(found[0].map, found[1].map)
    assert explain_prediction(model, BYTES, 1).image.shape == (32, 32, 1)
    assert found[0].overlay(100).size == (100, 100)
