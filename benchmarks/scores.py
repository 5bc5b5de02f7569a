"""Scores without training against training: do they rank networks as training does?

Command: python benchmarks/scores.py [--candidates 30] [--seeds 2] [--steps 160] [--output FOLDER]
Time: about 25 minutes on 2 cores; stopped, the same command goes on.
Result: results/scores.json and, by benchmarks/tables.py, a table in docs/evidence/search.md.

Random networks of the space that `keras-effnet search architecture` searches by default, within its limits, are trained
as it trains them, each with several seeds, and scored. What counts is the rank correlation between a score and the mean
accuracy over the seeds. Beside the scores stand what knows nothing of accuracy (parameters and multiply-adds), and what
knows it best: training with one seed, against the mean of the others.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from measure import save, this_command
from scipy.stats import kendalltau, spearmanr
from tqdm import tqdm

from keras_effnet.atomic import atomic_write
from keras_effnet.search.candidates import Candidate, count_cost
from keras_effnet.search.evolution import draw_feasible, some_feasible
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.search.scores import SCORES, ZeroCost
from keras_effnet.search.searches import EMBEDDED_DIVISOR, MOST, embedded_base
from keras_effnet.search.space import ArchitectureSpace
from keras_effnet.search.task import Task

CONTROLS = ("params", "macs")


def candidates(count: int, classes: int) -> list[Candidate]:
    """So many different networks within the limits of a default search."""
    space = ArchitectureSpace(embedded_base(), divisor=EMBEDDED_DIVISOR, classes=classes)
    limits = {"macs": MOST * count_cost(space.base, classes=classes)["macs"]}
    generator, start = Random("scores"), some_feasible(space, limits)
    found: dict[str, Candidate] = {}
    while len(found) < count:
        choices = draw_feasible(space, limits, generator, start)
        made = Candidate(space.flat(choices), space.network(choices), space.cost(choices))
        found[made.key] = made
    return list(found.values())


def measured(train: Callable[[Task], float], candidate: Candidate, seed: int, steps: int, folder: Path) -> list[float]:
    """What a train function says of a candidate, and the seconds that it took."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    task = Task(candidate, seed, steps, folder, None, lambda step, metric: None, lambda name, value: None)
    return [train(task), time.perf_counter() - start]


def look_at(candidate: Candidate, proxy: ProxyTraining, seeds: int, output: Path, bar: tqdm) -> dict[str, Any]:
    """All measurements of one candidate; those that are in its file are not made again."""
    path = output / f"{candidate.key}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    jobs: dict[str, tuple[Any, int]] = {name: (ZeroCost(name, proxy.data), 0) for name in SCORES}
    jobs |= {f"seed {seed}": (proxy, seed) for seed in range(seeds)}
    for name, (train, seed) in jobs.items():
        if name not in found:
            found[name] = measured(train, candidate, seed, proxy.horizon, output / "trials" / f"{candidate.key}-{seed}")
            atomic_write(path, lambda part: part.write_text(json.dumps(found)))
        bar.update()
    return {"key": candidate.key, "choices": dict(candidate.choices), "cost": dict(candidate.cost), "measured": found}


def correlations(name: str, scores: Sequence[float], metrics: Sequence[float], seconds: float) -> dict[str, Any]:
    """A row of the table; nothing where all are equal."""
    rho: Any = spearmanr(scores, metrics)
    tau: Any = kendalltau(scores, metrics)
    values = {"spearman": rho.statistic, "p": rho.pvalue, "kendall": tau.statistic}
    told = {key: None if math.isnan(value) else float(value) for key, value in values.items()}
    return {"score": name, **told, "seconds": seconds, "networks": len(scores)}


def rows(found: Sequence[dict[str, Any]], seeds: int) -> list[dict[str, Any]]:
    """Rank correlations with the mean accuracy over the seeds."""

    def column(name: str, place: int = 0) -> list[float]:
        return [each["measured"][name][place] for each in found]

    means = [
        statistics.fmean(values) for values in zip(*(column(f"seed {seed}") for seed in range(seeds)), strict=True)
    ]
    made = [correlations(name, column(name), means, statistics.median(column(name, 1))) for name in SCORES]
    made += [correlations(name, [each["cost"][name] for each in found], means, 0.0) for name in CONTROLS]
    if seeds > 1:
        others = [
            statistics.fmean(values) for values in zip(*(column(f"seed {n}") for n in range(1, seeds)), strict=True)
        ]
        seconds = statistics.median(column("seed 0", 1))
        made.append(correlations("training with another seed", column("seed 0"), others, seconds))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2, help="of training, for each network")
    parser.add_argument("--steps", type=int, default=160, help="of training")
    parser.add_argument("--output", type=Path, help="where finished networks are kept; given, no result is recorded")
    options = parser.parse_args()
    proxy = ProxyTraining(horizon=options.steps)
    output = options.output or Path("results") / f"scores-{options.steps}"
    bar = tqdm(total=options.candidates * (len(SCORES) + options.seeds), unit="measurement")
    found = [
        look_at(candidate, proxy, options.seeds, output, bar)
        for candidate in candidates(options.candidates, proxy.classes)
    ]
    bar.close()
    made = rows(found, options.seeds)
    if options.output:
        for row in made:
            print(row)
        return
    settings = {"candidates": options.candidates, "seeds": options.seeds, "proxy": proxy.to_dict()}
    save("scores", this_command(), made, settings=settings, networks=found)


if __name__ == "__main__":
    main()
