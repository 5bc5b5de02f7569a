"""Weight files of other types than float32: floats are converted, and what only looks like weights is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import as_if_trained, tiny_spec
from timm_files import written

from keras_effnet import Coefficients, build_model, grow_model, load_weights, scale_spec, timm_spec
from keras_effnet.blocks import ConvNeXtBlock, MBConv
from keras_effnet.errors import InheritanceError, WeightsError
from keras_effnet.ops import Conv, Opaque
from keras_effnet.reading.read_model import read_model
from keras_effnet.weights.timm_weights import read_safetensors

# Keras says of each layer that it cannot quantise that it cannot.
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
# With the layers that Keras quantises: Dense and, for layer scale, EinsumDense.
SPEC = tiny_spec(MBConv(), ConvNeXtBlock(), depth=1)
THIN = Coefficients(depth=0.3, width=0.3, resolution=0.2)
SMALL = scale_spec(timm_spec("mobilenetv3_small_050"), coefficients=THIN)
# Eight bits of fraction, and eleven.
ROUNDINGS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def trained(policy: str = "float32") -> keras.Model:
    """A model whose variables are of a type."""
    keras.config.set_dtype_policy(policy)
    model = build_model(SPEC, classes=5)
    keras.config.set_dtype_policy("float32")
    as_if_trained(model)
    return model


@cache
def untouched() -> keras.Model:
    """One for all tests that must not change it."""
    return build_model(SPEC, classes=5)


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        variable.path: np.asarray(keras.ops.convert_to_numpy(variable)).astype("float32")
        for variable in model.weights
        if "seed_generator" not in variable.path
    }


def assert_refused(path: Path, words: str, model: keras.Model | None = None) -> None:
    """Loading raises our error with `words`, in part too, and no weight moves."""
    model = untouched() if model is None else model
    before = [weight.copy() for weight in model.get_weights()]
    for partial in (False, True):
        with pytest.raises(WeightsError, match=words) as caught:
            load_weights(model, path, partial=partial)
        assert str(caught.value).endswith(f"Received: {str(path)!r}")
        assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("policy", ROUNDINGS)
def test_keras_files_of_narrow_floats_load_every_value(policy: str, suffix: str, tmp_path: Path) -> None:
    model, path = trained(policy), tmp_path / f"file{suffix}"
    if suffix == ".weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    for partial in (False, True):
        loaded = build_model(SPEC, classes=5)
        load_weights(loaded, path, partial=partial)
        expected, found = weights_of(model), weights_of(loaded)
        assert {name.partition("/")[2] for name in expected} == {name.partition("/")[2] for name in found}
        assert all(np.array_equal(found[name], expected[name]) for name in found)
    assert {variable.dtype for variable in loaded.trainable_variables} == {"float32"}


@pytest.mark.parametrize("policy", ROUNDINGS)
def test_a_model_of_narrow_floats_takes_a_file_of_float32(policy: str, tmp_path: Path) -> None:
    wide = trained()
    wide.save_weights(tmp_path / "file.weights.h5")
    keras.config.set_dtype_policy(policy)
    narrow = build_model(SPEC, classes=5, weights=tmp_path / "file.weights.h5")
    expected = weights_of(wide)
    for name, found in weights_of(narrow).items():
        np.testing.assert_array_equal(found, expected[name].astype(ROUNDINGS[policy]).astype("float32"))


@pytest.mark.parametrize("policy", ROUNDINGS)
def test_safetensors_of_narrow_floats_load_every_value(policy: str, tmp_path: Path) -> None:
    path = written(SMALL, 1.0, tmp_path / "weights.safetensors")
    wide = build_model(SMALL, classes=10, weights=path)
    tensors = load_file(path)
    save_file({name: array.astype(ROUNDINGS[policy]) for name, array in tensors.items() if array.ndim}, path)
    narrow = build_model(SMALL, classes=10, weights=path)
    expected = weights_of(wide)
    for name, found in weights_of(narrow).items():
        np.testing.assert_array_equal(found, expected[name].astype(ROUNDINGS[policy]).astype("float32"))


@pytest.fixture(params=["int8", "int4"])
def quantised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """A model whose dense kernels are codes."""
    model: Any = trained()
    # For each kernel that codes replace, Keras looks for garbage among all that these tests ever imported.
    monkeypatch.setattr("gc.collect", lambda: 0)
    model.quantize(request.param)
    return model


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_codes_of_a_quantised_model_are_no_weights(suffix: str, quantised: keras.Model, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    if suffix == ".keras":
        quantised.save(path)
    else:
        quantised.save_weights(path)
    assert_refused(path, r"tensor '.*/\d' is u?int8.*codes, which mean nothing without their scales")


def test_floats_are_no_codes(quantised: keras.Model, tmp_path: Path) -> None:
    trained().save_weights(tmp_path / "file.weights.h5")
    if any(tuple(variable.shape) == (16, 5) and variable.dtype == "int8" for variable in quantised.variables):
        assert_refused(tmp_path / "file.weights.h5", "int8, the codes of a quantised layer", quantised)
    with pytest.raises(InheritanceError, match=r"layer '.*' is quantised, so that its kernel holds codes.*Received: "):
        grow_model(quantised, scale_spec(SPEC, coefficients=Coefficients(depth=2)))


def test_a_quantised_layer_is_read_as_none_of_the_vocabulary(quantised: keras.Model) -> None:
    found = {node.name: node.op for node in read_model(quantised).nodes}
    assert isinstance(found["predictions"], Opaque)
    assert isinstance(found["stem_conv"], Conv)


def with_other_kernel(folder: Path, make: Callable[[tuple[int, ...]], np.ndarray]) -> Path:
    """A weight file whose first kernel is another array of the same shape."""
    path = folder / "file.weights.h5"
    trained().save_weights(path)
    with h5py.File(path, "r+") as file:
        group: Any = file["layers/conv2d/vars"]
        shape = group["0"].shape
        del group["0"]
        group.create_dataset("0", data=make(shape))
    return path


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool"])
def test_whole_numbers_in_a_keras_file_are_no_weights(kind: str, tmp_path: Path) -> None:
    path = with_other_kernel(tmp_path, lambda shape: np.ones(shape, kind))
    assert_refused(path, rf"tensor 'stem_conv/0' is {kind}")


def test_bytes_in_a_keras_file_are_no_numbers(tmp_path: Path) -> None:
    path = with_other_kernel(tmp_path, lambda shape: np.zeros(shape, "V1"))
    assert_refused(path, r"cannot be read: its weights are \|V1, not numbers of float16, bfloat16")


def as_codes(array: np.ndarray) -> np.ndarray:
    return (array * 10).astype("int8")


def as_float8(array: np.ndarray) -> np.ndarray:
    return array.astype(ml_dtypes.float8_e4m3fn)


@pytest.mark.parametrize(
    ("change", "words"),
    [(as_codes, "tensor 'conv_stem.weight' is int8.*scales"), (as_float8, "float8_e4m3fn|cannot be read")],
)
def test_codes_in_safetensors_are_no_weights(
    change: Callable[[np.ndarray], np.ndarray], words: str, tmp_path: Path
) -> None:
    path = written(SMALL, 1.0, tmp_path / "weights.safetensors")
    tensors = read_safetensors(path)
    tensors["conv_stem.weight"] = change(tensors["conv_stem.weight"])
    try:
        save_file(tensors, path)
    except KeyError:
        pytest.skip("this safetensors cannot write the type")
    assert_refused(path, words, build_model(SMALL, classes=10))
