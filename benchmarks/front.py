"""Which published networks are the most accurate within 5, 10, 20 and 50 ms, on each engine

Command: python benchmarks/front.py
Time: about 15 minutes on 2 cores, on a machine that does nothing else.
Result: results/front.json, its table in docs/choosing.md and the picture docs/images/front.png.

Accuracy is as published, for weights that are not at hand here (docs/backbones.md has the sources). Latency is
measured: one picture, two threads, exported files of random weights. Networks without a published accuracy take no
part, nor do those with over 2 billion multiply-adds once their branches are merged.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras  # noqa: E402
from measure import RESULTS, save, this_command  # noqa: E402

from keras_effnet import build_model, recalibrate  # noqa: E402
from keras_effnet.backbones.catalogue import VARIANTS, family_of  # noqa: E402
from keras_effnet.cost import count_network  # noqa: E402
from keras_effnet.counting import Shape  # noqa: E402
from keras_effnet.data.photographs import photographs  # noqa: E402
from keras_effnet.deployed.folded_network import record_deployed  # noqa: E402
from keras_effnet.latency.engine_latency import time_engines  # noqa: E402

ENGINES = ("litert", "litert-int8", "onnx", "openvino")
MOST_MACS = 2e9
RESULT = RESULTS / "front.json"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "front.png"


def deployed_macs(name: str) -> int:
    spec = VARIANTS[name].spec
    return count_network(record_deployed(spec), Shape(spec.resolution, spec.resolution, 3)).macs


def measure(name: str) -> list[dict[str, Any]]:
    keras.utils.clear_session()
    model, rows = build_model(name), []
    # Else each layer of random weights shrinks its signal, in deep networks below what int8 can hold.
    recalibrate(model, [photographs(model.input_shape[1:], pixels=True, count=4)])
    for found in time_engines({name: model}, ENGINES, threads=THREADS):
        row = {"network": name, "family": family_of(name) or name, "engine": found.engine, "ms": found.median_ms}
        rows.append({**row, "top1": VARIANTS[name].top1})
        print(row, file=sys.stderr)
    return rows


def draw(rows: list[dict[str, Any]]) -> None:
    """Accuracy against latency, a panel for each engine, with the front as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    panels: Any = figure.subplots(2, 2, sharey=True)
    for axes, engine in zip(panels.flat, ENGINES, strict=True):
        points = sorted((row["ms"], row["top1"], row["network"]) for row in rows if row["engine"] == engine)
        front: list[tuple[float, float, str]] = []
        for point in points:
            if not front or point[1] > front[-1][1]:
                front.append(point)
        axes.scatter(*zip(*[point[:2] for point in points], strict=True), s=14, color="#b0b0b0")
        axes.plot(*zip(*[point[:2] for point in front], strict=True), "o-", color="#4c78a8", markersize=5)
        for number, (ms, top1, _) in enumerate(front, start=1):
            axes.annotate(str(number), (ms, top1), textcoords="offset points", xytext=(0, 6), fontsize=7, ha="center")
        names = "\n".join(f"{number}  {name}" for number, (*_, name) in enumerate(front, start=1))
        axes.text(
            0.98, 0.03, names, transform=axes.transAxes, fontsize=7, ha="right", va="bottom", multialignment="left"
        )
        axes.set(xscale="log", title=engine, xlabel="milliseconds for one picture", ylabel="published top-1, %")
        axes.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"], minor=False)
        axes.set_xlim(2, 700)  # room for the names
        axes.grid(alpha=0.3)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    names = [name for name, row in VARIANTS.items() if row.top1 is not None and deployed_macs(name) <= MOST_MACS]
    measured = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else []  # delete it to measure all again
    for name in names:
        if name not in {row["network"] for row in measured}:
            measured += measure(name)
            save("front", this_command(), measured, threads=THREADS)
    draw(measured)
