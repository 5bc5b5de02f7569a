"""What the searches find: evolution against random search, and weights inherited along the search against none.

Command: python benchmarks/searches.py
Time: about half an hour on 2 cores; stopped, the same command goes on.
Result: results/searches.json and, by benchmarks/tables.py, its tables in docs/evidence/search.md.

Three parts, all on the embedded letters, all by short training with two single-threaded workers:

1. `search_architecture` by evolution and at random, with three seeds each and as many trials.
2. The six networks found, the base, and the base made as large by the paper's constants are trained longer, from
   scratch, with three seeds that no search used.
3. The candidates of one evolution whose children start from their parents' weights are also trained from scratch: as
   long, twice as long, and eight times as long. Does the order that the inherited ones have agree with the last one?
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from measure import save, this_command

from keras_effnet import BackboneSpec, fit_to_budget, search_architecture
from keras_effnet.search.candidates import Candidate, Trial, count_cost, outcomes, steps_trained
from keras_effnet.search.driver import Engine, run_search
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.search.searches import ArchitectureResult, embedded_base
from keras_effnet.search.successive_halving import SuccessiveHalving, compare_finalists
from keras_effnet.search.worker import restore
from keras_effnet.serialization import read_spec

METHODS = ("evolution", "random")
SEEDS = (0, 1, 2)
FINAL_SEEDS = 3
CLASSES = 40
LONGER = {"same": 1, "twice": 2, "long": 8}  # times the steps of the inheriting search


def search(folder: Path, options: argparse.Namespace, **changes: Any) -> ArchitectureResult:
    asked: dict[str, Any] = {"trials": options.trials, "steps": options.steps, "population": 10, "sample": 4}
    return search_architecture(output=folder, workers=2, **{**asked, **changes})


def train_all(
    folder: Path, specs: dict[str, BackboneSpec], steps: int, seeds: int
) -> tuple[SuccessiveHalving, list[Trial]]:
    """Trains named networks from scratch to the end: a grid with further seeds."""
    candidates = tuple(Candidate({"name": name}, spec, cost_of(spec)) for name, spec in specs.items())
    plan = SuccessiveHalving(candidates, (steps,), finalists=len(candidates), seeds=seeds)
    return plan, run_search(plan, ProxyTraining(horizon=steps), Engine(folder, workers=2))[0]


def cost_of(spec: BackboneSpec) -> dict[str, float]:
    return count_cost(spec, classes=CLASSES)


def compare_methods(output: Path, options: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, BackboneSpec]]:
    rows, specs = [], {}
    for seed in SEEDS:
        for method in METHODS:
            folder = output / f"{method}-{seed}"
            found = search(folder, options, method=method, seed=seed)
            best = next(each for each in found.summary.candidates if each.key == found.summary.best)
            rows.append(
                {
                    "method": method, "seed": seed, "trials": options.trials, "steps": found.summary.steps,
                    "reward": best.value, "accuracy": best.metric, "macs": best.cost["macs"],
                }
            )  # fmt: skip
            specs[f"{method} {seed}"] = replace(read_spec(folder / "best.json"), name=f"{method}_{seed}")
    return rows, specs


def final_training(output: Path, specs: dict[str, BackboneSpec], steps: int) -> list[dict[str, Any]]:
    base = embedded_base()
    largest = max(cost_of(spec)["macs"] for spec in specs.values())
    peers = {"base": base}
    if largest > cost_of(base)["macs"]:
        fitted = fit_to_budget(base, macs=largest, classes=CLASSES, resolution=base.resolution)
        peers["base, as large by the paper's constants"] = fitted
    plan, trials = train_all(output / "final", {**specs, **peers}, steps, FINAL_SEEDS)
    found = []
    for entry in compare_finalists(plan, trials):
        tests = list(entry.test.values())
        found.append(
            {
                "network": entry.choices["name"], "macs": entry.cost["macs"], "params": entry.cost["params"],
                "test": tests, "mean": statistics.fmean(tests), "sd": statistics.stdev(tests),
            }
        )  # fmt: skip
    return found


def weight_sharing(output: Path, options: argparse.Namespace) -> dict[str, Any]:
    from scipy.stats import spearmanr

    folder = output / "inherited"
    shared = search(folder, options, inherit=True, steps=options.shared_steps)
    plan = restore(json.loads((folder / "search.json").read_text())["plan"])
    tried = [trial for trial in outcomes(shared.trials).values() if trial.state == "done"][: options.candidates]
    by_key = {each.key: each for each in shared.summary.candidates}
    specs = {trial.job.key: plan.candidate(trial.job.choices).spec for trial in tried if trial.job is not None}
    scratch: dict[str, dict[str, float]] = {}
    steps: dict[str, int] = {"inherited": len(specs) * options.shared_steps}
    for name, times in LONGER.items():
        _, trials = train_all(output / f"scratch-{name}", specs, times * options.shared_steps, 0)
        scratch[name] = {
            str(trial.job.choices["name"]): float(trial.metric)
            for trial in trials
            if trial.job is not None and trial.metric is not None
        }
        steps[name] = steps_trained(trials)
    truth = [scratch["long"][key] for key in specs]
    columns = {"inherited": [by_key[key].metric for key in specs]}
    columns |= {name: [values[key] for key in specs] for name, values in scratch.items() if name != "long"}
    children = [number for number, key in enumerate(specs) if by_key[key].parent is not None]
    table = []
    for name, values in columns.items():
        parts = {"all": range(len(truth)), "children": children}
        found = {
            part: float(spearmanr([values[n] for n in ns], [truth[n] for n in ns])[0]) for part, ns in parts.items()
        }
        table.append({"accuracy": name, "steps": steps[name], **found})
    inherited = [trial.notes["inherited"] for trial in tried if "inherited" in trial.notes]
    return {"candidates": len(specs), "children": len(children), "rows": table, "inherited_shares": inherited}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/searches"))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--final-steps", type=int, default=480)
    parser.add_argument("--shared-steps", type=int, default=48)
    parser.add_argument("--candidates", type=int, default=16)
    options = parser.parse_args()
    rows, specs = compare_methods(options.output, options)
    final = final_training(options.output, specs, options.final_steps)
    sharing = weight_sharing(options.output, options)
    settings = {name: value for name, value in vars(options).items() if isinstance(value, int)}
    save(
        "searches",
        this_command(),
        rows,
        final=final,
        sharing=sharing,
        settings=settings,
    )


if __name__ == "__main__":
    main()
