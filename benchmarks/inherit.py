"""Growing or shrinking a trained network, against training the other size from scratch.

Command: python benchmarks/inherit.py [--quick] [--output FOLDER]
Time: about 20 minutes on 2 cores; with --quick two, to see whether it runs. A run that was stopped goes on with the
    seed that it was stopped in.
Result: results/inherit.json, docs/images/inherit.png and, by benchmarks/tables.py, a table in docs/evidence/inherit.md.

Two sizes of EfficientNet-B0 for 32 px, on drawn letters and on scikit-learn's digits. Compute is 3 x multiply-adds x
images (forward, and backward twice that) of all that was trained: a grown network's account begins with that of the
small one, a shrunk network's with that of the large one. Every run has its own cosine decay to zero over its own steps,
so that none is judged before its end; that is why equal time needs other runs than equal compute. Seconds are of
training, growing, selecting and recalibrating as they are called; compiling the two training steps, which happens once
for all runs, and looking at held-out images are left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
from measure import save

from keras_effnet import build_model, estimate_cost, grow_model, recalibrate
from keras_effnet.atomic import atomic_write
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.glyphs import render_letters
from keras_effnet.data.images import Images, load_digits
from keras_effnet.data.source import Source
from keras_effnet.data.splits import at_most, hold_out
from keras_effnet.finetune.demonstration import demonstration_spec
from keras_effnet.finetune.options import DemonstrationOptions
from keras_effnet.training.checkpoint import Checkpoint, Snapshot
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.evaluation import evaluate
from keras_effnet.training.loop import train
from keras_effnet.training.schedules import warmup_cosine
from keras_effnet.training.window import Window

COMMAND = "python benchmarks/inherit.py"
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "inherit.png"
TASKS = ("letters", "digits")
CHECKS = 8  # looks at the held-out images during a run
# Forward, gradients of values, gradients of weights: each costs about as much.
FORWARD_AND_BACKWARD = 3


@dataclass(frozen=True)
class Settings:
    """What every number depends on; kept beside each finished seed."""

    small: float = -10.0
    large: float = -6.0
    resolution: int = 32
    steps: int = 240  # of the large network from scratch, on letters
    digits_steps: int = 120  # the same on digits, which are learned sooner
    small_share: float = 0.25  # of that compute, to train the small network
    batch_size: int = 64
    letters: int = 10_000
    labels_per_class: int = 50  # of the digits
    recalibration: int = 1024  # images
    crop: float = 0.7
    # Each the best of those tried on letters with a seed of its own: 4e-3 and 1e-2; 1.5e-3, 4e-3 and 1e-2.
    fresh_rate: float = 4e-3
    inherited_rate: float = 4e-3


QUICK = Settings(steps=30, digits_steps=30, letters=1_000, recalibration=128)


class Network:
    """One size, built once for all runs.

    Args:
        phi: phi of EfficientNet-B0.
        settings: settings of the benchmark.
        classes: number of classes.
    """

    def __init__(self, phi: float, settings: Settings, classes: int) -> None:
        self.settings, self.classes = settings, classes
        self.spec = demonstration_spec(DemonstrationOptions(phi=phi, resolution=settings.resolution))
        cost = estimate_cost(self.spec, classes=classes)
        self.params, self.macs = cost.params, cost.macs
        self.model = build_model(self.spec, classes=classes)
        self.compile(1, settings.fresh_rate)

    def compile(self, steps: int, rate: float) -> partial[float]:
        """Compiles the network for a run, and traces it before anything is timed."""
        count, size = self.settings.batch_size, self.settings.resolution
        schedule = partial(warmup_cosine, peak=rate, steps=steps, warmup=0.1)
        set_batchnorm_momentum(self.model, 0.9)
        options = {"optimizer": "adamw", "weight_decay": 0.02, "label_smoothing": 0.1}
        compile_model(self.model, schedule, steps=steps, **options)
        start = Snapshot(self.model)
        black = Images(np.zeros((count, size, size, 3), "uint8"), np.zeros(count, "int32"), ("",) * self.classes)
        batches = Batches(black, resolution=size, batch_size=count)
        self.model.fit(Window(batches, 0, 1), verbose=0)
        evaluate(self.model, batches)
        start.restore()
        return schedule

    def fresh(self, seed: int) -> list[np.ndarray]:
        """First weights."""
        keras.utils.set_random_seed(seed)
        return build_model(self.spec, classes=self.classes).get_weights()

    def compute(self, steps: int) -> float:
        """Multiply-adds of so many steps."""
        return float(FORWARD_AND_BACKWARD * self.macs * self.settings.batch_size * steps)

    def steps(self, compute: float) -> int:
        """For how many steps so much compute is enough."""
        return max(1, round(compute / self.compute(1)))


@dataclass(frozen=True)
class Account:
    """What was spent before: multiply-adds and seconds."""

    compute: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """A training, looked at now and then; compute and seconds include what was spent before."""

    steps: int
    compute: list[float]
    seconds: list[float]
    accuracy: list[float]

    @property
    def spent(self) -> Account:
        return Account(self.compute[-1], self.seconds[-1])


def load(task: str, settings: Settings, seed: int) -> tuple[Source, Source]:
    """Images to train on, and others."""
    if task == "letters":
        size = settings.resolution
        return render_letters(settings.letters, size, 2 * seed), render_letters(1_000, size, 2 * seed + 1)
    pool, held_out = hold_out(load_digits(8), 0.5, seed)
    return at_most(pool, settings.labels_per_class, seed), held_out


class Seed:
    """All runs of one seed on one task.

    Args:
        small: the small network.
        large: the large one.
        task: whose images.
        seed: of the images, the first weights, and the order in which images come.
    """

    def __init__(self, small: Network, large: Network, task: str, seed: int) -> None:
        self.small, self.large, self.settings = small, large, small.settings
        self.images, self.held_out = load(task, self.settings, seed)
        self.steps = self.settings.digits_steps if task == "digits" else self.settings.steps
        self.seed = seed
        self.task = task
        shape = {"resolution": self.settings.resolution, "batch_size": self.settings.batch_size}
        augmentation = Augmentation(crop=self.settings.crop)
        self.batches = Batches(self.images, seed=seed, shuffle=True, augmentation=augmentation, **shape)
        self.plain = Batches(self.images, seed=seed, shuffle=True, **shape)
        self.validation = Batches(self.held_out, **shape | {"batch_size": 250})

    def run(self) -> dict[str, Any]:
        """Trains all, and gives every curve."""
        small, large, settings = self.small, self.large, self.settings
        total = large.compute(self.steps)
        runs = {"large": self.train(large, self.steps)}
        shrunk, after_shrinking, facts = self._shrink(runs["large"].spent)
        part = small.steps(settings.small_share * total)
        runs["small"] = self.train(small, part)
        grown, after_growing, report = self._grow(runs["small"].spent)

        rest = large.steps(total - after_growing.compute)
        runs["grown"] = self.train(large, rest, grown, after_growing)
        left = runs["large"].seconds[-1] - after_growing.seconds
        # Where nothing is left, growing has lost: a few steps show it.
        timed = max(CHECKS, round(left / pace(runs["large"])))
        runs["grown, equal time"] = self.train(large, timed, grown, after_growing)

        runs["shrunk"] = self.train(small, part, shrunk, after_shrinking)
        everything = runs["shrunk"].spent
        runs["small, all compute"] = self.train(small, small.steps(everything.compute))
        timed = max(CHECKS, round(everything.seconds / pace(runs["small"])))
        runs["small, all time"] = self.train(small, timed)
        return {"runs": {name: asdict(run) for name, run in runs.items()}, **facts, **report}

    def train(
        self, network: Network, steps: int, weights: list[np.ndarray] | None = None, spent: Account | None = None
    ) -> Run:
        """One run, from first weights or from given ones, of about so many steps."""
        settings, spent = self.settings, spent or Account()
        steps = CHECKS * max(1, round(steps / CHECKS))
        schedule = network.compile(steps, settings.fresh_rate if weights is None else settings.inherited_rate)
        network.model.set_weights(network.fresh(self.seed) if weights is None else weights)
        accuracy = [evaluate(network.model, self.validation)["accuracy"]]
        seconds = [spent.seconds]
        with TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder), {})
            options = {"seed": self.seed, "validation": self.validation, "phase": f"{self.task}, seed {self.seed}"}
            run = {"steps": steps, "every": steps // CHECKS, **options}
            train(network.model, self.batches, checkpoint, schedule, **run)
        for row in checkpoint.progress.history:
            seconds.append(seconds[-1] + row.seconds)
            accuracy.append(row.val_accuracy or 0.0)
        marks = [0, *(row.step for row in checkpoint.progress.history)]
        return Run(steps, [spent.compute + network.compute(mark) for mark in marks], seconds, accuracy)

    def _grow(self, spent: Account) -> tuple[list[np.ndarray], Account, dict[str, Any]]:
        """Weights of the large network from the small one as it stands."""
        before = evaluate(self.small.model, self.validation)
        started = time.perf_counter()
        model, report = grow_model(self.small.model, self.large.spec, seed=self.seed, return_report=True)
        seconds = time.perf_counter() - started
        weights = model.get_weights()
        self.large.model.set_weights(weights)
        after = evaluate(self.large.model, self.validation)
        facts = {"exact": report.exact, "loss_before_growing": before["loss"], "loss_after_growing": after["loss"]}
        return weights, Account(spent.compute, spent.seconds + seconds), facts

    def _shrink(self, spent: Account) -> tuple[list[np.ndarray], Account, dict[str, Any]]:
        """Weights of the small network from the large one as it stands, recalibrated."""
        size, count = self.settings.batch_size, min(self.settings.recalibration, len(self.images))
        started = time.perf_counter()
        model = grow_model(self.large.model, self.small.spec, seed=self.seed)
        seconds = time.perf_counter() - started
        self.small.model.set_weights(model.get_weights())
        selected = evaluate(self.small.model, self.validation)["accuracy"]
        started = time.perf_counter()
        count = recalibrate(model, [self.plain[number][0] for number in range(-(-count // size))])
        seconds += time.perf_counter() - started
        compute = spent.compute + count * self.small.macs
        return model.get_weights(), Account(compute, spent.seconds + seconds), {"as_selected": selected}


def pace(run: Run) -> float:
    """Seconds of a step: the median over stretches, which a busy moment does not change."""
    return float(median(np.diff(run.seconds))) / (run.steps // CHECKS)


# What is compared: the way, the run that inherits, the one from scratch, what both have spent, and what is not counted.
COMPARISONS = (
    ("grow", "grown", "large", "compute", None),
    ("grow", "grown, equal time", "large", "time", None),
    ("shrink", "shrunk", "small, all compute", "compute", None),
    ("shrink", "shrunk", "small, all time", "time", None),
    ("shrink", "shrunk", "small", "compute, not counting the large network's", "large"),
)


def summarize(task: str, seeds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores at the ends of runs, pair by pair."""

    def ends(name: str | None, what: str) -> list[float]:
        return [0.0 if name is None else seed["runs"][name][what][-1] for seed in seeds]

    rows = []
    for direction, ours, peer, equal, given in COMPARISONS:
        scores, others = ends(ours, "accuracy"), ends(peer, "accuracy")
        gains = [one - other for one, other in zip(scores, others, strict=True)]
        rows.append(
            {
                "task": task,
                "direction": direction,
                "equal": equal,
                "ours": scores,
                "peer": others,
                "ours_mean": mean(scores),
                "peer_mean": mean(others),
                "gain_mean": mean(gains),
                "gain_std": stdev(gains) if len(gains) > 1 else 0.0,
                "ours_compute": mean(ends(ours, "compute")) - mean(ends(given, "compute")),
                "peer_compute": mean(ends(peer, "compute")),
                "ours_s": mean(ends(ours, "seconds")) - mean(ends(given, "seconds")),
                "peer_s": mean(ends(peer, "seconds")),
            }
        )
    return rows


# Run, color and label of each curve; those that inherit begin where what they inherit from ends.
CURVES = {
    "grow": (
        ("small", "0.6", "the small network"),
        ("large", "tab:orange", "large, from scratch"),
        ("grown", "tab:blue", "large, grown (equal compute)"),
        ("grown, equal time", "tab:cyan", "large, grown (equal time)"),
    ),
    "shrink": (
        ("large", "0.6", "the large network"),
        ("small, all compute", "tab:orange", "small, from scratch (equal compute)"),
        ("small, all time", "gold", "small, from scratch (equal time)"),
        ("shrunk", "tab:blue", "small, shrunk and recalibrated"),
    ),
}


def draw(results: dict[str, list[dict[str, Any]]]) -> None:
    """Accuracy against compute and seconds: the mean over seeds, and from the lowest to the highest."""
    from matplotlib.figure import Figure

    columns = [(direction, axis) for direction in CURVES for axis in ("compute", "seconds")]
    figure = Figure(figsize=(4.2 * len(columns), 3.6 * len(results)), layout="constrained")
    grid = figure.subplots(len(results), len(columns), sharey="row", squeeze=False)
    for task, row in zip(results, grid, strict=True):
        seeds = results[task]
        for (direction, axis), axes in zip(columns, row, strict=True):
            for name, color, label in CURVES[direction]:
                x = np.mean([seed["runs"][name][axis] for seed in seeds], axis=0)
                y = np.array([seed["runs"][name]["accuracy"] for seed in seeds])
                axes.plot(x, y.mean(axis=0), ".-", color=color, label=label)
                axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=color, alpha=0.2, linewidth=0)
            axes.set(title=f"{direction}, {task}", xlabel="multiply-adds trained" if axis == "compute" else "seconds")
            axes.grid(alpha=0.3)
        row[0].set(ylabel="held-out accuracy")
    for column in (0, 2):
        grid[0][column].legend(loc="lower right", fontsize=7)
    figure.savefig(IMAGE, dpi=110)


def measure(settings: Settings, seeds: int, output: Path) -> dict[str, list[dict[str, Any]]]:
    """Every seed of every task: read where it is finished, trained where it is not."""
    results: dict[str, list[dict[str, Any]]] = {}
    for task in TASKS:
        networks: list[Network] = []
        results[task] = []
        for seed in range(1, seeds + 1):
            path = output / f"{task}-{seed}.json"
            if path.exists():
                content = json.loads(path.read_text())
                if content["settings"] != asdict(settings):
                    raise SystemExit(f"{path} was measured with other settings: name another folder, or delete it")
            else:
                classes = len(load(task, QUICK, 0)[0].class_names)
                networks = networks or [Network(phi, settings, classes) for phi in (settings.small, settings.large)]
                facts = {
                    name: {"phi": phi, "params": network.params, "macs": network.macs, "blocks": network.spec.depth}
                    for name, phi, network in zip(
                        ("small", "large"), (settings.small, settings.large), networks, strict=True
                    )
                }
                done = Seed(networks[0], networks[1], task, seed).run()
                content = {"settings": asdict(settings), "seed": seed, "networks": facts, **done}
                text = json.dumps(content, indent=1)
                atomic_write(path, lambda part, text=text: part.write_text(text))
            results[task].append(content)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few steps, one seed, no files: does it run?")
    parser.add_argument("--output", type=Path, help="where finished seeds are kept")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    settings, seeds = (QUICK, 1) if options.quick else (Settings(), options.seeds)
    output = options.output or Path("results") / ("inherit-quick" if options.quick else "inherit")
    results = measure(settings, seeds, output)
    rows = [row for task, found in results.items() for row in summarize(task, found)]
    if options.quick:
        for row in rows:
            print(row)
        return
    save("inherit", COMMAND, rows, settings=asdict(settings), seeds=results)
    draw(results)


if __name__ == "__main__":
    main()
