"""What a user meets first: errors within half a second, a quiet screen, and spellings that lead somewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest
from PIL import Image
from support import run_python

import keras_effnet
from keras_effnet import build_model, estimate_cost, scale_spec
from keras_effnet.cli.main import main, parse
from keras_effnet.cli.parser import quantity
from keras_effnet.registry import backbones, blocks, rules

# Command lines with something wrong in them, and a word of what they are answered.
WRONG = {
    "predict missing.keras a.png": "no such model",
    "predict missing.tflite a.png": "no such model",
    "predict some.keras missing.png": "readable image",
    "predict some.keras a.png --classes missing.txt": "class names",
    "predict some.keras a.png --top 0": "`top`",
    "predict some.keras a.png --batch-size 0": "`batch_size`",
    "predict some.keras a.png --center-crop 2": "`center_crop`",
    "predict some.keras a.png --resolution 0": "`resolution`",
    "predict some.keras a.png --output data": "cannot be written",
    "evaluate some.keras missing": "data is one of",
    "evaluate some.keras no/where": "no such folder",
    "evaluate missing.keras data": "no such model",
    "evaluate some.keras data --validation 2": "`validation`",
    "evaluate some.keras data --seed -1": "`seed`",
    "evaluate some.keras data --output a.png/x.json": "cannot be written",
    "grow missing.keras --phi 1 --output x.keras": "no such model",
    "grow some.keras --phi nan --output x.keras": "`phi`",
    "grow some.keras --phi 1 --rule compond --output x.keras": "'compound'",
    "grow some.keras --spec resnt50 --output x.keras": "'resnet50'",
    "grow some.keras --spec missing.json --output x.keras": "no such spec file",
    "grow some.keras --phi 1 --classes 0 --output x.keras": "`classes`",
    "grow some.keras --phi 1 --output x.h5": ".keras",
    "grow some.keras --phi 1 --output a.png/x.keras": "cannot be written",
    "finetune missing": "data is one of",
    "finetune no/where.csv": "no such folder or file",
    "finetune data --backbone resnt50": "'resnet50'",
    "finetune data --backbone missing.json": "no such spec file",
    "finetune data --backbone missing.keras": "no such model",
    "finetune data --weights missing.h5": "no such file",
    "finetune data --rate -1": "`rate`",
    "finetune data --recipe missing.json": "recipe cannot be read",
    "finetune data --output a.png/x": "cannot be written",
    "transfer --backbone mobilnet": "'mobilenet_v2'",
    "transfer --data missing": "data is one of",
    "transfer --phi nan": "`phi`",
    "transfer --output a.png": "cannot be written",
    "export missing.keras --format onnx": "no such model",
    "export some.keras --format litert-int8": "--calibration",
    "export some.keras --format litert-int8 --calibration missing": "data is one of",
    "export some.keras --output a.png": "cannot be written",
    "benchmark missing.keras": "no such model",
    "benchmark resnt50": "'resnet50'",
    "benchmark resnet50 --batch 0": "`batch`",
    "benchmark resnet50 --threads 0": "`threads`",
    "benchmark resnet50 --plot a.png/x.png": "cannot be written",
    "search coefficients --data missing": "data is one of",
    "search architecture resnt50": "'resnet50'",
    "search coefficients --steps 0": "`steps`",
    "search coefficients --output a.png": "cannot be written",
    "search coefficients --output new": "the extra [search] of keras-effnet installs: pip install filelock optuna",
    "calibrate --output a.png/x.json": "cannot be written",
    "fit resnt50 --macs 1e6": "'resnet50'",
    "fit resnet50 --macs 1x": "invalid",
    "finetune data --rat 0.1 --bakbone resnet50": "did you mean --backbone?",
    "search coefficients --trails 3": "no such option",
    "explain resnet50 more": "no such argument",
    "explain missing.keras": "no such model",
}

# Runs the command lines where no framework can be imported, nor Optuna; prints status, errors and seconds of each.
CODE = """
import contextlib, io, json, sys, time
for name in ("keras", "tensorflow", "jax", "torch", "optuna"):
    sys.modules[name] = None
from keras_effnet.cli.main import main, parse
found = []
for words in json.loads(sys.argv[1]):
    errors, started = io.StringIO(), time.process_time()
    with contextlib.redirect_stderr(errors):
        try:
            status = main(parse(["keras-effnet", *words.split()]))
        except SystemExit as error:
            status = error.code
    found.append((status, errors.getvalue(), time.process_time() - started))
print(json.dumps(found))
"""


def test_what_is_wrong_is_said_before_a_framework_is_imported(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(12):
            Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(tmp_path / "data" / name / f"{number}.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "some.keras").touch()
    found = json.loads(run_python(CODE, json.dumps(list(WRONG)), cwd=tmp_path, KERAS_HOME=str(tmp_path / "home")))
    for (words, expected), (status, errors, _) in zip(WRONG.items(), found, strict=True):
        last = errors.strip().splitlines()[-1]
        assert status in (1, 2), words
        assert last.startswith(f"keras-effnet {words.split()[0]}"), last
        assert expected in last, (words, last)
        assert status == 2 or "Received: " in last, last
        assert "usage" not in errors, errors
    assert {path.name for path in tmp_path.iterdir()} <= {"data", "a.png", "some.keras", "home"}


# The program, with a command that prints as libraries do, and then does what the first argument says.
NOISY = """
import os, sys
from keras_effnet.cli import explain_command, main
from keras_effnet.errors import SpecError
from keras_effnet.messages import say
def run(arguments):
    os.write(2, b"from below\\n")
    sys.stderr.write("from a library\\n")
    say("our own")
    exec(sys.argv.pop())
explain_command.run = run
main.run()
"""


@pytest.mark.parametrize(
    ("does", "status"),
    [("pass", 0), ("raise SpecError('no.', received='x')", 1), ("raise RuntimeError('boom')", 1)],
)
def test_the_screen_is_ours_and_what_libraries_said_is_kept_if_something_fails(
    does: str, status: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", NOISY.replace("sys.argv.pop()", repr(does)), "explain", "resnet50"]
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(keras_effnet.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == status
    first, *rest = done.stderr.splitlines()
    assert first == "our own"
    logs = list(tmp_path.glob("keras-effnet-*.log"))
    if "Runtime" not in does:
        assert logs == []
        assert rest == ([] if not status else ["keras-effnet explain: no. Received: x"])
        return
    assert len(rest) == 1
    assert "RuntimeError: boom" in rest[0]
    assert str(logs[0]) in rest[0]
    kept = logs[0].read_text()
    assert "from below" in kept
    assert "from a library" in kept
    assert "Traceback" in kept


def test_without_standard_error_the_program_still_works() -> None:
    command = f"{sys.executable} -m keras_effnet explain resnet50 2>&-"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "resnet50" in done.stdout


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("finetune data --lr 0.1", "rate", 0.1),
        ("finetune data --learning_rate 0.1", "rate", 0.1),
        ("finetune data --batch_size 8", "batch_size", 8),
        ("finetune data --batch_size=8", "batch_size", 8),
        ("finetune data --model resnet50", "backbone", "resnet50"),
        ("fit resnet50 --macs 100M", "macs", 100e6),
        ("fit resnet50 --peak_bytes 256kB", "peak_bytes", 256e3),
        ("search architecture --max-params 1.5m", "max_params", 1.5e6),
    ],
)
def test_common_spellings_are_taken(words: str, name: str, value: object) -> None:
    assert vars(parse(["keras-effnet", *words.split()]))[name] == value


def test_quantities_are_numbers_with_a_prefix() -> None:
    assert [quantity(text) for text in ("1", "-2.5e3", "3K", "4MB", "5 g", "0.5B", ".5")] == [
        1, -2500, 3000, 4e6, 5e9, 0.5, 0.5,
    ]  # fmt: skip
    for wrong in ("", "M", "1x", "1MM", "one", "1 2"):
        with pytest.raises(ValueError, match="float"):
            quantity(wrong)


def test_names_are_found_however_they_are_spelled() -> None:
    for name in backbones.names():
        for spelled in (name.upper(), name.replace("_", "-"), name.replace("_", "")):
            assert backbones.spelled(spelled) == name
    assert backbones.spelled("EfficientNetV2B0") == "efficientnet_v2_b0"
    assert rules.spelled("depth-only") == "depth_only"
    assert backbones.spelled("no such net") == "no such net"


def listed(what: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(parse(["keras-effnet", "list", what, "--json"])) == 0
    return json.loads(capsys.readouterr().out)


def test_lists_hold_what_is_registered(capsys: pytest.CaptureFixture[str]) -> None:
    families = {row["name"]: row for row in listed("families", capsys)}
    assert set(families) == set(backbones.names())
    for name in ("efficientnet_b0", "ghostnet"):
        cost = estimate_cost(name)
        assert (families[name]["parameters"], families[name]["multiply_adds"]) == (cost.params, cost.macs)
    assert families["efficientnet_b0"]["weights"] == "keras timm"
    assert families["ghostnet"]["weights"] == "timm"
    assert [row["name"] for row in listed("rules", capsys)] == list(rules.names())
    assert [row["name"] for row in listed("blocks", capsys)] == list(blocks.names())
    assert all(row["description"] for row in listed("blocks", capsys))
    keras_names = {row["name"]: row["keras_applications"] for row in listed("weights", capsys)}
    assert keras_names["mobilenet_v2"] == "MobileNetV2"
    assert main(parse(["keras-effnet", "list"])) == 0
    assert f"{estimate_cost('resnet50').params:,}" in capsys.readouterr().out


def test_a_model_is_explained_by_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = scale_spec("mobilenet_v1", -6)
    model = build_model(spec, classes=7, input_shape=(48, 48, 1))
    model.save(tmp_path / "model.keras")
    assert main(parse(["keras-effnet", "explain", str(tmp_path / "model.keras"), "--json"])) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cost"]["params"] == model.count_params()
    assert found["resolution"] == 48
    features = build_model(spec, include_top=False, pooling="avg", input_shape=(48, 48, 1))
    keras.Sequential([features, keras.layers.Dense(2)]).save(tmp_path / "own.keras")
    assert main(parse(["keras-effnet", "explain", str(tmp_path / "own.keras")])) == 0
    assert f"params       {features.count_params() + 2 * (features.output_shape[1] + 1):,} " in capsys.readouterr().out
