"""Checkpoints in the layout of the released EfficientNets, written here, against Keras' own EfficientNets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from lean_keras import lean_layers
from support import assert_same_outputs, outputs, random_images, randomize

from keras_effnet import Coefficients, Preprocessing, build_model, load_weights, scale_spec
from keras_effnet.errors import WeightsError

AVERAGE = "/ExponentialMovingAverage"
SPEC = scale_spec("efficientnet_b0", coefficients=Coefficients(depth=0.3, width=0.2, resolution=0.3))

# Keras' layer after its block's name, and the released one: convolutions and normalisations are counted in a block.
EXPANDING = {
    "expand_conv": "conv2d",
    "expand_bn": "tpu_batch_normalization",
    "dwconv": "depthwise_conv2d",
    "dwconv2": "depthwise_conv2d",
    "bn": "tpu_batch_normalization_1",
    "project_conv": "conv2d_1",
    "project_bn": "tpu_batch_normalization_2",
}
PLAIN = {
    "dwconv": "depthwise_conv2d",
    "bn": "tpu_batch_normalization",
    "project_conv": "conv2d",
    "project_bn": "tpu_batch_normalization_1",
}
FUSED = {**EXPANDING, "project_bn": "tpu_batch_normalization_1"}
FUSED_PLAIN = {"project_conv": "conv2d", "project_bn": "tpu_batch_normalization"}
SQUEEZE = {"se_reduce": "se/conv2d", "se_expand": "se/conv2d_1"}
ENDS = {
    "stem_conv": "stem/conv2d",
    "stem_bn": "stem/tpu_batch_normalization",
    "top_conv": "head/conv2d",
    "top_bn": "head/tpu_batch_normalization",
    "predictions": "head/dense",
}


def statistics(layer: Any) -> bool:
    """Whether it holds the statistics of pixels, which no checkpoint has."""
    return isinstance(layer, keras.layers.Normalization)


def variables_of(model: keras.Model, scope: str) -> dict[str, np.ndarray]:
    """The weights of an EfficientNet with Keras' layer names, under the released names."""
    layers = {layer.name: layer for layer in model.layers if layer.weights and not statistics(layer)}
    blocks = list(dict.fromkeys(name.partition("_")[0] for name in layers if name.startswith("block")))
    found = {}
    for name, layer in layers.items():
        place = ENDS.get(name)
        if place is None:
            block, _, part = name.partition("_")
            fused = not any(f"{block}_{depthwise}" in layers for depthwise in ("dwconv", "dwconv2"))
            expands = f"{block}_expand_conv" in layers
            table = (FUSED if expands else FUSED_PLAIN) if fused else EXPANDING if expands else PLAIN
            place = f"blocks_{blocks.index(block)}/{ {**table, **SQUEEZE}[part] }"
        for variable in layer.weights:
            kind = "depthwise_kernel" if place.endswith("depthwise_conv2d") else variable.name
            found[f"{scope}/{place}/{kind}"] = np.array(variable)
    return found


def write_checkpoint(variables: Mapping[str, np.ndarray], prefix: Path) -> None:
    """Writes both files of a checkpoint."""
    import tensorflow as tf

    names = sorted(variables)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )


def released(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What training left in the released files: moving averages beside the weights, slots, a step."""
    generator = np.random.default_rng(0)
    noise = {name: generator.standard_normal(array.shape, "float32") for name, array in variables.items()}
    averages = {name + AVERAGE: array for name, array in variables.items()}
    slots = {name + slot: array for name, array in noise.items() for slot in ("/RMSProp", "/RMSProp_1")}
    return {**noise, **averages, **slots, "global_step": np.array(218949, "int64")}


def keras_model(make: Callable[..., keras.Model]) -> keras.Model:
    with lean_layers():
        model = make(weights=None, classes=10, classifier_activation=None, input_shape=(64, 96, 3))
    randomize(model, seed=5)
    generator = np.random.default_rng(5)
    for variable in model.trainable_variables:
        if variable.name == "kernel":
            # Larger than He et al.'s (arXiv:1502.01852), or the gates would let signals die between the biases.
            read = np.prod(variable.shape[:2] if "dwconv" in variable.path else variable.shape[:-1])
            variable.assign(generator.standard_normal(variable.shape, "float32") * np.float32(1.1 * (2 / read) ** 0.5))
    return model


@pytest.mark.parametrize(
    ("name", "scope", "make"),
    [
        ("efficientnet_b0", "efficientnet-b0", keras.applications.EfficientNetB0),
        pytest.param("efficientnet_b3", "b3", keras.applications.EfficientNetB3, marks=pytest.mark.slow),
        pytest.param(
            "efficientnet_v2_b0",
            "efficientnetv2-b0",
            keras.applications.EfficientNetV2B0,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_logits_are_those_of_keras_own_network(name: str, scope: str, make: Any, tmp_path: Path) -> None:
    theirs = keras_model(make)
    for layer in theirs.layers:
        if statistics(layer) and layer.weights:
            # tensorflow/tpu, efficientnet/main.py: MEAN_RGB and STDDEV_RGB, of pixels that Keras divides by 255.
            layer.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]) ** 2, np.array(0)])
            layer.finalize_state()
    write_checkpoint(released(variables_of(theirs, scope)), tmp_path / "model.ckpt")
    weights, shape = str(tmp_path / "model.ckpt"), (64, 96, 3)
    with lean_layers():
        ours = build_model(name, weights=weights, classes=10, classifier_activation=None, input_shape=shape)
    x = random_images(2, 64, 96, 3)
    x[1] *= 0.2
    expected = outputs(theirs, x)
    assert_same_outputs(outputs(ours, x), expected)
    assert np.abs(expected[0] - expected[1]).max() > 0.01 * np.abs(expected).max(), "equal images prove nothing"


@cache
def trained() -> keras.Model:
    keras.utils.set_random_seed(2)
    model = build_model(SPEC, classes=5)
    randomize(model, seed=2)
    return model


@cache
def untouched() -> keras.Model:
    """One for all tests that must not change it."""
    keras.utils.set_random_seed(3)
    return build_model(SPEC, classes=5)


def written(folder: Path, **changes: np.ndarray | None) -> Path:
    """A checkpoint of `trained`; `changes` replace variables, None leaves one out."""
    variables = {**variables_of(trained(), "efficientnet-b0"), **changes}
    folder.mkdir(exist_ok=True)
    write_checkpoint({name: array for name, array in variables.items() if array is not None}, folder / "model.ckpt")
    return folder / "model.ckpt"


def same_weights(one: keras.Model, other: keras.Model) -> bool:
    """Equal but for the statistics of pixels."""
    layers = [layer.name for layer in one.layers if layer.weights and not statistics(layer)]
    pairs = [
        (np.array(a), np.array(b))
        for name in layers
        for a, b in zip(one.get_layer(name).weights, other.get_layer(name).weights, strict=True)
    ]
    # A Dropout has the state of a generator.
    return all(np.array_equal(*pair) for pair in pairs if pair[0].dtype.kind == "f")


@pytest.mark.parametrize("ending", ["model.ckpt", "model.ckpt.index", ""], ids=["prefix", "index", "folder"])
def test_a_checkpoint_is_named_in_three_ways(ending: str, tmp_path: Path) -> None:
    written(tmp_path)
    loaded = build_model(SPEC, classes=5, weights=str(tmp_path / ending))
    assert same_weights(loaded, trained())


def test_the_statistics_of_pixels_follow_their_scale(tmp_path: Path) -> None:
    prefix, x = str(written(tmp_path)), random_images(2, 64, 64, 3)
    halved = replace(SPEC, preprocessing=Preprocessing(scale=1 / 127.5, offset=-1, standardize=True))
    one, other = (build_model(s, classes=5, weights=prefix, input_shape=(64, 64, 3)) for s in (SPEC, halved))
    before = keras.Model(one.input, one.get_layer("normalization").output)
    after = keras.Model(other.input, other.get_layer("normalization").output)
    assert_same_outputs(outputs(after, x), outputs(before, x))


def test_the_report_says_what_was_left_in_the_file(tmp_path: Path) -> None:
    prefix = tmp_path / "model.ckpt"
    write_checkpoint(released(variables_of(trained(), "efficientnet-b0")), prefix)
    model = build_model(SPEC, include_top=False)
    report = load_weights(model, prefix)
    assert {row.source for row in report.of("loaded")} > {f"efficientnet-b0/stem/conv2d/kernel{AVERAGE}"}
    notes = {row.source: row.note for row in report.of("unwanted")}
    assert "moving average" in notes["efficientnet-b0/stem/conv2d/kernel"]
    assert "optimizer" in notes["efficientnet-b0/stem/conv2d/kernel/RMSProp_1"]
    assert "not a weight" in notes["global_step"]
    assert "no classifier" in notes[f"efficientnet-b0/head/dense/kernel{AVERAGE}"]
    assert not report.differences


def assert_refused(path: Path, words: str) -> None:
    """Loading raises our error with `words`, and no weight moves."""
    model = untouched()
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(WeightsError, match=words) as caught:
        load_weights(model, path)
    assert "Received: " in str(caught.value)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


PLACE = "efficientnet-b0/blocks_1"


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (f"{PLACE}/se/conv2d_1/bias", None, "'block2a_se_expand/bias' .* is not in the file .*_1/se/conv2d_1/bias"),
        (f"{PLACE}/conv2d/kernel", np.ones((1, 1, 9, 9), "float32"), "'block2a_expand_conv/kernel' has shape"),
        (f"{PLACE}/conv2d_2/kernel", np.ones(3, "float32"), "the file's tensor .*_1/conv2d_2/kernel' .* is not in"),
        (f"{PLACE}/conv2d/kernel", np.ones(3, "int32"), "is int32"),
        (f"{PLACE}/conv2d/kernel", np.ones(3, "int8"), "is int8.*codes, which mean nothing without their scales"),
        (f"{PLACE}/conv2d/kernel", np.array(["a"]), "is object"),
        ("other/stem/conv2d/kernel", np.ones(3, "float32"), "variables of one EfficientNet"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_does_not_match_changes_nothing(
    name: str, array: np.ndarray | None, words: str, tmp_path: Path
) -> None:
    assert_refused(written(tmp_path, **{name: array}), words)


def test_variables_of_bfloat16_load_every_value(tmp_path: Path) -> None:
    variables = variables_of(trained(), "efficientnet-b0")
    narrow = {name: array.astype(ml_dtypes.bfloat16) for name, array in variables.items()}
    write_checkpoint(narrow, tmp_path / "model.ckpt")
    loaded = variables_of(build_model(SPEC, classes=5, weights=tmp_path / "model.ckpt"), "efficientnet-b0")
    for name, found in loaded.items():
        np.testing.assert_array_equal(found, narrow[name].astype("float32"))


def test_only_what_fits_is_loaded_in_part(tmp_path: Path) -> None:
    prefix = written(tmp_path, **{f"{PLACE}/conv2d/kernel": np.ones((1, 1, 9, 9), "float32")})
    model = build_model(SPEC, classes=5)
    report = load_weights(model, prefix, partial=True)
    assert [row.weight for row in report.differences] == ["block2a_expand_conv/kernel"]
    assert len(report.of("loaded")) == len(report.rows) - 1


@pytest.mark.parametrize("file", ["model.ckpt.index", "model.ckpt.data-00000-of-00001"])
def test_a_truncated_checkpoint_changes_nothing(file: str, tmp_path: Path) -> None:
    written(tmp_path)
    content = (tmp_path / file).read_bytes()
    for share in (0, 0.001, 0.3, 0.9, 0.9999):
        (tmp_path / file).write_bytes(content[: int(share * len(content))])
        assert_refused(tmp_path / "model.ckpt", "cannot be read")
    (tmp_path / file).unlink()
    assert_refused(tmp_path / "model.ckpt", "existing weight file" if file.endswith("index") else "cannot be read")


@pytest.mark.parametrize(
    "file", ["model.ckpt.index", pytest.param("model.ckpt.data-00000-of-00001", marks=pytest.mark.slow)]
)
def test_a_flipped_byte_is_seen(file: str, tmp_path: Path) -> None:
    written(tmp_path)
    content = (tmp_path / file).read_bytes()
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(content), 30):
        changed = bytearray(content)
        changed[position] ^= int(generator.integers(1, 256))
        (tmp_path / file).write_bytes(changed)
        assert_refused(tmp_path / "model.ckpt", "checkpoint")


def test_a_folder_must_hold_one_checkpoint(tmp_path: Path) -> None:
    assert_refused(tmp_path, "existing weight file.* has 0 ")
    written(tmp_path)
    for file in list(tmp_path.iterdir()):
        (tmp_path / file.name.replace("model", "other")).write_bytes(file.read_bytes())
    assert_refused(tmp_path, "has 2 ")


def test_a_family_without_names_in_checkpoints_says_so(tmp_path: Path) -> None:
    prefix = written(tmp_path)
    thin = scale_spec("mobilenet_v2", coefficients=Coefficients(depth=0.3, width=0.2, resolution=0.3))
    with pytest.raises(WeightsError, match=r"has no names for .*Received: 'mobilenet_v2' with"):
        build_model(thin, weights=str(prefix))
