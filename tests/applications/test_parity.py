"""Our models against keras.applications: names, totals and logits, with weights that went through a file."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
import pytest
from computations import computation
from lean_keras import graphs_alone, lean_layers
from support import assert_same_outputs, flat_layers, outputs, random_images, randomize, write_legacy_h5

from keras_effnet import applications
from keras_effnet.network import record_network
from keras_effnet.ops import LayerNorm
from keras_effnet.registry import backbones

slow = pytest.mark.slow

NAMES = [name for name in applications.__all__ if not name.endswith("_spec")]
# Keras pads, reshapes and pools in layers of its own naming; ours does without, or names them.
FREE_KINDS = ("ZeroPadding2D", "Reshape", "InputLayer", "Rescaling", "Normalization")
AUTOMATIC = (
    "global_average_pooling2d",
    "global_max_pooling2d",
    "max_pooling2d",
    "activation",
    "re_lu",
    "dropout",
    "flatten",
    "layer_normalization",
)

# About a third of the native size, so that the large ones take seconds; odd sizes tell paddings apart.
SIZES = {
    "EfficientNetB0": (75, 75),
    "EfficientNetB1": (80, 80),
    "EfficientNetB2": (87, 86),
    "EfficientNetB3": (100, 101),
    "EfficientNetB4": (127, 127),
    "EfficientNetB5": (152, 152),
    "EfficientNetB6": (176, 175),
    "EfficientNetB7": (201, 200),
    "EfficientNetV2B1": (80, 80),
    "EfficientNetV2B2": (87, 86),
    "EfficientNetV2B3": (100, 101),
    "EfficientNetV2S": (128, 127),
    "EfficientNetV2M": (160, 161),
    "EfficientNetV2L": (160, 160),
}
SMALL = (
    "EfficientNetB0",
    "EfficientNetV2B0",
    "ResNet50",
    "ResNet50V2",
    "DenseNet121",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
)
# One of each kind in the default run; their relatives run with the slow tests.
QUICK = ("EfficientNetB0", "MobileNet", "MobileNetV2", "MobileNetV3Small")
# Two of these run.
QUICK_TO_RUN = ("MobileNet", "MobileNetV3Small")
ARGUMENTS: list[Any] = [
    *(("MobileNet", {"alpha": alpha}) for alpha in (0.25, 1.3)),
    *(("MobileNetV2", {"alpha": alpha}) for alpha in (0.35, 1.4)),
    ("MobileNet", {"depth_multiplier": 2, "dropout": 0.3}),
    ("MobileNetV3Small", {"alpha": 0.35}),
    *(
        pytest.param(name, arguments, marks=slow)
        for name, arguments in (
            *(("MobileNet", {"alpha": alpha}) for alpha in (0.5, 0.75)),
            *(("MobileNetV2", {"alpha": alpha}) for alpha in (0.5, 0.75, 1.111, 1.3)),
            ("ConvNeXtTiny", {"include_preprocessing": False}),
            ("EfficientNetV2B0", {"include_preprocessing": False}),
            ("MobileNetV3Large", {"alpha": 0.75, "dropout_rate": 0.0}),
            ("MobileNetV3Large", {"alpha": 1.3, "dropout_rate": 0.0}),
            ("MobileNetV3Large", {"minimalistic": True, "include_preprocessing": False}),
            ("MobileNetV3Small", {"alpha": 0.75}),
            ("MobileNetV3Small", {"alpha": 1.111}),
        )
    ),
]


def weighted_names(model: keras.Model) -> list[str]:
    kinds = (keras.layers.Dropout, keras.layers.Normalization)
    weighted = [layer for layer in flat_layers(model) if layer.weights and not isinstance(layer, kinds)]
    # A name that Keras made up counts the layers of the session.
    return [re.sub(r"^(layer_normalization)_\d+$", r"\1", layer.name) for layer in weighted]


def named_layers(model: keras.Model) -> set[str]:
    """Layers that somebody gave a name."""
    return {
        layer.name
        for layer in flat_layers(model)
        if layer.__class__.__name__ not in FREE_KINDS
        and not layer.name.startswith(AUTOMATIC)
        and not layer.name.endswith("_identity")  # what Keras' ConvNeXt has where no path is dropped
    }


def norm_settings(model: keras.Model) -> list[tuple[float, float]]:
    """(momentum, epsilon) of each batch normalisation; momentum only tells in training."""
    norms = [layer for layer in flat_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    return [(layer.momentum, layer.epsilon) for layer in norms]


def assert_same_structure(ours: keras.Model, theirs: keras.Model) -> None:
    assert weighted_names(ours) == weighted_names(theirs)
    assert named_layers(theirs) <= named_layers(ours)
    assert norm_settings(ours) == norm_settings(theirs)
    assert ours.name.rpartition("_")[0] == theirs.name.rpartition("_")[0]
    assert ours.count_params() == theirs.count_params()
    assert ours.output_shape == theirs.output_shape


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes today's layout, which takes Keras twice as long as the one of its published weights."""
    model.save_weights(path)


LAYOUTS: dict[Callable[[keras.Model, Path], None], str] = {
    save_weights: "theirs.weights.h5",
    write_legacy_h5: "theirs.h5",
}


def both(
    name: str, folder: Path, write: Callable[[keras.Model, Path], None] = write_legacy_h5, **arguments: Any
) -> tuple[keras.Model, keras.Model]:
    """Our model and Keras' with the same weights, which went through a file."""
    with lean_layers():
        theirs = getattr(keras.applications, name)(weights=None, **arguments)
        randomize(theirs, seed=2)
        path = folder / LAYOUTS[write]
        write(theirs, path)
        ours = getattr(applications, name)(weights=str(path), **arguments)
    path.unlink()
    assert_same_structure(ours, theirs)
    return ours, theirs


def compare(name: str, folder: Path, *sizes: tuple[int, int], **arguments: Any) -> None:
    """Equal outputs on images of each size; both models are built for the first unless told otherwise."""
    ours, theirs = both(name, folder, **{"input_shape": (*sizes[0], 3), **arguments})
    for size in sizes:
        x = random_images(2, *size, 3)
        assert_same_outputs(outputs(ours, x), outputs(theirs, x))


def hard_sigmoid(x: Any) -> Any:
    """In one layer what Keras' MobileNetV3 writes in three operations; running the network compares the two."""
    return keras.layers.Activation("hard_sigmoid")(x)


def graphs(name: str, **arguments: Any) -> tuple[keras.Model, keras.Model]:
    """Our model and Keras', neither of which can run."""
    with graphs_alone(), patch("keras.src.applications.mobilenet_v3.hard_sigmoid", hard_sigmoid):
        ours, theirs = (
            getattr(module, name)(weights=None, **arguments) for module in (applications, keras.applications)
        )
    assert_same_structure(ours, theirs)
    return ours, theirs


def preprocesses(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in model.layers)


def assert_same_graph(name: str, **arguments: Any) -> None:
    """The same computation, without running it: that of a layer is compared where networks run."""
    ours, theirs = graphs(name, **arguments)
    assert ours.input_shape == theirs.input_shape
    assert preprocesses(ours) == preprocesses(theirs)
    assert computation(ours) == computation(theirs)


def layers_of(model: keras.Model) -> list[dict[str, Any]]:
    """Layers with their settings and wiring, but for the embedded spec, which tells how the model was built."""
    # The input's name counts the models of the session.
    text = re.sub(r"input_layer(_\d+)?", "input", model.to_json())
    return [layer for layer in json.loads(text)["config"]["layers"] if layer["name"] != "backbone_spec"]


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "MobileNet" else slow) for name in SMALL])
def test_pooled_namesakes_are_equal(name: str) -> None:
    """A pooled network is the one without pooling, which is compared in full, and a layer that pools."""
    shape = {"include_top": False, "input_shape": (64, 81, 3)}
    with graphs_alone():
        bare = getattr(applications, name)(weights=None, **shape)
    features = random_images(2, *bare.output_shape[1:])
    for pooling, reduced in (("avg", features.mean(axis=(1, 2))), ("max", features.max(axis=(1, 2)))):
        pooled, namesake = graphs(name, pooling=pooling, **shape)
        assert layers_of(pooled)[:-1] == layers_of(bare)
        layer, twin = pooled.layers[-1], namesake.layers[-1]
        assert {**layer.get_config(), "name": None} == {**twin.get_config(), "name": None}
        assert type(layer) is type(twin)
        assert_same_outputs(np.asarray(layer(features)), reduced)


@slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SMALL])
def test_large_namesakes_are_the_same_graph(name: str) -> None:
    """What their layers compute is held against Keras in the smaller sisters, which are the same graph as well."""
    assert_same_graph(name, input_shape=(*SIZES.get(name, (75, 76)), 3))


@slow
@pytest.mark.parametrize(
    "arguments",
    # Without a top they end in a normalisation that they do not have with one, all of them in the same.
    [{"classifier_activation": None}, {"include_top": False, "include_preprocessing": False}],
    ids=str,
)
def test_convnexts_are_equal(arguments: dict[str, Any], tmp_path: Path) -> None:
    compare("ConvNeXtTiny", tmp_path, (75, 76), **arguments)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK_TO_RUN else slow) for name in SMALL])
def test_namesakes_are_equal(name: str, tmp_path: Path) -> None:
    """Logits and features of one network."""
    shape = (*SIZES.get(name, (75, 76)), 3)
    ours, theirs = both(name, tmp_path, save_weights, input_shape=shape, classifier_activation=None)
    parts = [keras.Model(model.input, [features_of(model), model.output], name=model.name) for model in (ours, theirs)]
    x = random_images(2, *shape)
    for found, expected in zip(*(part(x, training=False) for part in parts), strict=True):
        assert_same_outputs(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("name", backbones.names())
def test_without_its_top_a_network_is_the_part_that_gives_the_features(name: str) -> None:
    """Said by what the networks are built from; some normalize features without a top."""

    def said(**options: Any) -> list[tuple[Any, ...]]:
        nodes = record_network(backbones.get(name), **options).nodes
        return [(node.op, node.name, [each.name for each in node.inputs]) for node in nodes]

    bare, whole = said(include_top=False), said()
    ends = sum(isinstance(op, LayerNorm) for op, *_ in bare[-1:])
    assert bare[: len(bare) - ends] == whole[: len(bare) - ends]
    assert ends == name.startswith("convnext")


def features_of(model: keras.Model) -> Any:
    """What a network with a top pools at its end; squeeze and excitation pools before."""
    *_, pooling = [layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]
    return pooling.input


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_namesakes_with_arguments_of_their_own_are_the_same_graph(name: str, arguments: dict[str, Any]) -> None:
    assert_same_graph(name, input_shape=(64, 64, 3), classifier_activation=None, classes=20, **arguments)


def test_minimalistic_namesakes_without_preprocessing_are_equal(tmp_path: Path) -> None:
    arguments = {"minimalistic": True, "include_preprocessing": False, "classes": 20}
    compare("MobileNetV3Small", tmp_path, (64, 64), classifier_activation=None, **arguments)


# Keras builds these for images of an unknown size, which the numbers of graphs say nothing about.
OF_UNKNOWN_SIZE = ("MobileNetV3Small", "MobileNetV3Large")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else slow) for name in SMALL])
def test_namesakes_are_the_same_graph_at_their_own_size(name: str) -> None:
    if name in OF_UNKNOWN_SIZE:
        graphs(name)
    else:
        assert_same_graph(name)


@slow
@pytest.mark.parametrize("name", OF_UNKNOWN_SIZE)
def test_namesakes_built_for_images_of_an_unknown_size_are_equal_at_their_own(name: str, tmp_path: Path) -> None:
    compare(name, tmp_path, (224, 224), classifier_activation=None, input_shape=None)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else slow) for name in SMALL])
def test_namesakes_for_images_of_an_unknown_size_are_the_same_graph(name: str) -> None:
    assert_same_graph(name, include_top=False, pooling="avg", input_shape=(None, None, 3))


# One of each way to pad: by zeros of a number that is known, and by those that an image asks for. The graphs of all
# families are compared.
UNKNOWN_SIZES = [("MobileNet", {}), ("EfficientNetV2B0", {"include_preprocessing": False})]


@slow
@pytest.mark.parametrize(("name", "arguments"), UNKNOWN_SIZES)
def test_images_whose_size_is_unknown_when_building_are_padded_as_in_keras(
    name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    shape = {"input_shape": (None, None, 3)}
    compare(name, tmp_path, (64, 75), (33, 90), include_top=False, pooling="avg", **shape, **arguments)


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_the_namesakes(name: str) -> None:
    ours = inspect.signature(getattr(applications, name)).parameters.values()
    theirs = inspect.signature(getattr(keras.applications, name)).parameters.values()
    assert [(one.name, one.default, one.kind) for one in ours] == [(one.name, one.default, one.kind) for one in theirs]


@pytest.mark.parametrize("name", NAMES)
def test_a_builder_has_its_own_name_and_documentation(name: str) -> None:
    builder = getattr(applications, name)
    assert builder.__name__ == name
    assert "Args:" in builder.__doc__
    assert "Example:" in builder.__doc__


@pytest.mark.parametrize(
    "name",
    ["EfficientNetB0", "EfficientNetB3", "EfficientNetV2B0", pytest.param("EfficientNetV2S", marks=slow)],
)
def test_dropout_rates_are_the_namesakes(name: str) -> None:
    def rates(module: Any) -> dict[str, float]:
        with graphs_alone():
            model = getattr(module, name)(weights=None)
        return {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}

    found, expected = rates(applications), rates(keras.applications)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected)


@slow
def test_the_last_drop_path_rate_of_b7_counts_the_blocks_of_b7() -> None:
    # Divided by B0's 16 blocks it would be 0.675.
    for module in (applications, keras.applications):
        with graphs_alone():
            model = module.EfficientNetB7(weights=None, input_shape=(64, 64, 3))
        assert model.get_layer("block7d_drop").rate == pytest.approx(0.2 * 54 / 55)


def test_the_drop_path_ramp_of_efficientnet_v2_counts_the_blocks_that_there_are() -> None:
    # Keras divides by the 21 blocks of B0, also in B1 to B3.
    name, (found, expected) = "EfficientNetV2B1", ({}, {})
    for module, rates in ((applications, found), (keras.applications, expected)):
        with graphs_alone():
            model = getattr(module, name)(weights=None, input_shape=(64, 64, 3))
        rates |= {layer.name: layer.rate for layer in model.layers if layer.name.endswith("_drop")}
    assert found == pytest.approx({layer: rate * 21 / 27 for layer, rate in expected.items()})


def test_efficientnet_v2_standardises_other_channels_by_the_mean_of_the_statistics() -> None:
    # Keras rescales these to -1 to 1 instead.
    model = applications.EfficientNetV2B0(weights=None, include_top=False, input_shape=(64, 64, 1))
    [layer] = [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]
    found = float(keras.ops.squeeze(layer(keras.ops.ones((1, 1, 1, 1)))))
    variance = (0.229**2 + 0.224**2 + 0.225**2) / 3
    assert found == pytest.approx((1 - (0.485 + 0.456 + 0.406) / 3) / variance**0.5, rel=1e-5)
