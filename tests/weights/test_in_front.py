"""Layers of a user's own in front of a network: built as keras.applications builds it, and files find the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from random_tensors import CLASSES
from support import as_if_trained, assert_same_outputs, outputs, random_images, write_legacy_h5
from timm_files import written

from keras_effnet import BackboneSpec, Coefficients, build_model, grow_model, load_weights, scale_spec, timm_spec
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.errors import InheritanceError, WeightsError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.inheritance.embedded_network import find_network
from keras_effnet.weights.imagenet import all_published

SIDE = 64
slow = pytest.mark.slow


def rescaled() -> tuple[Any, Any]:
    """Named as the first layer of many a network."""
    x = keras.Input((SIDE, SIDE, 3))
    return x, keras.layers.Rescaling(0.5, 3.0, name="rescaling")(x)


def colored() -> tuple[Any, Any]:
    """Gray images; named as MobileNetV3's first convolution, beside whose name it has one with a number."""
    x = keras.Input((SIDE, SIDE, 1), name="gray")
    return x, keras.layers.Conv2D(3, 1, bias_initializer="ones", name="conv")(x)


def both() -> tuple[Any, Any]:
    """With weights of its own in a layer that is named, and shaped, as one of EfficientNet's."""
    x = keras.Input((SIDE, SIDE, 1))
    y = keras.layers.Conv2D(3, 1, name="conv1_conv")(keras.layers.Rescaling(2.0, name="rescaling")(x))
    return x, keras.layers.Normalization(name="normalization")(y)


FRONTS = {"rescaling": rescaled, "convolution": colored, "both": both}


def thin(name: str) -> BackboneSpec:
    return scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.2, resolution=0.2))


@cache
def plain(name: str) -> keras.Model:
    """The network alone, with weights as training leaves them; no test changes it."""
    model = build_model(thin(name), classes=5, input_shape=(SIDE, SIDE, 3))
    as_if_trained(model)
    return model


def in_front(name: str, front: Callable[[], tuple[Any, Any]], **options: Any) -> tuple[keras.Model, keras.Model]:
    """The network behind other layers, and those alone."""
    x, y = front()
    return build_model(thin(name), **{"classes": 5, **options}, input_tensor=y), keras.Model(x, y)


def assert_same_behind(model: keras.Model, front: keras.Model, alone: keras.Model) -> None:
    """The model computes of an image what the network alone computes of what the layers in front make of it."""
    images = random_images(2, *front.input_shape[1:])
    assert_same_outputs(outputs(model, images), outputs(alone, outputs(front, images)), tolerance=1e-4)


WRITERS: dict[str, Callable[[keras.Model, Path], None]] = {
    "file.weights.h5": lambda model, path: model.save_weights(path),
    "file.keras": lambda model, path: model.save(path),
    "file.h5": write_legacy_h5,
}


@pytest.mark.parametrize(
    ("name", "front", "file"),
    [
        ("efficientnet_b0", "rescaling", "file.weights.h5"),
        ("efficientnet_b0", "both", "file.h5"),
        ("mobilenet_v3_small", "convolution", "file.keras"),
        pytest.param("mobilenet_v3_small", "both", "file.h5", marks=slow),
        pytest.param("mobilenet_v2", "convolution", "file.h5", marks=slow),
        pytest.param("convnext_tiny", "both", "file.weights.h5", marks=slow),
        pytest.param("resnet50", "both", "file.keras", marks=slow),
        pytest.param("regnet_y_400mf", "rescaling", "file.weights.h5", marks=slow),
    ],
)
def test_files_of_the_network_alone_are_found_to_be_its(name: str, front: str, file: str, tmp_path: Path) -> None:
    WRITERS[file](plain(name), tmp_path / file)
    model, before = in_front(name, FRONTS[front], weights=tmp_path / file)
    assert_same_behind(model, before, plain(name))
    later, before = in_front(name, FRONTS[front])
    mine = [weight.copy() for weight in before.get_weights()]
    report = load_weights(later, tmp_path / file)
    assert_same_behind(later, before, plain(name))
    assert all(np.array_equal(*pair) for pair in zip(before.get_weights(), mine, strict=True))
    assert not report.differences
    assert len(report.of("kept")) == len(mine)
    names = [layer.name for layer in later.layers]
    assert {layer.name for layer in before.layers} <= set(names)
    assert len(names) == len(set(names))
    assert read_embedded_spec(later).spec == thin(name)


def test_a_file_of_all_layers_loads_into_all(tmp_path: Path) -> None:
    for suffix in WRITERS:
        model, front = in_front("efficientnet_b0", both)
        as_if_trained(model)
        WRITERS[suffix](model, tmp_path / suffix)
        loaded, again = in_front("efficientnet_b0", both, weights=tmp_path / suffix)
        assert all(np.array_equal(*pair) for pair in zip(loaded.get_weights(), model.get_weights(), strict=True))
        assert len(again.weights) == len(front.weights) > 0


def test_a_part_of_a_file_loads_too_and_what_stands_in_front_is_kept(tmp_path: Path) -> None:
    plain("efficientnet_b0").save_weights(tmp_path / "file.weights.h5")
    x, y = both()
    model = build_model(thin("efficientnet_b0"), classes=4, input_tensor=y)
    with pytest.raises(WeightsError, match=r"than the network in 'efficientnet_b0'.*'predictions"):
        load_weights(model, tmp_path / "file.weights.h5")
    report = load_weights(model, tmp_path / "file.weights.h5", partial=True)
    assert {row.weight for row in report.differences} == {"predictions/kernel", "predictions/bias"}
    assert len(report.of("kept")) == len(keras.Model(x, y).weights)


def test_names_of_timms_layout_are_those_of_the_network(tmp_path: Path) -> None:
    spec = scale_spec(timm_spec("tf_efficientnet_b0"), coefficients=Coefficients(depth=0.3, width=0.3))
    path = written(spec, 1.1, tmp_path / "weights.safetensors")
    ours = scale_spec("efficientnet_b0", coefficients=Coefficients(depth=0.3, width=0.3))
    alone = build_model(ours, classes=CLASSES, weights=path, input_shape=(SIDE, SIDE, 3))
    x, y = both()
    model = build_model(ours, classes=CLASSES, weights=path, input_tensor=y)
    # The statistics of pixels are the network's, whose layer has a number behind its name here.
    assert_same_behind(model, keras.Model(x, y), alone)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    report = load_weights(model, path)
    assert {row.weight for row in report.of("kept")} == {variable.path for variable in keras.Model(x, y).weights}
    assert_same_behind(model, keras.Model(x, y), alone)


# MobileNetV1 at a quarter of its width, for 128 px: the smallest published network.
PUBLISHED = "mobilenet_2_5_128_tf.h5"


def test_it_is_keras_own_network_in_front_of_which_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras builds both, and its published weights are the network's."""
    options: dict[str, Any] = {"alpha": 0.25, "weights": None, "classifier_activation": None}
    theirs = keras.applications.MobileNet(input_shape=(128, 128, 3), **options)
    as_if_trained(theirs)
    write_legacy_h5(theirs, tmp_path / PUBLISHED)
    monkeypatch.setattr("keras.utils.get_file", lambda name, *_, **__: str(tmp_path / name))
    spec = next(one.spec for one in all_published() if one.top.name == PUBLISHED)
    x = keras.Input((128, 128, 1))
    y = keras.layers.Conv2D(3, 1)(keras.layers.Rescaling(1 / 127.5, -1.0)(x))
    behind = keras.applications.MobileNet(input_tensor=y, **options)
    ours = build_model(spec, weights="imagenet", classifier_activation=None, input_tensor=y)
    theirs.save_weights(tmp_path / "whole.weights.h5")
    images = random_images(2, 128, 128, 1)
    expected = outputs(theirs, outputs(keras.Model(x, y), images))
    assert_same_outputs(outputs(ours, images), expected, tolerance=1e-4)
    # A file of Keras' own model of all these layers.
    behind.set_weights([*keras.Model(x, y).get_weights(), *theirs.get_weights()])
    behind.save_weights(tmp_path / "behind.weights.h5")
    again = build_model(spec, weights=tmp_path / "behind.weights.h5", classifier_activation=None, input_tensor=y)
    assert_same_outputs(outputs(again, images), expected, tolerance=1e-4)


@pytest.mark.parametrize("name", ["efficientnet_b0", pytest.param("mobilenet_v3_small", marks=slow)])
def test_a_network_inside_another_model_is_found(name: str, tmp_path: Path) -> None:
    plain(name).save_weights(tmp_path / "file.weights.h5")
    inner = build_model(thin(name), classes=5, input_shape=(SIDE, SIDE, 3))
    layers = [keras.layers.Rescaling(0.5, name="rescaling"), inner, keras.layers.Dense(2, name="predictions")]
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    report = load_weights(model, tmp_path / "file.weights.h5")
    assert [row.weight for row in report.of("kept")] == ["predictions/kernel", "predictions/bias"]
    images = random_images(2, SIDE, SIDE, 3)
    assert_same_outputs(outputs(inner, images), outputs(plain(name), images), tolerance=1e-6)
    # All of it grows, though three names are there twice.
    larger = scale_spec(thin(name), coefficients=Coefficients(depth=2))
    grown = grow_model(model, larger, input_shape=(SIDE, SIDE, 3))
    assert_same_outputs(outputs(grown, images), outputs(model, images), tolerance=1e-4)


@pytest.mark.parametrize(
    ("name", "front"),
    [
        ("efficientnet_b0", "both"),
        pytest.param("mobilenet_v3_small", "convolution", marks=slow),
        pytest.param("convnext_tiny", "both", marks=slow),
    ],
)
def test_what_stands_in_front_goes_along_into_another_size(name: str, front: str, tmp_path: Path) -> None:
    model, before = in_front(name, FRONTS[front])
    as_if_trained(model)
    found = find_network(model)
    assert set(found.front) == {layer.name for layer in before.layers[1:]}
    assert found.behind == ()
    larger = scale_spec(thin(name), coefficients=Coefficients(depth=2))
    grown, report = grow_model(model, larger, input_shape=before.input_shape[1:], return_report=True)
    assert report.exact, report
    images = random_images(2, *before.input_shape[1:])
    assert_same_outputs(outputs(grown, images), outputs(model, images), tolerance=1e-4)
    # Saved, it is read and grows as before.
    model.save(tmp_path / "model.keras")
    names = [f"class {number}" for number in range(5)]
    learner = make_network(
        tmp_path / "model.keras",
        "saved",
        class_names=names,
        channels=before.input_shape[-1],
        resolution=SIDE,
        recipe=Recipe(),
    )
    assert set(find_network(learner).front) == set(found.front)
    with pytest.raises(InheritanceError, match="layers in front of it make"):
        grow_model(model, larger, channels=4)


def test_networks_in_a_row_have_all_their_layers() -> None:
    first = build_model(thin("mobilenet_v2"), include_top=False, input_shape=(SIDE, SIDE, 3))
    image = keras.layers.UpSampling2D(SIDE // first.output_shape[1])(first.output)
    model = build_model(thin("mobilenet_v2"), classes=5, input_tensor=image)
    names = [layer.name for layer in model.layers]
    assert len(names) == len(set(names))
    assert {"backbone_spec", "backbone_spec_1"} <= set(names)
    assert outputs(model, random_images(2, SIDE, SIDE, 3)).shape == (2, 5)
