"""`keras-effnet evaluate`: its numbers, which images they are of, and how it fails."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import pytest
from PIL import Image

from keras_effnet import load_data
from keras_effnet.cli.main import main, make_parser

NAMES = ("black", "gray", "white")
# What lies in the folder of each class, as a gray: one "white" image is dark, and is taken for black.
TEST = {"black": (0, 10, 20), "gray": (120, 130), "white": (240, 250, 255, 5)}
TARGETS = np.array([0.0, 127.5, 255.0]) / 100

Evaluate = Callable[..., tuple[int, str, str]]


@cache
def gray_scale() -> bytes:
    """The file of a model that classifies images by brightness, and has no class names."""
    pixels = keras.Input((8, 8, 3))
    dense = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(pixels)))
    dense.set_weights([np.repeat(2 * TARGETS[None] / 300, 3, axis=0), -(TARGETS**2)])
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / "scale.keras")
        return (Path(folder) / "scale.keras").read_bytes()


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Runs the command in a folder with a model and split data: its status, and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name, grays in TEST.items():
        save_grays("data/test", name, grays)
        save_grays("data/train", name, [grays[0]] * 10)
    Path("scale.keras").write_bytes(gray_scale())
    Path("names.txt").write_text("\n".join(NAMES))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(make_parser().parse_args(["evaluate", "scale.keras", *arguments]))
        out, err = capsys.readouterr()
        return status, out, err

    return run


def save_grays(root: str, name: str, grays: tuple[int, ...] | list[int]) -> None:
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, gray in enumerate(grays):
        Image.new("L", (12, 9), gray).save(folder / f"{number}.png")


def loss(grays: dict[str, tuple[int, ...]]) -> float:
    """Mean cross-entropy of the gray scale, by hand."""
    losses = []
    for name, values in grays.items():
        for gray in values:
            scores = np.exp(-((gray / 100 - TARGETS) ** 2))
            losses.append(-math.log(scores[NAMES.index(name)] / scores.sum()))
    return float(np.mean(losses))


def test_numbers_are_those_of_the_test_images(evaluate: Evaluate) -> None:
    status, out, _ = evaluate("data", "--classes", "names.txt", "--json", "--output", "metrics.json")
    assert status == 0
    content = json.loads(out)
    assert content == json.loads(Path("metrics.json").read_text())
    assert (content["split"], content["images"], content["top5"]) == ("test", 9, None)
    assert content["accuracy"] == pytest.approx(8 / 9)
    assert content["loss"] == pytest.approx(loss(TEST), rel=1e-3)
    assert content["confusion"] == [[3, 0, 0], [0, 2, 0], [1, 0, 3]]
    rows = {row["name"]: row for row in content["per_class"]}
    assert rows["black"]["precision"] == pytest.approx(3 / 4)
    assert rows["white"]["recall"] == pytest.approx(3 / 4)
    assert (rows["gray"]["f1"], rows["gray"]["images"]) == (1, 2)


def test_the_tables_hold_the_same(evaluate: Evaluate) -> None:
    _, out, _ = evaluate("data", "--classes", "names.txt")
    lines = out.splitlines()
    assert lines[0].startswith("accuracy 0.8889, cross-entropy ")
    assert lines[0].endswith("on 9 images of data (test)")
    cells = [line.split() for line in lines]
    assert ["black", "3", "0.750", "1.000", "0.857"] in cells
    assert ["white", "1", "0", "3"] in cells
    assert "no class names" not in out


def test_splits_can_be_chosen(evaluate: Evaluate) -> None:
    found = {}
    for split in ("train", "validation", "all"):
        _, out, _ = evaluate("data", "--classes", "names.txt", "--split", split, "--json", "--validation", "0.2")
        content = json.loads(out)
        found[split] = (content["images"], content["accuracy"])
        assert content["split"] == ("train+validation+test" if split == "all" else split)
    assert found == {"train": (24, 1.0), "validation": (6, 1.0), "all": (39, pytest.approx(38 / 39))}


def test_without_test_images_all_are_looked_at_that_the_model_has_not_learned(evaluate: Evaluate) -> None:
    def told() -> str:
        status, out, _ = evaluate("data/train", "--classes", "names.txt")
        assert status == 0
        return out.splitlines()[0].partition(" on ")[2]

    everything, held_out = "30 images of data/train (train+validation)", "3 images of data/train (validation)"
    assert told() == everything
    Path("checkpoint").mkdir()
    data = load_data("data/train")
    same = [data.train.fingerprint(), data.validation.fingerprint()]
    for identity, expected in (
        ({"data": "data/train", "images": ["", ""]}, held_out),
        ({"data": "elsewhere", "images": same}, held_out),
        ({"data": "data/test", "images": ["", ""]}, everything),
        ({}, held_out),
    ):
        Path("checkpoint/state.json").write_text(json.dumps({"identity": identity}))
        assert told() == expected
    Path("checkpoint/state.json").write_text("[")
    assert told() == held_out
    status, _, err = evaluate("data/train", "--classes", "names.txt", "--split", "test")
    assert status == 1
    assert "no test split" in err


def test_classes_are_matched_by_name(evaluate: Evaluate) -> None:
    # Two of the three classes, which are numbers 0 and 1 of the data, and 2 and 0 of the model.
    save_grays("two/test", "black", (0, 250))
    save_grays("two/train", "black", (0, 0))
    save_grays("two/test", "a white", (240,))
    save_grays("two/train", "a white", (240, 240))
    Path("names.txt").write_text("black\ngray\na white\n")
    status, out, _ = evaluate("two", "--classes", "names.txt", "--json")
    assert status == 0
    assert json.loads(out)["confusion"] == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_without_names_the_order_counts_and_it_is_said(evaluate: Evaluate) -> None:
    _, out, _ = evaluate("data")
    assert "accuracy 0.8889" in out
    assert "the model's file has no class names" in out
    assert "white" in out


def test_unreadable_files_are_counted(evaluate: Evaluate) -> None:
    Path("data/test/gray/cut.png").write_bytes(b"\x89PNG")
    _, out, _ = evaluate("data", "--classes", "names.txt")
    assert "1 files were left out:" in out
    assert "on 9 images" in out


def test_data_that_does_not_fit_is_an_error(evaluate: Evaluate) -> None:
    save_grays("other/train", "black", (0, 0))
    save_grays("other/train", "green", (0, 0))
    for arguments, word in (
        (("other", "--classes", "names.txt"), "each class of the data must be one of the model's"),
        (("other",), "the same 3 classes in the same order"),
        (("missing",), "missing"),
        (("data", "--validation", "2"), "`validation`"),
    ):
        status, out, err = evaluate(*arguments, "--split", "train")
        assert (status, out) == (1, ""), arguments
        last = err.splitlines()[-1]
        assert last.startswith("keras-effnet evaluate: "), last
        assert word in last
        assert "Received: " in last
