"""safetensors files: whole, or not at all, or with a report; and no pickles."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from random_tensors import CLASSES
from safetensors.numpy import load_file, save_file
from support import outputs
from timm_files import written

from keras_effnet import Coefficients, build_model, load_weights, scale_spec, timm_spec
from keras_effnet.errors import WeightsError

THIN = Coefficients(depth=0.3, width=0.3, resolution=0.2)
SMALL = scale_spec(timm_spec("mobilenetv3_small_050"), coefficients=THIN)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return written(SMALL, 1.0, tmp_path / "weights.safetensors")


def small() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_model(SMALL, classes=CLASSES)


@cache
def untouched() -> keras.Model:
    """One for all tests that must not change it."""
    return small()


def assert_refused(path: Path, words: str, model: keras.Model | None = None) -> None:
    """Loading raises our error with `words`, and no weight moves."""
    model = untouched() if model is None else model
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(WeightsError, match=words) as caught:
        load_weights(model, path)
    assert "Received: " in str(caught.value)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def without(tensors: dict[str, np.ndarray]) -> None:
    del tensors["blocks.1.0.bn2.running_var"]


def renamed(tensors: dict[str, np.ndarray]) -> None:
    tensors["conv_dw.weight"] = tensors.pop("conv_stem.weight")


def added(tensors: dict[str, np.ndarray]) -> None:
    tensors["blocks.9.0.conv_pw.weight"] = np.ones((1, 1, 1, 1), "float32")


def reshaped(tensors: dict[str, np.ndarray]) -> None:
    tensors["blocks.1.0.conv_pw.weight"] = tensors["blocks.1.0.conv_pw.weight"][1:].copy()


def flattened(tensors: dict[str, np.ndarray]) -> None:
    tensors["blocks.1.0.conv_dw.weight"] = tensors["blocks.1.0.conv_dw.weight"].reshape(-1)


def whole_numbers(tensors: dict[str, np.ndarray]) -> None:
    tensors["bn1.weight"] = tensors["bn1.weight"].view("int32")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without, r"First difference: tensor 'expanded_conv_1_depthwise_bn/moving_variance' .* is not in the file "
                  r"\('blocks.1.0.bn2.running_var'\)"),
        (renamed, r"First difference: tensor 'conv/kernel' .* is not in the file \('conv_stem.weight'\).*1 extra"),
        (added, r"First difference: the file's tensor 'blocks.9.0.conv_pw.weight' .* is not in the model"),
        (reshaped, r"First difference: tensor 'expanded_conv_1_expand/kernel' has shape .*'blocks.1.0.conv_pw.weight'"),
        (flattened, r"First difference: tensor 'expanded_conv_1_depthwise/kernel' has shape"),
        (whole_numbers, r"'bn1.weight' is int32"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_match_names_the_first_tensor_and_changes_nothing(
    change: Callable[[dict[str, np.ndarray]], None], words: str, weights: Path
) -> None:
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, weights)
    assert_refused(weights, words)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.9999])
def test_a_truncated_file_changes_nothing(share: float, weights: Path) -> None:
    content = weights.read_bytes()
    weights.write_bytes(content[: int(share * len(content))])
    assert_refused(weights, "cannot be read")


def test_no_flipped_byte_of_the_header_loads_a_part(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    generator = np.random.default_rng(0)
    model, read = small(), 0
    before = [weight.copy() for weight in model.get_weights()]
    for position in (*range(10), *generator.integers(10, header, 60)):
        changed = content.copy()
        changed[position] ^= int(generator.integers(1, 256))
        weights.write_bytes(changed)
        refused = refusal(model, weights)
        same = all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))
        assert same == refused, "a part was loaded"
        if not refused:
            read += 1  # the byte belonged to a count of batches, which nobody reads
            model.set_weights(before)
    assert read < 10


def refusal(model: keras.Model, path: Path) -> bool:
    """Whether the file is refused, by our error."""
    try:
        load_weights(model, path)
    except WeightsError:
        return True
    return False


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_what_wrappers_put_before_all_names_is_left_out_and_said(
    prefix: str, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = small()
    load_weights(expected, weights)
    tensors = {f"{prefix}{name}": array for name, array in load_file(weights).items()}
    save_file(tensors, weights)
    model = small()
    with caplog.at_level(logging.INFO):
        load_weights(model, weights)
    for one, two in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert all(f"begin with '{part}.'" in caplog.text for part in prefix.split(".") if part)
    # What counts the weights of an average has no prefix.
    save_file({**tensors, "n_averaged": np.array(7)}, weights)
    assert {"n_averaged"} < {row.source for row in load_weights(model, weights).of("unwanted")}
    # A prefix that only some have is part of a name.
    first = next(name for name in tensors if "tracked" not in name)
    save_file({**tensors, first.removeprefix(prefix): tensors[first]}, weights)
    assert_refused(weights, "First difference")


def test_a_part_of_a_file_loads_with_a_report(weights: Path) -> None:
    tensors = load_file(weights)
    for change in (without, added, reshaped):
        change(tensors)
    save_file(tensors, weights)
    model = small()
    before = {variable.path: np.array(variable) for variable in model.weights}
    report = load_weights(model, weights, partial=True)
    assert len(report.of("loaded")) == len(model.weights) - 2
    [missing], [extra], [misshapen] = (report.of(status) for status in ("missing", "extra", "misshapen"))
    assert (missing.weight, missing.source) == (
        "expanded_conv_1_depthwise_bn/moving_variance",
        "blocks.1.0.bn2.running_var",
    )
    assert (extra.weight, extra.source) == (None, "blocks.9.0.conv_pw.weight")
    assert (misshapen.weight, misshapen.source) == ("expanded_conv_1_expand/kernel", "blocks.1.0.conv_pw.weight")
    unchanged = {each.path for each in model.weights if np.array_equal(before[each.path], np.array(each))}
    assert unchanged == {missing.weight, misshapen.weight}
    assert {row.source for row in report.rows} == {*tensors, missing.source}
    assert json.loads(json.dumps(report.to_dict()))["counts"]["unwanted"] == sum("tracked" in name for name in tensors)
    lines = str(report).splitlines()
    assert len(lines) == 4 + len(report.rows)
    assert "1 missing, 1 misshapen, 1 extra" in lines[0]


def test_a_part_of_nothing_is_said(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_file({f"encoder.{name}": array for name, array in load_file(weights).items()}, weights)
    with caplog.at_level(logging.WARNING):
        report = load_weights(untouched(), weights, partial=True)
    assert report.counts["loaded"] == 0
    assert f"nothing in {weights} fits {untouched().name!r}" in caplog.text


def test_without_its_top_a_model_leaves_the_classifier_in_the_file(tmp_path: Path) -> None:
    for name in ("convnext_atto", "mobilenetv3_small_050"):
        spec = scale_spec(timm_spec(name), coefficients=Coefficients(width=0.3))
        path = written(spec, 1.0, tmp_path / "weights.safetensors")
        model = build_model(spec, include_top=False, weights=str(path))
        report = load_weights(model, path)
        assert {row.weight for row in report.of("loaded")} == {variable.path for variable in model.weights}
        assert all(row.note for row in report.of("unwanted"))
        assert any("classifier" in row.note for row in report.of("unwanted"))


def test_a_linear_layer_and_a_convolution_of_one_cell_are_the_same(tmp_path: Path) -> None:
    spec = scale_spec(timm_spec("convnext_atto"), coefficients=Coefficients(width=0.3))
    path = written(spec, 1.0, tmp_path / "weights.safetensors")
    tensors = load_file(path)
    model = build_model(spec, weights=str(path), classes=CLASSES)
    linear = model.get_weights()
    for name in [name for name in tensors if "mlp" in name and name.endswith("weight")]:
        tensors[name] = tensors[name][:, :, None, None]
    save_file(tensors, path)
    model.set_weights([np.zeros_like(weight) for weight in linear])
    load_weights(model, path)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), linear, strict=True))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt", ".pth.tar"])
def test_a_pickle_is_never_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"\x80\x04.")
    assert_refused(path, r"pickles.*never read.*safetensors\.torch\.save_file.*Received: ")
    with pytest.raises(WeightsError, match="never read"):
        build_model(SMALL, weights=str(path))


def test_a_family_without_names_in_timms_layout_says_so(weights: Path) -> None:
    for name in ("densenet121", "mobilenet_v1", "resnet50_v2"):
        thin = scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.2, resolution=0.3))
        assert_refused(weights, f"timm has no names for .*Received: {name!r} with", build_model(thin))


def test_a_model_without_a_tag_needs_its_spec(weights: Path) -> None:
    tagged = small()
    x = y = keras.Input(tagged.input_shape[1:])
    plain = keras.Model(x, keras.layers.Conv2D(3, 1)(y), name="plain")
    assert_refused(weights, "embedded in 'plain': pass the `spec`", plain)
    report = load_weights(plain, weights, spec=SMALL, partial=True)
    assert report.counts["missing"] == 2
    assert report.counts["extra"] > 100


def test_tensorflows_efficientnet_has_imagenets_statistics_of_pixels(tmp_path: Path) -> None:
    """timm's weights take normalised pixels; our EfficientNet normalises them itself."""
    thin = Coefficients(depth=0.3, width=0.3)
    theirs = scale_spec(timm_spec("tf_efficientnet_b0"), coefficients=thin)
    path = written(theirs, 1.1, tmp_path / "weights.safetensors")
    ours = build_model(scale_spec("efficientnet_b0", coefficients=thin), classes=CLASSES, weights=str(path))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype("float32")
    normalised = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode="torch")
    expected = outputs(build_model(theirs, classes=CLASSES, weights=str(path)), normalised)
    np.testing.assert_allclose(outputs(ours, pixels), expected, atol=1e-5)
