"""Published networks that scaled ones inherit from: which it is, and what comes of its file of weights.

Nothing is downloaded: the tests write files in the layout of the published ones.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, assert_same_outputs, outputs, random_images, write_legacy_h5

from keras_effnet import BackboneSpec, Coefficients, build_model, estimate_cost, scale_model, scale_spec
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.errors import WeightsError
from keras_effnet.inheritance.members import nearest_member
from keras_effnet.registry import backbones
from keras_effnet.scaling import Rounding
from keras_effnet.weights.imagenet import all_published

slow = pytest.mark.slow

PUBLISHED = [entry.spec for entry in all_published()]
# One base of each family with published weights.
BASES = (
    *("efficientnet_b0", "efficientnet_v2_b0", "resnet50", "resnet50_v2", "densenet121", "mobilenet_v1"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v3_small_minimalistic", "convnext_tiny"),
)
PHIS = (-4.0, -1.5, -0.3, 0.0, 0.4, 1.0, 2.2, 5.0)


# Which member.


def sizes(spec: BackboneSpec) -> list[int]:
    """Widths and depths of all parts."""
    return [number for part in spec.parts for number in (part.width, part.depth)]


def of_the_same_blocks(spec: BackboneSpec) -> list[BackboneSpec]:
    blocks = [(part.block, part.stride) for part in spec.parts]
    alike = [one for one in PUBLISHED if [(part.block, part.stride) for part in one.parts] == blocks]
    return [one for one in alike if one.preprocessing == spec.preprocessing]


def inside(small: BackboneSpec, large: BackboneSpec) -> bool:
    hidden = [getattr(spec.classifier, "width", 0) for spec in (small, large)]
    return hidden[0] <= hidden[1] and all(a <= b for a, b in zip(sizes(small), sizes(large), strict=True))


def scaled(name: str, phi: float) -> BackboneSpec:
    spec = backbones.get(name)
    made = scale_spec(spec, coefficients=Coefficients(depth=1.2**phi, width=1.1**phi, resolution=1))
    return replace(made, resolution=224)


@pytest.mark.parametrize("phi", [phi if phi in (-1.5, 1.0) else pytest.param(phi, marks=slow) for phi in PHIS])
@pytest.mark.parametrize("name", BASES)
def test_the_member_is_the_largest_below_or_the_smallest_above(name: str, phi: float) -> None:
    spec = scaled(name, phi)
    alike = of_the_same_blocks(spec)
    assert alike
    below, above = [one for one in alike if inside(one, spec)], [one for one in alike if inside(spec, one)]
    if not below and not above:
        with pytest.raises(WeightsError, match="larger than this one in one place"):
            nearest_member(spec)
        return
    for member, first, second in (("below", below, above), ("above", above, below)):
        found = nearest_member(spec, member)  # pyright: ignore[reportArgumentType]
        assert found in (first or second)
        grows = bool(first) == (member == "below")
        counts = [estimate_cost(one).params for one in first or second]
        assert estimate_cost(found).params == (max(counts) if grows else min(counts))


@pytest.mark.parametrize("name", BASES)
def test_there_is_one_on_each_side_of_most_sizes(name: str) -> None:
    """The law above says nothing where there is no member at all."""
    for phi in (0.0, 1.0, 2.2, 5.0):
        assert inside(nearest_member(scaled(name, phi)), scaled(name, phi))
    for phi in (-4.0, -1.5, 0.0):
        assert inside(scaled(name, phi), nearest_member(scaled(name, phi), "above"))


@slow
def test_published_networks_are_their_own_members() -> None:
    """At their resolution too: weights of MobileNets were trained at several."""
    for spec in PUBLISHED:
        for member in ("below", "above"):
            found = nearest_member(replace(spec, name="mine"), member)  # pyright: ignore[reportArgumentType]
            assert found == spec, (spec.name, spec.resolution, found.resolution, member)


@pytest.mark.parametrize(
    ("phi", "below", "above"), [(0.5, "b1", "b2"), (1, "b2", "b2"), (-2, "b0", "b0"), (1.5, "b2", "b3")]
)
def test_known_members_of_efficientnet(phi: float, below: str, above: str) -> None:
    spec = scale_spec("efficientnet_b0", phi)
    found = [nearest_member(spec, member).name for member in ("below", "above")]
    assert found == [f"efficientnet_{below}", f"efficientnet_{above}"], [sizes(spec)]


def test_resolution_chooses_among_weights_of_one_size() -> None:
    spec = backbones.get("mobilenet_v2")
    wide = scale_spec(spec, coefficients=Coefficients(width=1.1))
    for resolution, nearest in ((224, 224), (600, 224), (100, 96), (150, 160), (32, 96)):
        found = nearest_member(replace(wide, resolution=resolution))
        assert (found.stem.width, found.resolution) == (32, nearest)


@pytest.mark.parametrize("name", ["regnet_y_400mf", "resnext50", "efficientnet_lite0", "mnasnet_a1", "resnet_rs50"])
def test_blocks_that_nothing_is_published_for_are_an_error(name: str) -> None:
    with pytest.raises(WeightsError, match=rf"no ImageNet weights are published.*Received: '{name}'"):
        nearest_member(backbones.get(name))


def test_other_blocks_or_pixels_are_an_error() -> None:
    spec = backbones.get("mobilenet_v2")
    first, *rest = spec.stages
    others = (
        replace(spec, stages=(replace(first, block=replace(first.block, kernel=5)), *rest)),
        replace(spec, stages=spec.stages[:-1]),
        replace(spec, stages=(replace(first, stride=2), *rest)),
        replace(spec, preprocessing=replace(spec.preprocessing, mode="caffe")),
    )
    for other in others:
        with pytest.raises(WeightsError, match="no ImageNet weights are published"):
            nearest_member(other)


def test_a_network_between_all_members_is_an_error() -> None:
    spec = backbones.get("resnet50")
    thin = scale_spec(spec, coefficients=Coefficients(width=0.5, depth=2), rounding=Rounding(depth="round"))
    with pytest.raises(WeightsError, match=r"scale the base by one phi.*Received: 'resnet50.*resnet152"):
        nearest_member(thin)


# What comes of its file.


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes a file where Keras would download one; the list has the names that were asked for."""
    asked: list[str] = []

    def get_file(fname: str, origin: str, **_: Any) -> str:
        asked.append(fname)
        path = tmp_path / fname
        if not path.exists():
            raise ConnectionError(f"no such file is served: {origin}")
        return str(path)

    monkeypatch.setattr("keras.utils.get_file", get_file)
    return asked


# MobileNetV1 at a quarter of its width, for 128 px: the smallest published network.
FILES = ("mobilenet_2_5_128_tf.h5", "mobilenet_2_5_128_tf_no_top.h5")


@cache
def published(include_top: bool, pooling: str | None) -> keras.Model:
    """Keras' own network with weights as training leaves them; no test changes it."""
    options = {"alpha": 0.25, "input_shape": (128, 128, 3), "include_top": include_top, "pooling": pooling}
    theirs = keras.applications.MobileNet(weights=None, classifier_activation=None, **options)
    as_if_trained(theirs)
    return theirs


def publish(folder: Path, include_top: bool = True, pooling: str | None = None) -> keras.Model:
    """The network, and its file."""
    theirs = published(include_top, pooling)
    write_legacy_h5(theirs, folder / FILES[0 if include_top else 1])
    return theirs


def quarter() -> BackboneSpec:
    return next(one for one in PUBLISHED if one.name == "mobilenet_v1" and (one.stem.width, one.resolution) == (8, 128))


LARGER = Coefficients(depth=1.3, width=1.5)


def grown(**arguments: Any) -> Any:
    """A network between two published ones, with what the smaller has learned."""
    options: dict[str, Any] = {"coefficients": LARGER, "rounding": Rounding(depth="round"), **arguments}
    return scale_model(quarter(), weights="imagenet", **options)


@pytest.mark.slow
def test_a_grown_network_computes_what_the_member_does(tmp_path: Path, served: list[str]) -> None:
    theirs = publish(tmp_path)
    model, report = grown(classifier_activation=None, return_report=True)
    x = random_images(2, 128, 128, 3) / 127.5 - 1
    assert_same_outputs(outputs(model, x), outputs(theirs, x), 1e-4)
    assert model.count_params() > 1.3 * theirs.count_params()
    assert served == [FILES[0]]
    assert report.source == "mobilenet_v1"
    assert "but for rounding" in str(report)
    assert report.exact
    assert {"widened", "identity"} <= set(report.counts)
    assert read_embedded_spec(model).spec == scale_spec(
        quarter(), coefficients=LARGER, rounding=Rounding(depth="round")
    )


@pytest.mark.slow
def test_classes_channels_and_sides_are_free(tmp_path: Path, served: list[str]) -> None:
    theirs = publish(tmp_path)
    shape = (96, 64, 1)
    model, report = grown(classes=10, input_shape=shape, return_report=True, classifier_activation=None)
    assert (model.input_shape, model.output_shape) == ((None, *shape), (None, 10))
    assert {row.kind for row in report.layers if row.layer == "conv_preds"} == {"fresh"}
    assert {"stem", "top"} == {difference.stage for difference in report.differences}
    some = grown(classes=[7, 999], input_shape=shape, classifier_activation=None)
    x = random_images(2, 96, 64, 1) / 127.5 - 1
    twin = keras.applications.MobileNet(
        weights=None, alpha=0.25, input_shape=(96, 64, 3), include_top=False, pooling="avg"
    )
    for layer in twin.layers:
        if layer.weights:
            layer.set_weights(theirs.get_layer(layer.name).get_weights())
    kernel, bias = (np.array(weight) for weight in theirs.get_layer("conv_preds").weights)
    logits = outputs(twin, np.repeat(x, 3, axis=-1)) @ kernel[0, 0] + bias
    assert_same_outputs(outputs(some, x), logits[:, [7, 999]], 1e-4)


@slow
def test_features_without_top_are_those_of_the_member(tmp_path: Path, served: list[str]) -> None:
    theirs = publish(tmp_path, include_top=False, pooling="avg")
    model, report = grown(include_top=False, pooling="avg", return_report=True)
    assert served == [FILES[1]]
    assert model.input_shape == (None, None, None, 3)
    assert report.exact
    x = random_images(2, 128, 128, 3) / 127.5 - 1
    before, after = outputs(theirs, x), outputs(model, x)
    assert after.shape[1] > before.shape[1]
    nearest = np.abs(after[:, :, None] - before[:, None, :]).max(axis=0).min(axis=1)
    assert nearest.max() <= 1e-4 * np.abs(before).max()


@slow
def test_a_larger_member_shrinks(tmp_path: Path, served: list[str]) -> None:
    publish(tmp_path)
    thin = Coefficients(width=0.5)
    free = Rounding(divisor=1)
    for member in ("above", "below"):  # nothing smaller is published
        model, report = grown(coefficients=thin, rounding=free, member=member, return_report=True, select="prefix")
        assert set(report.counts) == {"selected", "copied"} or set(report.counts) == {"selected"}
        assert model.get_layer("conv1").kernel.shape[-1] == 4
        assert "channels are left out" in str(report)
    with pytest.raises(WeightsError, match="could not be fetched"):
        grown(
            member="above", coefficients=Coefficients(width=1.5)
        )  # the next larger is another file, which nobody serves
    assert served[-1].startswith("mobilenet_5_0_")


def test_what_is_published_is_taken_as_it_is(tmp_path: Path, served: list[str]) -> None:
    theirs = publish(tmp_path)
    model, report = scale_model(quarter(), 0, weights="imagenet", return_report=True)
    assert set(report.counts) == {"copied"}
    assert keras.activations.serialize(model.layers[-1].activation) == "softmax", "the default of build_model"
    for layer in theirs.layers:
        if layer.weights:
            ours = model.get_layer(layer.name).get_weights()
            assert all(np.array_equal(a, b) for a, b in zip(ours, layer.get_weights(), strict=True))


@pytest.mark.parametrize(
    "resolution", [pytest.param(128, marks=slow), 160, *(pytest.param(n, marks=slow) for n in (192, 224))]
)
def test_the_weights_are_those_that_build_model_takes(resolution: int, served: list[str]) -> None:
    spec = replace(quarter(), resolution=resolution)
    for make in (
        lambda: build_model(spec, weights="imagenet"),
        lambda: scale_model(spec, 0, weights="imagenet"),
        lambda: scale_model(spec, 0, weights="imagenet", classes=10),
    ):
        with pytest.raises(WeightsError, match="could not be fetched"):
            make()
    assert len(served) == 3
    assert len(set(served)) == 1, served


@slow
def test_efficientnet_inherits_too(tmp_path: Path, served: list[str]) -> None:
    theirs = keras.applications.EfficientNetB0(weights=None)
    as_if_trained(theirs)
    write_legacy_h5(theirs, tmp_path / "efficientnetb0.h5")
    options = {"input_shape": (224, 224, 3), "classifier_activation": None}
    expected = build_model("efficientnet_b0", weights="imagenet", **options)
    x = random_images(1, 224, 224, 3)
    wider, smaller = {"coefficients": Coefficients(width=1.1)}, {"phi": -0.5}
    for scaling in (wider, smaller):
        model, report = scale_model("efficientnet_b0", **scaling, weights="imagenet", return_report=True, **options)
        assert report.source == "efficientnet_b0"
        if scaling is wider:
            assert model.count_params() > expected.count_params()
            assert_same_outputs(outputs(model, x), outputs(expected, x), 1e-4)
        else:
            assert "selected" in report.counts


def test_errors_come_before_anything_is_fetched(served: list[str]) -> None:
    with pytest.raises(WeightsError, match="no ImageNet weights are published"):
        scale_model("regnet_y_400mf", 0.5, weights="imagenet")
    with pytest.raises(WeightsError, match=r"`member`.*Received"):
        scale_model("mobilenet_v1", 0.5, weights="imagenet", member="beside")  # pyright: ignore[reportArgumentType]
    assert served == []
