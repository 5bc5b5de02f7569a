"""What depth, width and resolution are worth on drawn scenes, one at a time, from a small base.

Command: python benchmarks/scenes.py [--seeds N] [--steps N] [--output FOLDER]
Time: about 25 minutes a seed on 2 idle cores. What was done before it was stopped is not done again.
Result: results/scenes.json, docs/images/scenes_scaling.png and, by benchmarks/tables.py, a table in
    docs/evidence/scenes.md.

A base of a real family is trained from first weights, then the same base with more or less of one dimension, all for as
many steps, with one recipe. Scored are test images: the class, and each of its three factors alone (a network that says
"striped square over ring" of a striped hexagon over a ring is right about two of them).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import keras
import numpy as np
from measure import RESULTS, save, this_command

from keras_effnet import BackboneSpec, Preprocessing, Rounding, build_model, estimate_cost, load_data, scale_spec
from keras_effnet.data.batches import Batches
from keras_effnet.data.scene_layout import CONTEXTS, SHAPES, TEXTURES
from keras_effnet.scaling.rules import Coefficients
from keras_effnet.scaling.stride import limit_stride
from keras_effnet.training.checkpoint import Checkpoint
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.loop import train
from keras_effnet.training.schedules import batchnorm_momentum, warmup_cosine
from keras_effnet.training.seeding import seed_weights

RESULT = RESULTS / "scenes.json"
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "scenes_scaling.png"
BASE = {"backbone": "mobilenet_v1", "depth": 0.4, "width": 0.25, "resolution": 48, "stride": 16}
WAYS = {"depth": (2.0, 3.0), "width": (0.5, 2.0), "resolution": (2 / 3, 1.5, 2.0)}
RECIPE = {"optimizer": "adamw", "rate": 8e-3, "weight_decay": 0.02, "warmup": 0.1, "batch_size": 64}
TEST_BATCH = 200


def network(depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> BackboneSpec:
    """The base with each dimension times a factor."""
    side = round(BASE["resolution"] * resolution)
    scaled = scale_spec(
        BASE["backbone"],
        coefficients=Coefficients(depth=BASE["depth"] * depth, width=BASE["width"] * width),
        rounding=Rounding(depth="round", divisor=4),
    )
    pixels = Preprocessing(scale=1 / 127.5, offset=-1.0)
    return replace(limit_stride(scaled, BASE["stride"]), preprocessing=pixels, drop_path=0.0, resolution=side)


def trainings() -> dict[str, BackboneSpec]:
    """Each network by its name, the base first, then from the cheapest to the dearest."""
    others = {f"{way} x {factor:.2g}": network(**{way: factor}) for way, factors in WAYS.items() for factor in factors}
    return {"base": network(), **dict(sorted(others.items(), key=lambda each: estimate_cost(each[1]).macs))}


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
    folder = output / f"{name.replace(' ', '_')}_{seed}"
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


def draw(rows: list[dict[str, Any]]) -> None:
    """Accuracy against multiply-adds, a line for each dimension."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for way, marker in zip(WAYS, "os^", strict=True):
        points = []
        for name in dict.fromkeys(row["network"] for row in rows):
            if name == "base" or name.startswith(way):
                runs = [row for row in rows if row["network"] == name]
                found = [100 * row["accuracy"] for row in runs]
                points.append((runs[0]["macs"] / 1e6, mean(found), stdev(found) if len(found) > 1 else 0.0))
        macs, middle, spread = zip(*sorted(points), strict=True)
        axes.errorbar(macs, middle, yerr=spread, marker=marker, capsize=3, label=way)
    axes.set(xscale="log", xlabel="million multiply-adds", ylabel="accuracy on test images, %")
    ticks = sorted({round(row["macs"] / 1e6, 1) for row in rows})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(IMAGE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each network (default: 3)")
    parser.add_argument("--steps", type=int, default=1200, help="steps of each training (default: 1200)")
    parser.add_argument("--output", type=Path, default=Path("results/scenes"), help="folder of unfinished trainings")
    args = parser.parse_args()
    known = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else []
    rows = [row for row in known if row["steps"] == args.steps]
    for seed in range(args.seeds):
        for name, spec in trainings().items():
            if (name, seed) not in {(row["network"], row["seed"]) for row in rows}:
                rows.append(measure(name, spec, seed, args.steps, args.output))
                save("scenes", this_command(), rows, base=BASE, recipe=RECIPE, classes=72)
    draw(rows)


if __name__ == "__main__":
    main()
