"""Models of several inputs and outputs: folded, exported, timed, and refused where one image is asked for."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from other_models import MODELS
from support import as_if_trained, assert_same_outputs, random_images

from keras_effnet import build_model, explain_int8, export_model, fold_batchnorm, open_exported, scale_spec
from keras_effnet.cli.main import main, parse
from keras_effnet.errors import ExportError
from keras_effnet.export.export_metadata import ExportMetadata, metadata_from_json
from keras_effnet.export.exporter import export_files
from keras_effnet.export.formats import FORMATS
from keras_effnet.latency.engine_latency import time_engines
from keras_effnet.reading.graph import has_graph, unfolded
from keras_effnet.reading.model_form import names_of_tensors, structured

layers, slow = keras.layers, pytest.mark.slow
LATER = ("litert-float16", "litert-dynamic", "openvino", "saved_model")
FLOATS = [pytest.param(name, marks=slow) if name in LATER else name for name, kind in FORMATS.items() if kind.tolerance]


def by_name() -> keras.Model:
    """Two images, read and returned by names that no file can hold, one of them by the same name; a map and classes."""
    wide, gray = keras.Input((16, 16, 3), name="z image"), keras.Input((16, 16, 1), name="1st")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False)(layers.Concatenate()([wide, gray]))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    mask = layers.Conv2D(2, 1, activation="sigmoid")(x)
    scores = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"z image": wide, "1st": gray}, {"z image": mask, "class": scores}, name="by_name")


def twice() -> keras.Model:
    """One head that two images pass, so that both outputs are of one layer."""
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    conv, head = layers.Conv2D(4, 3), layers.Dense(2, name="head")
    return keras.Model([left, right], [head(layers.Flatten()(conv(each))) for each in (left, right)], name="twice")


MAKE = {"two_inputs": MODELS["two_inputs"], "by_name": by_name, "twice": twice}
NAMES = {
    "two_inputs": (("left", "right", "facts"), ("same", "sure")),
    "by_name": (("1st", "z image"), ("class", "z image")),
    "twice": (("left", "right"), ("head", "head_1")),
}


@cache
def model_of(name: str) -> Any:
    """One of these models; no test changes it."""
    keras.utils.set_random_seed(0)
    model = MAKE[name]()
    as_if_trained(model)
    return model


def inputs_of(name: str, count: int = 3) -> list[np.ndarray]:
    """Something else for each input."""
    shapes = [tensor.shape[1:] for tensor in model_of(name).inputs]
    return [random_images(count, *shape, seed=place) / 255 for place, shape in enumerate(shapes)]


def predicted(model: keras.Model, given: list[np.ndarray]) -> list[np.ndarray]:
    """What Keras itself predicts, in the order of the outputs; Keras warns of arrays in another form."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        made: Any = model.predict(structured(given, model, "input"), verbose="0")
    return keras.tree.flatten(made)


def assert_all_same(found: dict[str, np.ndarray], name: str, given: list[np.ndarray], tolerance: float) -> None:
    assert tuple(found) == NAMES[name][1]
    for ours, theirs in zip(found.values(), predicted(model_of(name), given), strict=True):
        assert_same_outputs(ours, theirs, tolerance)


@pytest.mark.parametrize("name", MAKE)
def test_names_are_those_of_the_model(name: str) -> None:
    assert (names_of_tensors(model_of(name), "input"), names_of_tensors(model_of(name), "output")) == NAMES[name]


@pytest.mark.parametrize("format", FLOATS)
@pytest.mark.parametrize("name", MAKE)
def test_files_compute_what_the_model_does(name: str, format: str, tmp_path: Path) -> None:
    path, given = tmp_path / f"net{FORMATS[format].suffix}", inputs_of(name)
    tolerance = 5e-3 if format == "litert-float16" else 1e-4
    report = export_model(model_of(name), path, format=format, tolerance=tolerance)
    assert tuple(report.differences) == NAMES[name][1]
    assert report.difference == max(report.differences.values())
    net = open_exported(path)
    assert_all_same(net.predict_on_batch(given), name, given, tolerance)
    backwards = dict(zip(reversed(NAMES[name][0]), reversed(given), strict=True))
    assert_all_same(net.predict_on_batch(backwards), name, given, tolerance)


def test_a_file_says_what_it_reads_and_returns(tmp_path: Path) -> None:
    export_model(model_of("two_inputs"), tmp_path / "net.onnx")
    told = open_exported(tmp_path / "net.onnx").metadata
    assert [(each.name, each.shape, each.holds) for each in told.inputs] == [
        ("left", (24, 24, 3), "image"),
        ("right", (24, 24, 3), "image"),
        ("facts", (5,), "numbers"),
    ]
    assert [(each.name, each.holds) for each in told.returns] == [("same", "logits"), ("sure", "labels")]
    assert (told.outputs, told.resolution, told.channels) == ("several", 24, 3)
    export_model(model_of("by_name"), tmp_path / "net.onnx")
    told = open_exported(tmp_path / "net.onnx").metadata
    assert [(each.name, each.holds) for each in told.returns] == [("class", "probabilities"), ("z image", "features")]


def test_programs_of_others_find_the_names_in_the_files(tmp_path: Path) -> None:
    """As far as a format can hold them, each once."""
    from ai_edge_litert.interpreter import Interpreter
    from onnxruntime import InferenceSession

    export_files(model_of("by_name"), {name: tmp_path / f"net{FORMATS[name].suffix}" for name in ("onnx", "litert")})
    session = InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["x1st", "z_image"]
    assert [each.name for each in session.get_outputs()] == ["class", "z_image_1"]
    [signature] = Interpreter(str(tmp_path / "net.tflite")).get_signature_list().values()
    assert (sorted(signature["inputs"]), sorted(signature["outputs"])) == (["x1st", "z_image"], ["class", "z_image_1"])


def test_a_batch_can_be_fixed(tmp_path: Path) -> None:
    export_model(model_of("two_inputs"), tmp_path / "net.onnx", batch=2)
    net, given = open_exported(tmp_path / "net.onnx", threads=1), inputs_of("two_inputs", 5)
    assert net.batch == 2
    assert_all_same(net.predict_on_batch(given), "two_inputs", given, 1e-4)


@pytest.mark.parametrize("options", [{}, pytest.param({"float_layers": 1, "batch": 2}, marks=slow)])
def test_int8_files_are_calibrated_by_arrays_for_each_input(options: dict[str, Any], tmp_path: Path) -> None:
    given, model = inputs_of("two_inputs", 12), model_of("two_inputs")
    calibration = dict(zip(NAMES["two_inputs"][0], given, strict=True))
    path = tmp_path / "net.tflite"
    report = export_model(model, path, format="litert-int8", calibration=calibration, tolerance=0.2, **options)
    found = open_exported(path).predict_on_batch(given)
    expected = predicted(model, given)
    for ours, theirs in zip(found.values(), expected, strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98
    assert 1e-3 < report.difference < 0.2


@slow
def test_layers_of_an_int8_network_are_explained() -> None:
    found = {each.layer: each for each in explain_int8(model_of("two_inputs"), inputs_of("two_inputs", 12))}
    assert {"wide", "hidden"} <= found.keys()
    assert found["hidden"].noise < 0.05


def test_levels_of_a_backbone_are_outputs_of_raw_pixels(tmp_path: Path) -> None:
    model = build_model(scale_spec("mobilenet_v2", phi=-6), features=("P2", "P3"), input_shape=(32, 32, 3))
    as_if_trained(model)
    export_model(model, tmp_path / "net.onnx")
    net, images = open_exported(tmp_path / "net.onnx"), random_images(2, 32, 32, 3)
    assert net.metadata.pixels
    assert net.metadata.spec is not None
    found = net.predict_on_batch(images)
    assert tuple(found) == names_of_tensors(model, "output")
    for ours, theirs in zip(found.values(), predicted(model, [images / 127.5 - 1]), strict=True):
        assert_same_outputs(ours, theirs, 1e-4)


def test_a_folded_model_is_called_as_the_old_one() -> None:
    model, given = model_of("by_name"), inputs_of("by_name")
    for made in (fold_batchnorm(model), unfolded(wrapped(model), has_graph)):
        assert isinstance(made.input, dict)
        assert isinstance(made.output, dict)
        assert set(made.output) == set(model.output)
        for ours, theirs in zip(predicted(made, given), predicted(model, given), strict=True):
            assert_same_outputs(ours, theirs)
    assert "norm" not in {layer.name for layer in fold_batchnorm(model).layers}


def wrapped(model: Any) -> keras.Model:
    """The model inside a model of the same form."""
    inputs = {name: keras.Input(tensor.shape[1:], name=name) for name, tensor in model.input.items()}
    return keras.Model(inputs, model(inputs))


def vectors_alone() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Dense(2)])


def words() -> keras.Model:
    image, sequence = keras.Input((8, 8, 3), name="picture"), keras.Input((7, 4), name="words")
    both = [layers.Flatten()(image), layers.Flatten()(sequence)]
    return keras.Model([image, sequence], layers.Dense(2)(layers.Concatenate()(both)))


@pytest.mark.parametrize(
    ("make", "arguments", "said"),
    [
        ("two_inputs", {"images": random_images(3, 24, 24, 3)}, "one array for each input, 'left', 'right', 'facts'"),
        ("two_inputs", {"images": [random_images(3, 24, 24, 3)] * 2}, "'left', 'right', 'facts'.*2 of them"),
        ("two_inputs", {"images": {"left": random_images(3, 24, 24, 3)}}, "a dict of 'left'"),
        ("twice", {"images": [random_images(3, 8, 8, 3), random_images(2, 8, 8, 3)]}, r"as many rows.*\[3, 2\]"),
        ("twice", {"images": [random_images(3, 8, 8, 3), random_images(3, 9, 8, 3)]}, r"`images\['right'\]` must be"),
        ("twice", {"labels": np.zeros(16, int)}, "with one output"),
        ("twice", {"tolerance": 0.0}, "in output 'head"),
        (vectors_alone, {}, "must read an image"),
        (words, {}, r"nothing but images and vectors.*'words': \(7, 4\)"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_nothing(
    make: Any, arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    model = model_of(make) if isinstance(make, str) else make()
    with pytest.raises(ExportError, match=rf"(?s){said}") as caught:
        export_model(model, tmp_path / "net.onnx", **arguments)
    assert "Received: " in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_int8_file_without_images_for_each_input_is_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"format": "litert-int8", "calibration": inputs_of("two_inputs")[0]}
    with pytest.raises(ExportError, match=r"`calibration` must be one array for each input.*Received"):
        export_model(model_of("two_inputs"), tmp_path / "net.tflite", **options)


def test_they_are_timed_in_engines_and_in_keras() -> None:
    models = {name: model_of(name) for name in ("two_inputs", "by_name")}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras' words on arrays in another form
        rows = time_engines(models, ["onnx", "keras"], batches=(2,), threads=1, stages=True)
    found = {(row.network, row.engine) for row in rows}
    assert found == {(name, engine) for name in models for engine in ("onnx", "keras")}
    assert all(0 < row.low_ms <= row.median_ms and row.stages is None for row in rows)


def command(*words: str | Path) -> int:
    return main(parse(["keras-effnet", *map(str, words)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two classes."""
    from PIL import Image

    for number, name in enumerate("ab"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for place in range(2):
            pixels = random_images(16, 16, 3, seed=2 * number + place).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{place}.png")
    return tmp_path


@pytest.mark.parametrize("suffix", [".keras", ".onnx"])
def test_commands_that_show_one_image_refuse_them_early(
    suffix: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / f"net{suffix}"
    if suffix == ".keras":
        model_of("two_inputs").save(path)
    else:
        export_model(model_of("two_inputs"), path)
    for words in (("predict", path, folder / "images"), ("evaluate", path, folder / "images")):
        assert command(*words) == 1
        said = capsys.readouterr().err
        for part in ("'left', 'right', 'facts'", "'same', 'sure'", "predict", "Received: "):
            assert part in said


def test_a_folder_calibrates_no_model_of_several_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_of("two_inputs").save(folder / "net.keras")
    words = ("--format", "litert-int8", "--calibration", folder / "images")
    assert command("export", folder / "net.keras", *words) == 1
    said = capsys.readouterr().err
    assert "export_model(" in said
    assert "'left', 'right', 'facts'" in said
    assert command("export", folder / "net.keras", "--format", "onnx") == 0
    assert "ONNX Runtime" in capsys.readouterr().out


def test_one_image_and_one_output_may_have_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = keras.Input((16, 16, 3), name="image")
    scores = layers.Dense(2, activation="softmax")(layers.Flatten()(layers.Conv2D(4, 3)(image)))
    shown = {}
    models = {"plain": keras.Model(image, scores), "named": keras.Model({"image": image}, {"scores": scores})}
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
        export_model(model, folder / f"{name}.onnx")
        for path in (folder / f"{name}.keras", folder / f"{name}.onnx"):
            assert command("predict", path, folder / "images", "--format", "csv") == 0
            shown[path.name] = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    for name in ("plain.onnx", "named.keras", "named.onnx"):
        assert [line[:3] for line in shown[name]] == [line[:3] for line in shown["plain.keras"]]


def test_what_older_versions_wrote_is_read() -> None:
    written = ExportMetadata("net", "onnx", 32, 3, True, "features")
    content = json.loads(written.to_json())
    del content["inputs"], content["returns"]
    assert metadata_from_json(json.dumps(content), "net.onnx") == written
