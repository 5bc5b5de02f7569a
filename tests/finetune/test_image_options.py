"""Rectangles, bands, bits and padding, from the first file to the exported one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, outputs, random_images, tiny_spec

from keras_effnet import FinetuneJob, FinetuneOptions, Recipe, build_model, estimate_cost, explain
from keras_effnet.blocks import MBConv
from keras_effnet.builder.embedded_spec import note_images, read_embedded_spec
from keras_effnet.cli.main import main, parse
from keras_effnet.data.images import load_digits
from keras_effnet.data.reading import read_image
from keras_effnet.data.resizing import resize_image
from keras_effnet.export.drafting import draft_model
from keras_effnet.export.export_metadata import metadata_from_json
from keras_effnet.finetune import features as module
from keras_effnet.finetune.features import cached_features, split_model
from keras_effnet.finetune.memory import estimate_memory
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.peak import estimate_peak
from keras_effnet.report.write import format_table

SPEC = tiny_spec(MBConv(expand=2), depth=1, resolution=16)
BANDS, HEIGHT, WIDTH = 5, 16, 24


def write_scenes(root: Path) -> Path:
    """Scenes of five bands and 12 bits, twice as wide as high; the class is told by the last band."""
    generator = np.random.default_rng(0)
    for name, level in (("land", 500), ("water", 3500)):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(0, 4096, (20, 40, BANDS), np.uint16)
            pixels[..., -1] = level
            np.save(root / name / f"{number}.npy", pixels)
    return root


@pytest.mark.slow
def test_scenes_of_five_bands_go_all_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    data, output = write_scenes(tmp_path / "scenes"), tmp_path / "out"
    options = FinetuneOptions(
        data,
        backbone=SPEC,
        weights="random",
        resolution=(HEIGHT, WIDTH),
        resize="pad",
        channels=BANDS,
        validation=0.25,
        recipe=Recipe(head_epochs=1, epochs=2, batch_size=6, batchnorm="trained"),
    )
    metrics = FinetuneJob(options, output).run()
    assert metrics is not None
    shape: dict[str, Any] = {"resolution": (HEIGHT, WIDTH), "channels": BANDS, "classes": 2}
    assert metrics["model"]["macs"] == estimate_cost(SPEC, **shape).macs
    assert f"{HEIGHT}x{WIDTH}" in (output / "report.html").read_text()
    assert f"{HEIGHT}x{WIDTH} px" in format_table(metrics)
    assert FinetuneJob(replace(options, near_duplicates=True), output).run() is not None, "the same run"

    model: Any = keras.models.load_model(output / "model.keras", safe_mode=True)
    assert model.input_shape == (None, HEIGHT, WIDTH, BANDS)
    told = read_embedded_spec(model)
    assert (told.resize, told.bits, told.spec.resolution) == ("pad", 12, 16)
    file = data / "water" / "0.npy"
    pixels = resize_image(read_image(file, channels=BANDS, bits=12), (HEIGHT, WIDTH), resize="pad")
    expected = outputs(model, pixels[None].astype(np.float32))[0]

    def seen(path: Path) -> list[float]:
        assert main(parse(["keras-effnet", "predict", str(path), str(file), "--format", "json"])) == 0
        [image] = json.loads(capsys.readouterr().out)["images"]
        found = {each["class"]: each["probability"] for each in image["classes"]}
        return [found["land"], found["water"]]

    np.testing.assert_allclose(seen(output / "model.keras"), expected, atol=1e-4)
    assert (
        main(
            parse(
                ["keras-effnet", "evaluate", str(output / "model.keras"), str(data), "--json", "--validation", "0.25"]
            )
        )
        == 0
    )
    scores = json.loads(capsys.readouterr().out)
    assert (scores["split"], scores["images"]) == ("validation", metrics["data"]["validation"])
    assert scores["loss"] == pytest.approx(metrics["evaluation"]["loss"], rel=1e-3)
    assert (
        main(
            parse(
                [
                    "keras-effnet",
                    "grow",
                    str(output / "model.keras"),
                    "--phi",
                    "1",
                    "--output",
                    str(tmp_path / "big.keras"),
                ]
            )
        )
        == 0
    )
    capsys.readouterr()
    np.testing.assert_allclose(seen(tmp_path / "big.keras"), expected, atol=1e-3)
    words = ["export", str(output / "model.keras"), "--format", "onnx", "litert-int8", "--calibration", str(data)]
    assert main(parse(["keras-effnet", *words, "--tolerance", "1"])) == 0
    capsys.readouterr()
    np.testing.assert_allclose(seen(output / "model.onnx"), expected, atol=1e-3)


def test_a_network_of_rectangles_keeps_its_spec() -> None:
    model = make_network(SPEC, "random", class_names=("a", "b"), resolution=(32, 48), recipe=Recipe())
    assert model.input_shape == (None, 32, 48, 3)
    assert read_embedded_spec(model).spec.resolution == SPEC.resolution
    assert explain(model).cost == estimate_cost(model)
    assert explain(model).cost.params == model.count_params()
    assert f"{explain(model)}".startswith("tiny, 32x48 px\n")
    assert explain(model).rows[0].resolution == (32, 48)
    square = make_network(SPEC, "random", class_names=("a", "b"), resolution=32, recipe=Recipe())
    assert read_embedded_spec(square).spec.resolution == 32


@pytest.mark.parametrize("size", [(32, 48), (32, 32)])
def test_a_saved_network_of_another_size_than_its_specs_is_trained_on_at_it(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    model = build_model(SPEC, classes=2, input_shape=(*size, 3))
    as_if_trained(model)
    model.save(tmp_path / "wide.keras")
    made = make_network(tmp_path / "wide.keras", "saved", class_names=("a", "b", "c"), recipe=Recipe())
    assert made.input_shape == (None, *size, 3)
    x = random_images(2, *size, 3)
    found, expected = (outputs(split_model(each)[0], x) for each in (made, model))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_more_bands_repeat_the_kernels_of_the_colours(tmp_path: Path) -> None:
    """An image whose bands repeat red, green and blue is seen as the colours were, where all bands count alike."""
    model = build_model(SPEC, classes=2)
    as_if_trained(model)
    model.save(tmp_path / "rgb.keras")
    made = make_network(tmp_path / "rgb.keras", "saved", class_names=("a", "b", "c"), channels=6, recipe=Recipe())
    assert made.input_shape == (None, 16, 16, 6)
    old, new = (each.get_layer("stem_conv").get_weights()[0] for each in (model, made))
    np.testing.assert_allclose(new[:, :, :3], old / 2, rtol=1e-4)
    x = random_images(2, 16, 16, 3)
    both = np.concatenate([x, x], axis=-1)
    expected = outputs(split_model(model)[0], x)
    np.testing.assert_allclose(outputs(split_model(made)[0], both), expected, rtol=1e-3, atol=1e-3)


def test_what_a_model_remembers_of_images_goes_along() -> None:
    spec = replace(SPEC, preprocessing=replace(SPEC.preprocessing, mode="tf", scale=1.0, standardize=False))
    model = build_model(spec, classes=2, input_shape=(16, 32, 3))
    note_images(model, resize="crop", bits=14)
    for other in (take_raw_pixels(model), grow_model(model, phi=1)):
        assert other is not model
        assert (read_embedded_spec(other).resize, read_embedded_spec(other).bits) == ("crop", 14)
    told = draft_model(model)[1].metadata
    assert (told.resolution, told.resize, told.bits) == ((16, 32), "crop", 14)
    assert metadata_from_json(told.to_json(), "x") == told
    older = {name: value for name, value in json.loads(told.to_json()).items() if name not in ("resize", "bits")}
    assert metadata_from_json(json.dumps(older), "x").resize == "stretch"


def test_features_depend_on_how_images_were_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = split_model(build_model(SPEC, classes=2, input_shape=(16, 32, 3)))
    digits = load_digits(8).take(np.arange(4))
    size: dict[str, Any] = {"resolution": (16, 32), "channels": 3}
    found = {
        each: np.array(cached_features(features, digits, Recipe(), tmp_path, resize=each, **size))
        for each in ("stretch", "pad")
    }
    assert np.abs(found["stretch"] - found["pad"]).max() > 1e-4
    monkeypatch.setattr(module, "_compute", None)  # neither is computed again
    for resize, expected in found.items():
        np.testing.assert_array_equal(
            cached_features(features, digits, Recipe(), tmp_path, resize=resize, **size), expected
        )


def test_memory_and_peak_are_those_of_the_rectangle() -> None:
    shape = {"channels": 3, "classes": 10}
    square, wide, larger = (
        estimate_memory(SPEC, Recipe(), resolution=size, **shape).per_image for size in ((32, 32), (32, 48), (48, 48))
    )
    assert square < wide < larger
    assert estimate_memory(SPEC, Recipe(), resolution=32, **shape).per_image == square
    peaks = [estimate_peak(SPEC, resolution=size).values for size in (32, (32, 48), 48)]
    assert peaks == sorted(set(peaks))
    assert estimate_peak(SPEC).values == estimate_peak(SPEC, resolution=16).values
