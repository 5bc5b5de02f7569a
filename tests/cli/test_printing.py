"""Results on standard output: all of it or an error, whatever the output is, and nothing that a terminal obeys."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from keras_effnet.cli.main import main, parse
from keras_effnet.cli.printer import PIPE_CLOSED, print_result
from keras_effnet.messages import said_on, say
from keras_effnet.tables import aligned

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


def started(redirection: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the program in a process of its own, with its output sent elsewhere by a shell."""
    command = f'"$0" -m keras_effnet "$@" {redirection}'
    shell = ["bash", "-o", "pipefail", "-c", command, sys.executable, *words]
    return subprocess.run(shell, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("redirection", "words", "status"),
    [
        (">&-", ("list", "rules"), 1),
        pytest.param(">/dev/full", ("list", "rules"), 1, marks=needs_full_device),
        pytest.param(">/dev/full", ("--help",), 1, marks=needs_full_device),
    ],
)
def test_an_output_that_takes_nothing_is_one_line_and_a_status(
    redirection: str, words: tuple[str, ...], status: int
) -> None:
    done = started(redirection, *words)
    assert (done.returncode, done.stdout) == (status, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("keras-effnet")
    assert "Received: " in line


def test_a_closed_pipe_ends_quietly() -> None:
    done = started("| true", "list", "blocks", "--json")
    # `true` may end after all was written.
    assert done.returncode in (0, PIPE_CLOSED)
    assert done.stderr == ""


def test_a_pipe_that_nobody_reads_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as caught:
            main(parse(["keras-effnet", "list", "rules"]))
    assert caught.value.code == PIPE_CLOSED


NAME = "a\x1b]0;title\x07\u202egnp.exe\udcff\x9b2J"


def test_a_terminal_obeys_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(f"{NAME}\n\tZ\u00fcrich \u65e5\u672c\n")
    out = capsys.readouterr().out
    assert out == "a\\x1b]0;title\\x07\\u202egnp.exe\\udcff\\x9b2J\n\tZ\u00fcrich \u65e5\u672c\n"
    with said_on(sys.stdout):
        say(f"left out {NAME}\nkeras-effnet predict: all is well")
    assert capsys.readouterr().out.count("\n") == 1


def test_a_name_of_two_lines_is_one_line_of_a_table() -> None:
    lines = aligned([("name", "count"), ("two\nlines", "1")], text_column=0)
    assert lines[-1] == r"two\nlines      1"


@needs_full_device
def test_what_cannot_be_said_stops_nobody() -> None:
    said = False
    with suppress(OSError), Path("/dev/full").open("w", buffering=1) as stream, said_on(stream):  # closing it fails
        say("half done")
        said = True
    assert said
