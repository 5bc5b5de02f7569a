"""What a layer loses as int8 is found where it was put, and comes back when the layer stays in float32."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from support import as_if_trained, random_images, tiny_spec

from keras_effnet import build_model, explain_int8, export_model
from keras_effnet.blocks import InvertedResidual, MBConv
from keras_effnet.errors import ExportError
from keras_effnet.export.explain_int8 import int8_csv, int8_table

SIDE, CLASSES = 16, 3


def spoiled(factor: float) -> keras.Model:
    """A network of whose second convolution one channel is so much larger than the others, which alone matter."""
    generator = np.random.default_rng(0)
    pixels = keras.Input((SIDE, SIDE, 3))
    x = pixels
    for number in range(4):
        layer: Any = keras.layers.Conv2D(8, 3, activation="relu", name=f"my conv/{number}".replace("/", "_"))
        x = layer(x)
        kernel = generator.normal(0, np.sqrt(2 / np.prod(layer.kernel.shape[:3])), layer.kernel.shape)
        if number == 0:
            kernel /= 255
        if number == 1:
            kernel[..., 0] *= factor
        if number == 2:
            kernel[:, :, 0] /= factor**2
        layer.kernel.assign(kernel)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    last = keras.layers.Dense(CLASSES, name="last", kernel_initializer=keras.initializers.GlorotUniform(seed=0))
    return keras.Model(pixels, last(x))


def test_the_layer_whose_range_is_broken_comes_first_and_staying_float_mends_it(tmp_path: Path) -> None:
    model, images = spoiled(1000), random_images(12, SIDE, SIDE, 3)
    layers = explain_int8(model, images)
    assert layers[0].layer == "my conv_1"
    assert layers[0].operator == "CONV_2D"
    assert layers[0].noise == max(each.noise for each in layers)
    # Its range is that of the large channel, which the images tell.
    conv: Any = model.get_layer("my conv_1")
    made = keras.Model(model.inputs, conv.output)(images)
    assert layers[0].highest == pytest.approx(float(np.max(np.asarray(made))), rel=0.02)

    options: dict[str, Any] = {"format": "litert-int8", "calibration": images, "tolerance": 10}
    whole = export_model(model, tmp_path / "whole.tflite", **options)
    mixed = export_model(model, tmp_path / "mixed.tflite", **options, float_layers=1)
    assert whole.difference > 0.1, "nothing was broken"
    assert mixed.difference < 0.2 * whole.difference


def test_a_network_that_fits_loses_little_everywhere() -> None:
    layers = explain_int8(spoiled(1), random_images(12, SIDE, SIDE, 3))
    assert {each.layer for each in layers} >= {f"my conv_{number}" for number in range(4)}
    assert max(each.noise for each in layers) < 0.05


def test_what_one_layer_made_is_looked_at_before_another_writes_over_it() -> None:
    model = build_model(tiny_spec(MBConv(), InvertedResidual()), classes=CLASSES)
    as_if_trained(model)
    layers = explain_int8(model, random_images(6, *model.input_shape[1:]))
    assert len(layers) > 20
    assert max(each.noise for each in layers) < 0.3


def test_table_and_csv_hold_the_layers() -> None:
    layers = explain_int8(spoiled(1), random_images(4, SIDE, SIDE, 3))
    rows = list(csv.DictReader(io.StringIO(int8_csv(layers))))
    assert [row["layer"] for row in rows] == [each.layer for each in layers]
    assert float(rows[0]["noise"]) == layers[0].noise
    text = int8_table(layers, most=2)
    assert layers[1].layer in text
    assert f"The worst of {len(layers)} layers." in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "onnx", "float_layers": 1}, "only an int8 network"),
        ({"format": "litert-int8", "float_layers": -1}, "float_layers"),
        ({"format": "litert-int8", "float_layers": 1000}, "float_layers"),
        ({"format": "litert-int8", "float_layers": 1, "calibration": None}, "real images"),
    ],
)
def test_nonsense_is_refused_and_leaves_no_file(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / ("net.onnx" if options["format"] == "onnx" else "net.tflite")
    given = {"calibration": random_images(4, SIDE, SIDE, 3), "tolerance": 10, **options}
    with pytest.raises(ExportError, match=f"{said}.*Received"):
        export_model(spoiled(1), path, **given)
    assert list(tmp_path.iterdir()) == []
