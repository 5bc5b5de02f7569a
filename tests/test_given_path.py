"""Paths that no file can have are our errors, wherever one is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.cli.arguments import check_model_file
from keras_effnet.cli.class_names import read_names
from keras_effnet.cli.main import main, parse
from keras_effnet.data.sets import check_data, load_data
from keras_effnet.data.targets import Line, find_targets
from keras_effnet.errors import DataError, KerasEffnetError
from keras_effnet.finetune.recipe import read_recipe
from keras_effnet.given_path import given_path
from keras_effnet.serialization import read_spec
from keras_effnet.weights.locate import find_weights

PATHS = ["a\0b", "x" * 5_000, "x/" * 3_000, "~nobody_at_all/x"]
TAKERS: dict[str, Callable[[str], Any]] = {
    "model": lambda path: check_model_file(Path(path)),
    "data": check_data,
    "folder": load_data,
    "table": lambda path: load_data(f"{path}.csv"),
    "weights": find_weights,
    "recipe": read_recipe,
    "spec": read_spec,
    "class list": lambda path: read_names(Path(path)),
}


@pytest.mark.parametrize("path", PATHS, ids=["zero byte", "long", "long way", "nobody"])
@pytest.mark.parametrize("taker", TAKERS)
def test_a_path_that_no_file_has_is_our_error(taker: str, path: str) -> None:
    with pytest.raises(KerasEffnetError, match="Received: "):
        TAKERS[taker](path)


@pytest.mark.parametrize("path", PATHS[:3], ids=["zero byte", "long", "long way"])
def test_nothing_is_written_there(path: str) -> None:
    for write in (check_writable, lambda path: atomic_write(path, lambda part: part.write_text(""))):
        with pytest.raises(DataError, match="Received: "):
            write(Path(path))


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path(DataError, "~/x") == tmp_path / "x"
    assert given_path(DataError, tmp_path) == tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "x" * 5000, "a.png"),
        ("evaluate", "x" * 5000, "digits"),
        ("grow", "x" * 5000, "--phi", "1", "--output", "a.keras"),
        ("explain", f"{'x' * 5000}.keras"),
        ("export", "x" * 5000),
        ("finetune", "~nobody_at_all/x"),
        ("finetune", "digits", "--weights", "x" * 5000),
        ("finetune", "digits", "--recipe", "/dev/zero"),
        ("finetune", "digits", "--output", "x" * 5000),
        ("fit", "resnet50", "--macs", "1e9", "--output", "x" * 5000),
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_the_program_says_so_in_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(parse(["keras-effnet", *words])) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"keras-effnet {words[0]}: ")


def test_a_label_of_thousands_of_digits_is_a_label() -> None:
    lines = [Line(f"line {number}", ("a.png", label)) for number, label in enumerate(("9" * 5_000, "1", "10", "2"))]
    found = find_targets(["path", "label"], lines, [0], None, (), "a table")
    assert found.names == ("1", "10", "2", "9" * 5_000)
    assert find_targets(["path", "label"], lines[1:], [0], None, (), "a table").names == ("1", "2", "10")
