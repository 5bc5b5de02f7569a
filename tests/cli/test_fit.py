"""`keras-effnet fit`: through the program, to a file that the other commands take."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from keras_effnet import estimate_cost
from keras_effnet.cli.main import main, parse
from keras_effnet.serialization import read_spec


def program(*arguments: str) -> int:
    return main(parse(["keras-effnet", *arguments]))


def test_a_fitted_network_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.json"
    assert program("fit", "efficientnet_b0", "--macs", "100e6", "--model-bytes", "5e6", "--output", str(path)) == 0
    printed = capsys.readouterr().out
    cost = estimate_cost(read_spec(path))
    assert cost.macs <= 100e6
    assert 0.97 * 5e6 <= cost.weight_bytes <= 5e6
    assert f"{cost.params:,}" in printed
    assert f"{cost.weight_bytes:,} of 5,000,000" in printed
    # The file is a backbone like any other.
    assert program("explain", str(path)) == 0
    assert f"{cost.params:,}" in capsys.readouterr().out
    assert program("fit", str(path), "--params", "300000") == 0


def test_json_says_limits_and_how_much_of_them_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--params",
        "1e6",
        "--resolution",
        "96",
        "--classes",
        "10",
        "--channels",
        "1",
        "--rule",
        "fast",
        "--json",
    )
    assert program("fit", "mobilenet_v2", *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["limits"] == {"params": 1e6}
    assert found["used"]["params"] == pytest.approx(found["cost"]["params"] / 1e6)
    assert 0.97 <= found["used"]["params"] <= 1
    assert found["resolution"] == 96


def test_a_full_disk_leaves_the_older_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.json"
    path.write_text("older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert program("fit", "mobilenet_v2", "--params", "1e6", "--output", str(path)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "cannot be written" in capsys.readouterr().err
    assert path.read_text() == "older"
    assert [each.name for each in tmp_path.iterdir()] == ["small.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fit", "efficientnet_b0"), "at least one limit"),
        (("fit", "efficientnet_b0", "--macs", "5"), "meets `macs`"),
        (("fit", "efficientnet_b0", "--macs", "nan"), "finite"),
        (("fit", "no_such_net", "--macs", "1e9"), "no backbone has this name"),
        (("fit", "no_such.json", "--macs", "1e9"), "no such spec file"),
        (("fit", "efficientnet_b0", "--macs", "1e9", "--rule", "tabulated"), "takes any phi"),
        (("fit", "efficientnet_b0", "--macs", "1e9", "--output", "pyproject.toml/x.json"), "cannot be written"),
    ],
)
def test_errors_are_one_line_and_status_1(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program(*arguments) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
