"""Exported files, run in their engines and held against the Keras model that they were made from."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import (
    BACKEND_SPECS,
    BASES,
    as_if_trained,
    assert_same_outputs,
    every_operation_spec,
    outputs,
    random_images,
    run_python,
)

from keras_effnet import build_model, export_model, open_exported
from keras_effnet.builder.embedded_spec import name_classes
from keras_effnet.cli.main import main, parse
from keras_effnet.errors import DataError, ExportError, MissingExtraError
from keras_effnet.export.engines import Exported
from keras_effnet.export.export_metadata import ExportMetadata
from keras_effnet.export.exporter import export_files
from keras_effnet.export.formats import FORMATS
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.scaling import Coefficients, scale_spec

slow = pytest.mark.slow
NAMES = ("cat", "dog", "eel", "fox", "gnu")
# What the default run leaves out: another setting of the same converter, or TensorFlow again.
LATER = ("litert-float16", "litert-dynamic", "saved_model")
EVERY = [pytest.param(name, marks=slow) if name in LATER else name for name in FORMATS]
FLOATS = [each for each, kind in zip(EVERY, FORMATS.values(), strict=True) if kind.tolerance is not None]


@cache
def trained() -> keras.Model:
    """Every operation in one network, with the weights of a trained one; takes pixels from 0 to 255."""
    model = build_model(every_operation_spec(), classes=5)
    as_if_trained(model)
    name_classes(model, NAMES)
    return model


class Files:
    """One file in each format, written when it is asked for.

    Args:
        folder: folder for the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> Path:
        path = self.folder / f"{name}{FORMATS[name].suffix}"
        if not path.exists():
            # Random weights are nothing that survives int8: that it computes at all is asked here.
            images = random_images(20, 48, 48, 3)
            [report] = export_files(trained(), {name: path}, calibration=images, images=images[:3], tolerance=1.0)
            assert (report.format, report.images) == (name, 3)
        return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """One file in every format."""
    return Files(tmp_path_factory.mktemp("exported"))


@pytest.mark.parametrize("name", FLOATS)
def test_a_file_computes_what_its_model_does(files: Files, name: str) -> None:
    exported, images = open_exported(files[name]), random_images(3, 48, 48, 3, seed=1)
    tolerance = 1e-2 if name == "litert-float16" else 1e-4
    for some in (images, images[:1]):  # of any number of images
        assert_same_outputs(exported.predict_on_batch(some), outputs(trained(), some), tolerance)


@pytest.mark.parametrize("name", EVERY)
def test_names_pixels_and_spec_travel_in_the_file(files: Files, name: str) -> None:
    told = open_exported(files[name]).metadata
    assert (told.format, told.class_names, told.outputs) == (name, NAMES, "probabilities")
    assert (told.resolution, told.channels, told.pixels) == (48, 3, True)
    assert told.spec == json.loads(every_operation_spec().to_json())


@slow
def test_quantized_files_are_small_and_take_pixels_as_they_are(files: Files) -> None:
    size = {name: files[name].stat().st_size for name, kind in FORMATS.items() if kind.suffix == ".tflite"}
    assert size["litert-float16"] < 0.6 * size["litert"]
    assert size["litert-dynamic"] < 0.5 * size["litert"]
    assert size["litert-int8"] < 0.5 * size["litert"]
    from ai_edge_litert.interpreter import Interpreter

    given = Interpreter(model_path=str(files["litert-int8"])).get_input_details()[0]
    assert given["dtype"] == np.uint8
    scale, zero = given["quantization"]
    assert abs(scale - 1) < 0.01
    assert zero == 0


@pytest.mark.parametrize("suffix", [".tflite", ".onnx", ".xml", ".bin"])
def test_a_file_that_was_cut_or_swapped_is_refused(files: Files, tmp_path: Path, suffix: str) -> None:
    name = {".tflite": "litert", ".onnx": "onnx"}.get(suffix, "openvino")
    for part in (files[name], *([files[name].with_suffix(".bin")] if name == "openvino" else [])):
        (tmp_path / f"net{part.suffix}").write_bytes(part.read_bytes())
    path = tmp_path / f"net{suffix}"
    whole = path.read_bytes()
    main_file = tmp_path / f"net{'.xml' if suffix == '.bin' else suffix}"
    for damaged in (whole[: len(whole) // 2], b"", whole[:100] + bytes(100) + whole[200:]):
        path.write_bytes(damaged)
        with pytest.raises(ExportError, match="Received"):
            open_exported(main_file)
    path.write_bytes(whole)
    assert open_exported(main_file).metadata.class_names == NAMES


@pytest.mark.parametrize("format", ["onnx", pytest.param("litert", marks=slow)])
def test_a_batch_can_be_fixed(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"net{FORMATS[format].suffix}"
    export_model(trained(), path, batch=2)
    exported, images = open_exported(path, threads=1), random_images(3, 48, 48, 3)
    assert exported.batch == 2
    assert_same_outputs(exported.predict_on_batch(images), outputs(trained(), images), 1e-4)


def thin(name: str) -> Any:
    return BACKEND_SPECS.get(name) or scale_spec(name, coefficients=Coefficients(depth=0.1, width=0.2, resolution=0.2))


@slow
@pytest.mark.parametrize("name", BASES)
def test_every_family_goes_into_every_float_format(tmp_path: Path, name: str) -> None:
    # Logits: random ones are so large that a probability of two nearly equal ones says nothing.
    model = build_model(thin(name), classes=5, classifier_activation=None)
    as_if_trained(model)
    formats = ("onnx", "openvino", "litert")
    paths = {each: tmp_path / f"net{FORMATS[each].suffix}" for each in formats}
    # GhostNet with random weights makes thousands of ones: rounding alone moves its folded Keras model by 1e-4.
    tolerance = 5e-3 if name == "ghostnet" else 1e-4
    for report in export_files(model, paths, tolerance=tolerance):
        assert report.agreement == 1
    # A model that wants preprocessed pixels became one that takes them raw.
    raw, side = take_raw_pixels(model), model.input_shape[1]
    images = random_images(2, side, side, 3)
    found = open_exported(paths["onnx"]).predict_on_batch(images)
    assert_same_outputs(found, outputs(raw, images), tolerance)


@pytest.mark.slow
def test_features_and_sides_that_vary(tmp_path: Path) -> None:
    model = build_model(every_operation_spec(), include_top=False, input_shape=(None, None, 3))
    as_if_trained(model)
    export_model(model, tmp_path / "net.onnx")
    exported = open_exported(tmp_path / "net.onnx")
    assert exported.metadata.outputs == "features"
    for side in (48, 63):
        images = random_images(2, side, side, 3)
        assert_same_outputs(exported.predict_on_batch(images), outputs(model, images), 1e-4)


def test_an_export_that_differs_leaves_no_file_and_an_older_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_model(trained(), path)
    before = path.read_bytes()
    with pytest.raises(ExportError, match=r"within 0 of the largest output.*a difference of"):
        export_model(trained(), path, tolerance=0.0)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["net.onnx"]


def odd_activation(x: Any) -> Any:
    return x * 2


def with_layer(layer: Any) -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    return keras.Model(pixels, layer(keras.layers.Conv2D(4, 1, name="first")(pixels)))


@pytest.mark.parametrize(
    ("make", "path", "arguments", "said"),
    [
        (trained, "net.pth", {}, "`format` must be one of"),
        (trained, "net.onnx", {"format": "litert"}, "must end in .tflite"),
        (trained, "net.tflite", {"format": "saved_model"}, "must have no suffix"),
        (trained, "net.onnx", {"batch": 0}, "`batch` must be"),
        (trained, "net.tflite", {"format": "litert-int8"}, "ranges of real images"),
        (
            trained,
            "net.tflite",
            {"format": "litert-int8", "calibration": random_images(4, 48, 48, 3)},
            "at least 5 images",
        ),
        (trained, "net.onnx", {"images": random_images(4, 32, 32, 3)}, r"shape \(48, 48, 3\)"),
        (trained, "net.onnx", {"images": random_images(4, 48, 48, 3) / 255}, "pixels from 0 to 255"),
        (trained, "net.onnx", {"images": random_images(4, 48, 48, 3) * np.nan}, "pixels from 0 to 255"),
        (lambda: with_layer(keras.layers.Permute((2, 1, 3), name="turned")), "net.onnx", {}, "layer 'turned'"),
        (lambda: with_layer(keras.layers.Permute((2, 1, 3), name="turned")), "net.tflite", {}, "layer 'turned'"),
        (lambda: with_layer(keras.layers.Activation(odd_activation, name="odd")), "net.onnx", {}, "layer 'odd'"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(
    tmp_path: Path, make: Any, path: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ExportError, match=rf"{said}") as caught:
        export_model(make(), tmp_path / path, **arguments)
    assert "Received: " in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written.*Received"):
        export_model(trained(), tmp_path / "file" / "net.onnx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExportError, match="a folder of other things"):
        export_model(trained(), tmp_path / "folder")


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("onnx", "net.onnx", r"the extra \[onnx\] .* pip install onnx onnxruntime\."),
        ("openvino", "net.xml", r"the extra \[openvino\] .* pip install onnx openvino\."),
        ("ai_edge_litert", "net.tflite", r"the extra \[litert\] .* pip install ai-edge-litert\."),
    ],
)
def test_an_engine_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, name: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=said):
        export_model(trained(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_predict_and_evaluate_take_files_as_they_take_models(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for number, name in enumerate(NAMES):
        (tmp_path / "data" / name).mkdir(parents=True)
        pixels = random_images(48, 48, 3, seed=number).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / name / "one.png")
        Image.fromarray(pixels[::-1]).save(tmp_path / "data" / name / "two.png")
    trained().save(tmp_path / "net.keras")
    told = {}
    for model in (tmp_path / "net.keras", files["onnx"], files["litert"]):
        assert main(parse(["keras-effnet", "predict", str(model), str(tmp_path / "data"), "--format", "json"])) == 0
        told[model.suffix] = json.loads(capsys.readouterr().out)["images"]
    for suffix in (".onnx", ".tflite"):
        for image, other in zip(told[".keras"], told[suffix], strict=True):
            assert image["image"] == other["image"]
            assert image["classes"][0]["class"] == other["classes"][0]["class"]
            assert abs(image["classes"][0]["probability"] - other["classes"][0]["probability"]) < 1e-4
    command = ["keras-effnet", "evaluate", str(files["onnx"]), str(tmp_path / "data"), "--split", "all", "--json"]
    assert main(parse(command)) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 10


def test_the_command_writes_several_formats_and_compares_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained().save(tmp_path / "net.keras")
    command = ["keras-effnet", "export", str(tmp_path / "net.keras"), "--format", "onnx", "openvino"]
    assert main(parse(command)) == 0
    said = capsys.readouterr().out
    assert "ONNX Runtime" in said
    assert "OpenVINO" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.bin", "net.keras", "net.onnx", "net.xml"]
    assert main(parse([*command[:4], "litert-int8"])) == 1
    assert "--calibration" in capsys.readouterr().err


OTHER_BACKEND = """
import sys
import numpy as np
from keras_effnet import export_model
from keras_effnet.export.formats import FORMATS
import keras
images, folder = np.load(sys.argv[1]), sys.argv[2]
for name in ("onnx", "openvino", "litert", "saved_model"):
    export_model(f"{folder}/net.keras", f"{folder}/net-{keras.backend.backend()}{FORMATS[name].suffix}", format=name,
                 images=images)
print("all written")
"""


@slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_write_the_same_files(tmp_path: Path, backend: str) -> None:
    trained().save(tmp_path / "net.keras")
    images = random_images(2, 48, 48, 3)
    np.save(tmp_path / "images.npy", images)
    words = (str(tmp_path / "images.npy"), str(tmp_path))
    said = run_python(OTHER_BACKEND, *words, KERAS_BACKEND=backend, JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    assert said.endswith("all written")
    for suffix in (".onnx", ".xml", ".tflite", ""):
        found = open_exported(tmp_path / f"net-{backend}{suffix}").predict_on_batch(images)
        assert_same_outputs(found, outputs(trained(), images), 1e-4)


class _Refusing(Exported):
    """An engine that opens a file and cannot run it."""

    engine, batch = "LiteRT", None
    metadata = ExportMetadata("net", "litert", 8, 3, False, "features")

    def run(self, images: list[np.ndarray]) -> list[np.ndarray]:
        raise RuntimeError("node 182 failed to prepare")


def test_what_an_engine_cannot_run_is_told() -> None:
    with pytest.raises(
        ExportError, match=r"LiteRT cannot run the file: node 182.*Received: images of shape \(1, 8, 8, 3\)"
    ):
        _Refusing().predict_on_batch(np.zeros((1, 8, 8, 3)))
