"""A device that is not at hand: what it needs is measured there by a script alone, and foretold at the desk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keras_effnet import BackboneSpec, estimate_cost, fit_to_budget, scale_spec
from keras_effnet.cli.main import main, parse
from keras_effnet.errors import BudgetError
from keras_effnet.latency import device
from keras_effnet.latency.device import read_device, write_probes
from keras_effnet.latency.table import CALIBRATION
from keras_effnet.latency.work import Work, read_work

# The milliseconds of a unit of each kind of work on a device that never was.
TRUE = Work(call=0.5, layers=0.01, pointwise=2e-7, spatial=1e-7, depthwise=9e-7, numbers=1e-8)


def true_time(spec: BackboneSpec) -> float:
    return sum(unit * amount for unit, amount in zip(TRUE, read_work(spec, deployed=True), strict=True))


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """What the script would have written on that device."""
    probes = [
        {
            "network": name,
            "work": read_work(scale_spec(name, phi), deployed=True)._asdict(),
            "median_ms": true_time(scale_spec(name, phi)),
        }
        for name, phi in CALIBRATION
    ]
    path = tmp_path / "phone.json"
    path.write_text(json.dumps({"format": "litert", "machine": {"engine": "none"}, "probes": probes}))
    return path


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v2", "repvgg_a0"])
def test_times_are_foretold_and_the_budget_is_kept_and_used(name: str, phone: Path) -> None:
    foretell = read_device(phone)
    assert foretell(scale_spec(name, 0), 3, 1000) == pytest.approx(true_time(scale_spec(name, 0)), rel=0.01)
    limit = 0.4 * true_time(scale_spec(name, 0))
    fitted = fit_to_budget(name, latency_ms=limit, device=phone)
    assert 0.9 * limit < true_time(fitted) <= 1.01 * limit
    both = fit_to_budget(name, latency_ms=limit, macs=0.5 * estimate_cost(fitted).macs, device=str(phone))
    assert estimate_cost(both).macs <= 0.5 * estimate_cost(fitted).macs


def test_branches_that_a_file_has_merged_cost_nothing(phone: Path) -> None:
    foretell = read_device(phone)
    work = read_work("mobileone_s0", deployed=True)
    assert work.layers < 0.3 * read_work("mobileone_s0").layers
    # Four copies of each convolution are one.
    assert work.pointwise < 0.3 * read_work("mobileone_s0").pointwise
    assert foretell(scale_spec("mobileone_s0", 0), 3, 1000) < foretell(scale_spec("mobileone_s1", 0), 3, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["litert-int8", "onnx", "openvino"])
def test_the_script_needs_numpy_and_the_engine_alone(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tuple(("mobilenet_v1", -8.0 + number / 2) for number in range(len(Work._fields)))
    monkeypatch.setattr(device, "CALIBRATION", small)
    script = write_probes(tmp_path / "probes", engine)
    output = tmp_path / "phone.json"
    # Neither Keras nor this package can be imported there.
    code = "import runpy, sys\nfor name in ('keras', 'keras_effnet', 'tensorflow'):\n    sys.modules[name] = None\n"
    code += "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    subprocess.run([sys.executable, "-c", code, str(script), "--output", str(output), "--threads", "1"], check=True)
    content = json.loads(output.read_text())
    assert content["format"] == engine
    assert content["machine"]["threads"] == "1"
    assert all(probe["low_ms"] <= probe["median_ms"] <= probe["high_ms"] for probe in content["probes"])
    assert read_device(output)(scale_spec("mobilenet_v1", -7), 3, 1000) > 0


BROKEN: dict[str, Any] = {
    "nothing": None,
    "no JSON": "{",
    "another file": "{}",
    "never measured": '{"probes": [{"network": "a", "file": "b", "work": {}}], "machine": {}}',
    "too few": '{"probes": [{"work": {}, "median_ms": 1}], "machine": {}}',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_none_is_an_error_that_says_how_to_make_one(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "phone.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BudgetError, match=r"(?s)keras-effnet calibrate.*Received: .*phone.json"):
        fit_to_budget("mobilenet_v2", latency_ms=5, device=path)


@pytest.mark.parametrize("options", [{"macs": 1e8}, {"latency_ms": 5, "engine": "litert"}])
def test_a_device_without_a_time_or_with_another_engine_is_an_error(options: dict[str, Any], phone: Path) -> None:
    with pytest.raises(BudgetError, match=r"device.*Received"):
        fit_to_budget("mobilenet_v2", device=phone, **options)


def test_the_commands_take_the_file_and_ask_for_one(phone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["keras-effnet", "fit", "mobilenet_v2", "--latency-ms", "3", "--device", str(phone)]
    assert main(parse(words)) == 0
    assert "mobilenet_v2" in capsys.readouterr().out
    assert main(parse(["keras-effnet", "calibrate"])) == 1
    assert "--output FILE" in capsys.readouterr().err
