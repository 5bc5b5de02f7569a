"""Files of models that hold other models, as Keras' ConvNeXt does, and of our flat ConvNeXt and MobileNetV3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import assert_same_outputs, load_alone, outputs, random_images, randomize, write_legacy_h5

from keras_effnet import BackboneSpec, Coefficients, StageSpec, build_model, scale_spec
from keras_effnet.applications import convnext_tiny_spec
from keras_effnet.applications.convnext import convnext_with
from keras_effnet.blocks import ConvNeXtBlock, DepthwiseSeparable
from keras_effnet.errors import BuildError, WeightsError
from keras_effnet.weights.load import load_weights

DEPTHS, WIDTHS = (1, 2, 2, 1), (8, 12, 16, 24)

WRITERS: dict[str, tuple[str, Callable[[keras.Model, Path], None]]] = {
    "weights.h5": ("file.weights.h5", lambda model, path: model.save_weights(path)),
    "keras": ("file.keras", lambda model, path: model.save(path)),
    "legacy": ("file.h5", write_legacy_h5),
    "legacy, by Keras 3": ("file.h5", lambda model, path: model.save(path)),
}


def keras_convnext(depths: tuple[int, ...] = DEPTHS, name: str = "convnext_x", **arguments: Any) -> keras.Model:
    """Keras' own ConvNeXt, small, with weights that all differ from fresh ones."""
    from keras.src.applications.convnext import ConvNeXt

    keras.utils.set_random_seed(3)
    options: dict[str, Any] = {"input_shape": (75, 66, 3), "classes": 5, **arguments}
    model = ConvNeXt(list(depths), list(WIDTHS), name=name, **options)
    randomize(model, seed=3)
    return model


def our_convnext(depths: tuple[int, ...] = DEPTHS, prefix: str = "convnext_x") -> BackboneSpec:
    spec = convnext_with("tiny", prefix=prefix)
    sizes = zip(spec.stages, WIDTHS, depths, strict=True)
    stages = tuple(replace(stage, width=width, depth=depth) for stage, width, depth in sizes)
    return replace(spec, name="mine", stem=replace(spec.stem, width=WIDTHS[0]), stages=stages)


TOPS: dict[str, dict[str, Any]] = {
    "top": {"classifier_activation": None},
    "features": {"include_top": False},
    "pooled": {"include_top": False, "pooling": "max"},
}
IMAGES = random_images(2, 75, 66, 3)


@cache
def theirs_with(top: str) -> tuple[keras.Model, np.ndarray]:
    """A model that no test changes, and its outputs."""
    model = keras_convnext(**TOPS[top])
    return model, outputs(model, IMAGES)


@cache
def ours_with(top: str) -> tuple[keras.Model, list[np.ndarray]]:
    """A model that is loaded again and again, and weights that no file has."""
    model = build_model(our_convnext(), input_shape=(75, 66, 3), classes=5, **TOPS[top])
    return model, [weight.copy() for weight in model.get_weights()]


@pytest.mark.parametrize(
    "top",
    # What is new without a top, no layout changes: these wait for the slow run.
    ["top", pytest.param("features", marks=pytest.mark.slow), pytest.param("pooled", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("layout", WRITERS)
def test_files_of_keras_own_convnext_load_into_a_flat_graph(layout: str, top: str, tmp_path: Path) -> None:
    name, write = WRITERS[layout]
    theirs, expected = theirs_with(top)
    write(theirs, tmp_path / name)
    ours, fresh = ours_with(top)
    ours.set_weights(fresh)
    load_weights(ours, tmp_path / name)
    assert not any(isinstance(layer, keras.Model) for layer in ours.layers)
    assert_same_outputs(outputs(ours, IMAGES), expected)


@cache
def unlike(depths: tuple[int, ...], classes: int) -> keras.Model:
    """A model that no test changes."""
    return build_model(our_convnext(depths), classes=classes)


# Files of whole models are read as their parts are.
SLOW_LAYOUTS = ("keras", "legacy, by Keras 3")
QUICK_FIRST = [pytest.param(layout, marks=[pytest.mark.slow] if layout in SLOW_LAYOUTS else []) for layout in WRITERS]


@pytest.mark.parametrize("layout", QUICK_FIRST)
@pytest.mark.parametrize(
    ("depths", "classes", "first"),
    [
        (DEPTHS, 4, "head_dense"),
        ((1, 2, 3, 1), 5, "tensor '"),
        ((1, 2, 1, 1), 5, "tensor '"),
        ((1, 3, 2, 1), 5, "tensor '"),
    ],
    ids=["classes", "a block more", "a block less", "a block more before"],
)
def test_another_architecture_loads_nothing(
    layout: str, depths: tuple[int, ...], classes: int, first: str, tmp_path: Path
) -> None:
    name, write = WRITERS[layout]
    write(theirs_with("top")[0], tmp_path / name)
    assert_refused(unlike(depths, classes), tmp_path / name, first)


def assert_refused(model: keras.Model, path: Path, words: str) -> None:
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(WeightsError, match="nothing was loaded") as caught:
        load_weights(model, path)
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"Received: {str(path)!r}")
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_layers_of_other_names_are_never_paired_by_chance(tmp_path: Path) -> None:
    # Between models in models only names tell which layer is which.
    path = tmp_path / "file.weights.h5"
    keras_convnext(name="theirs").save_weights(path)
    assert_refused(build_model(our_convnext(prefix="ours"), classes=5), path, "'ours_stem_conv/kernel'")
    build_model(our_convnext(prefix="theirs"), classes=5, weights=str(path))


def test_two_layers_of_one_name_do_not_take_each_others_place(tmp_path: Path) -> None:
    x = keras.Input((8, 8, 3))
    inner = [keras.Sequential([keras.layers.Conv2D(3, 1, name="same")]) for _ in range(2)]
    keras.Model(x, inner[1](inner[0](x))).save_weights(tmp_path / "file.weights.h5")
    flat = keras.Model(x, keras.layers.Conv2D(3, 1, name="same")(x))
    assert_refused(flat, tmp_path / "file.weights.h5", "is not in the model")


def test_a_grouped_convolution_is_a_depthwise_one_also_with_several_filters_a_channel(tmp_path: Path) -> None:
    x = keras.Input((9, 9, 4))
    grouped = keras.Sequential([keras.layers.Conv2D(12, 3, groups=4, name="filters")])
    theirs = keras.Model(x, grouped(x))
    theirs.save_weights(tmp_path / "file.weights.h5")
    ours = keras.Model(x, keras.layers.DepthwiseConv2D(3, depth_multiplier=3, name="filters")(x))
    load_weights(ours, tmp_path / "file.weights.h5")
    image = random_images(1, 9, 9, 4)
    assert_same_outputs(outputs(ours, image), outputs(theirs, image))


def thin(name: str) -> BackboneSpec:
    return scale_spec(name, coefficients=Coefficients(depth=0.2, width=0.2, resolution=0.3))


@cache
def trained(name: str) -> keras.Model:
    """A model that no test changes."""
    model = build_model(thin(name), classes=5)
    randomize(model, seed=7)
    return model


@cache
def fresh(name: str) -> tuple[keras.Model, list[np.ndarray]]:
    """A model that is loaded again and again, and weights that no file has."""
    model = build_model(thin(name), classes=5)
    return model, [np.full_like(weight, 0.625) for weight in model.get_weights()]


@pytest.mark.parametrize("layout", QUICK_FIRST)
@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenet_v3_small"])
def test_our_own_files_load_every_value(name: str, layout: str, tmp_path: Path) -> None:
    file, write = WRITERS[layout]
    write(trained(name), tmp_path / file)
    loaded, other = fresh(name)
    loaded.set_weights(other)
    load_weights(loaded, tmp_path / file)
    pairs = zip(loaded.get_weights(), trained(name).get_weights(), strict=True)
    assert all(np.array_equal(*pair) for pair in pairs)


def test_saved_models_load_without_this_package_in_safe_mode(tmp_path: Path) -> None:
    names, size = ("convnext_tiny", "mobilenet_v3_large"), (64, 64, 3)
    models = {name: build_model(thin(name), classes=5, input_shape=size) for name in names}
    x = random_images(2, *size)
    for seed, (name, model) in enumerate(models.items()):
        randomize(model, seed)
        model.save(tmp_path / f"{name}.keras")
        assert_same_outputs(outputs(load_alone(tmp_path / f"{name}.keras"), x), outputs(model, x), tolerance=1e-6)


def test_convnext_with_channels_first_is_refused_as_in_keras() -> None:
    keras.config.set_image_data_format("channels_first")
    for build in (lambda: build_model(convnext_tiny_spec), lambda: keras.applications.ConvNeXtTiny(weights=None)):
        with pytest.raises(ValueError, match=r"channels_last"):
            build()
    with pytest.raises(BuildError, match="Received: 'channels_first'"):
        build_model(convnext_tiny_spec)


def test_a_stage_that_changes_the_width_downsamples_whatever_its_stride() -> None:
    stages = (StageSpec(ConvNeXtBlock(), 12), StageSpec(ConvNeXtBlock(), 16), StageSpec(DepthwiseSeparable(), 8))
    spec = replace(our_convnext(), stages=stages, resolution=32)
    sizes = [build_model(spec).get_layer(f"convnext_downsampling_conv{number}").kernel.shape for number in ("", "_0")]
    assert sizes == [(1, 1, 8, 12), (1, 1, 12, 16)]
