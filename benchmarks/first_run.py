"""The first minutes: a prediction, a first epoch, 100,000 files, and what an installation takes

Command: python benchmarks/first_run.py [--no-install]
Time: about 12 minutes on 2 cores, half of them installations; --no-install keeps the last ones.
Result: results/first_run.json and its tables in docs/evidence/training.md.

Commands run in fresh processes, in turn with a script that does the same by hand in Keras. The files are small JPEG
images, all different; Keras' peer only lists them, where ours decodes each once to find the broken ones, and remembers
the result. An installation is one into a new virtual environment, packages from wherever pip finds them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import RESULTS, compare, save, this_command
from PIL import Image

from keras_effnet.builder.embedded_spec import name_classes
from keras_effnet.builder.model import build_model

ROOT = Path(__file__).parents[1]
ROUNDS, FILES, CLASSES = 5, 100_000, 100
EXTRAS = {"the core": "", "tensorflow": "[tensorflow]", "all": "[all]"}
PREDICT = """
import keras, numpy as np, sys
model = keras.models.load_model(sys.argv[1])
image = keras.utils.load_img(sys.argv[2], target_size=model.input_shape[1:3])
print(model.predict(np.array(image)[None], verbose=0).argmax())
"""
LEARN = """
import keras, sys
options = {"image_size": (64, 64), "label_mode": "categorical", "verbose": False}
data = keras.utils.image_dataset_from_directory(sys.argv[1], **options)
model = keras.applications.MobileNetV2(weights=None, classes=2, input_shape=(64, 64, 3))
model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Rescaling(1 / 127.5, -1), model])
model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
model.fit(data, validation_data=data.take(1), epochs=1, verbose=0)
"""
SCAN = {
    "ours": "from keras_effnet import load_data; load_data(sys.argv[1], cache=sys.argv[2])",
    "keras": "import keras; keras.utils.image_dataset_from_directory(sys.argv[1], verbose=False)",
}
MEASURED = """
import re, sys, time
from pathlib import Path
import keras_effnet.data.sets, keras
keras.utils.image_dataset_from_directory
start = time.perf_counter()
{body}
seconds = time.perf_counter() - start
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(seconds, peak)
"""


def seconds_until(command: list[str], sign: str | None = None) -> float:
    """Seconds until a line of a program holds a sign, or until it ends."""
    start = time.perf_counter()
    given = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=given, text=True)
    found = None
    for line in process.stdout or ():
        if found is None and sign is not None and re.search(sign, line):
            found = time.perf_counter() - start
    if process.wait():
        raise RuntimeError(f"{command} failed")
    return time.perf_counter() - start if found is None else found


def write_images(folder: Path, count: int, classes: int, side: int) -> None:
    """Writes different JPEG files in class folders."""
    generator = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class{number % classes:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8)).save(path)


def first_commands(folder: Path) -> list[dict[str, Any]]:
    """A prediction for one image, and the way to the first epoch."""
    model = build_model("efficientnet_b0", classes=2)
    name_classes(model, ["cat", "dog"])
    model.save(folder / "model.keras")
    write_images(folder / "pets", 128, 2, 96)
    image = next((folder / "pets").rglob("*.jpg"))
    program = [sys.executable, "-m", "keras_effnet"]
    learn = [
        "finetune",
        str(folder / "pets"),
        "--backbone",
        "mobilenet_v2",
        "--weights",
        "random",
        "--resolution",
        "64",
    ]
    learn += ["--epochs", "1", "--output", str(folder / "out"), "--overwrite"]
    by_hand = [sys.executable, "-c", LEARN, str(folder / "pets")]
    ways = {
        "predict": ([*program, "predict", str(folder / "model.keras"), str(image)], None),
        "predict by hand": ([sys.executable, "-c", PREDICT, str(folder / "model.keras"), str(image)], None),
        "first line": ([*program, *learn], r"\S"),
        "first epoch": ([*program, *learn], "epoch 1 of"),
        "epoch by hand": (by_hand, None),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name, (command, sign) in ways.items():
            found[name].append(seconds_until(command, sign))
            print(f"round {number + 1}/{ROUNDS}  {name:<16} {found[name][-1]:.2f} s", file=sys.stderr)
    rows = (
        ("EfficientNet-B0: `predict` for one image", "load_model and predict", "predict", "predict by hand"),
        ("`finetune` to its first line", "Keras to the end of its first epoch", "first line", "epoch by hand"),
        ("`finetune` to the end of its first epoch", "the same by hand", "first epoch", "epoch by hand"),
    )
    return [{"what": what, "peer": peer, **compare(found[ours], found[theirs])} for what, peer, ours, theirs in rows]


def scan(folder: Path) -> list[dict[str, Any]]:
    """Time and memory to look at many files: for the first time, and again."""
    write_images(folder / "many", FILES, CLASSES, 16)
    rows = []
    for name, body in (("ours", SCAN["ours"]), ("ours again", SCAN["ours"]), ("keras", SCAN["keras"])):
        command = [sys.executable, "-c", MEASURED.format(body=body), str(folder / "many"), str(folder / "cache")]
        given = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=given)
        seconds, peak = map(float, done.stdout.split()[-2:])
        rows.append({"what": name, "files": FILES, "seconds": seconds, "peak_mb": peak})
        print(rows[-1], file=sys.stderr)
    return rows


def install(folder: Path) -> list[dict[str, Any]]:
    """Size and time of each installation."""
    rows = []
    for number, (name, extra) in enumerate(EXTRAS.items()):
        place = folder / f"env{number}"
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        pip = [str(place / "bin" / "python"), "-m", "pip"]
        subprocess.run([*pip, "install", "-q", f"{ROOT}{extra}"], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True, text=True).stdout
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        rows.append({"what": name, "packages": len(json.loads(listed)), "seconds": seconds, "mb": size / 1e6})
        print(rows[-1], file=sys.stderr)
    return rows


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        commands, files = first_commands(Path(temporary)), scan(Path(temporary))
        if "--no-install" in sys.argv:
            installed = json.loads((RESULTS / "first_run.json").read_text(encoding="utf-8"))["installed"]
        else:
            installed = install(Path(temporary))
    save("first_run", this_command(), commands, files=files, installed=installed)
