"""Times of networks in the engines of devices: all are there and add up. No test asserts how long anything takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import every_operation_spec

from keras_effnet import build_model, fit_to_budget, scale_spec
from keras_effnet.cli.main import main, parse
from keras_effnet.errors import BudgetError, ExportError
from keras_effnet.export.formats import ENGINES
from keras_effnet.latency import measure_latency
from keras_effnet.latency.engine_latency import latency_table, stage_table, time_engines


@pytest.mark.slow
def test_every_engine_is_timed_at_every_batch() -> None:
    engines = [engine for engine in ENGINES if engine not in ("litert-float16", "litert-dynamic", "saved_model")]
    model = build_model(every_operation_spec(), classes=3)
    rows = time_engines({"net": model}, engines, batches=(1, 2), threads=1)
    assert [(row.batch, row.engine) for row in rows] == [(batch, engine) for batch in (1, 2) for engine in engines]
    for row in rows:
        assert 0 < row.low_ms <= row.median_ms <= row.high_ms
        assert row.images_per_second == pytest.approx(1e3 * row.batch / row.median_ms)
        assert (row.bytes is None) == (row.engine == "keras")
    assert len(latency_table(rows).splitlines()) == 2 + len(rows)


def test_profilers_tell_where_the_time_goes() -> None:
    spec = scale_spec("mobilenet_v2", -4)
    rows = time_engines({"net": build_model(spec, classes=3)}, ["onnx", "openvino", "litert"], threads=1, stages=True)
    numbered = [f"stage {number + 1}" for number in range(len(spec.stages))]
    expected = ["input", "stem", *numbered, "head", "top", "other"]
    for row in rows[:2]:
        assert row.stages is not None
        assert list(row.stages) == expected
        # Every stage with convolutions takes time, and what belongs to no layer is not most of it.
        assert all(row.stages[name] > 0 for name in expected[1:-2])
        assert row.stages["other"] < sum(row.stages.values()) / 2
    assert rows[2].stages is None
    table = stage_table(rows).splitlines()
    assert [line[: len(name)] for name, line in zip(expected, table[2:], strict=True)] == expected
    assert "net, onnx, 1" in table[0]
    assert stage_table(rows[2:]) == ""


def test_the_command_prints_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.json").write_text(scale_spec("mobilenet_v1", -6).to_json())
    files = ["--output", str(tmp_path / "times.json"), "--plot", str(tmp_path / "times.png")]
    words = ["--engine", "onnx", "--stages", *files]
    assert main(parse(["keras-effnet", "benchmark", str(tmp_path / "small.json"), *words])) == 0
    said = capsys.readouterr().out
    assert "images/s" in said
    assert "ms by stage" in said
    [row] = json.loads((tmp_path / "times.json").read_text())["rows"]
    assert (row["network"], row["engine"], row["batch"]) == ("small", "onnx", 1)
    assert row["stages"]["stem"] > 0
    assert (tmp_path / "times.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["missing.keras"], "there is no such model"), (["mobilenet_v1", "--batch", "0"], "`batch` must be")],
)
def test_bad_input_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(parse(["keras-effnet", "benchmark", *words, "--engine", "onnx"])) == 1
    assert said in capsys.readouterr().err


def test_an_unknown_engine_is_named() -> None:
    with pytest.raises(ExportError, match=r"`engine` must be one of.*'coreml'"):
        time_engines({}, ["coreml"])


def test_a_latency_is_that_of_the_engine_asked_for() -> None:
    found = measure_latency(scale_spec("mobilenet_v1", -6), classes=2, engine="onnx")
    assert found.machine["engine"] == "onnx"
    assert found.calls >= 15
    with pytest.raises(BudgetError, match=r"`engine` must be one of.*'coreml'"):
        measure_latency("mobilenet_v1", engine="coreml")
    with pytest.raises(BudgetError, match=r"`engine` must be one of.*'coreml'"):
        fit_to_budget("mobilenet_v1", latency_ms=5, engine="coreml")
