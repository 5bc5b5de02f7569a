"""Made-up outcomes of searches, of any size, as the engine hands them to the report."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from keras_effnet.intervals import PairedDifference
from keras_effnet.search.candidates import Job, State, Trial
from keras_effnet.search.records import ArchitectureSummary, CoefficientSummary, GridNetwork, SearchedNetwork
from keras_effnet.search.successive_halving import Finalist

RUNGS = (20, 80, 320)
NAME = '<b>efficientnet_b0</b> & "co"'
ERROR = "RuntimeError: </td><script>alert('no memory')</script>"
GRID = [(1 + a / 10, 1 + b / 20, 1 + g / 20) for a, b, g in product(range(11), range(9), range(9))]
TABLE = "stage  block\n1      MBConv <k3x3>"


def common(trials: list[Trial], finished: bool) -> dict[str, Any]:
    states = [trial.state for trial in trials]
    counted = ("done", "failed", "running", "retried")
    return {
        "command": "keras-effnet search coefficients 'my <backbone>'",
        "storage": "sqlite:////Results/<mine>/search.db",
        "versions": {"keras": "3.15.1", "optuna": "5.0.0"},
        "data": {"name": "glyphs & <others>", "classes": 26},
        "metric": "accuracy",
        "chance": 0.025,
        "images": 400,
        "seed": 0,
        "steps": sum(trial.job.steps for trial in trials if trial.job),
        "trials": {state: states.count(state) for state in counted} | {"total": len(trials) + 3},
        "trial_seconds": 2345.6,
        "seconds": 1234.5,
        "finished": finished,
    }


def curve(metric: float, steps: int) -> dict[int, float]:
    """Rises to what it comes to after all steps."""
    return {step: metric * (1 - 0.5 ** (1 + 4 * step / RUNGS[-1])) for step in range(10, steps + 1, 10)}


def coefficients(
    count: int = 40, *, failed: int = 2, equal: bool = False, finished: bool = True, trained: bool = True
) -> tuple[CoefficientSummary, list[Trial]]:
    """Makes a search of `count` networks, of which each rung leaves a quarter.

    Args:
        count: number of networks.
        failed: number of failed trials at the end.
        equal: whether all metrics are the same.
        finished: whether there are finalists with several seeds.
        trained: whether there is any metric.
    """
    generator = random.Random(f"coefficients-{count}")
    found = [triple for triple in GRID if abs(triple[0] * triple[1] ** 2 * triple[2] ** 2 / 2 - 1) < 0.12]
    found += [(a + 0.03, b, g) for a, b, g in found]
    candidates, trials, final = [], [], []
    for number, triple in enumerate(generator.sample(found, count)):
        choices = dict(zip(("alpha", "beta", "gamma"), (round(value, 3) for value in triple), strict=True))
        key, ratio = f"{number:012x}", triple[0] * triple[1] ** 2 * triple[2] ** 2
        metric = 0.5 if equal else 0.7 - 0.4 * (triple[0] - 1.3) ** 2 + generator.gauss(0, 0.02)
        rung = 2 if number % 16 == 0 else 1 if number % 4 == 0 else 0
        values = {step: curve(metric, step)[step] for step in RUNGS[: rung + 1]}
        known = {"metric": values[RUNGS[rung]], "steps": RUNGS[rung], "rung": rung} if trained else {}
        cost = {"macs": 3e7 * ratio, "params": 4e5 * ratio}
        sizes: dict[str, Any] = {"resolution": 40, "widths": (16, 24, 40), "depths": (1, 2, 3)}
        made = GridNetwork(key=key, choices=choices, cost=cost, triples=(triple,), ratio=ratio, **sizes, **known)
        candidates.append(made)
        for at, step in enumerate(RUNGS[: rung + 1] if trained else ()):
            told = {"metric": values[step], "value": values[step], "curve": curve(metric, step), "seconds": 10.0}
            trials.append(Trial(len(trials), Job(key, choices, step, 0, at), "done", **told))
        if rung == 2:
            final.append(made)
    for number in range(failed):
        last = candidates[-1 - number % count]
        state: State = "retried" if number else "failed"
        job = Job(last.key, last.choices, 80, 0, 1)
        trials.append(Trial(len(trials), job, state, error=ERROR, seconds=0.5, worker="host-1"))
    summary = CoefficientSummary(
        search="coefficients",
        **common(trials, finished),
        base={"name": NAME, "params": 412_345, "macs": 30_000_000, "activations": 1e6, "resolution": 32},
        measure="macs",
        factor=2.0,
        tolerance=0.1,
        method="halving",
        note=None,
        rungs=RUNGS,
        grid_steps=count * RUNGS[-1],
        candidates=tuple(candidates),
        **(conclude(final[:3], generator, equal) if trained and finished else {}),
    )
    return summary, trials


def conclude(final: list[GridNetwork], generator: random.Random, equal: bool) -> dict[str, Any]:
    """The finalists, and the winner among them."""
    finalists = []
    for each in (*final, None):
        mean = 0.5 if equal else 0.61 if each is None or each.metric is None else each.metric
        metrics = {seed: mean + (0 if equal else generator.gauss(0, 0.015)) for seed in (1, 2, 3)}
        test = dict.fromkeys(metrics, 0.6)
        if each is None:
            choices = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}
            finalists.append(Finalist("f" * 12, choices, {"macs": 3e7 * 1.92}, "paper", metrics, test))
        else:
            finalists.append(Finalist(each.key, each.choices, each.cost, "candidate", metrics, test))
    finalists.sort(key=lambda each: -each.mean)
    winner = next(each for each in finalists if each.label == "candidate")
    return {
        "finalists": tuple(finalists),
        "winner": winner.key,
        "rule": "Compound(alpha={alpha}, beta={beta}, gamma={gamma})".format(**winner.choices),
        "difference": PairedDifference(0.0123, -0.004, 0.0286, 3, "test"),
    }


KINDS = {
    "kind": ["mbconv", "fused"], "kernel": [3, 5, 7], "expand": [1.0, 3.0, 6.0], "se_ratio": [0.0, 0.25],
    "width": [16, 24, 32], "depth": [1, 2, 3], "skip": [True, False],
}  # fmt: skip


def architecture(
    count: int = 40,
    *,
    failed: int = 2,
    equal: bool = False,
    finished: bool = True,
    trained: bool = True,
    stages: int = 3,
) -> tuple[ArchitectureSummary, list[Trial]]:
    """Makes a search of `count` random networks."""
    generator = random.Random(f"architecture-{count}")
    target, candidates, trials = 2e7, [], []
    for number in range(count):
        kinds = [(stage, kind) for stage in range(1, stages + 1) for kind in KINDS]
        choices = {f"stage{stage}.{kind}": generator.choice(KINDS[kind]) for stage, kind in kinds}
        macs = target * generator.uniform(0.5, 1.5)
        metric = 0.5 if equal else 0.3 + 0.2 * macs / 3e7 + generator.gauss(0, 0.03) + 0.1 * number / count
        value = metric * (macs / target) ** -0.07
        key = f"{number:012x}"
        known: dict[str, Any] = {"metric": metric, "value": value} if trained else {}
        sizes: dict[str, Any] = {
            name + "s": tuple(choices[f"stage{stage}.{name}"] for stage in range(1, stages + 1))
            for name in ("width", "depth")
        }
        family: dict[str, Any] = {"parent": f"{number - 10:012x}" if number >= 10 else None, "generation": number // 10}
        cost = {"macs": macs, "params": macs / 50}
        candidates.append(
            SearchedNetwork(
                key=key, number=number, choices=choices, cost=cost, resolution=32, **sizes, **known, **family
            )
        )
        trials.append(Trial(number, Job(key, choices, 100, 0), "done" if trained else "running", **known, seconds=9.0))
    for number in range(failed):
        job = Job("e" * 12, candidates[0].choices, 100, 0)
        trials.append(Trial(count + number, job, "failed", error=ERROR, seconds=0.5))
    front, top = [], -1.0
    for each in sorted(candidates, key=lambda each: each.cost["macs"]) if trained else ():
        if each.metric > top:
            front.append(each.key)
            top = each.metric
    summary = ArchitectureSummary(
        search="architecture",
        **common(trials, finished),
        method="evolution",
        inherit=False,
        size=123456789012,
        limits={"macs": 3e7, "params": 1e6},
        reward={"cost": "macs", "target": target, "exponent": -0.07, "over": -1.0},
        best=max(candidates, key=lambda each: each.value).key if trained else None,
        front=tuple(front),
        candidates=tuple(candidates),
        table=TABLE if trained else None,
    )
    return summary, trials
