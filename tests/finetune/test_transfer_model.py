"""The network that is fine-tuned: weights follow, classifiers are fresh, pixels are pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import BASES, as_if_trained, outputs, random_images, tiny_spec, write_legacy_h5

from keras_effnet import Coefficients, Preprocessing, build_model, grow_model, scale_spec
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import name_classes, read_embedded_spec
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.features import split_model
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.inheritance.raw_pixels import raw_spec, take_raw_pixels
from keras_effnet.registry import backbones
from keras_effnet.weights.imagenet import all_published

SPEC = tiny_spec(MBConv(expand=2), depth=1)
NAMES = ("a", "b", "c", "d")
slow = pytest.mark.slow


@slow
@pytest.mark.parametrize(
    ("name", "mode"),
    # Each mode with two families, and each family with two modes.
    [
        ("resnet50", "caffe"),
        ("resnet50", "torch"),
        ("mobilenet_v2", "tf"),
        ("mobilenet_v2", "torch"),
        ("densenet121", "caffe"),
        ("densenet121", "tf"),
    ],
)
def test_a_model_that_takes_pixels_computes_what_it_computed_of_preprocessed_ones(name: str, mode: Any) -> None:
    spec = scale_spec(backbones.get(name), coefficients=Coefficients(depth=0.1, width=0.2, resolution=1))
    spec = replace(spec, preprocessing=Preprocessing(mode=mode))
    model = build_model(spec, classes=5, input_shape=(64, 64, 3), classifier_activation=None)
    as_if_trained(model)
    raw = take_raw_pixels(model)
    x = random_images(2, 64, 64, 3)
    expected = outputs(model, keras.applications.imagenet_utils.preprocess_input(np.array(x), mode=mode))
    np.testing.assert_allclose(outputs(raw, x), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert take_raw_pixels(raw) is raw


def test_every_backbone_has_a_form_that_takes_pixels() -> None:
    for name in BASES:
        assert raw_spec(backbones.get(name)).preprocessing.mode == "none"


def saved(path: Path, classes: int = 4) -> keras.Model:
    model = build_model(SPEC, classes=classes, classifier_activation=None)
    as_if_trained(model)
    name_classes(model, NAMES[:classes])
    model.save(path)
    return model


def features(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return outputs(split_model(model)[0], x)


def test_a_saved_model_keeps_what_it_knows_and_gets_a_fresh_classifier(tmp_path: Path) -> None:
    path = str(tmp_path / "model.keras")
    old, x = saved(Path(path)), random_images(2, 32, 32, 3)
    made = make_network(path, "saved", class_names=("x", "y"), recipe=Recipe())
    assert read_embedded_spec(made).class_names == ("x", "y")
    assert read_embedded_spec(made).spec.classifier.dropout == 0.2
    np.testing.assert_allclose(features(made, x), features(old, x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs(made, x).sum(1), 1, rtol=1e-5)
    last = made.layers[-1].get_weights()
    # As many classes: the old classifier only where they are the same ones.
    other = make_network(path, "saved", class_names=("e", "f", "g", "h"), recipe=Recipe())
    assert np.abs(other.layers[-1].get_weights()[0] - old.layers[-1].get_weights()[0]).max() > 0.01
    assert not other.layers[-1].get_weights()[1].any()
    same = make_network(path, "saved", class_names=NAMES, recipe=Recipe())
    np.testing.assert_array_equal(same.layers[-1].get_weights()[0], old.layers[-1].get_weights()[0])
    again = make_network(path, "saved", class_names=("x", "y"), recipe=Recipe())
    np.testing.assert_array_equal(again.layers[-1].get_weights()[0], last[0])


@slow
def test_a_saved_model_can_be_scaled_and_made_gray(tmp_path: Path) -> None:
    path = str(tmp_path / "model.keras")
    old = saved(Path(path))
    larger = make_network(path, "saved", class_names=("x", "y"), phi=1.0, resolution=40, recipe=Recipe(drop_path=0.1))
    assert read_embedded_spec(larger).spec.drop_path == 0.1
    assert larger.input_shape == (None, 40, 40, 3)
    assert larger.count_params() > old.count_params()
    gray = make_network(path, "saved", class_names=("x", "y"), channels=1, recipe=Recipe())
    x = random_images(2, 32, 32, 1)
    theirs = grow_model(old, channels=1)
    np.testing.assert_allclose(features(gray, x), features(theirs, x), rtol=1e-3, atol=1e-4)


@slow
@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_imagenet_weights_come_in_any_size(phi: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the smallest published network, from a file of Keras' layout that is written here."""
    smallest = ("mobilenet_v1", 8, 128)
    specs = [entry.spec for entry in all_published()]
    base = next(spec for spec in specs if (spec.name, spec.stem.width, spec.resolution) == smallest)
    theirs = keras.applications.MobileNet(input_shape=(128, 128, 3), alpha=0.25, weights=None)
    as_if_trained(theirs)
    write_legacy_h5(theirs, tmp_path / "mobilenet_2_5_128_tf.h5")
    monkeypatch.setattr("keras.utils.get_file", lambda fname, *_, **__: str(tmp_path / fname))
    made = make_network(base, "imagenet", class_names=NAMES, phi=phi, resolution=128, recipe=Recipe())
    assert made.output_shape == (None, 4)
    x = random_images(2, 128, 128, 3)
    expected = features(theirs, x / 127.5 - 1)
    found = features(made, x)
    # Wider features are copies of the published ones: the same values, in another number.
    assert set(np.round(found[0].ravel() / np.abs(expected).max(), 3)) <= _near(expected[0] / np.abs(expected).max())


def _near(values: np.ndarray) -> set[float]:
    rounded = np.round(values.ravel(), 3)
    return {float(np.round(value + shift, 3)) for value in rounded for shift in (-0.001, 0.0, 0.001)}


@slow
def test_weight_files_come_through_the_same_door(tmp_path: Path) -> None:
    spec = scale_spec(backbones.get("mobilenet_v2"), -4)
    whole = build_model(spec)
    as_if_trained(whole)
    whole.save_weights(tmp_path / "trained.weights.h5")
    made = make_network(spec, str(tmp_path / "trained.weights.h5"), class_names=NAMES, recipe=Recipe())
    x = random_images(2, spec.resolution, spec.resolution, 3)
    mode = spec.preprocessing.mode
    theirs = keras.applications.imagenet_utils.preprocess_input(np.array(x), mode=mode)
    np.testing.assert_allclose(features(made, x), features(whole, theirs), rtol=1e-3, atol=1e-3)


def test_weights_must_go_with_the_backbone(tmp_path: Path) -> None:
    for backbone, weights in ((SPEC, "saved"), (str(tmp_path / "m.keras"), "imagenet")):
        with pytest.raises(TrainingError, match=r"'saved'.*Received: "):
            make_network(backbone, weights, class_names=NAMES, recipe=Recipe())
