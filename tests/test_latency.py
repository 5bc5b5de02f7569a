"""Latency: the reader against built graphs, calibration and search against a machine of known speed."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from keras_effnet import BackboneSpec, Coefficients, build_model, estimate_cost, fit_to_budget, scale_spec
from keras_effnet.errors import BudgetError
from keras_effnet.latency import (
    Latency,
    LatencyTable,
    Work,
    calibrate_latency,
    describe_machine,
    measure_latency,
    read_work,
)
from keras_effnet.registry import backbones

SMALL = Coefficients(depth=0.3, width=0.25, resolution=0.3)
# Milliseconds for each unit of work, of the order of two CPU cores'.
TRUE = Work(call=1.0, layers=0.02, pointwise=3e-8, spatial=2e-8, depthwise=1e-7, numbers=1e-6)


def true_time(spec: BackboneSpec | str) -> float:
    return sum(unit * amount for unit, amount in zip(TRUE, read_work(spec), strict=True))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[BackboneSpec | str]:
    """A machine that takes exactly `true_time`; gives the list of what it was asked to time."""
    timed: list[BackboneSpec | str] = []

    def measure(spec: BackboneSpec | str, **options: Any) -> Latency:
        timed.append(spec)
        time = true_time(spec)
        return Latency(time, time, time, calls=15, warm_up=3, batch=1, machine={})

    monkeypatch.setattr("keras_effnet.latency.table.measure_latency", measure)
    monkeypatch.setattr("keras_effnet.latency.latency_budget.measure_latency", measure)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return timed


@pytest.mark.parametrize("name", backbones.names())
def test_the_kinds_of_multiply_adds_are_all_of_them(name: str) -> None:
    work = read_work(name)
    assert work.pointwise + work.spatial + work.depthwise == pytest.approx(estimate_cost(name).macs)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0", "densenet121", "resnet50"])
def test_layers_and_numbers_are_those_of_the_built_graph(name: str) -> None:
    spec = scale_spec(name, coefficients=SMALL)
    layers = numbers = 0
    for layer in build_model(spec).layers:
        kind = layer.__class__.__name__
        if kind in ("InputLayer", "Rescaling", "Normalization", "GaussianNoise", "Dropout", "ZeroPadding2D", "Reshape"):
            continue
        # Global pooling reads a whole image to write one cell.
        tensor: Any = layer.input if kind.startswith("Global") else layer.output
        layers += 1
        numbers += math.prod(tensor.shape[1:])
    work = read_work(spec)
    assert (work.layers, work.numbers) == (layers, numbers)


def test_depth_is_multiplied_not_walked() -> None:
    works = [read_work(scale_spec("resnet50", coefficients=Coefficients(depth=depth))) for depth in (10, 20, 1_000_010)]
    step = [(b - a) / 10 for a, b in zip(works[0], works[1], strict=True)]
    expected = [a + 1_000_000 * each for a, each in zip(works[0], step, strict=True)]
    assert list(works[2]) == pytest.approx(expected)


def test_calibration_finds_the_speed_of_the_machine_once(machine: list, tmp_path: Path) -> None:
    table = calibrate_latency()
    assert len(machine) == 8
    for name in ("mobilenet_v3_small", "convnext_tiny", "regnet_y_400mf"):
        assert table.estimate(read_work(name)) == pytest.approx(true_time(name), rel=0.1)
    assert table.error < 0.01
    assert table.machine["threads"].isdigit()
    assert calibrate_latency() == table
    assert len(machine) == 8, "it was measured again"
    assert calibrate_latency(again=True) == table
    assert len(machine) == 16
    assert [path.name for path in (tmp_path / "keras_effnet").iterdir()] == ["latency.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"a": 1}', '{"a": {"milliseconds": [1], "machine": {}, "error": 0}}']
)
def test_a_broken_cache_is_measured_anew_and_said(
    content: str, machine: list, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "broken.json"
    cache.write_text(content)
    with caplog.at_level(logging.WARNING):
        table = calibrate_latency(cache=cache)
    assert len(machine) == 8
    assert "broken.json" in caplog.text
    assert calibrate_latency(cache=cache) == table
    assert len(machine) == 8


def test_a_cache_that_cannot_be_written_loses_nothing(
    machine: list, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        table = calibrate_latency(cache=tmp_path / "file" / "latency.json")
    assert table.estimate(read_work("resnet50")) == pytest.approx(true_time("resnet50"), rel=0.1)
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("limit", [4.0, 20.0, 100.0])
@pytest.mark.parametrize("name", ["efficientnet_b0", "resnet50", "mobilenet_v2"])
def test_a_budget_in_milliseconds_is_kept_and_used_with_few_builds(name: str, limit: float, machine: list) -> None:
    calibrate_latency()
    del machine[:]
    found = fit_to_budget(name, latency_ms=limit)
    assert 0.95 * limit <= true_time(found) <= limit
    assert len(machine) <= 5


def test_a_prediction_that_is_wrong_by_half_is_corrected(monkeypatch: pytest.MonkeyPatch, machine: list) -> None:
    wrong = LatencyTable(
        Work(*(unit * factor for unit, factor in zip(TRUE, (1, 3, 0.5, 2, 0.3, 0.6), strict=True))), {}, 0
    )
    monkeypatch.setattr("keras_effnet.latency.latency_budget.calibrate_latency", lambda **_: wrong)
    found = fit_to_budget("efficientnet_b0", latency_ms=30)
    assert 0.9 * 30 <= true_time(found) <= 30
    assert len(machine) <= 5


def test_milliseconds_hold_beside_other_limits(machine: list) -> None:
    found = fit_to_budget("efficientnet_b0", latency_ms=30, params=2e6)
    assert estimate_cost(found).params <= 2e6
    assert true_time(found) <= 30


def test_too_few_milliseconds_name_the_smallest(machine: list) -> None:
    with pytest.raises(BudgetError, match=r"`latency_ms`.*smallest.*Received: latency_ms"):
        fit_to_budget("efficientnet_b0", latency_ms=0.01)


def test_a_machine_slower_than_predicted_by_any_factor_is_an_error(
    monkeypatch: pytest.MonkeyPatch, machine: list
) -> None:
    slow: Callable[..., Latency] = lambda spec, **_: Latency(1e6, 1e6, 1e6, 15, 3, 1, {})  # noqa: E731
    calibrate_latency()
    monkeypatch.setattr("keras_effnet.latency.latency_budget.measure_latency", slow)
    with pytest.raises(BudgetError, match=r"latency_ms.*Received"):
        fit_to_budget("efficientnet_b0", latency_ms=30)


def test_measuring_says_what_was_measured_and_where() -> None:
    spec = scale_spec("mobilenet_v1", coefficients=SMALL)
    found = measure_latency(spec, batch=2, classes=3)
    assert 0 < found.low_ms <= found.median_ms <= found.high_ms
    assert found.calls >= 15
    assert (found.batch, found.warm_up) == (2, 3)
    assert found.machine == describe_machine()
    assert {"backend", "keras", "processor", "threads", "devices"} <= set(found.machine)
    with pytest.raises(BudgetError, match=r"batch.*Received"):
        measure_latency(spec, batch=0)


def test_what_tensorflow_cannot_run_on_a_cpu_is_said_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    # tests/test_backends.py measures under channels_first on JAX.
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: [])
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(BudgetError, match=r"only on a GPU.*Received: image_data_format='channels_first'"):
        measure_latency("mobilenet_v1")
