"""The options of MBConv and its fused form, read from the layers that they make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from support import assert_same_outputs, outputs, randomize, tiny_spec

from keras_effnet import BackboneSpec, StageSpec, build_model, scale_spec
from keras_effnet.blocks import Block, FusedMBConv, MBConv
from keras_effnet.errors import SpecError
from keras_effnet.ops import BatchNorm, LayerNorm
from keras_effnet.registry import backbones


def spec(block: Block, stride: int = 1, width: int = 12, resolution: int = 32) -> BackboneSpec:
    """A stem of 8 channels and two blocks."""
    stages = (StageSpec(block, width=width, depth=2, stride=stride),)
    return replace(tiny_spec(block, resolution=resolution, drop_path=0.0), stages=stages, head=None)


def built(block: Block, **options: Any) -> keras.Model:
    made = spec(block, **options)
    return build_model(made, include_top=False, input_shape=(made.resolution, made.resolution, 3))


def names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if layer.name.startswith("block1")]


def layer(model: keras.Model, name: str) -> Any:
    return model.get_layer(f"block1{name}")


def test_a_fused_block_filters_while_it_expands() -> None:
    model = built(FusedMBConv(kernel=5, expand=3, se_ratio=0.5), stride=2)
    assert layer(model, "a_expand_conv").kernel.shape == (5, 5, 8, 24)
    assert layer(model, "a_expand_conv").strides == (2, 2)
    assert layer(model, "a_se_reduce").kernel.shape == (1, 1, 24, 4)
    assert layer(model, "a_project_conv").kernel.shape == (1, 1, 24, 12)
    assert not [name for name in names(model) if "dwconv" in name or name == "block1a_add"]
    assert "block1b_add" in names(model)


def test_a_fused_block_that_does_not_expand_is_one_convolution_with_an_activation() -> None:
    model = built(FusedMBConv(kernel=5, expand=1, activation="relu"), stride=2)
    assert [name for name in names(model) if name.startswith("block1a")] == [
        "block1a_project_conv",
        "block1a_project_bn",
        "block1a_project_activation",
    ]
    assert layer(model, "a_project_conv").kernel.shape == (5, 5, 8, 12)
    assert layer(model, "a_project_conv").strides == (2, 2)


def test_the_expansion_multiplies_the_width_that_comes_in_or_goes_out() -> None:
    for expands, hidden in (("input", 32), ("output", 48)):
        model = built(FusedMBConv(expand=4, expands=expands))
        assert layer(model, "a_expand_conv").kernel.shape == (3, 3, 8, hidden)
        assert layer(model, "b_expand_conv").kernel.shape == (3, 3, 12, 48)


@pytest.mark.parametrize("make", [MBConv, FusedMBConv])
def test_the_input_is_added_unless_told_otherwise(make: Any) -> None:
    # Width and size stay in both blocks.
    added = [[name for name in names(built(make(skip=skip), width=8)) if "add" in name] for skip in (True, False)]
    assert added == [["block1a_add", "block1b_add"], []]


@pytest.mark.parametrize("make", [MBConv, FusedMBConv])
def test_norm_and_names_are_what_the_block_says(make: Any) -> None:
    norms = {"expand_bn", "bn", "project_bn"} if make is MBConv else {"expand_bn", "project_bn"}
    model = built(make(norm=BatchNorm(epsilon=0.01, momentum=0.9)))
    assert {(layer(model, f"a_{name}").momentum, layer(model, f"a_{name}").epsilon) for name in norms} == {(0.9, 0.01)}
    model = built(make(norm=LayerNorm()))
    assert {type(layer(model, f"a_{name}")) for name in norms} == {keras.layers.LayerNormalization}
    assert "block1a_dwconv2" in names(built(MBConv(depthwise_name="dwconv2")))


@pytest.mark.parametrize("make", [MBConv, FusedMBConv])
@pytest.mark.parametrize(("padding", "kernel"), [("valid", 3), ("valid", 2), ("symmetric", 2), ("symmetric", 4)])
def test_a_padding_that_changes_the_size_excludes_a_skip(make: Any, padding: Any, kernel: int) -> None:
    with pytest.raises(SpecError, match=r"`padding` must keep the size.*Received: padding="):
        make(kernel=kernel, padding=padding)
    model = built(make(kernel=kernel, padding=padding, skip=False))
    # 16 cells; each of the two blocks takes a row and a column for each step of its kernel, or gives one.
    assert model.output_shape[1] == (16 - 2 * (kernel - 1) if padding == "valid" else 18)
    built(make(kernel=1, padding="valid"))


@pytest.mark.parametrize("resolution", [32, 34])
def test_a_strided_symmetric_expansion_is_a_strided_projection_after_a_plain_one(resolution: int) -> None:
    # The first is what EfficientNet-EdgeTPU is here, the second what tensorflow/tpu, efficientnet_model.py writes:
    # MBConvBlockWithoutDepthwise.
    ours = built(FusedMBConv(expand=2, padding="symmetric", activation="relu"), stride=2, resolution=resolution)
    randomize(ours, seed=1)
    x = inputs = keras.Input((resolution // 2, resolution // 2, 8))
    layers: list[tuple[str, Any]] = [
        ("a_expand_conv", keras.layers.Conv2D(16, 3, padding="same", use_bias=False)),
        ("a_expand_bn", keras.layers.BatchNormalization()),
        ("", keras.layers.ReLU()),
        ("a_project_conv", keras.layers.Conv2D(12, 1, strides=2, padding="same", use_bias=False)),
        ("a_project_bn", keras.layers.BatchNormalization()),
    ]
    for name, made in layers:
        x = made(x)
        if name:
            made.set_weights(layer(ours, name).get_weights())
    theirs = keras.Model(inputs, x)
    stem = ours.get_layer("stem_activation").output
    block = keras.Model(stem, layer(ours, "a_project_bn").output)
    pixels = np.random.default_rng(2).random((2, resolution // 2, resolution // 2, 8)).astype("float32")
    assert_same_outputs(outputs(block, pixels), outputs(theirs, pixels))


# (stem and head keep their widths, stages whose depth stays): the sources named in each backbone's module.
FIXED = {
    "efficientnet_lite0": ((True, True), {0, 6}),
    "tinynet_a": ((True, True), set()),
    "mnasnet_a1": ((False, True), set()),
    "efficientnet_edgetpu_s": ((False, False), set()),
    "efficientnet_v2_b0": ((False, False), set()),
}


@pytest.mark.parametrize("name", FIXED)
def test_scaling_leaves_what_the_family_holds_fixed(name: str) -> None:
    base, scaled = backbones.get(name), scale_spec(name, 3)
    assert base.head is not None
    assert scaled.head is not None
    kept = (scaled.stem.width == base.stem.width, scaled.head.width == base.head.width)
    depths = zip(base.stages, scaled.stages, strict=True)
    assert (kept, {number for number, (old, new) in enumerate(depths) if old.depth == new.depth}) == FIXED[name]
    assert all(old.width < new.width for old, new in zip(base.stages, scaled.stages, strict=True))
