"""`keras-effnet compare`: what its options become, what it prints, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from keras_effnet import ScratchRecipe, compare_networks
from keras_effnet.cli import compare_command
from keras_effnet.cli.main import main, parse


def call(*words: str) -> int:
    return main(parse(["keras-effnet", "compare", *words]))


def test_the_table_is_printed_and_files_are_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("efficientnet_b0", "ResNet50", "--phi", "-1", "0", "1", "--rule", "compound", "width_only")
    assert call(*words) == 0
    said = capsys.readouterr().out
    found = compare_networks(["efficientnet_b0", "resnet50"], phi=[-1, 0, 1], rule=["compound", "width_only"])
    assert said == f"{found}\n"
    assert call(*words, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["networks"]
    assert [row["macs"] for row in rows] == [row.macs for row in found.networks]
    assert call("mobilenet_v1", "--output", str(tmp_path / "out")) == 0
    assert (
        f"In {tmp_path}/out: compare.csv, compare.json, compare.md, compare.png, index.html" in capsys.readouterr().out
    )


def test_what_is_given_is_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def note(networks: Any, **options: Any) -> Any:
        asked.update(networks=networks, **options)
        return compare_networks(networks)

    monkeypatch.setattr(compare_command, "compare_networks", note)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "compare").mkdir(parents=True)
    words = "mobilenet_v1 --train digits --steps 7 --learning-rates 0.1 0.2 --equal compute --seeds 2 --seed 5"
    assert call(*words.split(), "--validation", "0.5", "--batch-size", "9", "--heartbeat", "3", "--classes", "8") == 0
    assert asked.pop("recipe") == ScratchRecipe(7, None, 9, (0.1, 0.2), "compute", 0.5)
    assert asked == {
        "networks": ["mobilenet_v1"], "phi": [0], "rule": ["compound"], "latency": False, "data": "digits", "seeds": 2,
        "seed": 5, "output": Path("results/compare"), "heartbeat": 3, "classes": 8, "workers": os.cpu_count(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no_such_net",), "no backbone has this name"),
        (("resnet50", "--rule", "deep"), "no scaling rule has this name"),
        (("nowhere.json",), "no such spec file"),
        (("nowhere.keras",), "no such model"),
        (("resnet50", "resnet50"), "a label of its own"),
        (("resnet50", "--steps", "10", "--seeds", "2"), "these options are for training.*Received: seeds, steps"),
        (("resnet50", "--train", "digit"), "Did you mean 'digits'"),
        (("resnet50", "--train", "digits", "--steps", "0"), "`steps` must be"),
        (("resnet50", "--train", "digits", "--steps", "9", "--epochs", "1"), "say the same"),
        (("resnet50", "--train", "digits", "--learning-rates", "0.1", "0.1"), "no two alike"),
        (("resnet50", "--train", "digits", "--validation", "1"), "`validation` must be"),
    ],
)
def test_errors_are_one_line(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*words) == 1
    captured = capsys.readouterr()
    assert re.search(said, captured.err), captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
