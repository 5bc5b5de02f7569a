"""Feature extractors return what the classifier computes inside, also where dilated, grown, saved and loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest
from support import BASES, as_if_trained, every_block_spec, outputs, random_images, stage_of, tiny_spec, write_legacy_h5

from keras_effnet import (
    BackboneSpec,
    Coefficients,
    StageSpec,
    build_model,
    estimate_cost,
    feature_extractor,
    feature_levels,
    fold_batchnorm,
    grow_model,
    scale_model,
    scale_spec,
)
from keras_effnet.blocks import Block, InvertedResidual, MBConv, Placement
from keras_effnet.builder.embedded_spec import EmbeddedSpec, note_images, read_embedded_spec
from keras_effnet.errors import BuildError, InheritanceError, WeightsError
from keras_effnet.inheritance.embedded_network import find_network
from keras_effnet.ops import Ops, T
from keras_effnet.registry import backbones

slow = pytest.mark.slow
EXACT = 1e-4  # of the largest number
QUICK = ("mobilenet_v1", "resnet50_v2")
FAMILIES = [name if name in QUICK else pytest.param(name, marks=slow) for name in BASES]


def shallow(name: str, width: float = 0.25) -> BackboneSpec:
    """A thin backbone with all its stages, of two blocks at most."""
    spec = backbones.get(name)
    stages = tuple(replace(stage, depth=min(stage.depth, 2)) for stage in spec.stages)
    return scale_spec(replace(spec, stages=stages), coefficients=Coefficients(width=width))


def trained(spec: BackboneSpec, shape: tuple[int, int] = (64, 96), **arguments: Any) -> keras.Model:
    """A model with weights as training leaves them; its top gives logits."""
    options = {"classes": 5, "classifier_activation": None, "input_shape": (*shape, 3), **arguments}
    model = build_model(spec, **options)
    as_if_trained(model)
    return model


def images_for(model: keras.Model, *shape: int) -> np.ndarray:
    raw = any(isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization) for layer in model.layers)
    pixels = random_images(2, *shape, 3)
    return pixels if raw else pixels / 64 - 2


def made(model: keras.Model) -> dict[str, Any]:
    """The Keras tensors that an extractor returns, by level."""
    return cast(dict[str, Any], model.output)


def maps(model: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """The maps that an extractor returns, by level."""
    return {name: np.asarray(keras.ops.convert_to_numpy(each)) for name, each in model(images, training=False).items()}


def assert_same_maps(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, theirs in expected.items():
        assert theirs.std() > 1e-3 * np.abs(theirs).max(), "constant maps prove nothing"
        np.testing.assert_allclose(found[name], theirs, rtol=0, atol=1e-5 * float(np.abs(theirs).max()))


def last_of_each_size(model: keras.Model, spec: BackboneSpec) -> dict[tuple[int, int], str]:
    """The last layer of the last block of each size, read from the names and shapes of the layers alone."""
    found: dict[tuple[int, int], str] = {}
    ends: dict[tuple[int, str], Any] = {}
    for layer in model.layers:
        stage, block = stage_of(layer.name, spec), re.match(r"conv\d+_block\d+_", layer.name)
        if 1 <= stage <= len(spec.stages) and len(layer.output.shape) == 4:
            # Only ResNets change the size inside a stage, behind its last block.
            ends[stage, block[0] if block else ""] = layer
    for layer in ends.values():
        found[layer.output.shape[1:3]] = layer.name
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_levels_are_what_the_classifier_computes_inside(name: str) -> None:
    spec = shallow(name)
    model = trained(spec)
    extractor, told = feature_extractor(model), feature_levels(spec)
    sizes = [(64 // stride, 96 // stride) for stride in told.strides]
    assert list(extractor.output) == list(told.names)
    shapes = [tuple(each.shape[1:]) for each in made(extractor).values()]
    assert shapes == [(*size, channels) for size, channels in zip(sizes, told.channels, strict=True)]

    layers = last_of_each_size(model, spec)
    images = images_for(model, 64, 96)
    expected = keras.Model(model.input, {size: model.get_layer(layer).output for size, layer in layers.items()})(images)
    found = maps(extractor, images)
    assert len(expected) >= len(told.names) - 1
    for level, size in zip(told.names, sizes, strict=True):
        if size in expected:
            np.testing.assert_array_equal(found[level], np.asarray(expected[size]))
        else:
            assert level == "P1"  # of the stem, where no block ends

    assert estimate_cost(extractor).params == extractor.count_params() < model.count_params()
    assert read_embedded_spec(extractor) == EmbeddedSpec(spec, False, None, 5, features=told.names)
    assert find_network(extractor).alone


@pytest.mark.parametrize("name", FAMILIES)
def test_a_dilated_network_has_the_values_of_the_strided_one_and_more_between_them(name: str) -> None:
    spec = shallow(name)
    model = trained(spec, (96, 160))
    for layer in model.layers:
        # Gates see means over the whole image, which has more cells: they are made constant.
        if layer.name.endswith(("se_reduce", "squeeze_excite_conv")):
            layer.kernel.assign(keras.ops.zeros_like(layer.kernel))
    told, images = feature_levels(spec), images_for(model, 96, 160)
    plain = feature_extractor(model)
    strided = maps(plain, images)
    for output_stride in (8, 16):
        extractor = feature_extractor(model, output_stride=output_stride)
        assert feature_levels(extractor) == feature_levels(spec, output_stride=output_stride)
        assert [each.shape for each in extractor.weights] == [each.shape for each in plain.weights]
        dilated = maps(extractor, images)
        for level, stride in zip(told.names, told.strides, strict=True):
            finer = max(stride // output_stride, 1)
            sampled = dilated[level][:, ::finer, ::finer]
            np.testing.assert_allclose(sampled, strided[level], rtol=0, atol=1e-6 * np.abs(strided[level]).max())


@pytest.mark.parametrize("block", [MBConv(se_ratio=0), InvertedResidual()])
def test_a_dilated_network_for_images_of_any_size_takes_their_sides_to_be_divisible(block: Block) -> None:
    spec = tiny_spec(block, block, block, block, stem=StageSpec(tiny_spec(block).stem.block, 8, stride=4))
    strided = trained(spec, features=("P4",), input_shape=(None, None, 3))
    dilated = feature_extractor(strided, output_stride=8)
    images = images_for(strided, 64, 96)
    np.testing.assert_allclose(
        maps(dilated, images)["P4"][:, ::2, ::2], maps(strided, images)["P4"], rtol=0, atol=1e-6 * 100
    )
    assert made(dilated)["P4"].shape == (None, None, None, 20)


def check_grown(small: keras.Model, large: keras.Model) -> None:
    """Every channel of each level is there again, and, unless new blocks add some, nothing else."""
    images = images_for(small, *small.input_shape[1:3])
    before, after = maps(small, images), maps(large, images)
    assert list(before) == list(after)
    for level, theirs in before.items():
        scale, channels = np.abs(theirs).max(), theirs.shape[-1]
        assert np.abs(theirs[0] - theirs[1]).max() > 20 * EXACT * scale
        distances = np.array(
            [np.abs(after[level] - theirs[..., [channel]]).max(axis=(0, 1, 2)) for channel in range(channels)]
        )
        assert distances.min(axis=1).max() <= EXACT * scale


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v2"]
    + [
        pytest.param(name, marks=slow)
        for name in ("efficientnet_b0", "resnet50", "resnet50_v2", "densenet121", "mobilenet_v3_small", "repvgg_a0")
    ],
)
def test_a_trained_extractor_grows_exactly(name: str) -> None:
    spec = shallow(name, width=0.2)
    for output_stride in (None, 8):
        model = trained(spec, (64, 64), features=("P2", "P4", "P5"), output_stride=output_stride)
        grown, report = scale_model(model, coefficients=Coefficients(depth=1.5, width=1.5), return_report=True)
        assert report.exact, str(report)
        assert report.measured is not None
        assert grown.count_params() > model.count_params()
        check_grown(model, grown)
        assert read_embedded_spec(grown).features == ("P2", "P4", "P5")
        assert estimate_cost(grown).params == grown.count_params()
        assert feature_levels(grown).strides == feature_levels(model).strides


def test_a_smaller_extractor_keeps_a_selection() -> None:
    model = trained(shallow("mobilenet_v2"), (64, 64), features=("P3", "P5"))
    smaller, report = scale_model(model, coefficients=Coefficients(width=0.5), return_report=True)
    assert not report.exact
    assert {part.grows for part in report.differences} == {False}
    assert list(smaller.output) == ["P3", "P5"]
    assert smaller.count_params() < model.count_params()
    [kernel] = smaller.get_layer("Conv1").get_weights()
    [old] = model.get_layer("Conv1").get_weights()
    assert all(
        any(np.array_equal(kernel[..., new], old[..., each]) for each in range(old.shape[-1]))
        for new in range(kernel.shape[-1])
    )


def test_a_level_that_another_block_makes_after_growth_is_no_exact_growth() -> None:
    # The only block of a stage strides as its last, so that P2 is the stem's; with two blocks it is the first one's.
    spec = shallow("resnet50_v2")
    one = replace(spec, stages=tuple(replace(stage, depth=1) for stage in spec.stages))
    model = trained(one, (64, 64), features=("P2", "P5"))
    with pytest.raises(InheritanceError, match="stem: level P2 lacks channels that it had"):
        grow_model(model, spec)


def through_keras(model: keras.Model, folder: Path) -> Any:
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras", safe_mode=True)


def through_h5(model: keras.Model, folder: Path) -> Any:
    model.save(folder / "model.h5")
    return keras.models.load_model(folder / "model.h5", safe_mode=True)


def cloned(model: keras.Model, folder: Path) -> Any:
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


@pytest.mark.parametrize("way", [through_keras, through_h5, cloned])
def test_an_extractor_goes_where_models_go(way: Callable[[keras.Model, Path], Any], tmp_path: Path) -> None:
    model = trained(shallow("mobilenet_v2"), (64, 64), features=("P3", "P5"), output_stride=16)
    images = images_for(model, 64, 64)
    gone = way(model, tmp_path)
    assert_same_maps(maps(gone, images), maps(model, images))
    assert feature_levels(gone) == feature_levels(model)
    assert find_network(gone).alone
    check_grown(gone, scale_model(gone, 1, input_shape=gone.input_shape[1:]))


def test_a_folded_extractor_returns_the_same_maps() -> None:
    model = trained(shallow("mobilenet_v2"), (64, 64), features=("P3", "P5"), output_stride=16)
    images = images_for(model, 64, 64)
    folded = fold_batchnorm(model)
    assert len(folded.layers) < len(model.layers)
    assert_same_maps(maps(folded, images), maps(model, images))


def test_any_block_makes_levels_that_find_themselves_again() -> None:
    spec = every_block_spec()
    model = trained(spec, (64, 64))
    for output_stride in (None, 8):
        extractor = feature_extractor(model, output_stride=output_stride)
        assert find_network(extractor).alone
        assert estimate_cost(extractor).params == extractor.count_params()
        assert list(maps(extractor, images_for(model, 64, 64))) == ["P1", "P2", "P3", "P4", "P5"]


def test_files_of_the_whole_network_and_of_the_extractor_load(tmp_path: Path) -> None:
    spec = tiny_spec(MBConv(expand=2), MBConv(expand=2), depth=1)
    whole = trained(spec, (32, 32), include_top=False)
    extractor = feature_extractor(whole, ("P1", "P2"))
    images = images_for(whole, 32, 32)
    whole.save_weights(tmp_path / "whole.weights.h5")
    whole.save(tmp_path / "whole.keras")
    write_legacy_h5(whole, tmp_path / "old.h5")
    extractor.save_weights(tmp_path / "extractor.weights.h5")
    for file in ("whole.weights.h5", "whole.keras", "old.h5", "extractor.weights.h5"):
        found = feature_extractor(spec, ("P1", "P2"), weights=tmp_path / file, input_shape=(32, 32, 3))
        assert_same_maps(maps(found, images), maps(extractor, images))
        assert [layer.name for layer in found.layers[1:]] == [layer.name for layer in extractor.layers[1:]]
    other = tiny_spec(MBConv(expand=3), MBConv(expand=2), depth=1)
    with pytest.raises(WeightsError, match="another architecture"):
        feature_extractor(other, weights=tmp_path / "whole.weights.h5")


def test_layers_in_front_go_along_and_what_stands_behind_does_not() -> None:
    spec = tiny_spec(MBConv(expand=2), MBConv(expand=2), depth=1)
    x = keras.Input((40, 40, 3))
    small = keras.layers.Resizing(32, 32, name="small")(x)
    core = trained(spec, include_top=False, pooling="avg", input_shape=None, input_tensor=small)
    model = keras.Model(x, keras.layers.Dense(3, name="mine")(core.output))
    note_images(model, resize="pad")
    extractor = feature_extractor(model, ("P2",))
    assert extractor.layers[1].name == "small"
    assert "mine" not in [layer.name for layer in extractor.layers]
    pixels = random_images(2, 40, 40, 3)
    inside = keras.Model(x, core.get_layer("block2a_project_bn").output)
    np.testing.assert_allclose(maps(extractor, pixels)["P2"], outputs(inside, pixels), rtol=0, atol=1e-5)
    assert read_embedded_spec(extractor).resize == "pad"
    assert made(extractor)["P2"].shape == (None, 8, 8, 12)


def test_a_decoder_goes_along_where_its_levels_keep_their_channels() -> None:
    spec = tiny_spec(MBConv(expand=2), MBConv(expand=2), depth=1)
    extractor = trained(spec, (32, 32), features=("P1", "P2"))

    def decoded(levels: Any) -> Any:
        coarse = keras.layers.UpSampling2D(name="up")(levels["P2"])
        joined = keras.layers.Concatenate(name="join")([levels["P1"], coarse])
        return {"mask": keras.layers.Conv2D(2, 1, name="mask")(joined), "coarse": coarse}

    x = keras.Input((32, 32, 3))
    images = images_for(extractor, 32, 32)
    flat = keras.Model(extractor.input, decoded(extractor.output))
    nested = keras.Model(x, decoded(extractor(x)))
    for model in (flat, nested):
        as_if_trained(model.get_layer("mask") and keras.Model(model.input, model.output))
        assert find_network(model).behind == ("up", "join", "mask")
        deeper = tuple(replace(stage, depth=2) for stage in spec.stages)
        grown, report = grow_model(model, replace(spec, stages=deeper), return_report=True)
        assert report.exact
        assert_same_maps(maps(grown, images), maps(model, images))
        with pytest.raises(InheritanceError, match="'mask' cannot be carried along"):
            scale_model(model, coefficients=Coefficients(width=2))
        again = feature_extractor(model, ("P2",))
        np.testing.assert_array_equal(maps(again, images)["P2"], maps(feature_extractor(extractor), images)["P2"])


def test_an_extractor_gives_fewer_levels_and_says_which_it_cannot_give() -> None:
    model = trained(shallow("mobilenet_v2"), (64, 64), features=("P2", "P3"), output_stride=8)
    fewer = feature_extractor(model, strides=(8,))
    images = images_for(model, 64, 64)
    np.testing.assert_array_equal(maps(fewer, images)["P3"], maps(model, images)["P3"])
    assert read_embedded_spec(fewer).output_stride == 8
    assert read_embedded_spec(feature_extractor(model, output_stride=32)).output_stride == 32
    with pytest.raises(InheritanceError, match=r"'mobilenet_v2' ends at level P3.* Received: P4, P5"):
        feature_extractor(model, ("P4", "P5"))


def test_imagenet_weights_of_any_size_go_into_extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def build(spec: Any, include_top: bool, weights: Any, **options: Any) -> keras.Model:
        asked.append((weights, options["features"]))
        return build_model(spec, include_top, None, **options)

    monkeypatch.setattr("keras_effnet.inheritance.scaled_model.build_model", build)
    model = scale_model("mobilenet_v1", 0.25, weights="imagenet", features=("P3",))
    assert asked == [("imagenet", ("P3",))]
    assert feature_levels(model) == feature_levels(scale_spec("mobilenet_v1", 0.25), ("P3",))


class Foreign(Block):
    """A block that is not registered, so that models of it carry no spec."""

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        return ops.conv(x, at.width, 3, at.stride, name=f"foreign{at.index}")

    def describe(self) -> str:
        return "Foreign"


def test_blocks_of_other_people_make_levels_and_grow_with_their_spec() -> None:
    spec = replace(tiny_spec(MBConv()), stages=(StageSpec(Foreign(), 8), StageSpec(Foreign(), 8, stride=2)), head=None)
    model = trained(spec, (32, 32), features=("P1", "P2"))
    assert feature_levels(spec, ("P1", "P2")).channels == (8, 8)
    # Its spec cannot be written into it, and its graph says as much.
    assert feature_levels(model).channels == (8, 8)
    assert list(feature_extractor(model, ("P2",)).output) == ["P2"]
    wider = scale_spec(spec, coefficients=Coefficients(width=2))
    check_grown(model, grow_model(model, wider, base=spec))


class Subclassed(keras.Model):
    def call(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("resnet50", {"levels": ("P7",)}, "Received: 'P7'"),
        ("resnet50", {"levels": ("P3",), "pooling": "avg"}, "not pooled"),
        ("resnet50", {"output_stride": 5}, "8, 16, 32. Received: output_stride=5"),
        ("resnet50", {"levels": ("P3",), "input_shape": (16, 16, 3)}, "sides of input_shape"),
        ("resnet50", {"levels": ("P3",), "memory_limit": 1e6}, "may take 0.0 GB"),
        ("no such name", {}, "no such name"),
        (Subclassed(name="mine"), {}, "mine"),
        (keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)], name="mine"), {}, "no level of"),
    ],
    ids=str,
)
def test_what_cannot_be_extracted_is_refused(model: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((BuildError, InheritanceError, LookupError), match=message):
        feature_extractor(model, **arguments)


@pytest.mark.parametrize("features", ["P3", (), ("P9",), 3])
def test_what_cannot_be_built_is_refused(features: Any) -> None:
    with pytest.raises(BuildError, match="level"):
        build_model("mobilenet_v1", features=features)


def test_a_model_has_its_weights() -> None:
    model = build_model(tiny_spec(MBConv(expand=2), depth=1), input_shape=(32, 32, 3))
    with pytest.raises(BuildError, match=r"a model has its weights.* Received: weights='imagenet'"):
        feature_extractor(model, weights="imagenet")
