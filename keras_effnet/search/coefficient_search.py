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
from keras_effnet.search.candidates import Trial, spec_key
from keras_effnet.search.coefficient_grid import CoefficientCandidate, CoefficientGrid
from keras_effnet.search.driver import Engine, run_search
from keras_effnet.search.records import CoefficientSummary, GridNetwork
from keras_effnet.search.successive_halving import ETA, SuccessiveHalving, compare_finalists, paired_difference
from keras_effnet.search.task import data_classes
from keras_effnet.serialization import write_spec
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

Method = Literal["halving", "grid"]

# For the embedded base, whose stages have 8 to 80 channels at 32 px: the usual steps of 8 channels and 4 px would be
# too coarse.
EMBEDDED_ROUNDING = Rounding(divisor=4, depth="round", resolution_multiple=2)


@dataclass(frozen=True, eq=False)
class CoefficientResult:
    """What a search for coefficients found.

    Args:
        rule: coefficients of the winner, to scale by: `scale_spec(spec, phi=2, rule=result.rule)`.
        spec: network of the winner, at phi = 1.
        summary: all numbers, as in result.json. Its `learned` is False if the winner is not above chance.
        trials: all trials.
    """

    rule: Compound
    spec: BackboneSpec
    summary: CoefficientSummary
    trials: tuple[Trial, ...]


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

    Every triple of a grid whose rounded network costs about `factor` times the base is a candidate; triples that round
    to the same network are trained once. All candidates are trained a little, the best quarter is promoted, and so on;
    the best few and the paper's constants at the same cost are then trained with `seeds` further seeds, and compared.
    If that would take more steps than the plain grid, every candidate is trained to the end instead, without further
    seeds. A search that was stopped continues with the same call.

    Args:
        spec: base, or the name of a registered one; None for `embedded_base()`.
        train: function from a `Task` to a number, the larger the better, or its name, "package.module:function", which
            more than one worker needs; None for `ProxyTraining()`, short training on embedded data.
        output: folder for results.
        factor: cost of the networks as a multiple of the base's, above 1.
        tolerance: share of the factor by which a network's cost may differ, in (0, 1).
        measure: name of the cost: "macs", "params", "activations", "model_bytes" or "latency_ms".
        step: distance between two values of a coefficient on the grid, at least 0.01.
        rounding: rounding of sizes; None for the paper's with the nearest depths, and finer for the embedded base.
        classes: number of classes, for the cost; None for those of the data, and 1000 for other train functions.
        method: "halving" (ASHA), or "grid" to train every candidate to the end.
        steps: number of training steps on the last rung, at least 1.
        eta: reduction factor: the best 1/eta of a rung are promoted to the next one, with eta times the steps.
        rungs: number of rungs, at least 1; the first one trains `steps / eta^(rungs - 1)` steps.
        finalists: number of candidates that are trained with further seeds, at least 1.
        seeds: number of further seeds, at least 0.
        seed: seed of the order of the candidates and of their first training.
        storage: address of a database, as in `Engine`.
        workers: number of processes, as in `Engine`.
        engine: further arguments of `Engine`: `ray_address`, `trial_timeout`, `retries`, `heartbeat`.

    Returns:
        The rule found. The folder then holds trials.csv, result.json, report.html, plots, and best.json, a spec file.

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
    from keras_effnet.search.proxy_training import ProxyTraining, embedded_base  # imports Keras

    where = Engine(Path(output), storage, workers, **engine)
    base = embedded_base() if spec is None else resolve_backbone(spec)
    train = ProxyTraining(horizon=steps) if train is None else train
    rounding = EMBEDDED_ROUNDING if rounding is None and spec is None else rounding
    classes = data_classes(train) if classes is None else classes
    grid = CoefficientGrid(base, factor=factor, measure=measure, rounding=rounding, classes=classes)
    found = grid.candidates(tolerance=tolerance, step=step)
    first = halving_rungs(steps, eta, rungs if method == "halving" else 1)
    candidates, references, note = tuple(each.candidate for each in found), (grid.paper(),), None
    plan = SuccessiveHalving(candidates, first, eta, finalists, seeds, references, seed, measure)
    if len(first) > 1 and plan.total()[1] > plain_grid_steps(plan):
        note = (
            f"Halving would take {plan.total()[1]:,} steps with its finalists' seeds, the plain grid of "
            f"{len(candidates)} networks {plain_grid_steps(plan):,}: every network is trained to the end instead, "
            "without further seeds."
        )
        logger.warning(note)
        plan = replace(plan, rungs=first[-1:], seeds=0)
    logger.info("%d candidates, rungs of %s steps", len(found), ", ".join(map(str, plan.rungs)))
    fixed: dict[str, Any] = {
        "search": "coefficients",
        "base": {"name": base.name, "resolution": base.resolution, **grid.base_cost},
        "measure": measure,
        "factor": factor,
        "tolerance": tolerance,
        "method": "grid" if len(plan.rungs) == 1 else "halving",
        "note": note,
    }

    def describe(common: dict[str, Any], trials: Sequence[Trial]) -> CoefficientSummary:
        return CoefficientSummary(**common, **fixed, **summarize_coefficients(plan, found, trials))

    trials, summary = run_search(plan, train, where, describe)
    networks: dict[str, Any] = {each.key: each for each in (*plan.references, *plan.candidates)}
    winner = networks[summary.winner]
    best = replace(winner.spec, name=f"{base.name}_phi1")
    with folder_lock(where.output):  # another host may have just finished the same search
        write_spec(best, where.output / "best.json")
    return CoefficientResult(Compound(**winner.choices), best, summary, tuple(trials))


def plain_grid_steps(plan: SuccessiveHalving) -> int:
    """Number of training steps of the plain grid: every candidate to the end, with one seed."""
    return len(plan.candidates) * plan.rungs[-1]


def halving_rungs(steps: int, eta: int, count: int) -> tuple[int, ...]:
    """Number of training steps at each rung: `steps` at the last one, and `eta` times fewer at each before."""
    made = tuple(steps // eta**below for below in reversed(range(count)))
    if not made or made[0] < 1:
        raise SearchError(
            "the first rung must have a step: raise `steps`, or lower `rungs` or `eta`.",
            received=f"{steps=}, {eta=}, rungs={count}",
        )
    return made


def summarize_coefficients(
    plan: SuccessiveHalving, found: Sequence[CoefficientCandidate], trials: Sequence[Trial]
) -> dict[str, Any]:
    """Fields of `CoefficientSummary` that the trials tell so far."""
    tried, finalists = {trial.job.key: trial for trial in plan.best(trials)}, compare_finalists(plan, trials)
    by_key = {entry.key: entry for entry in finalists}
    winner = next(iter(by_key or tried), None)
    # A triple of the grid stands for its network, also if the paper's constants round to it.
    choices: dict[str, Any] = {each.key: each.choices for each in (*plan.references, *plan.candidates)}
    networks = []
    for each in found:
        trial, known = tried.get(each.candidate.key), dict[str, Any]()
        if trial is not None:
            known = {"metric": trial.metric, "steps": trial.job.steps, "rung": trial.job.rung}
        triples: Any = tuple(map(tuple, each.triples))
        networks.append(GridNetwork.of(each.candidate, triples=triples, ratio=each.ratio, **known))
    ours, theirs, difference = by_key.get(winner or ""), by_key.get(spec_key(plan.references[0].spec)), None
    if ours and theirs and ours is not theirs:
        # By test images if there are any, for they chose nothing.
        tested = ours.test and theirs.test
        numbers = (ours.test, theirs.test) if tested else (ours.metrics, theirs.metrics)
        difference = paired_difference(*numbers, "test" if tested else "metrics")
    return {
        "rungs": plan.rungs,
        "grid_steps": plain_grid_steps(plan),
        "candidates": tuple(networks),
        "finalists": tuple(finalists),
        "winner": winner,
        "rule": None if winner is None else repr(Compound(**choices[winner])),
        "difference": difference,
    }
