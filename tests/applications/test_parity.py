"""Our models against keras.applications: names, totals and logits, with weights that went through a file."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import (
    assert_same_outputs,
    flat_layers,
    outputs,
    random_images,
    randomize,
    without_weights,
    write_legacy_h5,
)

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
SMALL_FIRST = [pytest.param(name, marks=() if name in QUICK else slow) for name in SMALL]
ARGUMENTS = [
    *(("MobileNet", {"alpha": alpha}) for alpha in (0.25, 0.5, 0.75, 1.3)),
    *(("MobileNetV2", {"alpha": alpha}) for alpha in (0.35, 0.5, 0.75, 1.111, 1.3, 1.4)),
    ("MobileNet", {"depth_multiplier": 2, "dropout": 0.3}),
    ("MobileNetV3Small", {"alpha": 0.35}),
    ("MobileNetV3Small", {"minimalistic": True, "include_preprocessing": False}),
    *(
        pytest.param(name, arguments, marks=slow)
        for name, arguments in (
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
    keras.utils.set_random_seed(1)
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


def layers_of(model: keras.Model) -> list[dict[str, Any]]:
    """Layers with their settings and wiring, but for the embedded spec, which tells how the model was built."""
    # The input's name counts the models of the session.
    text = re.sub(r"input_layer(_\d+)?", "input", model.to_json())
    return [layer for layer in json.loads(text)["config"]["layers"] if layer["name"] != "backbone_spec"]


@slow
@pytest.mark.parametrize("name", SMALL)
def test_pooled_namesakes_are_equal(name: str) -> None:
    """A pooled network is the one without pooling, which is compared in full, and a layer that pools."""
    shape = {"include_top": False, "input_shape": (64, 81, 3), "weights": None}
    with without_weights():
        bare = getattr(applications, name)(**shape)
    features = random_images(2, *bare.output_shape[1:])
    for pooling, reduced in (("avg", features.mean(axis=(1, 2))), ("max", features.max(axis=(1, 2)))):
        with without_weights():
            modules = (applications, keras.applications)
            pooled, namesake = (getattr(module, name)(pooling=pooling, **shape) for module in modules)
        assert_same_structure(pooled, namesake)
        assert layers_of(pooled)[:-1] == layers_of(bare)
        layer, twin = pooled.layers[-1], namesake.layers[-1]
        assert {**layer.get_config(), "name": None} == {**twin.get_config(), "name": None}
        assert type(layer) is type(twin)
        assert_same_outputs(np.asarray(layer(features)), reduced)


CONVNEXTS = ("ConvNeXtTiny", "ConvNeXtSmall", "ConvNeXtBase")
# Gigabytes each, twice: they end as their smaller sisters do, which is compared there.
HUGE = ("ConvNeXtLarge", "ConvNeXtXLarge")
LARGE = [name for name in NAMES if name not in (*SMALL, *HUGE, *CONVNEXTS)]
# Keras writes ConvNeXt's layer scale and MobileNetV3's activations in other layers than we do.
OTHER_LAYERS = ("MobileNetV3Small", "MobileNetV3Large")
WITHOUT_MEANING = ("ZeroPadding2D", "Dropout", "Reshape", "Rescaling", "Normalization", "Identity")
SETTINGS = ("kernel_size", "strides", "groups", "use_bias", "activation", "epsilon", "pool_size", "depth_multiplier")


def described(layer: Any) -> tuple[Any, ...]:
    """What a layer computes, in the same words whichever class does it; paddings are told by the sizes they lead to."""
    config, kind = layer.get_config(), type(layer).__name__
    if kind == "ReLU":
        kind, config = "Activation", {"activation": "relu" if config["max_value"] is None else "relu6"}
    shapes = tuple(tuple(weight.shape) for weight in getattr(layer, "weights", ()))
    return kind, tuple((name, str(config.get(name))) for name in SETTINGS), shapes


def computation(model: keras.Model) -> int:
    """A number for what a model computes: each layer's, made of its own description and the numbers of what it reads.

    Equal for models of equal layers that are wired in the same way. Left out is on which side a padding lies, and what
    preprocessing scales by: both sides write these in layers of their own; running the smaller sisters compares them.
    """
    known: dict[str, int] = {}
    for layer in model.layers:
        reads = [] if isinstance(layer, keras.layers.InputLayer) else layer.input
        below = tuple(known[x._keras_history.operation.name] for x in (reads if isinstance(reads, list) else [reads]))
        if len(below) == 1 and (type(layer).__name__ in WITHOUT_MEANING or layer.name == "backbone_spec"):
            known[layer.name] = below[0]
        else:
            output: Any = layer.output
            sides = output.shape[1:3] if hasattr(layer, "strides") else ()  # where paddings tell
            known[layer.name] = hash((described(layer), sides, below))
    return known[model.layers[-1].name]


@slow
@pytest.mark.parametrize("name", LARGE)
def test_large_namesakes_are_the_same_graph(name: str) -> None:
    """What their layers compute is held against Keras in the smaller sisters, which are the same graph as well."""
    shape = (*SIZES.get(name, (75, 76)), 3)
    with without_weights():
        ours, theirs = (
            getattr(module, name)(weights=None, input_shape=shape) for module in (applications, keras.applications)
        )
    assert_same_structure(ours, theirs)
    assert computation(ours) == computation(theirs)


def test_another_stride_kernel_activation_or_connection_is_another_computation() -> None:
    def number(stride: int = 2, kernel: int = 3, activation: str = "relu", skip: bool = True) -> int:
        image = keras.Input((16, 16, 4))
        x = keras.layers.Conv2D(4, 1)(image)
        y = keras.layers.Activation(activation)(keras.layers.Conv2D(4, kernel, padding="same")(x))
        x = keras.layers.Add()([x if skip else image, y])
        return computation(keras.Model(image, keras.layers.MaxPooling2D(2, stride)(x)))

    assert number() == number()
    others = [number(stride=1), number(kernel=5), number(activation="gelu"), number(skip=False)]
    assert len({number(), *others}) == 5


@slow
@pytest.mark.parametrize(
    ("name", "top"),
    # Without a top they end in a normalisation that they do not have with one, all of them in the same.
    [*((name, {"classifier_activation": None}) for name in CONVNEXTS), ("ConvNeXtTiny", {"include_top": False})],
    ids=str,
)
def test_convnexts_are_equal(name: str, top: dict[str, Any], tmp_path: Path) -> None:
    compare(name, tmp_path, (75, 76), **top)


@pytest.mark.parametrize("name", SMALL_FIRST)
def test_namesakes_are_equal(name: str, tmp_path: Path) -> None:
    """Logits and features of one network."""
    shape = (*SIZES.get(name, (75, 76)), 3)
    ours, theirs = both(name, tmp_path, save_weights, input_shape=shape, classifier_activation=None)
    assert_without_top_the_part(name, ours, theirs)
    if name not in OTHER_LAYERS:
        assert computation(ours) == computation(theirs)
    parts = [keras.Model(model.input, [features_of(model), model.output], name=model.name) for model in (ours, theirs)]
    x = random_images(2, *shape)
    for found, expected in zip(*(part(x, training=False) for part in parts), strict=True):
        assert_same_outputs(np.asarray(found), np.asarray(expected))


def assert_without_top_the_part(name: str, ours: keras.Model, theirs: keras.Model) -> None:
    """Ours without a top is the part of ours that gives the features, and Keras' own without a top."""
    with without_weights():
        bare = getattr(applications, name)(weights=None, input_shape=ours.input_shape[1:], include_top=False)
    part = layers_of(bare)
    assert part == layers_of(ours)[: len(part)]
    assert_same_structure(bare, keras.Model(theirs.input, features_of(theirs), name=theirs.name))


@pytest.mark.parametrize("name", backbones.names())
def test_without_its_top_a_network_is_the_part_that_gives_the_features(name: str) -> None:
    """The same as for the built ones, said by what they are built from; some normalize features without a top."""

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


@slow
@pytest.mark.parametrize("name", HUGE)
def test_huge_namesakes_are_equal(name: str, tmp_path: Path) -> None:
    compare(name, tmp_path, SIZES.get(name, (64, 65)), classifier_activation=None)


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_namesakes_with_arguments_of_their_own_are_equal(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    compare(name, tmp_path, (64, 64), classifier_activation=None, classes=20, **arguments)


@slow
@pytest.mark.parametrize("name", SMALL)
def test_namesakes_are_equal_at_their_own_size(name: str, tmp_path: Path) -> None:
    if name in (*QUICK, *OTHER_LAYERS):
        compare(name, tmp_path, (224, 224), classifier_activation=None, input_shape=None)
        return
    with without_weights():
        ours, theirs = (getattr(module, name)(weights=None) for module in (applications, keras.applications))
    assert_same_structure(ours, theirs)
    assert ours.input_shape == theirs.input_shape
    assert computation(ours) == computation(theirs)


# The paddings differ from family to family, not from size to size; the slower families run with the slow tests.
UNKNOWN_SIZES = [
    *("EfficientNetB0", "MobileNet", "MobileNetV2", "MobileNetV3Small"),
    *(pytest.param(name, marks=slow) for name in ("EfficientNetV2B0", "ResNet50", "ResNet50V2", "DenseNet121")),
]


@slow
@pytest.mark.parametrize("name", UNKNOWN_SIZES)
def test_images_whose_size_is_unknown_when_building_are_padded_as_in_keras(name: str, tmp_path: Path) -> None:
    sizes = ((75, 75), (64, 64), (33, 90))
    compare(name, tmp_path, *sizes, include_top=False, pooling="avg", input_shape=(None, None, 3))


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
        with without_weights():
            model = getattr(module, name)(weights=None)
        return {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}

    found, expected = rates(applications), rates(keras.applications)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected)


@slow
def test_the_last_drop_path_rate_of_b7_counts_the_blocks_of_b7() -> None:
    # Divided by B0's 16 blocks it would be 0.675.
    for module in (applications, keras.applications):
        with without_weights():
            model = module.EfficientNetB7(weights=None, input_shape=(64, 64, 3))
        assert model.get_layer("block7d_drop").rate == pytest.approx(0.2 * 54 / 55)


def test_the_drop_path_ramp_of_efficientnet_v2_counts_the_blocks_that_there_are() -> None:
    # Keras divides by the 21 blocks of B0, also in B1 to B3.
    name, (found, expected) = "EfficientNetV2B1", ({}, {})
    for module, rates in ((applications, found), (keras.applications, expected)):
        with without_weights():
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
