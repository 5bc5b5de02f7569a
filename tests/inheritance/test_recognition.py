"""Models without a tag: registered backbones are found by what their layers compute, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from lean_keras import graphs_alone
from support import assert_same_outputs, every_block_spec, outputs, random_images, randomize, tiny_spec

from keras_effnet import build_model, estimate_cost, fit_to_budget, grow_model, load_weights, scale_model, scale_spec
from keras_effnet.backbones.catalogue import VARIANTS
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.builder.initialization import deep_recursion
from keras_effnet.cost import count_network
from keras_effnet.counting import Shape, network_shapes
from keras_effnet.errors import BuildError, InheritanceError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.inheritance.embedded_network import find_network, known_spec
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.inheritance.recognition import Recognised, known_specs, recognise
from keras_effnet.inheritance.scaled_model import load_backbone
from keras_effnet.network import Network, record_network
from keras_effnet.ops import Weighted
from keras_effnet.reading.read_model import read_layers, read_model
from keras_effnet.registry import Registry, backbones
from keras_effnet.scaling import Coefficients, Rounding
from keras_effnet.scaling.scale_network import scale_network
from keras_effnet.spec import BackboneSpec, Preprocessing
from keras_effnet.weights.tensors import layer_weights

slow = pytest.mark.slow
QUICK = ("mobilenet_v3_small", "repvgg_a0", "ghostnet")


def first(model: keras.Model, *specs: BackboneSpec) -> Recognised | None:
    return next(recognise(read_layers(model), specs or known_specs()), None)


def stripped(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """The model without its tag and with other names, and what its layers were called."""
    with deep_recursion():
        bare = keras.Model(model.get_layer("backbone_spec").output, model.output, name="theirs")
    numbers = list(range(len(bare.layers)))
    random.Random(0).shuffle(numbers)
    before = {}
    for number, layer in zip(numbers, bare.layers, strict=True):
        before[f"layer_{number}"] = layer.name
        layer.name = f"layer_{number}"
    return bare, before


def named(names: tuple[str, ...], quick: tuple[str, ...]) -> list[Any]:
    return [pytest.param(name, marks=() if name in quick else slow) for name in names]


@pytest.mark.parametrize("name", named(backbones.names(), QUICK))
@pytest.mark.parametrize("size", ["own", "odd", "unknown"])
def test_every_registered_backbone_is_found_without_its_tag_and_its_names(name: str, size: str) -> None:
    spec = backbones.get(name)
    sides = {"own": (spec.resolution,) * 2, "odd": (spec.resolution + 33, spec.resolution - 30), "unknown": (None,) * 2}
    top = size == "own"
    with graphs_alone():
        model = build_model(spec, input_shape=(*sides[size], 3), include_top=top, classes=7, memory_limit=float("inf"))
        model, before = stripped(model)
    found = first(model)
    assert found is not None
    assert found.embedded.spec == spec
    assert (found.embedded.include_top, found.embedded.classes) == (top, 7 if top else 1000)
    # Each layer with weights is the one that it was; equal branches stand in the order of the spec.
    weighted = {layer.name for layer in model.layers if layer_weights(layer)}
    assert set(found.names.values()) == weighted
    assert {name: before[mine] for name, mine in found.names.items()} == {name: name for name in found.names}


# Two of its stages are one block each, and the same one: its graph has a run of two there.
EQUAL_STAGES = ("ghostnet",)
# Their gates have multiples of 8 channels, whatever rounds the others.
ROUNDED_GATES = ("ghostnet", "mobilenet_v3_large", "mobilenet_v3_small")


def weighted_layers(network: Network, image: Shape) -> list[tuple[type, Shape]]:
    """What each layer with weights is, and what it makes."""
    shapes = network_shapes(network, image)
    return [(type(node.op), shapes[node]) for node in network.nodes if isinstance(node.op, Weighted)]


def scaled_by_graph(network: Network, spec: BackboneSpec, coefficients: Coefficients) -> Any:
    """Parameters, multiply-adds, activations and layers of a network that is scaled from its graph alone."""
    image = Shape(spec.resolution, spec.resolution, 3)
    scaled = scale_network(network, coefficients=coefficients, rounding=Rounding(divisor=1), images=[image])
    cost = scaled.cost
    return cost.params, cost.macs, cost.activations, weighted_layers(scaled.network, scaled.images[0][1])


def scaled_by_spec(spec: BackboneSpec, coefficients: Coefficients) -> Any:
    """The same of a spec that fixes nothing and has no stage of one block that could be repeated."""
    parts = {
        name: None if part is None else replace(part, fixed="nothing")
        for name, part in (("stem", spec.stem), ("head", spec.head))
    }
    free = replace(spec, stages=tuple(replace(stage, fixed="nothing") for stage in spec.stages), **parts)
    scaled = scale_spec(free, coefficients=coefficients, rounding=Rounding(divisor=1))
    pairs = zip(free.stages, scaled.stages, strict=True)
    scaled = replace(scaled, stages=tuple(new if old.depth > 1 else replace(new, depth=1) for old, new in pairs))
    image = Shape(scaled.resolution, scaled.resolution, 3)
    network = record_network(scaled, size=image[:2])
    cost = count_network(network, image)
    return cost.params, cost.macs, cost.activations, weighted_layers(network, image)


@pytest.mark.parametrize("name", named(backbones.names(), QUICK))
def test_every_registered_backbone_is_counted_and_scaled_from_its_graph_as_from_its_spec(name: str) -> None:
    spec = backbones.get(name)
    with graphs_alone():
        model = build_model(spec, memory_limit=float("inf"))
        expected, told = estimate_cost(spec), estimate_cost(model)
        assert told == expected
        bare, _ = stripped(model)
    found = estimate_cost(bare)
    for quantity in ("params", "trainable_params", "macs", "activations"):
        assert getattr(found, quantity) == getattr(expected, quantity)
    network = read_model(bare)
    factors = [Coefficients(resolution=0.7), Coefficients(resolution=1.3)]
    if name not in EQUAL_STAGES:
        factors += [Coefficients(depth=0.5), Coefficients(depth=1.4)]
    if name not in ROUNDED_GATES:
        factors += [Coefficients(width=2.0), Coefficients(width=3.0)]
    for coefficients in factors:
        assert scaled_by_graph(network, spec, coefficients) == scaled_by_spec(spec, coefficients), coefficients


# Minimalistic MobileNets are an option of the builder that has their name.
KERAS: dict[str, str] = {variant.keras: name for name, variant in [*VARIANTS.items()][::-1] if variant.keras}
QUICK_KERAS = ("MobileNet", "MobileNetV3Small", "EfficientNetB0")


@pytest.mark.parametrize("builder", named(tuple(KERAS), QUICK_KERAS))
def test_every_namesake_of_keras_is_found(builder: str) -> None:
    spec = backbones.get(KERAS[builder])
    for options in ({}, {"include_top": False, "pooling": "avg"}, {"include_top": False, "input_shape": (75, 97, 3)}):
        with graphs_alone():
            found = first(getattr(keras.applications, builder)(weights=None, **options))
        assert found is not None
        assert found.embedded.spec == spec
        assert found.embedded.include_top == (not options)
        assert found.embedded.pooling == options.get("pooling")
        assert found.activation == (None if options else "softmax")


@pytest.mark.parametrize("builder", ["VGG16", "Xception", "InceptionV3", "NASNetMobile"])
def test_other_networks_are_not_found(builder: str) -> None:
    with graphs_alone():
        model = getattr(keras.applications, builder)(weights=None)
    assert first(model) is None
    with pytest.raises(BuildError, match=r"must know its spec.*`base`.*is no registered backbone"):
        grow_model(model, phi=1)


def test_channels_may_stand_first() -> None:
    keras.config.set_image_data_format("channels_first")
    with graphs_alone():
        found = first(keras.applications.MobileNet(weights=None, input_shape=(3, 75, 97)))
    assert found is not None
    assert found.embedded.spec == backbones.get("mobilenet_v1")


def test_published_networks_that_have_no_name_are_known() -> None:
    with graphs_alone():
        model = keras.applications.MobileNet(weights=None, alpha=0.5)
    assert known_spec(model).spec.stem.width == 16


GROWN: list[Any] = [
    ("MobileNetV3Small", {"phi": 1}),
    *(
        pytest.param(name, {"phi": 1}, marks=slow)
        for name in ("MobileNet", "MobileNetV2", "EfficientNetB0", "EfficientNetV2B0", "ResNet50", "ResNet50V2")
    ),
    pytest.param("DenseNet121", {"phi": 1}, marks=slow),
    pytest.param("ConvNeXtTiny", {"coefficients": Coefficients(depth=1.2, width=2)}, marks=slow),
]


@pytest.mark.parametrize(("builder", "scaling"), GROWN)
def test_networks_of_keras_grow_exactly(builder: str, scaling: dict[str, Any]) -> None:
    model = getattr(keras.applications, builder)(weights=None, input_shape=(64, 64, 3), classifier_activation=None)
    randomize(model, seed=1)
    grown, report = scale_model(model, **scaling, input_shape=(64, 64, 3), return_report=True)
    assert report.exact
    images = random_images(2, 64, 64, 3)
    assert_same_outputs(outputs(grown, images), outputs(model, images), tolerance=1e-4)
    assert grown.count_params() > 1.2 * model.count_params()
    assert not any(layer.kind == "fresh" for layer in report.layers)


def _head(x: Any) -> Any:
    x = keras.layers.GlobalAveragePooling2D(name="mine_pool")(x)
    x = keras.layers.Dropout(0.4, name="mine_dropout")(x)
    x = keras.layers.Dense(9, activation="relu", name="mine_hidden")(x)
    return keras.layers.Dense(3, name="mine")(x)


def _mobilenet(**options: Any) -> keras.Model:
    return keras.applications.MobileNet(weights=None, include_top=False, **{"input_shape": (32, 32, 3), **options})


def _flat() -> keras.Model:
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1, name="mine_in_front")(pixels)
    base = _mobilenet(input_tensor=x, input_shape=None)
    return keras.Model(pixels, _head(base.output))


def _nested() -> keras.Model:
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.RandomFlip(name="mine_flip")(pixels)
    x = keras.layers.Rescaling(1 / 127.5, -1, name="mine_in_front")(x)
    return keras.Model(pixels, _head(_mobilenet()(x)))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("make", [_flat, _nested])
def test_heads_of_ones_own_grow_too(make: Any, saved: bool, tmp_path: Path) -> None:
    model = make()
    randomize(model, seed=1)
    if saved:
        model.save(tmp_path / "model.keras")
    found = find_network(model)
    assert found.embedded.classes == 9
    assert found.embedded.spec.classifier.dropout == 0.4
    assert found.activation == "relu"
    assert found.behind == ("mine",)
    assert found.front[-1] == "mine_in_front"
    scaling = {"coefficients": Coefficients(depth=1.2, width=1.3), "input_shape": (32, 32, 3)}
    grown, report = scale_model(tmp_path / "model.keras" if saved else model, **scaling, return_report=True)
    assert report.exact
    images = random_images(2, 32, 32, 3)
    assert_same_outputs(outputs(grown, images), outputs(model, images), tolerance=1e-4)
    assert read_embedded_spec(grown).classes == 9
    assert {"mine", "mine_in_front"} <= {layer.name for layer in grown.layers}


def test_a_network_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, looked = _mobilenet(alpha=0.25), []

    def counted(*arguments: Any) -> Any:
        looked.append(arguments)
        return recognise(*arguments)

    monkeypatch.setattr("keras_effnet.inheritance.embedded_network.recognise", counted)
    for make in (lambda: scale_model(model, -1), lambda: fit_to_budget(model, params=1e5)):
        looked.clear()
        made: Any = make()
        assert made.count_params() < model.count_params()
        assert len(looked) == 1


def test_two_heads_stand_behind_pooled_features() -> None:
    with graphs_alone():
        base = _mobilenet(pooling="avg")
        model = keras.Model(base.input, [keras.layers.Dense(2)(base.output), keras.layers.Dense(3)(base.output)])
    found = find_network(model)
    assert (found.embedded.include_top, found.embedded.pooling, len(found.behind)) == (False, "avg", 2)


def test_a_layer_that_reads_inside_the_network_is_named() -> None:
    with graphs_alone():
        base = _mobilenet()
        inner = keras.layers.GlobalAveragePooling2D(name="mine")(base.get_layer("conv_pw_5_relu").output)
        model = keras.Model(base.input, [base.output, inner])
    with pytest.raises(InheritanceError, match=r"layer 'mine' reads 'conv_pw_5_relu'"):
        find_network(model)


def test_a_network_that_is_called_twice_is_not_taken_apart() -> None:
    with graphs_alone():
        base = _mobilenet(pooling="avg")
        one, other = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
        model = keras.Model([one, other], keras.layers.Add()([base(one), base(other)]))
    assert first(model) is None


def test_the_factor_that_keras_puts_behind_imagenet_statistics_goes_into_the_variances() -> None:
    """keras.applications.efficientnet adds a Rescaling with ImageNet weights; here it is built without the file."""
    spec = tiny_spec(MBConv())
    model = build_model(spec, classes=3)
    randomize(model, seed=1)
    pixels = keras.Input((32, 32, 3))
    factor = keras.layers.Rescaling([2.0, 0.5, 3.0], name="factor")

    def clone(layer: Any) -> Any:
        return layer.__class__.from_config(layer.get_config())

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        if layer.name == "backbone_spec":
            return inputs[0]
        made = layer(*inputs, **options)
        return factor(made) if layer.name == "normalization" else made

    theirs: Any = keras.models.clone_model(model, pixels, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.weights:
            theirs.get_layer(layer.name).set_weights(layer.get_weights())
    theirs.get_layer("normalization").finalize_state()
    copy = grow_model(theirs, base=spec)
    assert [layer.name for layer in copy.layers if isinstance(layer, keras.layers.Rescaling)] == ["rescaling"]
    images = random_images(2, 32, 32, 3)
    assert not np.allclose(outputs(model, images), outputs(theirs, images), rtol=1e-3)
    assert_same_outputs(outputs(copy, images), outputs(theirs, images), tolerance=1e-5)


OTHER: dict[type, dict[str, Any]] = {
    keras.layers.Conv2D: {
        "filters": lambda value: value + 8,
        "kernel_size": lambda value: tuple(side + 2 for side in value),
        "strides": lambda value: tuple(side + 1 for side in value),
        "use_bias": lambda value: not value,
        "activation": lambda value: keras.activations.tanh,
    },
    keras.layers.DepthwiseConv2D: {
        "depth_multiplier": lambda value: value + 1,
        "kernel_size": lambda value: tuple(side + 2 for side in value),
        "strides": lambda value: tuple(side + 1 for side in value),
        "dilation_rate": lambda value: tuple(side + 1 for side in value),
        "use_bias": lambda value: not value,
        "activation": lambda value: keras.activations.tanh,
    },
    keras.layers.BatchNormalization: {
        "epsilon": lambda value: value * 1.1,
        "scale": lambda value: not value,
        "center": lambda value: not value,
    },
    keras.layers.LayerNormalization: {"epsilon": lambda value: value * 1.1, "scale": lambda value: not value},
    keras.layers.Activation: {"activation": lambda value: keras.activations.elu},
    keras.layers.ReLU: {"max_value": lambda value: None if value else 6.0},
    keras.layers.ZeroPadding2D: {"padding": lambda value: (value[0][::-1], (value[1][0] + 1, value[1][1]))},
    keras.layers.MaxPooling2D: {
        "pool_size": lambda value: tuple(side + 1 for side in value),
        "strides": lambda value: tuple(side + 1 for side in value),
        "padding": lambda value: "same" if value == "valid" else "valid",
    },
    keras.layers.AveragePooling2D: {"pool_size": lambda value: tuple(side + 1 for side in value)},
    keras.layers.Concatenate: {"axis": lambda value: 1},
    keras.layers.Dense: {"units": lambda value: value + 1, "use_bias": lambda value: not value},
}


def changes(model: keras.Model, head: list[str], most: int = 2) -> Iterator[tuple[str, str]]:
    """Changes one option of one layer, and changes it back: `most` layers for each option, any of them.

    Args:
        model: the model.
        head: names of the layers that make class scores, which may be of any width and activation.
        most: number of layers for each option of a class.
    """
    for kind, options in OTHER.items():
        layers = [layer for layer in model.layers if type(layer) is kind and layer.name not in head]
        for option, other in options.items():
            for layer in random.Random(option).sample(layers, min(most, len(layers))):
                before = getattr(layer, option)
                if option == "padding" and getattr(layer, "pool_size", None) == (1, 1):
                    continue  # a window of one cell is never padded
                setattr(layer, option, other(before))
                yield layer.name, option
                setattr(layer, option, before)


MUTATED = {
    "every block": every_block_spec(),
    **{name: backbones.get(name) for name in ("mobilenet_v3_small", "efficientnet_b0", "resnet50", "convnext_tiny")},
    "densenet121": backbones.get("densenet121"),
}


@pytest.mark.parametrize("name", named(tuple(MUTATED), ("every block", "mobilenet_v3_small")))
def test_a_network_with_one_layer_of_another_kind_is_another_network(name: str) -> None:
    spec = MUTATED[name]
    with graphs_alone():
        side = spec.resolution + 1  # an odd size tells paddings apart
        model = build_model(spec, classes=7, input_shape=(side, side, 3), memory_limit=float("inf"))
        model, before = stripped(model)
    found = first(model, spec)
    assert found is not None
    head = [
        mine for mine, name in before.items() if name in ("predictions", "logits", "conv_preds", "convnext_head_dense")
    ]
    count = 0
    for layer, option in changes(model, head):
        count += 1
        for other in recognise(read_layers(model), [spec]):
            assert layer not in other.inside, (before[layer], option)
    assert count > 20


def test_other_connections_are_another_network() -> None:
    spec = tiny_spec(MBConv(), MBConv(), depth=3, preprocessing=Preprocessing())
    changed = {
        "the same": lambda adding, x, other: adding([x, other]),
        "the other way round": lambda adding, x, other: adding([other, x]),
        "no skip": lambda adding, x, other: x,
        "subtracted": lambda adding, x, other: keras.layers.Subtract()([x, other]),
        "twice": lambda adding, x, other: adding([x, x]),
        "three": lambda adding, x, other: adding([x, other, x]),
    }
    with graphs_alone():
        model = build_model(spec, classes=3)
        for name, join in changed.items():

            def call(layer: Any, *inputs: Any, join: Any = join, **options: Any) -> Any:
                if layer.name == "backbone_spec":
                    return inputs[0]
                return join(layer, *inputs[0]) if layer.name == "block2b_add" else layer(*inputs, **options)

            theirs = keras.models.clone_model(
                model, clone_function=lambda layer: layer.__class__.from_config(layer.get_config()), call_function=call
            )
            assert (first(theirs, spec) is not None) == name.startswith("the"), name


def test_weights_that_are_shared_are_not_taken_for_two() -> None:
    spec = tiny_spec(MBConv(), preprocessing=Preprocessing())
    with graphs_alone():
        model = build_model(spec, classes=3, include_top=False)
        shared = keras.layers.BatchNormalization(name="shared")

        def call(layer: Any, *inputs: Any, **options: Any) -> Any:
            if layer.name == "backbone_spec":
                return inputs[0]
            return (shared if layer.name in ("block1a_project_bn", "block1b_project_bn") else layer)(*inputs, **options)

        theirs = keras.models.clone_model(
            model, clone_function=lambda layer: layer.__class__.from_config(layer.get_config()), call_function=call
        )
    assert first(theirs, spec) is None


def test_a_spec_that_is_not_registered_is_found_as_base_whatever_its_layers_are_called() -> None:
    spec = tiny_spec(MBConv())
    model = build_model(spec, classes=3)
    randomize(model, seed=1)
    theirs, _ = stripped(model)
    with pytest.raises(BuildError, match="`base`"):
        grow_model(theirs)
    copy = grow_model(theirs, base=spec)
    images = random_images(2, 32, 32, 3)
    assert_same_outputs(outputs(copy, images), outputs(theirs, images))


def test_a_broken_plugin_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Registry("backbone", {"mine": "no_such_module:SPEC"}, lambda value: True)
    broken.register("mobilenet_v1", backbones.get("mobilenet_v1"))
    monkeypatch.setattr("keras_effnet.inheritance.recognition.backbones", broken)
    assert backbones.get("mobilenet_v1") in known_specs()


def test_what_else_takes_such_models(tmp_path: Path) -> None:
    """Weight files, raw pixels, fine-tuning, and a model with its spec for everything that asks for one."""
    theirs = keras.applications.MobileNet(weights=None, input_shape=(32, 32, 3), classes=4)
    randomize(theirs, seed=1)
    images = random_images(2, 32, 32, 3)
    expected = outputs(theirs, images / 127.5 - 1)
    assert_same_outputs(outputs(take_raw_pixels(theirs), images), expected)
    theirs.save(tmp_path / "theirs.keras")
    tagged = load_backbone(tmp_path / "theirs.keras")
    assert read_embedded_spec(tagged).spec == backbones.get("mobilenet_v1")
    assert_same_outputs(outputs(tagged, images / 127.5 - 1), expected)
    renamed = keras.models.clone_model(
        theirs,
        clone_function=lambda layer: layer.__class__.from_config({**layer.get_config(), "name": f"x{id(layer)}"}),
    )
    names = {"class_names": ("cat", "dog"), "recipe": Recipe(dropout=0.1)}
    learner = make_network(str(tmp_path / "theirs.keras"), "saved", phi=0, **names)
    for name in ("conv1", "conv_dw_7", "conv_pw_13"):
        np.testing.assert_array_equal(learner.get_layer(name).kernel, theirs.get_layer(name).kernel)
    assert read_embedded_spec(learner).class_names == ("cat", "dog")
    tagged.save_weights(tmp_path / "tagged.weights.h5")
    load_weights(renamed, tmp_path / "tagged.weights.h5")
    assert_same_outputs(outputs(renamed, images / 127.5 - 1), expected)
