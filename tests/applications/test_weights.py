"""`weights="imagenet"`: the files that Keras downloads, and the outputs that Keras gets from them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import pytest
from lean_keras import graphs_alone, lean_layers
from support import assert_same_outputs, outputs, random_images, randomize, without_weights, write_legacy_h5

from keras_effnet import applications, build_model
from keras_effnet.applications import (
    convnext,
    efficientnet,
    efficientnet_v2,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
)
from keras_effnet.errors import WeightsError
from keras_effnet.weights.imagenet import all_published

slow = pytest.mark.slow


class Asked(Exception):  # noqa: N818 - a signal, not an error
    """Raised in place of a download, with what was asked for."""


def intercept(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Puts `answer` in place of downloads, both in Keras' own modules and in its public interface."""

    def get_file(
        fname: str, origin: str, cache_subdir: str = "datasets", file_hash: str | None = None, **_: Any
    ) -> str:
        return answer(fname, origin, cache_subdir, file_hash)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    monkeypatch.setattr("keras.utils.get_file", get_file)


def shapes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns layers into functions of shapes: Keras' builders come to their download without making any weights."""

    def shape_of(layer: keras.Layer, shape: Any) -> Any:
        if isinstance(layer, keras.Sequential):
            for part in layer.layers:
                shape = shape_of(part, shape)
            return shape
        # A layer of ConvNeXt's own has no rule, and keeps the shape.
        has_rule = type(layer).compute_output_shape is not keras.Layer.compute_output_shape
        return layer.compute_output_shape(shape) if has_rule else shape

    def call(layer: keras.Layer, x: Any, **_: Any) -> keras.KerasTensor:
        shape = [one.shape for one in x] if isinstance(x, list) else x.shape
        return keras.KerasTensor(shape_of(layer, shape))

    monkeypatch.setattr(keras.Layer, "__call__", call)
    monkeypatch.setattr(keras.Layer, "__setattr__", object.__setattr__)  # tracks nothing
    for module in KERAS_MODULES:
        monkeypatch.setattr(f"keras.src.applications.{module}.Functional", lambda *_, **__: None)


KERAS_MODULES = ("convnext", "densenet", "efficientnet", "efficientnet_v2", "mobilenet", "mobilenet_v2", "mobilenet_v3",
                 "resnet")  # fmt: skip


def asked_for(builder: Any, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> tuple:
    calls = []

    def answer(*call: Any) -> str:
        calls.append(call)
        raise Asked

    intercept(monkeypatch, answer)
    with pytest.raises((Asked, WeightsError)), without_weights():
        builder(weights="imagenet", **arguments)
    assert len(calls) == 1
    return calls[0]


LARGE = [
    *(f"ConvNeXt{size}" for size in ("Small", "Base", "Large", "XLarge")),
    *(f"EfficientNetB{number}" for number in range(2, 8)),
    *(f"EfficientNetV2{size}" for size in ("B1", "B2", "B3", "S", "M", "L")),
    *("ResNet101", "ResNet152", "ResNet101V2", "ResNet152V2", "DenseNet169", "DenseNet201"),
]
DOWNLOADS = [
    *((name, {}) for name in ("EfficientNetB0", "EfficientNetB1", "ResNet50", "MobileNet", "MobileNetV2")),
    *(("EfficientNetV2B0", {"include_preprocessing": included}) for included in (True, False)),
    *((name, {}) for name in ("ResNet50V2", "DenseNet121")),
    ("MobileNet", {"alpha": 0.75, "input_shape": (160, 160, 3)}),
    ("MobileNetV2", {"alpha": 1.4, "input_shape": (224, 224, 3)}),
    ("MobileNetV2", {"alpha": 0.35, "input_shape": (96, 96, 3)}),
    *(
        (f"MobileNetV3{size}", arguments)
        for size in ("Small", "Large")
        for arguments in ({}, {"alpha": 0.75}, {"minimalistic": True}, {"include_preprocessing": False})
    ),
    *(("ConvNeXtTiny", {"include_preprocessing": included}) for included in (True, False)),
    *(
        pytest.param("MobileNet", {"alpha": alpha, "input_shape": (side, side, 3)}, marks=slow)
        for alpha, side in ((0.25, 128), (0.5, 160), (0.75, 192), (1.0, 224), (1.0, 128))
    ),
    *(
        pytest.param("MobileNetV2", {"alpha": alpha, "input_shape": (side, side, 3)}, marks=slow)
        for alpha, side in ((0.5, 128), (0.75, 160), (1.0, 192), (1.3, 224), (1.0, 96))
    ),
]


# Each with and without a top; the large ones in turn, whose sisters are told apart in the same way.
FILES = [
    *(
        pytest.param(*getattr(case, "values", case), top, marks=getattr(case, "marks", ()))
        for case in DOWNLOADS
        for top in (True, False)
    ),
    *(pytest.param(name, {}, number % 2 == 0, marks=slow) for number, name in enumerate(LARGE)),
]


@pytest.mark.parametrize(("name", "arguments", "include_top"), FILES)
def test_the_file_asked_for_is_the_one_that_keras_asks_for(
    name: str, arguments: dict[str, Any], include_top: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {**arguments, "include_top": include_top}
    shapes_alone(monkeypatch)
    theirs = asked_for(getattr(keras.applications, name), monkeypatch, **arguments)
    ours = asked_for(getattr(applications, name), monkeypatch, **arguments)
    assert ours == theirs
    assert ours[2] == "models"


@pytest.mark.parametrize("shape", [(64, 64, 3), (150, 170, 3), (None, None, 3)])
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV2", "EfficientNetB0", "EfficientNetV2B0"])
def test_without_top_other_sizes_take_the_same_file_as_in_keras(
    name: str, shape: tuple[int | None, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = {"include_top": False, "input_shape": shape}
    shapes_alone(monkeypatch)
    theirs = asked_for(getattr(keras.applications, name), monkeypatch, **arguments)
    assert asked_for(getattr(applications, name), monkeypatch, **arguments) == theirs


def test_checksums_are_those_of_keras() -> None:
    from keras.src.applications import convnext as convnext_theirs
    from keras.src.applications import efficientnet as theirs
    from keras.src.applications import efficientnet_v2 as theirs_again
    from keras.src.applications import mobilenet_v3 as mobilenet_v3_theirs
    from keras.src.applications import resnet as theirs_too

    found = {entry.spec.name: (entry.top.checksum, entry.notop.checksum) for entry in all_published()}
    for size, hashes in convnext_theirs.WEIGHTS_HASHES.items():
        assert found[size] == hashes
    v3 = {
        (entry.top.checksum, entry.notop.checksum)
        for entry in all_published()
        if entry.spec.name.startswith("mobilenet_v3")
    }
    assert v3 == set(mobilenet_v3_theirs.WEIGHTS_HASHES.values())
    for size, hashes in theirs.WEIGHTS_HASHES.items():
        assert found[f"efficientnet_{size[-2:]}"] == hashes
    for size, hashes in theirs_again.WEIGHTS_HASHES.items():
        assert found[f"efficientnet_v2_{size.strip('-')}"] == hashes
    for name in ("resnet50", "resnet101", "resnet152", "resnet50_v2", "resnet101_v2", "resnet152_v2"):
        assert found[name] == theirs_too.WEIGHTS_HASHES[name.replace("_", "")]
    counts = Counter(entry.spec.name for entry in all_published())
    assert (counts["mobilenet_v1"], counts["mobilenet_v2"]) == (4 * 4, 6 * 5), "alphas times resolutions"


def test_the_downloads_of_every_builder_are_tested() -> None:
    tested = {case.values[0] for case in FILES}
    assert tested == {name for name in applications.__all__ if not name.endswith("_spec")}


def graph(model: keras.Model) -> list[tuple[str, dict[str, Any]]]:
    """Layers and their settings without names."""
    found = json.loads(model.to_json())["config"]["layers"]
    return [(layer["class_name"], {**layer["config"], "name": None}) for layer in found]


def serve(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    intercept(monkeypatch, lambda *_: str(path))


@pytest.mark.parametrize(
    ("name", "include_top"),
    [
        ("EfficientNetB0", False),
        pytest.param("EfficientNetB0", True, marks=slow),
        # The two files of these are of different layers; those of the others differ by a classifier.
        *(pytest.param("MobileNetV3Small", top, marks=slow) for top in (True, False)),
        *(pytest.param("ConvNeXtTiny", top, marks=slow) for top in (True, False)),
        *(pytest.param(name, True, marks=slow) for name in ("MobileNet", "ResNet50")),
        *(pytest.param(name, False, marks=slow) for name in ("MobileNetV2", "EfficientNetV2B0")),
    ],
)
def test_the_same_file_gives_the_outputs_and_no_other_graph(
    name: str, include_top: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "imagenet.h5"
    theirs = getattr(keras.applications, name)
    shape = {"input_shape": (75, 65, 3), "pooling": "avg"}
    options = {"include_top": include_top, **({"classifier_activation": None} if include_top else shape)}
    serve(path, monkeypatch)
    builder = getattr(applications, name)
    with lean_layers():
        source = theirs(weights=None, **options)
        randomize(source, seed=4)
        write_legacy_h5(source, path)
        found = builder(weights="imagenet", **options)
    with graphs_alone():
        plain = builder(weights=None, **options)
    assert graph(found) == graph(plain)
    if name == "EfficientNetB0":
        # Keras gives it one more Rescaling layer where weights="imagenet", so that its graph depends on weights.
        with lean_layers():
            source = theirs(weights="imagenet", **options)
        assert len(found.layers) < len(source.layers)
    x = random_images(1, *found.input_shape[1:])
    assert_same_outputs(outputs(found, x), outputs(source, x))


def test_only_published_architectures_have_imagenet_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_effnet import Coefficients, scale_spec

    serve(Path("never asked for"), monkeypatch)
    for spec in (
        scale_spec("efficientnet_b0", 3),
        scale_spec("resnet50", coefficients=Coefficients(depth=2)),
        "efficientnet_b8",
        "efficientnet_l2",
        "efficientnet_lite0",
        "efficientnet_v2_xl",
    ):
        with pytest.raises(WeightsError, match=r"no ImageNet weights are published.*Received"):
            build_model(spec, weights="imagenet", include_top=False)
    for arguments in ({"alpha": 1.2}, {"alpha": 0.35}, {"depth_multiplier": 2}):
        with pytest.raises(WeightsError, match=r"no ImageNet weights are published.*Received"):
            applications.MobileNet(**arguments)


def test_dropout_and_drop_path_do_not_change_which_file_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    spec = replace(applications.efficientnet_b1_spec, drop_path=0.5, name="mine")
    assert asked_for(lambda **options: build_model(spec, **options), monkeypatch)[0] == "efficientnetb1.h5"
    # B0 scaled by the table is B1. At phi = 1, with alpha 1.2 and beta 1.1, it has the blocks of B2 at 256 px.
    for arguments, file in (({"rule": "tabulated"}, "b1"), ({"rule": "compound"}, "b2")):
        call = asked_for(lambda arguments=arguments, **more: scale_b0(**arguments, **more), monkeypatch)
        assert call[0] == f"efficientnet{file}.h5"


def scale_b0(**arguments: Any) -> keras.Model:
    from keras_effnet import scale_model

    return cast("keras.Model", scale_model("efficientnet_b0", 1, **arguments))


def test_a_failed_download_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise Exception("URL fetch failure")  # what Keras raises

    intercept(monkeypatch, fail)
    with pytest.raises(
        WeightsError,
        match=r"fetched: URL fetch failure.*Fetch https://.*\.h5 .* at .*/models/.*\.h5,.*Received: weights='imagenet'",
    ):
        applications.ResNet50()


@pytest.mark.parametrize("mode", ["channels_last", "channels_first", None])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (efficientnet, keras.applications.efficientnet),
        (efficientnet_v2, keras.applications.efficientnet_v2),
        (resnet, keras.applications.resnet),
        (mobilenet, keras.applications.mobilenet),
        (mobilenet_v2, keras.applications.mobilenet_v2),
        (mobilenet_v3, keras.applications.mobilenet_v3),
        (convnext, keras.applications.convnext),
    ],
    ids=["efficientnet", "efficientnet_v2", "resnet", "mobilenet", "mobilenet_v2", "mobilenet_v3", "convnext"],
)
def test_preprocess_input_is_keras_own(ours: Any, theirs: Any, dtype: str, mode: str | None) -> None:
    shape = (2, 3, 5, 7) if mode == "channels_first" else (2, 5, 7, 3)
    x = random_images(*shape).astype(dtype)
    expected = theirs.preprocess_input(x.copy(), data_format=mode)
    found = ours.preprocess_input(x.copy(), data_format=mode)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize(
    "ours",
    [efficientnet, efficientnet_v2, resnet, mobilenet, mobilenet_v2, mobilenet_v3, convnext],
    ids=lambda module: module.__name__,
)
def test_decode_predictions_is_keras_own(ours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = {str(number): [f"n{number:08}", f"class {number}"] for number in range(1000)}
    path = tmp_path / "imagenet_class_index.json"
    path.write_text(json.dumps(index))
    serve(path, monkeypatch)
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX", None)
    scores = np.random.default_rng(1).random((2, 1000))
    found = ours.decode_predictions(scores, top=3)
    best = np.argsort(-scores[1])[:3]
    assert [(row[0], row[1]) for row in found[1]] == [(f"n{number:08}", f"class {number}") for number in best]
    assert found == keras.applications.imagenet_utils.decode_predictions(scores, top=3)
    with pytest.raises(ValueError, match="1000"):
        ours.decode_predictions(scores[:, :10])
