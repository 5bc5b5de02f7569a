"""Layers of a user's own around a network: carried along with the same outputs, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from support import (
    BACKEND_SPECS,
    as_if_trained,
    assert_same_outputs,
    outputs,
    random_images,
    tiny_spec,
    without_repetition,
)

from keras_effnet import build_model, grow_model, scale_model, scale_spec
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import EMBEDDED_LAYER, read_embedded_spec
from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.embedded_network import find_network
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.reading.graph import read_graph
from keras_effnet.scaling import Coefficients, Rounding
from keras_effnet.spec import BackboneSpec, Preprocessing

CLASSES = 3
slow = pytest.mark.slow
# Deeper and twice as wide, so that layer normalization and groups of channels grow exactly, too.
LARGER = {"coefficients": Coefficients(depth=1.5, width=2), "rounding": Rounding(depth="ceil", divisor=1)}


def _built(spec: BackboneSpec, **options: Any) -> keras.Model:
    side = spec.resolution
    model = build_model(spec, **{"classes": CLASSES, "input_shape": (side, side, 3), **options})
    as_if_trained(model)
    return model


def in_front(spec: BackboneSpec) -> keras.Model:
    x = keras.Input((spec.resolution, spec.resolution, 3))
    return _built(spec, input_tensor=keras.layers.Rescaling(0.5, 3.0, name="mine_in_front")(x), input_shape=None)


def around(spec: BackboneSpec) -> keras.Model:
    """Layers in front of the network and behind it, `keras.ops` among them, in one flat graph."""
    model = in_front(spec)
    y = keras.layers.Dense(2, name="mine_behind")(model.output) * 2
    return keras.Model(model.input, keras.layers.Activation("tanh", name="mine_last")(y))


def nested(spec: BackboneSpec) -> keras.Model:
    """The network as a layer of another model."""
    inner = _built(spec)
    behind = keras.layers.Dense(2, name="mine_behind")
    layers = [keras.layers.Rescaling(0.5, 3.0, name="mine_in_front"), inner, behind]
    return keras.Sequential([keras.Input(inner.input_shape[1:]), *layers])


LIGHT = ("mobilenet_v1", "mobilenet_v2")


@pytest.mark.parametrize(
    ("name", "wrap"),
    # What surrounds a network does not see its blocks, so that families take turns.
    [
        pytest.param(name, (around, nested)[number % 2], marks=() if name in LIGHT else slow)
        for number, name in enumerate(BACKEND_SPECS)
    ],
)
def test_what_surrounds_a_network_goes_along(name: str, wrap: Callable[[BackboneSpec], keras.Model]) -> None:
    spec = without_repetition(BACKEND_SPECS[name])
    model = wrap(spec)
    images = random_images(3, spec.resolution, spec.resolution, 3)
    before = outputs(model, images)
    larger = scale_spec(spec, **LARGER)
    grown, report = grow_model(model, larger, input_shape=images.shape[1:], exact=False, return_report=True)
    assert grown.count_params() > model.count_params()
    assert report.exact == (not report.differences)
    if report.exact:
        assert_same_outputs(outputs(grown, images), before, tolerance=1e-4)
    assert_same_outputs(outputs(model, images), before, tolerance=1e-7)
    mine = {layer.name for layer in grown.layers if layer.name.startswith("mine")}
    assert mine == {layer.name for layer in model.layers if layer.name.startswith("mine")}
    assert read_embedded_spec(grown).spec == larger


def _spec(**changes: Any) -> BackboneSpec:
    return tiny_spec(MBConv(expand=2), MBConv(expand=2), **changes)


def test_preprocessing_moves_in_with_layers_behind() -> None:
    spec = _spec(preprocessing=Preprocessing(mode="caffe"))
    model = _built(spec)
    model = keras.Model(model.input, keras.layers.Dense(2, name="mine")(model.output))
    images = random_images(2, spec.resolution, spec.resolution, 3)
    preprocessed = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode="caffe")
    assert_same_outputs(outputs(take_raw_pixels(model), images), outputs(model, preprocessed), tolerance=1e-4)


def test_a_layer_behind_may_have_the_name_of_one_that_preprocessing_brings() -> None:
    spec = _spec(preprocessing=Preprocessing(mode="tf"))
    network = _built(spec)
    pixels = keras.Input(network.input_shape[1:])
    model = keras.Model(pixels, keras.layers.Rescaling(2.0, name="rescaling")(network(pixels)))
    raw = take_raw_pixels(model)
    images = random_images(2, spec.resolution, spec.resolution, 3)
    preprocessed = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode="tf")
    assert_same_outputs(outputs(raw, images), outputs(model, preprocessed), tolerance=1e-4)
    assert [layer.name for layer in raw.layers if isinstance(layer, keras.layers.Rescaling)][-1] == "rescaling_1"


def test_preprocessing_does_not_move_in_behind_layers_of_a_users_own() -> None:
    with pytest.raises(InheritanceError, match="'mine_in_front' in front of the network"):
        take_raw_pixels(in_front(_spec(preprocessing=Preprocessing(mode="tf"))))


def test_a_head_that_reads_widened_features_is_refused_by_name() -> None:
    model = _built(_spec(), include_top=False, pooling="avg")
    model = keras.Model(model.inputs, keras.layers.Dense(2, name="mine")(model.output))
    with pytest.raises(InheritanceError, match=r"layer 'mine' cannot be carried along: it has weights for another"):
        scale_model(model, coefficients=Coefficients(width=2))
    deeper = scale_model(model, coefficients=Coefficients(depth=2))
    images = random_images(2, 32, 32, 3)
    assert_same_outputs(outputs(deeper, images), outputs(model, images), tolerance=1e-4)


def _replaced(model: keras.Model, name: str, change: dict[str, Any]) -> keras.Model:
    def clone(layer: Any) -> Any:
        config = layer.get_config()
        return layer.__class__.from_config({**config, **change} if layer.name == name else config)

    copy: Any = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("block1a_activation", {"activation": "relu"}, "`activation` of layer 'block1a_activation' is 'silu'"),
        pytest.param(
            *("block2a_bn", {"epsilon": 0.1}, "`epsilon` of layer 'block2a_bn' is 0.001 in the spec"), marks=slow
        ),
        pytest.param("rescaling", {"scale": 0.5}, "`scale` of layer 'rescaling'", marks=slow),
    ],
)
def test_a_changed_layer_is_named(name: str, change: dict[str, Any], message: str) -> None:
    model = _built(_spec())
    assert find_network(_replaced(model, name, {})).alone
    with pytest.raises(InheritanceError, match=message):
        grow_model(_replaced(model, name, change), scale_spec(_spec(), **LARGER))


def test_other_connections_are_named() -> None:
    model = _built(_spec())
    x = keras.Input(model.input_shape[1:])
    y = x
    for layer in model.layers[1:]:
        if layer.name == "block1b_add":  # the skip is left out
            continue
        copy = layer.__class__.from_config(layer.get_config())
        y = copy([y, y]) if isinstance(layer.input, list) else copy(y)
    with pytest.raises(InheritanceError, match=r"the spec has a layer 'block1b_add', which the model lacks|reads '"):
        grow_model(keras.Model(x, y), scale_spec(_spec(), **LARGER))


def test_a_layer_that_reads_inside_the_network_is_named() -> None:
    model = _built(_spec())
    y = keras.layers.GlobalAveragePooling2D(name="mine")(model.get_layer("block1a_bn").output)
    with pytest.raises(InheritanceError, match=r"layer 'mine' reads 'block1a_bn'"):
        grow_model(keras.Model(model.inputs, [model.output, y]), scale_spec(_spec(), **LARGER))
    with pytest.raises(InheritanceError, match="returns 'block1a_bn', which is inside its network"):
        grow_model(
            keras.Model(model.inputs, [model.output, model.get_layer("block1a_bn").output]),
            scale_spec(_spec(), **LARGER),
        )


def test_a_momentum_of_a_users_own_is_no_other_network() -> None:
    """Whoever trains for few steps lowers it; outputs do not depend on it."""
    model = _built(_spec())
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    assert find_network(model).behind == ()


def test_a_nested_network_may_be_all_that_there_is() -> None:
    """Among a model's outputs Keras counts the calls of a nested model in another way than elsewhere."""
    inner = _built(_spec())
    x: Any = keras.Input(inner.input_shape[1:])
    model = keras.Model(x, [inner(x), inner(x + 1)])
    graph = read_graph(model)
    assert graph.outputs == ((inner.name, 0, 0), (inner.name, 1, 0))
    found = find_network(keras.Model(x, inner(x)))
    assert (found.front, found.behind) == ((), ())


def test_a_nested_network_that_is_called_for_inference_grows() -> None:
    inner = _built(_spec())
    as_if_trained(inner)
    x = keras.Input(inner.input_shape[1:])
    model = keras.Model(x, keras.layers.Dense(2)(inner(x, training=False)))
    assert grow_model(model, scale_spec(_spec(), **LARGER), return_report=True)[1].exact


def test_a_nested_network_that_is_called_for_training_is_refused() -> None:
    inner = _built(_spec())
    x = keras.Input(inner.input_shape[1:])
    model = keras.Model(x, keras.layers.Dense(2)(inner(x, training=True)))
    with pytest.raises(InheritanceError, match=r"is called with `training=True`.*Received: .* such layers"):
        grow_model(model, scale_spec(_spec(), **LARGER))


def test_exact_is_said_after_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that no plan knows of: weights are spoilt after they were planned."""
    from keras_effnet.inheritance import grow as module

    model, assign = _built(_spec()), module._assign

    def spoilt(layer: Any, arrays: list[np.ndarray]) -> None:
        assign(layer, [2 * array for array in arrays] if layer.name == "block2a_project_conv" else arrays)

    _, report = grow_model(model, scale_spec(_spec(), **LARGER), return_report=True)
    assert report.exact
    assert report.measured is not None and report.measured < 1e-4  # noqa: PT018
    monkeypatch.setattr(module, "_assign", spoilt)
    _, report = grow_model(model, scale_spec(_spec(), **LARGER), return_report=True)
    assert not report.differences
    assert not report.exact
    assert report.measured is not None and report.measured > 1e-3  # noqa: PT018


def test_every_layer_but_the_carrier_is_the_networks_own() -> None:
    model = _built(_spec())
    found = find_network(model)
    assert found.alone
    assert found.model is model
    assert found.activation is keras.activations.softmax
    assert found.image[0] != EMBEDDED_LAYER
