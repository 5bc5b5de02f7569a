"""Made-up outcomes of searches, of any size, as the engine hands them to what reports them."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from keras_effnet.search.plan import Job, Row, State

RUNGS = (20, 80, 320)
NAME = '<b>efficientnet_b0</b> & "co"'
ERROR = "RuntimeError: </td><script>alert('no memory')</script>"
GRID = [(1 + a / 10, 1 + b / 20, 1 + g / 20) for a, b, g in product(range(11), range(9), range(9))]
TABLE = "stage  block\n1      MBConv <k3x3>"


def common(rows: list[Row], finished: bool) -> dict[str, Any]:
    states = [row.state for row in rows]
    return {
        "command": "keras-effnet search coefficients 'my <backbone>'",
        "versions": {"keras": "3.15.1", "optuna": "5.0.0"},
        "data": {"name": "glyphs & <others>", "classes": 26},
        "seed": 0,
        "steps": sum(row.job.steps for row in rows if row.job),
        "trials": {state: states.count(state) for state in ("done", "failed", "running")} | {"total": len(rows) + 3},
        "seconds": 1234.5,
        "finished": finished,
        "metric": "accuracy",
    }


def curve(metric: float, steps: int) -> dict[int, float]:
    """Rises to what it comes to after all steps."""
    return {step: metric * (1 - 0.5 ** (1 + 4 * step / RUNGS[-1])) for step in range(10, steps + 1, 10)}


def coefficients(
    count: int = 40, *, failed: int = 2, equal: bool = False, finished: bool = True, trained: bool = True
) -> tuple[dict[str, Any], list[Row]]:
    """Of `count` networks, of which each rung leaves a quarter.

    Args:
        count: of networks, each of one triple or two.
        failed: trials at the end.
        equal: whether all metrics are the same.
        finished: whether there are finalists with several seeds.
        trained: whether there is any metric.
    """
    generator = random.Random(f"coefficients-{count}")
    found = [triple for triple in GRID if abs(triple[0] * triple[1] ** 2 * triple[2] ** 2 / 2 - 1) < 0.12]
    found += [(a + 0.03, b, g) for a, b, g in found]
    triples = generator.sample(found, count)
    candidates, rows, final = [], [], []
    for number, triple in enumerate(triples):
        choices = dict(zip(("alpha", "beta", "gamma"), (round(value, 3) for value in triple), strict=True))
        key, ratio = f"{number:012x}", triple[0] * triple[1] ** 2 * triple[2] ** 2
        metric = 0.5 if equal else 0.7 - 0.4 * (triple[0] - 1.3) ** 2 + generator.gauss(0, 0.02)
        rung = 2 if number % 16 == 0 else 1 if number % 4 == 0 else 0
        row = {"key": key, "choices": choices, "triples": [list(triple)], "ratio": ratio}
        row |= {"cost": {"macs": 3e7 * ratio, "params": 4e5 * ratio}}
        values = {step: curve(metric, step)[step] for step in RUNGS[: rung + 1]}
        row |= {"steps": RUNGS[rung], "rung": rung, "metric": values[RUNGS[rung]]}
        candidates.append(row if trained else {**row, "metric": None, "steps": 0, "rung": None})
        for at, step in enumerate(RUNGS[: rung + 1] if trained else ()):
            known = {"metric": values[step], "value": values[step], "curve": curve(metric, step), "seconds": 10.0}
            rows.append(Row(len(rows), Job(key, choices, step, 0, at), "done", **known))
        if rung == 2:
            final.append(row)
    for number in range(failed):
        choices = candidates[-1 - number % count]["choices"]
        job = Job(candidates[-1 - number % count]["key"], choices, 80, 0, 1)
        state: State = "retried" if number else "failed"
        rows.append(Row(len(rows), job, state, error=ERROR, seconds=0.5, worker="host-1"))
    summary = common(rows, finished) | {
        "search": "coefficients",
        "base": {"name": NAME, "params": 412_345, "macs": 30_000_000, "activations": 1e6, "resolution": 32},
        "measure": "macs",
        "factor": 2.0,
        "tolerance": 0.1,
        "rungs": list(RUNGS),
        "grid_steps": count * RUNGS[-1],
        "candidates": candidates,
        "finalists": [],
        "winner": None,
        "rule": None,
        "difference": None,
    }
    if trained and finished:
        summary |= conclude(final[:3], generator, equal)
    return summary, rows


def conclude(final: list[dict[str, Any]], generator: random.Random, equal: bool) -> dict[str, Any]:
    paper = {"key": "f" * 12, "choices": {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}, "cost": {"macs": 3e7 * 1.92}}
    finalists = []
    for each in (*final, paper):
        mean = 0.5 if equal else each.get("metric", 0.61)
        metrics = {str(seed): mean + (0 if equal else generator.gauss(0, 0.015)) for seed in (1, 2, 3)}
        known = {"metrics": metrics, "mean": sum(metrics.values()) / 3, "sd": 0.0 if equal else 0.015}
        known |= {"label": "paper" if each is paper else "candidate", "test": dict.fromkeys(metrics, 0.6)}
        finalists.append({name: each[name] for name in ("key", "choices", "cost")} | known)
    finalists.sort(key=lambda each: -each["mean"])
    winner = next(each for each in finalists if each["label"] == "candidate")
    difference = {"to": "paper", "on": "test", "mean": 0.0123, "low": -0.004, "high": 0.0286, "confidence": 0.95}
    rule = "Compound(alpha={alpha}, beta={beta}, gamma={gamma})".format(**winner["choices"])
    return {
        "finalists": finalists,
        "winner": winner["key"],
        "rule": rule,
        "difference": {**difference, "seeds": 3, "verdict": "not told apart"},
    }


KINDS = {
    "block": ["MBConv", "FusedMBConv"], "kernel": [3, 5, 7], "expand": [1.0, 3.0, 6.0], "se_ratio": [0.0, 0.25],
    "width": [0.75, 1.0, 1.25], "depth": [-1, 0, 1], "skip": [True, False],
}  # fmt: skip


def architecture(
    count: int = 40,
    *,
    failed: int = 2,
    equal: bool = False,
    finished: bool = True,
    trained: bool = True,
    stages: int = 3,
) -> tuple[dict[str, Any], list[Row]]:
    """Of `count` trials of random networks."""
    generator = random.Random(f"architecture-{count}")
    target, candidates, rows, best = 2e7, [], [], []
    for number in range(count):
        kinds = [(stage, kind) for stage in range(1, stages + 1) for kind in KINDS]
        choices = {f"stage{stage}.{kind}": generator.choice(KINDS[kind]) for stage, kind in kinds}
        macs = target * generator.uniform(0.5, 1.5)
        metric = 0.5 if equal else 0.3 + 0.2 * macs / 3e7 + generator.gauss(0, 0.03) + 0.1 * number / count
        value = metric * (macs / target) ** -0.07
        key = f"{number:012x}"
        known = {"metric": metric, "value": value} if trained else {"metric": None, "value": None}
        row = {"key": key, "number": number, "choices": choices, "cost": {"macs": macs, "params": macs / 50}, **known}
        parent = f"{number - 10:012x}" if number >= 10 else None
        candidates.append({**row, "parent": parent, "generation": number // 10})
        rows.append(Row(number, Job(key, choices, 100, 0), "done" if trained else "running", **known, seconds=9.0))
        if trained and (not best or value > best[-1][1]):
            best.append([number, value])
    for number in range(failed):
        job = Job("e" * 12, candidates[0]["choices"], 100, 0)
        rows.append(Row(count + number, job, "failed", error=ERROR, seconds=0.5))
    front, top = [], -1.0
    for each in sorted(candidates, key=lambda each: each["cost"]["macs"]) if trained else ():
        if each["metric"] > top:
            front.append(each["key"])
            top = each["metric"]
    summary = common(rows, finished) | {
        "search": "architecture",
        "method": "evolution",
        "space": {"size": 123456789012, "stages": stages},
        "limits": {"most": {"macs": 3e7, "params": 1e6}, "least": {}},
        "reward": {"cost": "macs", "target": target, "exponent": -0.07, "over": -1.0},
        "best": max(candidates, key=lambda each: each["value"])["key"] if trained else None,
        "front": front,
        "candidates": candidates,
        "best_so_far": best,
        "table": TABLE if trained else None,
    }
    return summary, rows
