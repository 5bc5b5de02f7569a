"""The program: what it prints, its exit status, and that it starts in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from keras_effnet import estimate_cost, explain, scale_spec
from keras_effnet.cli.main import main, make_parser, parse
from keras_effnet.registry import backbones
from keras_effnet.serialization import write_spec


def keras_effnet(*arguments: str, cwd: Path | str = ".") -> subprocess.CompletedProcess[str]:
    """Runs the program in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), chdir(cwd):
        try:
            status = main(parse(["keras-effnet", *arguments]))
        except SystemExit as error:
            status = error.code
    return subprocess.CompletedProcess(arguments, int(status or 0), out.getvalue(), err.getvalue())


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the program in a process of its own."""
    command = [sys.executable, "-m", "keras_effnet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})


@pytest.mark.parametrize(
    ("arguments", "status"), [(("explain", "resnet50"), 0), (("explain", "resnt50"), 1), (("explian",), 2)]
)
def test_the_program_as_a_user_starts_it(arguments: tuple[str, ...], status: int) -> None:
    expected = keras_effnet(*arguments)
    done = started(*arguments)
    assert done.returncode == expected.returncode == status
    assert done.stdout == expected.stdout
    # The program's name and the width of the terminal may differ in usage messages.
    assert status == 2 or done.stderr == expected.stderr


def test_explain_prints_stages_coefficients_and_costs() -> None:
    done = keras_effnet("explain", "resnet50", "--phi", "-1.5")
    cost = estimate_cost(scale_spec("resnet50", phi=-1.5))
    assert done.returncode == 0
    assert done.stderr == ""
    for words in ("180x180", "nominal", "realised", f"{cost.params:,}", f"{cost.macs:,}", f"{cost.flops:,}"):
        assert words in done.stdout


def test_explain_takes_a_row_of_a_table() -> None:
    assert "300x300" in keras_effnet("explain", "efficientnet_b0", "--rule", "tabulated", "--phi", "b3").stdout


def test_explain_json_is_json() -> None:
    made = json.loads(keras_effnet("explain", "mobilenet_v2", "--phi", "1", "--classes", "10", "--json").stdout)
    assert made["cost"]["params"] == estimate_cost(scale_spec("mobilenet_v2", phi=1), classes=10).params
    assert sum(row["params"] for row in made["rows"]) == made["cost"]["params"]


def test_explain_takes_a_spec_file(tmp_path: Path) -> None:
    spec = replace(backbones.get("resnet50"), name="mine")
    write_spec(spec, tmp_path / "mine.json")
    (tmp_path / "plain").write_text(spec.to_json())
    (tmp_path / "mobilenet_v2").write_text("a file that is called like a backbone")
    expected = json.dumps(explain(spec, 1.0).to_dict(), indent=2) + "\n"
    for name in ("mine.json", "plain", str(tmp_path / "mine.json")):
        done = keras_effnet("explain", name, "--phi", "1", "--json", cwd=tmp_path)
        assert (done.stdout, done.stderr) == (expected, "")
    assert keras_effnet("explain", "mobilenet_v2", cwd=tmp_path).returncode == 0


def test_a_broken_spec_file_is_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text(backbones.get("resnet50").to_json().replace('"width": 64', '"width": "64"'))
    for command in (("explain", "broken.json"), ("transfer", "--backbone", "broken.json")):
        done = keras_effnet(*command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        words = f"keras-effnet {command[0]}: broken.json: backbone.stem.width must be an integer. Received: '64'\n"
        assert done.stderr == words
    done = keras_effnet("explain", "missing.json", cwd=tmp_path)
    assert done.stderr == "keras-effnet explain: there is no such spec file. Received: 'missing.json'\n"
    assert not (tmp_path / "results").exists()


def test_explain_and_help_load_no_framework() -> None:
    code = (
        "import sys; from keras_effnet.cli.main import make_parser, main;"
        "main(make_parser().parse_args(['explain', 'resnet50', '--phi', '2']));"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'matplotlib', 'sklearn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explain", "resnt50"), "'resnet50'"),
        (("explain", "resnet50", "--phi", "nan"), "finite"),
        (("explain", "resnet50", "--phi", "1", "--rule", "compond"), "'compound'"),
        (("explain", "resnet50", "--phi", "-40"), "total stride"),
        pytest.param(("transfer", "--backbone", "mobilnet"), "mobilenet", marks=pytest.mark.slow),
        (("transfer", "--epochs", "0"), "epochs"),
        pytest.param(("transfer", "--data", "/nowhere/at/all"), "folder", marks=pytest.mark.slow),
    ],
)
def test_errors_are_one_line_and_status_1(arguments: tuple[str, ...], words: str, tmp_path) -> None:
    output = ("--output", str(tmp_path / "new")) if arguments[0] == "transfer" else ()
    done = keras_effnet(*arguments, *output)
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"keras-effnet {arguments[0]}: ")
    assert words in last
    assert "Received: " in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists(), "nothing is written before the work is known to be possible"


def test_a_wrong_command_line_is_status_2() -> None:
    done = keras_effnet("explian")
    assert done.returncode == 2
    assert "explain" in done.stderr


def test_the_help_names_every_command_and_backbone() -> None:
    text = make_parser().format_help()
    assert all(command in text for command in ("transfer", "explain"))
    listed = keras_effnet("explain", "--help").stdout
    assert all(name in listed for name in backbones.names())
