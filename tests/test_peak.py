"""Peak memory: counted by hand, bounded for every backbone, and held against LiteRT's own plan; and budgets in it."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest
from support import BASES

from keras_effnet import build_model, estimate_peak, fit_to_budget, read_model, scale_spec
from keras_effnet.counting import Shape, layer_cost
from keras_effnet.data.photographs import photographs
from keras_effnet.deployed.folded_network import deployed_network, record_deployed
from keras_effnet.errors import BudgetError, BuildError
from keras_effnet.latency.engine_latency import export_to_time
from keras_effnet.network import record_network
from keras_effnet.ops import Conv, Dense, Depthwise
from keras_effnet.peak import DevicePeak, find_peak
from keras_effnet.registry import backbones

layers = keras.layers
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def recorded(*, activation: str) -> Any:
    """A stem, and a block of a residual network."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    y = layers.DepthwiseConv2D(3, padding="same", name="filter")(x)
    y = layers.Activation(activation, name="activation")(y)
    y = layers.Conv2D(4, 1, name="project")(y)
    y = layers.Add(name="sum")([x, y])
    return read_model(keras.Model(image, layers.Conv2D(8, 3, strides=2, padding="same", name="last")(y)))


def test_a_residual_block_is_counted_by_hand() -> None:
    # While the sum is made there are its two terms and itself; ReLU is done while the filter writes.
    assert find_peak(recorded(activation="relu"), Shape(8, 8, 3)) == (3 * 256, "project")
    # Swish has the image, its gate and the product at once, beside what waits for the sum.
    assert find_peak(recorded(activation="swish"), Shape(8, 8, 3)) == (4 * 256, "activation")
    # LiteRT keeps the image, and writes swish over its gate or its image, and the sum over one of its terms.
    assert find_peak(recorded(activation="swish"), Shape(8, 8, 3), in_place=True) == (192 + 3 * 256, "activation")


def test_the_way_back_keeps_what_it_needs() -> None:
    network, image = recorded(activation="swish"), Shape(8, 8, 3)
    # On the way back through the sum: what convolutions and swish have read (image, stem, filter, activation), the
    # output, and three gradients, of the sum and of its terms.
    assert find_peak(network, image, training=True) == (192 + 3 * 256 + 128 + 3 * 256, "sum")


@pytest.mark.parametrize("name", backbones.names())
def test_every_peak_lies_between_one_layer_and_all(name: str) -> None:
    spec = backbones.get(name)
    network = record_deployed(spec)
    shapes: Any = dict.fromkeys(network.inputs, Shape(spec.resolution, spec.resolution, 3))
    least, everything = 0, math.prod(shapes[network.inputs[0]])
    for block in network.blocks:
        for node in block.nodes:
            given = [shapes[each] for each in node.inputs]
            op: Any = node.op
            shapes[node] = layer_cost(op, node.name, *given).shape
            everything += 3 * math.prod(shapes[node])  # with a gate, and with zeros around the image
            if isinstance(op, Conv | Depthwise | Dense):
                least = max(least, math.prod(given[0]) + math.prod(shapes[node]))
    found = estimate_peak(spec)
    assert least <= found.values <= everything
    whole = record_network(spec, size=(spec.resolution, spec.resolution))
    assert found.values == find_peak(deployed_network(whole), Shape(spec.resolution, spec.resolution, 3)).values


@pytest.mark.parametrize("name", BASES)
def test_learning_takes_more_than_running_and_frozen_norms_less(name: str) -> None:
    spec = backbones.get(name)
    image = Shape(spec.resolution, spec.resolution, 3)
    network = record_network(spec, size=image[:2])
    runs = find_peak(network, image).values
    frozen = find_peak(network, image, training=True, norms_learn=False).values
    assert runs < frozen <= find_peak(network, image, training=True).values


NAMES = (
    "mobilenet_v1",
    "efficientnet_b0",
    "mobilenet_v3_small",
    "resnet50",
    "densenet121",
    "ghostnet",
    "convnext_tiny",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_litert_plans_as_much(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    arena = importlib.import_module("memory").litert_arena
    spec = replace(scale_spec(name, -5), resolution=64)
    path = tmp_path / "net.tflite"
    model, images = build_model(spec, classes=4), photographs((64, 64, 3), pixels=True, count=4)
    export_to_time(model, {"litert": path}, [images], batch=1)
    assert arena(path) / estimate_peak(spec, classes=4).bytes_on("litert") == pytest.approx(
        1, abs=0.11 if name == "convnext_tiny" else 0.01
    )


@pytest.mark.parametrize("engine", ["litert-int8", "litert", "keras"])
@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_lite0", "resnet50"])
def test_budgets_of_memory_are_kept_and_used(name: str, engine: str) -> None:
    for factor in (0.15, 0.6, 3):
        limit = factor * estimate_peak(name).bytes_on(engine)
        spec = fit_to_budget(name, peak_bytes=limit, engine=engine)
        assert 0.9 <= estimate_peak(spec).bytes_on(engine) / limit <= 1


def test_all_limits_hold_together() -> None:
    spec = fit_to_budget("mobilenet_v2", peak_bytes=256e3, params=300e3, engine="litert-int8", classes=10)
    assert estimate_peak(spec, classes=10).bytes_on("litert-int8") <= 256e3
    assert build_model(spec, classes=10).count_params() <= 300e3


def test_an_int8_value_takes_a_byte_and_notes_on_channels_and_layers_come_on_top() -> None:
    peak = DevicePeak(values=1000, layer="conv", layers=2, channels=30, litert_values=900)
    assert peak.bytes_on("litert-int8") == 1000 + 8 * 30 + 240 * 2
    assert (peak.bytes_on("litert-float16"), peak.bytes_on("keras")) == (3600, 4000)


def test_what_no_network_meets_is_told() -> None:
    with pytest.raises(BudgetError, match=r"meets `peak_bytes`.*Received: peak_bytes=1,000"):
        fit_to_budget("resnet50", peak_bytes=1000)
    with pytest.raises(BudgetError, match=r"engine.*Received: engine='tensorrt'"):
        fit_to_budget("resnet50", peak_bytes=1e6, engine="tensorrt")
    with pytest.raises(BuildError, match=r"classes.*Received: classes=0"):
        estimate_peak("resnet50", classes=0)
