"""The options of the bottleneck, read from the layers that it makes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from support import outputs, random_images, randomize, tiny_spec, without_weights

from keras_effnet import StageSpec, build_model
from keras_effnet.blocks import Bottleneck, DeepStem
from keras_effnet.errors import SpecError
from keras_effnet.registry import backbones


def built(block: Bottleneck, depth: int = 2, stride: int = 2, resolution: int = 32) -> keras.Model:
    spec = tiny_spec(block, resolution=resolution, drop_path=0.0)
    spec = replace(spec, stages=(StageSpec(block, 16, depth, stride),))
    return build_model(spec, include_top=False, input_shape=(resolution, resolution, 3))


def layer(model: keras.Model, name: str) -> Any:
    return model.get_layer(f"conv2_block1_{name}")


def test_each_convolution_can_take_the_stride() -> None:
    for stride_at, strides in (("first", (2, 1)), ("kernel", (1, 2))):
        model = built(Bottleneck(stride_at=stride_at))
        assert tuple(layer(model, f"{number}_conv").strides[0] for number in (1, 2)) == strides
        assert layer(model, "0_conv").strides == (2, 2)
        assert layer(model, "3_conv").strides == (1, 1)


def test_groups_are_in_the_middle_convolution_alone() -> None:
    for block in (Bottleneck(groups=4), Bottleneck(group_width=4)):
        model = built(block)
        assert [layer(model, f"{number}_conv").groups for number in range(4)] == [1, 1, 4, 1]
        assert layer(model, "2_conv").kernel.shape == (3, 3, 4, 16)


def test_squeeze_and_excitation_counts_what_its_place_says() -> None:
    # The stem emits 8 channels, the first block reads these and emits 64; the second reads 64.
    middle = built(Bottleneck(se_ratio=0.5, se_at="middle"))
    assert layer(middle, "se_reduce").kernel.shape == (1, 1, 16, 4)
    assert middle.get_layer("conv2_block2_se_reduce").kernel.shape == (1, 1, 16, 32)
    end = built(Bottleneck(se_ratio=0.5, se_at="end"))
    assert layer(end, "se_reduce").kernel.shape == (1, 1, 64, 32)
    assert end.get_layer("conv2_block2_se_reduce").kernel.shape == (1, 1, 64, 32)


def test_a_pooled_shortcut_is_a_mean_of_what_there_is() -> None:
    # 17 cells: in the last row and column a window holds two cells or one, and zeros must not take part.
    model = built(Bottleneck(shortcut="pool", stride_at="kernel"), resolution=34)
    assert layer(model, "0_conv").strides == (1, 1)
    pool = layer(model, "0_pool")
    x = np.random.default_rng(0).random((1, 17, 17, 8)).astype("float32")
    found = np.asarray(keras.ops.convert_to_numpy(pool(x)))
    windows = [slice(start, start + 2) for start in range(0, 17, 2)]
    expected = [[x[0, rows, columns].mean(axis=(0, 1)) for columns in windows] for rows in windows]
    np.testing.assert_allclose(found[0], np.array(expected), rtol=1e-5)
    assert not [found.name for found in built(Bottleneck(shortcut="pool"), stride=1).layers if "pool" in found.name]


@pytest.mark.parametrize("resolution", [32, 34, 38])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("shortcut", ["conv", "pool"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_block_and_its_shortcut_have_one_size(stride: int, shortcut: Any, padding: Any, resolution: int) -> None:
    block = Bottleneck(kernel=5, shortcut=shortcut, padding=padding, stride_at="kernel")
    with without_weights():
        model = built(block, depth=1, stride=stride, resolution=resolution)
    assert layer(model, "add").output.shape[1] == -(-(resolution // 2) // stride)


def test_symmetric_padding_puts_zeros_on_both_sides() -> None:
    symmetric, same = built(Bottleneck(padding="symmetric", stride_at="kernel")), built(Bottleneck(stride_at="kernel"))
    assert layer(symmetric, "2_conv_pad").padding == ((1, 1), (1, 1))
    assert not [found for found in same.layers if isinstance(found, keras.layers.ZeroPadding2D)]
    # With the same weights they see different cells.
    for model in (symmetric, same):
        randomize(model, seed=1)
    same.set_weights(symmetric.get_weights())
    x = random_images(1, 32, 32, 3)
    assert not np.allclose(outputs(symmetric, x), outputs(same, x))


@pytest.mark.slow
def test_grouped_and_squeezed_networks_learn() -> None:
    # Not every backend can differentiate a grouped convolution on every device. Swish has a slope almost everywhere, so
    # that no kernel stands still by chance.
    blocks = (
        Bottleneck(expand=1, group_width=4, se_ratio=0.25, stride_at="kernel", activation="swish"),
        Bottleneck(expand=2, groups=4, se_ratio=0.25, se_at="end", shortcut="pool", activation="swish"),
    )
    keras.utils.set_random_seed(1)
    model = build_model(tiny_spec(*blocks, stem=StageSpec(DeepStem(), 8, stride=4)), classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    model.fit(random_images(4, 32, 32, 3), np.array([0, 1, 2, 0]), batch_size=2, verbose="0")
    after = [np.array(keras.ops.convert_to_numpy(weight)) for weight in model.trainable_weights]
    assert all(np.isfinite(weight).all() for weight in after)
    kernels = [number for number, weight in enumerate(before) if weight.ndim == 4]
    assert all(not np.array_equal(before[number], after[number]) for number in kernels)


# (d, w_0, w_a, w_m, group width): facebookresearch/pycls, configs/dds_baselines, W0 and so on.
REGNETS = {
    "regnet_x_400mf": (22, 24, 24.48, 2.54, 16),
    "regnet_x_800mf": (16, 56, 35.73, 2.28, 16),
    "regnet_x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "regnet_x_4_0gf": (23, 96, 38.65, 2.43, 40),
    "regnet_y_400mf": (16, 48, 27.89, 2.09, 8),
    "regnet_y_800mf": (14, 56, 38.84, 2.40, 16),
    "regnet_y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "regnet_y_4_0gf": (22, 96, 31.41, 2.24, 64),
}


@pytest.mark.parametrize("name", REGNETS)
def test_regnets_follow_from_their_numbers(name: str) -> None:
    # arXiv:2003.13678, equations 2 to 4; pycls, models/regnet.py.
    depth, first, slope, step, group = REGNETS[name]
    wanted = first + slope * np.arange(depth)
    powers = np.round(np.log(wanted / first) / np.log(step))
    widths, depths = np.unique(np.round(first * step**powers / 8).astype(int) * 8, return_counts=True)
    groups = [min(group, width) for width in widths]
    whole = [max(one, round(width / one) * one) for width, one in zip(widths, groups, strict=True)]
    stages = backbones.get(name).stages
    assert [stage.width for stage in stages] == whole
    assert [stage.depth for stage in stages] == list(depths)
    assert [getattr(stage.block, "group_width", None) for stage in stages] == groups
    assert {getattr(stage.block, "se_ratio", None) for stage in stages} == {0.25 if "_y_" in name else 0}


def test_every_released_regnet_is_recomputed() -> None:
    assert set(REGNETS) == {name for name in backbones.names() if name.startswith("regnet")}


@pytest.mark.parametrize(("stride", "strides"), [(4, [2, 1, 1, 2]), (2, [2, 1, 1, 1]), (1, [1, 1, 1, 1])])
def test_a_deep_stem_strides_first_and_last(stride: int, strides: list[int]) -> None:
    spec = tiny_spec(Bottleneck(), stem=StageSpec(DeepStem(), 8, stride=stride))
    model = build_model(spec)
    convs = [model.get_layer(f"conv1_{number}_conv") for number in range(1, 5)]
    assert [conv.strides[0] for conv in convs] == strides
    assert [conv.filters for conv in convs] == [4, 4, 8, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 0}, "`groups`"),
        ({"group_width": 0}, "`group_width`"),
        ({"groups": 2, "group_width": 8}, "not both"),
        ({"se_ratio": 1.5}, "`se_ratio`"),
        ({"se_at": "start"}, "`se_at` must be one of"),
        ({"stride_at": "last"}, "`stride_at` must be one of"),
        ({"shortcut": "identity"}, "`shortcut` must be one of"),
        ({"bias": 1}, "`bias`"),
        ({"padding": "valid"}, "`padding` must be one of 'same', 'symmetric'"),
        ({"kernel": 2, "padding": "symmetric"}, "`kernel` must be odd"),
        ({"norm": None}, "`norm`"),
    ],
)
def test_an_option_outside_its_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"{message}.*Received: "):
        Bottleneck(**options)


@pytest.mark.parametrize("stride", [3, 5, 8])
def test_a_deep_stem_of_another_stride_is_refused(stride: int) -> None:
    with pytest.raises(SpecError, match=r"stride of DeepStem must be 1, 2 or 4.*Received: stride="):
        build_model(tiny_spec(Bottleneck(), resolution=64, stem=StageSpec(DeepStem(), 8, stride=stride)))
