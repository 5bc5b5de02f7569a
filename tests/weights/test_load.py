"""Weight files: three layouts that load, and every other file that must leave the model as it was."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from lean_keras import lean_layers
from support import assert_same_outputs, every_block_spec, outputs, random_images, randomize, tiny_spec, write_legacy_h5

from keras_effnet import BackboneSpec, Coefficients, build_model, scale_spec
from keras_effnet.blocks import InvertedResidual, MBConv
from keras_effnet.errors import WeightsError
from keras_effnet.registry import backbones
from keras_effnet.weights.keras_files import read_weight_file
from keras_effnet.weights.load import load_weights

SPEC = tiny_spec(MBConv(), MBConv(expand=2), depth=1)


@cache
def trained(spec: BackboneSpec = SPEC, classes: int = 5) -> keras.Model:
    """A model whose weights all differ from fresh ones."""
    keras.utils.set_random_seed(7)
    with lean_layers():
        model = build_model(spec, classes=classes)
    randomize(model, seed=7)
    return model


def in_two_lists(model: keras.Model, path: Path) -> None:
    write_legacy_h5(model, path, chunk=10)


def below_model_weights(model: keras.Model, path: Path) -> None:
    # A whole model saved by older Keras keeps its weights in a group of this name.
    write_legacy_h5(model, path)
    with h5py.File(path, "r+") as file:
        group = file.create_group("model_weights")
        for name in [name for name in file if name != "model_weights"]:
            file.move(name, f"model_weights/{name}")
        group.attrs["layer_names"] = file.attrs["layer_names"]
        del file.attrs["layer_names"]


WRITERS: dict[str, tuple[str, Callable[[keras.Model, Path], None]]] = {
    "weights.h5": ("file.weights.h5", lambda model, path: model.save_weights(path)),
    "keras": ("file.keras", lambda model, path: model.save(path)),
    "legacy": ("file.h5", write_legacy_h5),
    "legacy, long list": ("file.h5", in_two_lists),
    "legacy, whole model": ("file.h5", below_model_weights),
}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_loads_every_value(layout: str, tmp_path: Path) -> None:
    name, write = WRITERS[layout]
    model = trained()
    write(model, tmp_path / name)
    loaded = build_model(SPEC, classes=5, weights=str(tmp_path / name))
    assert all(np.array_equal(*pair) for pair in zip(loaded.get_weights(), model.get_weights(), strict=True))
    x = random_images(2, 32, 32, 3)
    assert_same_outputs(outputs(loaded, x), outputs(model, x), tolerance=1e-6)


@pytest.mark.parametrize(
    "name", ["resnet50", "mobilenet_v1", "mobilenet_v2", pytest.param("every block", marks=pytest.mark.slow)]
)
def test_files_of_every_family_load(name: str, tmp_path: Path) -> None:
    narrow = Coefficients(depth=0.3, width=0.25, resolution=0.3)
    spec = every_block_spec() if name == "every block" else scale_spec(backbones.get(name), coefficients=narrow)
    model = trained(spec)
    path = tmp_path / "file.weights.h5"
    model.save_weights(path)
    with lean_layers():
        loaded = build_model(spec, classes=5, weights=str(path))
    assert all(np.array_equal(*pair) for pair in zip(loaded.get_weights(), model.get_weights(), strict=True))


def test_what_this_package_loads_keras_loads_too_and_the_other_way_round(tmp_path: Path) -> None:
    model, path = trained(), tmp_path / "file.weights.h5"
    model.save_weights(path)
    by_keras = build_model(SPEC, classes=5)
    by_keras.load_weights(path)
    by_us = build_model(SPEC, classes=5)
    load_weights(by_us, path)
    assert all(np.array_equal(*pair) for pair in zip(by_us.get_weights(), by_keras.get_weights(), strict=True))


def test_paths_are_expanded_and_may_be_path_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    model = trained()
    model.save_weights(tmp_path / "file.weights.h5")
    for weights in ("~/file.weights.h5", tmp_path / "file.weights.h5"):
        loaded = build_model(SPEC, classes=5, weights=weights)  # pyright: ignore[reportArgumentType]
        assert np.array_equal(loaded.get_weights()[-1], model.get_weights()[-1])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def text(path: Path) -> None:
    path.write_text("no weights here\n" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")


def foreign_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(5)


def zip_of_text(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", "nothing")


def missing_array(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file["layers/conv2d/vars"]
        assert isinstance(group, h5py.Group)
        del group["0"]


def damaged_deflate(path: Path) -> None:
    # Found by scripts/fuzz.py: zlib has an error of its own.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", b"weights" * 1000)
    content = bytearray(path.read_bytes())
    start = content.index(b"model.weights.h5") + len("model.weights.h5")
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10_000_000))


def huge_array(path: Path) -> None:
    # Found by scripts/fuzz.py: a file of a few kilobytes that says it holds terabytes.
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", shape=(1 << 40,), dtype="float32", chunks=(1024,))


def array_elsewhere(path: Path) -> None:
    # The numbers would come from any file that the user may read.
    other = path.with_name("secret")
    other.write_bytes(bytes(4000))
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (1000,), "float32", external=[(str(other), 0, 4000)])


def array_of_text(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", data=[b"a", b"b"])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged_deflate, "decompressing"),
        (zip_bomb, "100 times its size"),
        (huge_array, "100 times its size"),
        (array_elsewhere, "in other files"),
        (array_of_text, "not numbers"),
    ],
)
def test_a_hostile_file_is_refused(damage: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    damage(tmp_path / "file")
    with pytest.raises(WeightsError, match=f"cannot be read: .*{words}.*Received: "):
        read_weight_file(tmp_path / "file")


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
@pytest.mark.parametrize("damage", [cut, text, empty, foreign_zip, foreign_h5, zip_of_text])
def test_a_broken_file_is_named_and_changes_nothing(
    damage: Callable[[Path], None], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"file{suffix}"
    write = {".weights.h5": "weights.h5", ".keras": "keras", ".h5": "legacy"}[suffix]
    WRITERS[write][1](trained(), path)
    damage(path)
    assert_refused(path, "cannot be read")


@pytest.mark.parametrize("layout", ["weights.h5", "keras", "legacy"])
def test_a_file_cut_anywhere_changes_nothing(layout: str, tmp_path: Path) -> None:
    name, write = WRITERS[layout]
    write(trained(), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for share in (0.0, 0.001, 0.1, 0.9, 0.9999):
        (tmp_path / name).write_bytes(content[: int(share * len(content))])
        assert_refused(tmp_path / name, "")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["weights.h5", "keras", "legacy"])
def test_flipped_bytes_load_all_or_nothing(layout: str, tmp_path: Path) -> None:
    name, write = WRITERS[layout]
    spec = tiny_spec(MBConv(), depth=1, head=None)
    write(trained(spec), tmp_path / name)
    content = (tmp_path / name).read_bytes()
    generator = np.random.default_rng(0)
    model = build_model(spec, classes=5)
    before = [weight.copy() for weight in model.get_weights()]
    # The first bytes say where all else lies.
    for position in (*range(8), *generator.integers(8, 2000, 20), *generator.integers(0, len(content), 20)):
        changed = bytearray(content)
        changed[position] ^= int(generator.integers(1, 256))
        (tmp_path / name).write_bytes(changed)
        try:
            load_weights(model, tmp_path / name)
        except WeightsError:
            assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))
        else:
            # A byte of padding, of a number or of a name: HDF5 has no checksums, and every weight is new.
            pairs = zip(model.get_weights(), before, strict=True)
            assert sum(np.array_equal(*pair) for pair in pairs) == 0
            model.set_weights(before)


def test_a_file_that_lacks_one_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.weights.h5"
    trained().save_weights(path)
    missing_array(path)
    assert_refused(path, "stem_conv")


@cache
def untrained(spec: BackboneSpec, classes: int) -> tuple[keras.Model, list[np.ndarray]]:
    """A model that no test changes, and its weights."""
    model = build_model(spec, classes=classes)
    return model, [weight.copy() for weight in model.get_weights()]


def assert_refused(path: Path, words: str, spec: BackboneSpec = SPEC, classes: int = 5) -> None:
    """Loading raises our error with the path and `words`, and no weight moves."""
    model, before = untrained(spec, classes)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"Received: {str(path)!r}")
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize("layout", ["weights.h5", "keras", "legacy"])
@pytest.mark.parametrize(
    ("spec", "classes", "first"),
    [
        (SPEC, 4, "predictions"),
        (tiny_spec(MBConv(kernel=5), MBConv(expand=2), depth=1), 5, "block1a_dwconv"),
        (tiny_spec(MBConv(), MBConv(expand=2), depth=1, head=None), 5, "predictions"),
        (tiny_spec(MBConv(), depth=1), 5, "tensor '"),
        (tiny_spec(MBConv(), MBConv(expand=2), MBConv(), depth=1), 5, "block3a"),
    ],
    ids=["classes", "kernel", "no head", "fewer stages", "more stages"],
)
def test_another_architecture_is_told_by_the_first_layer_that_differs(
    layout: str, spec: BackboneSpec, classes: int, first: str, tmp_path: Path
) -> None:
    name, write = WRITERS[layout]
    write(trained(), tmp_path / name)
    if layout != "legacy" and first in ("block3a", "predictions"):
        first = "tensor '"  # paired by class and count: the first that differs may be a normalisation further on
    assert_refused(tmp_path / name, first, spec, classes)


@pytest.mark.parametrize("layout", ["weights.h5", "keras", "legacy"])
def test_a_file_with_more_layers_than_the_model_is_refused(layout: str, tmp_path: Path) -> None:
    # The layers of the model all fit; only the file's last ones are left over.
    bigger, smaller = tiny_spec(InvertedResidual(), depth=3, head=None), tiny_spec(InvertedResidual(), head=None)
    name, write = WRITERS[layout]
    keras.utils.set_random_seed(1)
    write(build_model(bigger, include_top=False, pooling="avg"), tmp_path / name)
    model = build_model(smaller, include_top=False, pooling="avg")
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(WeightsError, match=r"is not in the model.*Received"):
        load_weights(model, tmp_path / name)
    assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), before, strict=True))


def test_a_missing_file_is_found_out_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: object, **__: object) -> None:
        raise AssertionError("built although the file is missing")

    monkeypatch.setattr("keras_effnet.builder.model.record_network", built)
    with pytest.raises(WeightsError, match=r"existing weight file.*Received: weights='no/such\.h5'"):
        build_model(SPEC, weights="no/such.h5")


@pytest.mark.parametrize("layout", ["weights.h5", "keras", "legacy"])
def test_in_part_layers_of_equal_names_and_shapes_are_loaded(layout: str, tmp_path: Path) -> None:
    # The file has a stage more in the middle, so that neither counts nor order fit.
    larger = tiny_spec(MBConv(), MBConv(kernel=5), MBConv(expand=2), depth=1)
    name, write = WRITERS[layout]
    write(trained(larger), tmp_path / name)
    model = build_model(SPEC, classes=5)
    before = {variable.path: np.array(variable) for variable in model.weights}
    report = load_weights(model, tmp_path / name, partial=True)
    loaded = {row.weight: row.source for row in report.of("loaded")}
    saved = {variable.path: np.array(variable) for variable in trained(larger).weights}
    assert {"stem_conv/kernel", "block1a_project_conv/kernel", "top_bn/gamma"} <= set(loaded)
    for variable in model.weights:
        expected = saved[variable.path] if variable.path in loaded else before[variable.path]
        assert np.array_equal(np.array(variable), expected)
    kernel = next(row for row in report.rows if row.weight == "block2a_dwconv/kernel")
    assert (kernel.status, kernel.shape, kernel.found) == ("misshapen", (3, 3, 16, 1), (5, 5, 48, 1))
    assert {row.source for row in report.of("extra")} >= {"block3a_dwconv/0"}
    assert len(loaded) + len(report.of("misshapen")) == len([row for row in report.rows if row.weight])
