"""`search_coefficients`: the paper's first step, from a base to a `Compound(...)` to paste."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from keras_effnet.atomic import folder_lock
from keras_effnet.checks import check_choice
from keras_effnet.errors import SearchError
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Compound, Rounding
from keras_effnet.search.candidates import count_cost, spec_key
from keras_effnet.search.coefficient_grid import CoefficientCandidate, coefficient_candidates, paper_candidate
from keras_effnet.search.comparison import compare_finalists, paired_difference
from keras_effnet.search.driver import Engine, Started, run_search
from keras_effnet.search.plan import Row
from keras_effnet.search.proxy_training import ProxyTraining, embedded_base
from keras_effnet.search.successive_halving import ETA, SuccessiveHalving
from keras_effnet.search.task import data_classes
from keras_effnet.serialization import write_spec
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

Method = Literal["halving", "grid"]

# Of the embedded base: its stages have 8 to 80 channels and 32 px, of which steps of 8 and 4 would be a half and an
# eighth.
EMBEDDED_ROUNDING = Rounding(divisor=4, depth="round", resolution_multiple=2)


@dataclass(frozen=True, eq=False)
class CoefficientResult:
    """What a search of coefficients found.

    Args:
        rule: the winner, to scale by: `scale_spec(spec, phi=2, rule=result.rule)`.
        spec: the winner's network, at phi = 1.
        summary: all numbers, as in result.json.
        rows: all trials.
    """

    rule: Compound
    spec: BackboneSpec
    summary: dict[str, Any]
    rows: tuple[Row, ...]


def search_coefficients(
    spec: BackboneSpec | str | None = None,
    train: Any = None,
    *,
    output: str | Path,
    factor: float = 2.0,
    tolerance: float = 0.1,
    measure: str = "macs",
    step: float = 0.05,
    rounding: Rounding | None = None,
    classes: int | None = None,
    method: Method = "halving",
    steps: int = 960,
    eta: int = ETA,
    rungs: int = 3,
    finalists: int = 3,
    seeds: int = 3,
    seed: int = 0,
    storage: str | None = None,
    workers: int = 1,
    **engine: Any,
) -> CoefficientResult:
    """Searches alpha, beta and gamma: which of all networks of about twice the cost learns best.

    Every triple of a grid whose rounded network costs about `factor` times the base is a candidate; those that round to
    the same network are trained once. All are trained a little, the best quarter goes on, and so forth; the best few
    and the paper's constants at the same cost are then trained with `seeds` further seeds, and compared. Stopped at any
    moment, the same call goes on.

    Args:
        spec: the base, or the name of a registered one; None: `embedded_base()`.
        train: a function from a `Task` to a number, the larger the better; or its name, "package.module:function",
            which more than one worker needs; None: `ProxyTraining()`, short training on embedded data.
        output: folder for results.
        factor: on the cost, above 1.
        tolerance: share of it by which a candidate's cost may differ.
        measure: what the cost is: "macs", "params", "activations" or "latency_ms".
        step: of the grid, at least 0.01.
        rounding: of sizes; by default the paper's with depths rounded to the nearest, for the embedded base finer.
        classes: of the classifier, for the cost; None: those of the proxy's data, and 1000 for other train functions.
        method: "halving" (ASHA), or "grid": every candidate is trained to the end.
        steps: of training on the last rung, at least 1.
        eta: one in so many goes on to the next rung, with so many times the steps.
        rungs: of the ladder, at least 1; `steps / eta^(rungs - 1)` are trained on the first.
        finalists: how many are trained with other seeds.
        seeds: how many other seeds.
        seed: of the order and of the training before.
        storage: as in `Engine`.
        workers: as in `Engine`.
        engine: further arguments of `Engine`: `ray_address`, `trial_timeout`, `retries`, `heartbeat`.

    Returns:
        The rule found. The folder then holds trials.csv, result.json, report.html, images, and best.json: the
        network as a spec file.

    Raises:
        SearchError: a value outside its range; no network within the tolerance; the folder or the store holds another
            search; the train function returns no number; no trial came to a result.
        RegistryError: an unknown name.

    Example:
        >>> def train(task):  # how good is a network? Here: the fewer activations, the better
        ...     return -task.candidate.cost["activations"]
        >>> from tempfile import mkdtemp
        >>> result = search_coefficients("efficientnet_b0", train, output=mkdtemp(), step=0.1, steps=16)
        >>> result.rule
        Compound(alpha=1.0, beta=1.4, gamma=1.0)
    """
    check_choice(SearchError, "method", method, get_args(Method))
    started = Started()
    base = embedded_base() if spec is None else resolve_backbone(spec)
    if train is None:
        train = ProxyTraining(horizon=steps)
    if rounding is None:
        rounding = EMBEDDED_ROUNDING if spec is None else Rounding(depth="round")
    classes = data_classes(train) if classes is None else classes
    asked: dict[str, Any] = {"factor": factor, "measure": measure, "rounding": rounding, "classes": classes}
    found = coefficient_candidates(base, step=step, tolerance=tolerance, **asked)
    paper = paper_candidate(base, **asked)
    plan = SuccessiveHalving(
        tuple(each.candidate for each in found),
        halving_rungs(steps, eta, rungs if method == "halving" else 1),
        eta,
        finalists,
        seeds,
        (paper,),
        seed,
    )
    logger.info("%d candidates, rungs of %s steps", len(found), ", ".join(map(str, plan.rungs)))

    def describe(rows: Sequence[Row], finished: bool) -> dict[str, Any]:
        cost = count_cost(base, classes=classes)
        named = {"name": base.name, "resolution": base.resolution, **cost}
        limits = {"measure": measure, "factor": factor, "tolerance": tolerance}
        told = {**started.summary("coefficients", train, plan, rows, finished), "base": named, **limits}
        return {**told, **summarize(plan, found, rows)}

    rows = run_search(plan, train, Engine(Path(output), storage, workers, **engine), describe)
    summary = describe(rows, True)
    networks = {each.key: each.spec for each in (*plan.references, *plan.candidates)}
    best = replace(networks[summary["winner"]], name=f"{base.name}_phi1")
    with folder_lock(Path(output)):  # of another host that has just finished the same search
        write_spec(best, Path(output) / "best.json")
    return CoefficientResult(Compound(**_choices(plan)[summary["winner"]]), best, summary, tuple(rows))


def halving_rungs(steps: int, eta: int, count: int) -> tuple[int, ...]:
    """Steps of training at each rung: `steps` at the last one, `eta` times fewer at each before.

    Example:
        >>> halving_rungs(320, 4, 3)
        (20, 80, 320)
    """
    made = tuple(steps // eta**below for below in reversed(range(count)))
    if not made or made[0] < 1:
        raise SearchError(
            "the first rung must have a step: raise `steps`, or lower `rungs` or `eta`. "
            f"Received: {steps=}, {eta=}, rungs={count}"
        )
    return made


def summarize(plan: SuccessiveHalving, found: Sequence[CoefficientCandidate], rows: Sequence[Row]) -> dict[str, Any]:
    """What the trials say so far, JSON-able."""
    ranked = [row for row in plan.best(rows) if row.job is not None]
    tried = {row.job.key: row for row in ranked if row.job is not None}
    candidates = []
    for each in found:
        row = tried.get(each.candidate.key)
        rung = {"metric": None, "steps": 0, "rung": None}
        if row is not None and row.job is not None:
            rung = {"metric": row.metric, "steps": row.job.steps, "rung": row.job.rung}
        described = {"key": each.candidate.key, "choices": dict(each.candidate.choices)}
        costs = {"triples": [list(triple) for triple in each.triples], "cost": dict(each.candidate.cost)}
        candidates.append({**described, **costs, "ratio": each.ratio, **rung})
    finalists = compare_finalists(plan, rows)
    leaders = [entry["key"] for entry in finalists] or [row.job.key for row in ranked if row.job is not None]
    winner = leaders[0] if leaders else None
    rule = None if winner is None else repr(Compound(**_choices(plan)[winner]))
    return {
        "rungs": list(plan.rungs),
        "grid_steps": len(found) * plan.rungs[-1],
        "candidates": candidates,
        "finalists": finalists,
        "winner": winner,
        "rule": rule,
        "difference": _difference(plan, finalists, winner),
    }


def _choices(plan: SuccessiveHalving) -> dict[str, Any]:
    """The triple of each candidate. That of the grid stands for a network, also where the paper's rounds to it."""
    return {each.key: dict(each.choices) for each in (*plan.references, *plan.candidates)}


def _difference(
    plan: SuccessiveHalving, finalists: Sequence[dict[str, Any]], winner: str | None
) -> dict[str, Any] | None:
    """The winner against the paper's constants; on test images where there are any, for those chose nothing."""
    by_key = {entry["key"]: entry for entry in finalists}
    ours, theirs = by_key.get(winner or ""), by_key.get(spec_key(plan.references[0].spec))
    if ours is None or theirs is None or ours is theirs:
        return None
    on = "test" if ours["test"] and theirs["test"] else "metrics"
    found = paired_difference(ours[on], theirs[on])
    return None if found is None else {"to": "paper", "on": on, **found}
