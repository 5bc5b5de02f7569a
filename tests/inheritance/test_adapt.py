"""Images of other channels, other classes and other sides: what the stem and the classifier compute then."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from support import BASES, as_if_trained, assert_same_outputs, outputs, random_images, tiny_spec, without_repetition

from keras_effnet import BackboneSpec, Coefficients, Preprocessing, StageSpec, build_model, grow_model, scale_spec
from keras_effnet.blocks import DepthwiseSeparable, MBConv
from keras_effnet.errors import InheritanceError
from keras_effnet.registry import backbones

slow = pytest.mark.slow

CLASSES = 5
SIDE = 32
# Of the largest number, as float32 rounds sums of some hundred products.
EXACT = 1e-5
# Pixels treated by weights, by constants and not at all; stems with a bias and without.
QUICK = ("convnext_tiny", "efficientnet_b0", "mobilenet_v3_small")
SOME_FAMILIES = pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=slow) for name in BASES]
)


def short(name: str) -> BackboneSpec:
    """The two ends of a backbone and one block of its first stage."""
    spec = scale_spec(backbones.get(name), coefficients=Coefficients(depth=0.1, width=0.25, resolution=1))
    return replace(spec, stages=(replace(spec.stages[0], depth=1),))


def trained(spec: BackboneSpec, channels: int = 3, **arguments: Any) -> keras.Model:
    """A model of logits, with weights as training leaves them."""
    options = {"classes": CLASSES, "classifier_activation": None, "input_shape": (SIDE, SIDE, channels), **arguments}
    model = build_model(spec, **options)
    as_if_trained(model)
    return model


@cache
def short_trained(name: str) -> keras.Model:
    """One model of each backbone for all tests that leave it as it is, as `grow_model` does."""
    return trained(short(name))


def adapted(model: keras.Model, channels: int, stem: Any, **arguments: Any) -> tuple[keras.Model, Any]:
    shape = (SIDE, SIDE, channels)
    return grow_model(model, input_shape=shape, stem=stem, return_report=True, **arguments)


def statistics(model: keras.Model) -> list[np.ndarray]:
    """Mean and variance that the model itself takes off pixels, channel by channel; none where it has none."""
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]
    return [np.array(number).ravel() for layer in found for number in (layer.mean, layer.variance)]


def equal_channels(model: keras.Model) -> bool:
    """Whether the model treats all channels of an image alike, before its stem."""
    return all(np.ptp(numbers) == 0 for numbers in statistics(model))


def level(model: keras.Model) -> None:
    """Gives all channels the same statistics where they are weights."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, _ = layer.weights
            mean.assign(np.full(mean.shape, 0.45))
            variance.assign(np.full(variance.shape, 0.07))
            layer.finalize_state()


# What stands between pixels and the first convolution; the noise, which is none, carries the spec.
PIXELS = (
    *(keras.layers.Rescaling, keras.layers.Normalization, keras.layers.ZeroPadding2D),
    keras.layers.GaussianNoise,
)


def readers(layer: Any, model: keras.Model) -> list[Any]:
    """The layers of a model that read what a layer makes."""
    read = {node.operation for node in layer._outbound_nodes}
    return [each for each in model.layers if each in read]


def stems_of(model: keras.Model) -> list[tuple[Any, Any]]:
    """The convolutions that read pixels, each with the batch normalisation behind it, where there is one."""
    found, todo = [], [model.layers[0]]
    for layer in todo:
        todo += [each for each in readers(layer, model) if isinstance(each, PIXELS)]
        for conv in readers(layer, model):
            if isinstance(conv, keras.layers.Conv2D):
                behind = [each for each in readers(conv, model) if isinstance(each, keras.layers.BatchNormalization)]
                found.append((conv, behind[0] if behind else None))
    return sorted(found, key=lambda pair: pair[0].name)


def stem_of(model: keras.Model) -> tuple[Any, Any]:
    """The only convolution that reads pixels, and the normalisation behind it."""
    [stem] = stems_of(model)
    return stem


def stem_outputs(model: keras.Model, old: keras.Model, x: np.ndarray) -> np.ndarray:
    """What the stem's convolutions make of pixels, as the layers of the old model behind them would get it.

    Their bias, and what the normalisation behind them takes off besides the old model's mean, count as pixels' part.
    """
    parts = []
    for (conv, norm), (old_conv, old_norm) in zip(stems_of(model), stems_of(old), strict=True):
        found = outputs(keras.Model(model.input, conv.output), x)
        if old_conv.use_bias:
            found = found - np.array(old_conv.bias)
        if norm is not None:
            found = found - (np.array(norm.moving_mean) - np.array(old_norm.moving_mean))
        parts.append(found)
    return np.concatenate(parts, axis=-1)


def inside(model: keras.Model, found: np.ndarray) -> np.ndarray:
    """The cells whose windows lie inside the image."""
    names, margin, size = [layer.name for layer in model.layers], 0, found.shape[1]
    for conv, _ in stems_of(model):
        if conv.padding == "same" or f"{conv.name}_pad" in names:
            margin = max(margin, -(-(conv.kernel_size[0] // 2) // conv.strides[0]))
    return found[:, margin : size - margin, margin : size - margin]


def gray(channels: int) -> np.ndarray:
    return np.repeat(random_images(2, SIDE, SIDE, 1), channels, axis=-1)


def check_rest_is_copied(old: keras.Model, new: keras.Model, but: set[str]) -> None:
    """All weights are those of the old model, except in some layers."""
    for layer in old.layers:
        if layer.name not in but and layer.weights:
            theirs = layer.get_weights()
            ours = new.get_layer(layer.name).get_weights()
            assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)), layer.name


def kinds(report: Any) -> dict[str, set[str]]:
    """Names of layers by what they inherited."""
    found: dict[str, set[str]] = {}
    for row in report.layers:
        found.setdefault(row.kind, set()).add(row.layer)
    return found


# The sum: exact for gray images.


def check_sum(model: keras.Model, channels: int) -> None:
    new, report = adapted(model, channels, "sum")
    stems = stems_of(new)
    names = {conv.name for conv, _ in stems}
    names |= {layer.name for layer in new.layers if isinstance(layer, keras.layers.Normalization) and layer.weights}
    if not equal_channels(model):
        names |= {norm.name for _, norm in stems if norm is not None}
    assert kinds(report) == {"adapted": names, "copied": {row.layer for row in report.layers} - names}
    check_rest_is_copied(model, new, names)
    [difference] = report.differences
    assert (difference.stage, difference.grows, report.exact) == ("stem", False, False)
    assert f"{channels} channels in place of 3: sum" in str(report)
    if equal_channels(model):
        assert_same_outputs(outputs(new, gray(channels)), outputs(model, gray(3)), EXACT)
        assert "border" not in str(report)
    else:
        ours, theirs = (stem_outputs(one, model, gray(one.input_shape[-1])) for one in (new, model))
        assert_same_outputs(inside(model, ours), inside(model, theirs), EXACT)
        assert ("border" in str(report)) == (np.abs(ours - theirs).max() > 1e-3 * np.abs(theirs).max())


@SOME_FAMILIES
def test_the_sum_computes_the_same_of_a_gray_image(name: str) -> None:
    model = trained(short(name))
    level(model)
    check_sum(model, 1)


TRAINED = [name for name in BASES if backbones.get(name).preprocessing.standardize]


@pytest.mark.parametrize("name", TRAINED)
def test_where_channels_differ_the_sum_does_so_inside_the_border(name: str) -> None:
    check_sum(short_trained(name), 1)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("efficientnet_b0", 4),
        *(pytest.param(name, (1, 2, 4, 6)[number % 4], marks=slow) for number, name in enumerate(BASES)),
    ],
)
def test_the_sum_does_so_in_whole_networks(name: str, channels: int) -> None:
    spec = without_repetition(backbones.get(name), depth=2)
    model = trained(scale_spec(spec, coefficients=Coefficients(depth=0.3, width=0.25, resolution=1)))
    check_sum(model, channels)
    if name in TRAINED:
        level(model)
        check_sum(model, channels)


def test_families_with_and_without_statistics_are_tried() -> None:
    assert "efficientnet_b0" in TRAINED
    constants = [backbones.get(name).preprocessing.mean for name in BASES]
    differ = {name for name, mean in zip(BASES, constants, strict=True) if mean is not None and len(set(mean)) > 1}
    assert {"resnet_rs50", "efficientnet_v2_b0"} <= differ
    assert len(TRAINED) + len(differ) < len(BASES) - 5


# The other ways.


@SOME_FAMILIES
def test_repeated_channels_compute_the_same_of_images_that_repeat_them(name: str) -> None:
    model = short_trained(name)
    new, _ = adapted(model, 6, "repeat")
    x = random_images(2, SIDE, SIDE, 3)
    twice = np.concatenate([x, x], axis=-1)
    if statistics(model) and not model.get_layer("normalization").weights and not equal_channels(model):
        # Constants of the spec: images of six channels get the mean of them.
        ours, theirs = stem_outputs(new, model, twice), stem_outputs(model, model, x)
        assert_same_outputs(inside(model, ours), inside(model, theirs), EXACT)
    else:
        assert_same_outputs(outputs(new, twice), outputs(model, x), EXACT)


@pytest.mark.parametrize(("name", "channels"), [("mobilenet_v2", 1), ("densenet121", 2), ("resnet50_v2", 4)])
def test_kernels_are_what_their_way_says(name: str, channels: int) -> None:
    model = short_trained(name)
    kernel = np.array(stem_of(model)[0].kernel)
    turns = [number % 3 for number in range(channels)]
    expected = {
        "sum": np.repeat(kernel.sum(2, keepdims=True), channels, 2) / channels,
        "mean": np.repeat(kernel.mean(2, keepdims=True), channels, 2),
        "repeat": kernel[:, :, turns] * 3 / channels,
    }
    for stem, wanted in expected.items():
        new, report = adapted(model, channels, stem)
        np.testing.assert_allclose(np.array(stem_of(new)[0].kernel), wanted, atol=1e-6)
        assert kinds(report)["adapted"] == {stem_of(new)[0].name}
        assert stem in str(report)
        check_rest_is_copied(model, new, {stem_of(new)[0].name})


@pytest.mark.parametrize(
    ("name", "channels"),
    [("efficientnet_b0", 1), ("mobilenet_v3_small", 6), ("resnet_rs50", 6), ("convnext_tiny", 1)],
)
def test_the_mean_keeps_the_size_of_kernels_as_they_meet_pixels(name: str, channels: int) -> None:
    model = short_trained(name)
    new, _ = adapted(model, channels, "mean")
    ours, theirs = (inside(model, stem_outputs(one, model, gray(one.input_shape[-1]))) for one in (new, model))
    assert_same_outputs(ours, theirs * channels / 3, EXACT)


@SOME_FAMILIES
def test_a_fresh_stem_leaves_the_rest_as_it_was(name: str) -> None:
    model = short_trained(name)
    new, report = adapted(model, 2, "fresh")
    fresh = kinds(report)["fresh"]
    convs = [conv for conv, _ in stems_of(new)]
    names = {conv.name for conv in convs}
    assert names <= fresh
    assert fresh <= {*names, *(layer.name for layer in new.layers if isinstance(layer, keras.layers.Normalization))}
    assert set(kinds(report)) == {"fresh", "copied"}
    check_rest_is_copied(model, new, fresh)
    for conv in convs:
        assert not conv.use_bias or not np.array(conv.bias).any(), "a first value"


def test_channels_go_there_and_back() -> None:
    model = trained(short("mobilenet_v2"), channels=1)
    three, _ = adapted(model, 3, "repeat")
    back, _ = adapted(three, 1, "sum")
    assert_same_outputs(outputs(back, gray(1)), outputs(model, gray(1)), EXACT)
    assert_same_outputs(outputs(three, gray(3)), outputs(model, gray(1)), EXACT)


def test_the_same_channels_need_no_way() -> None:
    model = short_trained("efficientnet_b0")
    for stem in ("sum", "fresh"):
        new, report = adapted(model, 3, stem)
        assert report.exact
        assert set(kinds(report)) == {"copied"}
        assert_same_outputs(outputs(new, gray(3)), outputs(model, gray(3)), 1e-6)


DEPTHWISE_STEM = replace(tiny_spec(MBConv()), stem=StageSpec(DepthwiseSeparable(), 8), drop_path=0.0)


def test_a_stem_that_is_no_plain_convolution_is_an_error() -> None:
    spec = replace(DEPTHWISE_STEM, stages=(StageSpec(MBConv(), 12),))
    with pytest.raises(InheritanceError, match=r"stem='fresh'.*Received: a Depthwise, 'conv_dw_stem'"):
        adapted(trained(spec), 1, "sum")


def test_a_stem_that_is_no_plain_convolution_may_start_afresh() -> None:
    spec = replace(DEPTHWISE_STEM, stages=(StageSpec(MBConv(), 12),))
    model = trained(spec)
    new, report = adapted(model, 1, "fresh")
    assert new.input_shape == (None, SIDE, SIDE, 1)
    assert "conv_dw_stem" in kinds(report)["fresh"]


# Statistics that no layer behind the stem can make up for.


def test_a_constant_that_nothing_can_take_up_is_no_silent_difference() -> None:
    from keras_effnet.blocks import ResNetStem

    pixels = Preprocessing(mean=(0.4, 0.5, 0.6), variance=(0.05, 0.06, 0.07), scale=1 / 255)
    spec = replace(
        tiny_spec(MBConv()), stem=StageSpec(ResNetStem(bias=False, norm=None), 8, stride=2), preprocessing=pixels
    )
    model = trained(spec)
    try:
        new, _ = adapted(model, 1, "sum")
    except InheritanceError:
        return  # said
    ours, theirs = stem_outputs(new, model, gray(1)), stem_outputs(model, model, gray(3))
    assert_same_outputs(inside(model, ours), inside(model, theirs), EXACT)


# Classes.


@SOME_FAMILIES
def test_a_selection_of_classes_gives_their_logits(name: str) -> None:
    model = short_trained(name)
    x = random_images(2, SIDE, SIDE, 3)
    new, report = grow_model(model, classes=[3, 0, 3], input_shape=(SIDE, SIDE, 3), return_report=True)
    assert_same_outputs(outputs(new, x), outputs(model, x)[:, [3, 0, 3]], 1e-6)
    [last] = kinds(report)["selected"]
    assert last == report.layers[-1].layer
    assert len(kinds(report)["copied"]) == len(report.layers) - 1
    assert "3 classes in place of 5" in str(report)


@SOME_FAMILIES
def test_other_classes_get_a_fresh_classifier_and_nothing_else(name: str) -> None:
    model = short_trained(name)
    new, report = grow_model(model, classes=11, input_shape=(SIDE, SIDE, 3), return_report=True)
    assert new.output_shape == (None, 11)
    [last] = kinds(report)["fresh"]
    assert last == report.layers[-1].layer
    assert kinds(report)["copied"] == {row.layer for row in report.layers} - {last}
    check_rest_is_copied(model, new, {last})
    assert not np.array(new.get_layer(last).bias).any()
    assert new.layers[-1].activation is keras.activations.linear
    assert not report.exact


def test_all_classes_in_another_order_are_a_selection() -> None:
    model = short_trained("resnet50")
    x = random_images(2, SIDE, SIDE, 3)
    new = grow_model(model, classes=[4, 3, 2, 1, 0], input_shape=(SIDE, SIDE, 3))
    assert_same_outputs(outputs(new, x), outputs(model, x)[:, ::-1], 1e-6)


def test_as_many_classes_are_the_same_classes() -> None:
    model = short_trained("resnet50")
    _, report = grow_model(model, classes=CLASSES, input_shape=(SIDE, SIDE, 3), return_report=True)
    assert report.exact
    assert set(kinds(report)) == {"copied"}


@pytest.mark.parametrize("name", ["mobilenet_v1", "resnet50", "mobilenet_v3_small"])
def test_the_classifiers_activation_stays_unless_another_is_asked_for(name: str) -> None:
    model = trained(short(name), classifier_activation="softmax")
    x, shape = random_images(2, SIDE, SIDE, 3), (SIDE, SIDE, 3)
    kept = grow_model(model, input_shape=shape)
    assert outputs(kept, x).sum(axis=-1) == pytest.approx(1, abs=1e-5)
    assert_same_outputs(outputs(kept, x), outputs(model, x), 1e-6)
    scores = outputs(grow_model(model, input_shape=shape, classifier_activation=None), x)
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    assert_same_outputs(odds / odds.sum(axis=-1, keepdims=True), outputs(model, x), 1e-5)


def test_features_have_no_classes() -> None:
    model = trained(short("resnet50"), include_top=False, pooling="max")
    with pytest.raises(InheritanceError, match=r"leave `classes` out.*Received: classes=3"):
        grow_model(model, classes=3)
    new = grow_model(model)
    x = random_images(2, SIDE, SIDE, 3)
    assert_same_outputs(outputs(new, x), outputs(model, x), 1e-6)


# Sides, and all at once.


@SOME_FAMILIES
def test_another_resolution_keeps_every_weight(name: str) -> None:
    model = short_trained(name)
    new, report = grow_model(model, input_shape=(48, 64, 3), return_report=True)
    assert new.input_shape == (None, 48, 64, 3)
    assert report.exact
    assert set(kinds(report)) == {"copied"}
    check_rest_is_copied(model, new, set())
    twin = build_model(short(name), input_shape=(48, 64, 3), classes=CLASSES, classifier_activation=None)
    as_if_trained(twin)
    x = random_images(1, 48, 64, 3)
    assert_same_outputs(outputs(new, x), outputs(twin, x), 1e-6)


def test_a_stem_and_classes_follow_while_the_network_grows() -> None:
    spec = scale_spec("mobilenet_v2", coefficients=Coefficients(depth=0.3, width=0.3, resolution=1))
    model = trained(spec)
    larger = scale_spec(spec, coefficients=Coefficients(depth=1.5, width=1.5))
    shape = (SIDE, SIDE, 2)
    new, report = grow_model(model, larger, input_shape=shape, classes=[4, 1], return_report=True)
    assert_same_outputs(outputs(new, gray(2)), outputs(model, gray(3))[:, [4, 1]], 1e-4)
    assert {"adapted", "widened", "identity"} <= set(report.counts)
    assert {difference.stage for difference in report.differences} == {"stem", "top"}
