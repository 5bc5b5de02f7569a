"""`keras-effnet search`: what its options become, and both searches from the command to the files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keras_effnet.cli import search_command
from keras_effnet.cli.main import main, parse
from keras_effnet.search import search_page, searches
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.serialization import read_spec

TRAINS = """
def train(task):  # the nearer to 3.2 million multiply-adds the better
    return 1 - abs(task.candidate.cost["macs"] / 3.2e6 - 1) / 100
"""


@pytest.fixture
def asked(monkeypatch, tmp_path) -> dict[str, Any]:
    """What the searches are called with, instead of searching."""
    found: dict[str, Any] = {}

    def note(backbone: Any = None, train: Any = None, **options: Any) -> Any:
        found.update(backbone=backbone, train=train, **options)
        options["output"].mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(summary=None)

    monkeypatch.setattr(searches, "search_coefficients", note)
    monkeypatch.setattr(searches, "search_architecture", note)
    monkeypatch.setattr(search_page, "format_search", lambda summary: "found")
    monkeypatch.chdir(tmp_path)
    return found


def call(*words: str) -> int:
    return main(parse(["keras-effnet", "search", *words]))


def test_without_arguments_the_searches_own_defaults_hold(asked):
    assert call("coefficients") == 0
    assert asked == {
        "backbone": None,
        "train": None,
        "output": Path("results/coefficients"),
        "workers": os.cpu_count(),
    }


def test_what_is_given_is_handed_on(asked):
    words = (
        "coefficients resnet50 --factor 3 --measure params --method grid --seeds 5 --workers 1 --storage sqlite:///x"
    )
    call(*words.split(), "--heartbeat", "2", "--data", "digits", "--steps", "48", "--output", "here")
    assert asked["train"] == ProxyTraining("digits", horizon=48)
    assert {name: asked[name] for name in ("backbone", "factor", "measure", "method", "seeds", "workers")} == {
        "backbone": "resnet50", "factor": 3, "measure": "params", "method": "grid", "seeds": 5, "workers": 1,
    }  # fmt: skip
    assert (asked["storage"], asked["heartbeat"], asked["output"]) == ("sqlite:///x", 2, Path("here"))


def test_limits_and_scores_of_architectures(asked):
    words = "architecture --max-params 1e5 --accuracy naswot --data digits --inherit --over -1 --exponent 0"
    call(*words.split())
    assert asked["limits"] == {"params": 1e5}
    assert (asked["train"].score, asked["train"].data) == ("naswot", "digits")
    assert (asked["inherit"], asked["over"], asked["exponent"]) == (True, -1, 0)


def test_quick_is_small_and_gives_way_to_what_is_asked(asked):
    call("coefficients", "--quick", "--steps", "128")
    assert asked["steps"] == 128
    assert asked["step"] == search_command.QUICK_COEFFICIENTS["step"]
    call("architecture", "--quick")
    assert asked["trials"] == search_command.QUICK_ARCHITECTURE["trials"]


def test_a_train_function_of_ones_own_is_handed_on_by_name(asked):
    call("architecture", "--train", "mine:train")
    assert asked["train"] == "mine:train"


def test_errors_are_one_line(tmp_path, capsys):
    assert call("coefficients", "--tolerance", "1e-6", "--train", "mine:train", "--output", str(tmp_path / "x")) == 1
    said = capsys.readouterr().err
    assert said.startswith("keras-effnet search: no network of the grid")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coefficients", "architecture"])
def test_both_searches_from_the_command_to_the_files(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "trains.py").write_text(TRAINS)
    options = {
        "coefficients": ["--seeds", "2", "--tolerance", "0.2", "--step", "0.1"],
        "architecture": ["--trials", "8", "--population", "6", "--sample", "2"],
    }[name]
    words = ["search", name, "--train", "trains:train", "--workers", "2", "--output", "out", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), *sys.path))}
    command = [sys.executable, "-m", "keras_effnet", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["finished"]
    assert "report.html" in done.stdout
    if name == "coefficients":
        assert result["rule"] in done.stdout
    # The best is a spec file that other commands take.
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    capsys.readouterr()
    assert main(parse(["keras-effnet", "explain", "out/best.json", "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["name"] == read_spec(tmp_path / "out" / "best.json").name
    # Once more: everything is there, and no trial is made again.
    lines = (tmp_path / "out" / "trials.csv").read_text()
    assert main(parse(["keras-effnet", *words])) == 0
    assert (tmp_path / "out" / "trials.csv").read_text() == lines
    assert main(parse(["keras-effnet", *words, "--seed", "1"])) == 1
    assert "holds another search, with another plan.seed" in capsys.readouterr().err
