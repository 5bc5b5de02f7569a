"""The speed of the searches: halving against the grid, two workers against one, and what the engine itself takes.

Command: python benchmarks/search.py
Time: about 40 minutes on 2 cores; the searches go on where they were stopped.
Result: results/search.json and, by benchmarks/tables.py, a table in docs/evidence/search.md.

1. `search_coefficients` by halving and by plain grid, with the same seed, from a small base on the embedded letters:
   steps trained until the choice of each, and how far apart the choices are. Wanted: a fifth of the steps, and the
   grid's choice or one within its noise (two standard deviations over seeds).
2. The same list of networks trained by one single-threaded worker and by two, from start to end, in turn. Wanted: 0.6.
3. Trials that take no time, in one process: what the store, the plan, trials.csv and the progress take. Wanted: 2 % of
   10 seconds. That a worker process must import TensorFlow first is not in it.

And `search_coefficients` as it is by default, whose outcome docs/evidence/search.md tells.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from measure import compare, save, this_command

from keras_effnet import (
    BackboneSpec,
    Preprocessing,
    Rounding,
    StageSpec,
    search_architecture,
    search_coefficients,
)
from keras_effnet.blocks import ConvBlock, MBConv
from keras_effnet.search.candidates import count_cost, steps_trained
from keras_effnet.search.coefficient_grid import CoefficientGrid
from keras_effnet.search.driver import Engine, run_search
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.search.records import GridNetwork
from keras_effnet.search.searches import EMBEDDED_ROUNDING, CoefficientResult, embedded_base
from keras_effnet.search.successive_halving import SuccessiveHalving
from keras_effnet.search.task import Task
from keras_effnet.search.worker_pool import THREAD_VARIABLES

TRIAL_SECONDS = 10.0  # of which the engine may take a share


# Small, so that a plain grid of it takes minutes: 4 blocks at 24 px.
SMALL = BackboneSpec(
    name="small",
    stem=StageSpec(ConvBlock(activation="swish"), width=12, stride=2),
    stages=(
        StageSpec(MBConv(3, expand=3, se_ratio=0), width=12, depth=2),
        StageSpec(MBConv(5, expand=3, se_ratio=0), width=24, depth=2, stride=2),
    ),
    resolution=24,
    preprocessing=Preprocessing(scale=1 / 127.5, offset=-1.0),
)
SMALL_ROUNDING = Rounding(divisor=2, depth="round", resolution_multiple=2)


def halving_and_grid(output: Path, steps: int) -> dict[str, Any]:
    """Steps and choices of both, before any finalist is trained with other seeds."""
    asked: dict[str, Any] = {"steps": steps, "workers": 2, "rounding": SMALL_ROUNDING}
    halving = search_coefficients(SMALL, output=output / "halving", **asked)
    grid = search_coefficients(SMALL, output=output / "grid", method="grid", seeds=0, **asked)
    promoted = [trial for trial in halving.trials if trial.job is not None and trial.job.seed == 0]
    metrics = {each.key: each.metric or 0.0 for each in grid.summary.candidates}
    top = [each for each in halving.summary.candidates if each.steps == steps]
    choice = max(top, key=lambda each: each.metric or 0.0)
    best = max(grid.summary.candidates, key=lambda each: each.metric or 0.0)
    return {
        "candidates": len(metrics),
        "params": count_cost(SMALL, classes=40)["params"],
        "halving_steps": steps_trained(promoted),
        "grid_steps": steps_trained(grid.trials),
        "ratio": steps_trained(promoted) / steps_trained(grid.trials),
        "halving_choice": _triple(choice),
        "grid_choice": _triple(best),
        "halving_choice_accuracy": metrics[choice.key],
        "grid_choice_accuracy": best.metric,
        "noise": _noise(halving),
        "halving_choice_rank": 1 + sum(metric > metrics[choice.key] for metric in metrics.values()),
        "median_accuracy": statistics.median(metrics.values()),
    }


def outcome(output: Path) -> dict[str, Any]:
    """What the search of coefficients finds by default, for docs/evidence/search.md."""
    summary = search_coefficients(output=output / "coefficients", workers=2).summary
    found = summary.to_dict()
    names = ("base", "finalists", "winner", "rule", "difference", "trials", "steps", "grid_steps")
    counts = {
        "networks": len(summary.candidates),
        "triples": sum(len(each.triples) for each in summary.candidates),
    }
    return {**{name: found[name] for name in names}, **counts}


def _triple(network: GridNetwork) -> list[float]:
    return list(network.triples[0])


def _noise(result: CoefficientResult) -> float:
    """Standard deviation over seeds, pooled over the finalists."""
    return statistics.fmean((each.sd or 0.0) ** 2 for each in result.summary.finalists) ** 0.5


def workers(count: int, steps: int, rounds: int) -> dict[str, Any]:
    """One and two workers in turn."""
    found = CoefficientGrid(embedded_base(), rounding=EMBEDDED_ROUNDING, classes=40).candidates()
    candidates = tuple(each.candidate for each in found)[:count]
    os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for size in seconds:
            plan = SuccessiveHalving(candidates, (steps,), finalists=1, seeds=0)
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                run_search(plan, ProxyTraining(horizon=steps), Engine(Path(folder), workers=size))
                seconds[size].append(time.perf_counter() - started)
    return {"trials": count, "steps": steps, **compare(seconds[2], seconds[1])}


def overhead(trials: int) -> dict[str, Any]:
    """Seconds between the end of one trial's training and the begin of the next one's."""
    begins: list[float] = []

    def train(task: Task) -> float:
        begins.append(time.perf_counter())
        return task.candidate.cost["macs"] / 1e9

    with tempfile.TemporaryDirectory() as folder:
        search_architecture(None, train, output=folder, trials=trials, classes=40)
    gaps = [later - earlier for earlier, later in pairwise(begins)]
    last = statistics.fmean(gaps[-len(gaps) // 4 :])
    return {
        "trials": trials, "mean_s": statistics.fmean(gaps), "last_quarter_s": last, "share": last / TRIAL_SECONDS,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/search"))
    parser.add_argument("--steps", type=int, default=640, help="of halving and grid")
    parser.add_argument("--trials", type=int, default=10, help="for one and two workers")
    parser.add_argument("--trial-steps", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--overhead-trials", type=int, default=200)
    options = parser.parse_args()
    empty = {"overhead": overhead(options.overhead_trials)}
    pair = {"workers": workers(options.trials, options.trial_steps, options.rounds)}
    halving = {"halving": halving_and_grid(options.output, options.steps)}
    found = {"coefficients": outcome(options.output)}
    save("search", this_command(), [], **found, **halving, **pair, **empty)


if __name__ == "__main__":
    main()
