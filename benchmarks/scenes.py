"""What depth, width and resolution are worth on drawn scenes, one at a time, from small bases.

Command: python benchmarks/scenes.py [--seeds N] [--steps N] [--networks NAME ...] [--output FOLDER]
Time: about an hour a seed on 2 cores. What was done before it was stopped is not done again.
Result: results/scenes.json, docs/images/scenes_scaling.png and, by benchmarks/tables.py, a table in
    docs/evidence/scenes.md.

Two small bases of real families are trained from first weights, then each of them with more or less of one dimension,
all for as many steps, with one recipe. Scored are test images: the class, and each of its three factors alone (a
network that says "striped square over ring" of a striped hexagon over a ring is right about two of them).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import keras
import numpy as np
from measure import RESULTS, save

from keras_effnet import BackboneSpec, Preprocessing, Rounding, build_model, estimate_cost, load_data, scale_spec
from keras_effnet.data.batches import Batches
from keras_effnet.data.scene_layout import CLASS_NAMES, CONTEXTS, SHAPES, TEXTURES
from keras_effnet.data.scenes import Scenes
from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.stride import limit_stride
from keras_effnet.training.checkpoint import Checkpoint
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.loop import train
from keras_effnet.training.schedules import batchnorm_momentum, warmup_cosine
from keras_effnet.training.seeding import seed_weights

RESULT = RESULTS / "scenes.json"
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "scenes_scaling.png"
# Coefficients of the bases: six blocks without shortcuts, eight with.
BASES = {"mobilenet_v1": {"depth": 0.4, "width": 0.25}, "mobilenet_v2": {"depth": 0.4, "width": 0.35}}
RESOLUTION, STRIDE = 48, 16
WAYS = {"depth": (2.0, 3.0), "width": (0.5, 2.0), "resolution": (2 / 3, 1.5, 2.0)}
RECIPE = {"optimizer": "adamw", "rate": 8e-3, "weight_decay": 0.02, "warmup": 0.1, "batch_size": 64}
TEST_BATCH = 200
SIDES, DRAWN = (32, 48, 64, 96, 128, 224), 360  # of the images whose drawing is timed, and their number


def network(backbone: str, depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> BackboneSpec:
    """A base with each dimension times a factor."""
    base = BASES[backbone]
    scaled = scale_spec(
        backbone,
        coefficients=Coefficients(depth=base["depth"] * depth, width=base["width"] * width),
        rounding=Rounding(depth="round", divisor=4),
    )
    pixels = Preprocessing(scale=1 / 127.5, offset=-1.0)
    side = round(RESOLUTION * resolution)
    return replace(limit_stride(scaled, STRIDE), preprocessing=pixels, drop_path=0.0, resolution=side)


def trainings() -> dict[str, BackboneSpec]:
    """Each network by its name: the bases, each followed by what is made of it, the cheapest first."""
    found: dict[str, BackboneSpec] = {}
    for backbone in BASES:
        made = {
            f"{backbone}, {way} x {factor:.2g}": network(backbone, **{way: factor})
            for way, factors in WAYS.items()
            for factor in factors
        }
        by_cost = dict(sorted(made.items(), key=lambda each: estimate_cost(each[1]).macs))
        found |= {backbone: network(backbone), **by_cost}
    return found


def measure(name: str, spec: BackboneSpec, seed: int, steps: int, output: Path) -> dict[str, Any]:
    """Trains a network, or what is left of it, and scores it."""
    keras.utils.clear_session()
    data, side = load_data("scenes"), spec.resolution
    classes = len(data.train.class_names)
    seed_weights(seed)
    model = build_model(spec, classes=classes, input_shape=(side, side, 3))
    set_batchnorm_momentum(model, batchnorm_momentum(steps))
    schedule = partial(warmup_cosine, peak=RECIPE["rate"], steps=steps, warmup=RECIPE["warmup"])
    options = {each: RECIPE[each] for each in ("optimizer", "weight_decay")}
    compile_model(model, schedule, steps=steps, **options)
    count = RECIPE["batch_size"]
    batches = Batches(data.train, resolution=side, batch_size=count, seed=seed, shuffle=True, padded=True)
    identity = {
        "spec": spec.to_json(),
        "seed": seed,
        "steps": steps,
        "recipe": RECIPE,
        "data": batches.source.fingerprint(),
    }
    folder = output / f"{name.replace(',', '').replace(' ', '_')}_{seed}"
    checkpoint = Checkpoint(folder, identity)
    train(
        model,
        batches,
        checkpoint,
        schedule,
        steps=steps,
        every=max(1, steps // 4),
        phase=f"{name}, seed {seed}",
        seed=seed,
    )
    test: Any = data.test
    outputs = model.predict(Batches(test, resolution=side, batch_size=TEST_BATCH), verbose=0)
    cost = estimate_cost(spec, classes=classes)
    return {
        "network": name, "seed": seed, "steps": steps, "depth": sum(stage.depth for stage in spec.stages),
        "width": spec.stages[-1].width, "resolution": side, "macs": cost.macs, "params": cost.params,
        **scores(outputs.argmax(axis=1), test.labels),
        "train_loss": checkpoint.progress.history[-1].loss,
        "seconds": sum(row.seconds for row in checkpoint.progress.history),
    }  # fmt: skip


def scores(found: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy of the class, and of each factor alone."""
    shape = (len(SHAPES), len(TEXTURES), len(CONTEXTS))
    parts = zip(np.unravel_index(found, shape), np.unravel_index(labels, shape), strict=True)
    alone = [float((ours == true).mean()) for ours, true in parts]
    return {
        "accuracy": float((found == labels).mean()),
        **dict(zip(("shape", "texture", "context"), alone, strict=True)),
    }


def drawing_speed() -> dict[str, float]:
    """Images that one core draws in a second of its own time, by their side."""
    source, found = Scenes(DRAWN), {}
    for side in SIDES:
        begun = time.process_time()
        for number in range(DRAWN):
            source.read(number, side)
        found[str(side)] = DRAWN / (time.process_time() - begun)
    return found


def draw(rows: list[dict[str, Any]]) -> None:
    """Accuracy against multiply-adds: a panel for each base, a line for each dimension."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    panels: Any = figure.subplots(1, len(BASES), sharey=True, squeeze=False)
    for axes, backbone in zip(panels.flat, BASES, strict=True):
        for way, marker in zip(WAYS, "os^", strict=True):
            names = [name for name in trainings() if name == backbone or name.startswith(f"{backbone}, {way}")]
            found = [[row for row in rows if row["network"] == name] for name in names]
            points = sorted(
                (runs[0]["macs"] / 1e6, mean(accuracies), stdev(accuracies) if len(accuracies) > 1 else 0.0)
                for runs in found
                if (accuracies := [100 * row["accuracy"] for row in runs])
            )
            if len(points) > 1:
                macs, middle, spread = zip(*points, strict=True)
                axes.errorbar(macs, middle, yerr=spread, marker=marker, capsize=3, label=way)
        axes.set(xscale="log", title=backbone, xlabel="million multiply-adds")
        axes.set_xticks([0.25, 0.5, 1, 2, 4, 8], ["0.25", "0.5", "1", "2", "4", "8"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0, 0].set_ylabel("accuracy on test images, %")
    figure.savefig(IMAGE, dpi=110)


def keep(rows: list[dict[str, Any]], steps: int, **more: Any) -> None:
    """Writes the result with the command that makes all of it."""
    command = f"python benchmarks/scenes.py --seeds {1 + max(row['seed'] for row in rows)} --steps {steps}"
    save("scenes", command, rows, recipe=RECIPE, classes=len(CLASS_NAMES), **more)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each network (default: 3)")
    parser.add_argument("--steps", type=int, default=1200, help="steps of each training (default: 1200)")
    parser.add_argument("--output", type=Path, default=Path("results/scenes"), help="folder of unfinished trainings")
    names = list(trainings())
    parser.add_argument("--networks", nargs="*", choices=names, default=names, help="which to train (default: all)")
    args = parser.parse_args()
    known = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else []
    rows = [row for row in known if row["steps"] == args.steps]
    for seed in range(args.seeds):
        for name in args.networks:
            if (name, seed) not in {(row["network"], row["seed"]) for row in rows}:
                rows.append(measure(name, trainings()[name], seed, args.steps, args.output))
                rows.sort(key=lambda row: (names.index(row["network"]), row["seed"]))
                keep(rows, args.steps)
    keep(rows, args.steps, drawing=drawing_speed())
    draw(rows)


if __name__ == "__main__":
    main()
