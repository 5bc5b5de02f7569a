"""The two searches: `search_coefficients`, from a base to a `Compound(...)` to paste, as in the paper's first step; and
`search_architecture`, a baseline of your own, as EfficientNet-B0 was found, from a base to a spec file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.checks import check_choice
from keras_effnet.errors import SearchError
from keras_effnet.explanation import explain
from keras_effnet.intervals import paired_difference
from keras_effnet.measures import COUNTED
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Coefficients, Compound, Rounding, limit_stride, scale_spec
from keras_effnet.search.candidates import Trial, best_trial, count_cost, outcomes, spec_key
from keras_effnet.search.coefficient_grid import CoefficientCandidate, CoefficientGrid
from keras_effnet.search.driver import Engine, run_search
from keras_effnet.search.evolution import EXPONENT, Evolution, Method, Reward, pareto_front
from keras_effnet.search.records import ArchitectureSummary, CoefficientSummary, GridNetwork, SearchedNetwork
from keras_effnet.search.space import ArchitectureSpace
from keras_effnet.search.successive_halving import ETA, SuccessiveHalving, compare_finalists
from keras_effnet.search.task import data_classes, train_to_dict
from keras_effnet.serialization import write_spec
from keras_effnet.spec import BackboneSpec, Preprocessing

logger = logging.getLogger(__name__)

EMBEDDED_RESOLUTION = 32  # pixels: the letters are drawn at 32, and more would show nothing more
EMBEDDED_STRIDE = 8  # leaves a last map of 4 x 4 at 32 pixels; B0's own stride of 32 would leave 1 x 1
# For the embedded base, whose stages have 8 to 80 channels at 32 px: steps of 8 channels and 4 px would be too coarse.
EMBEDDED_DIVISOR = 4
EMBEDDED_ROUNDING = Rounding(divisor=EMBEDDED_DIVISOR, depth="round", resolution_multiple=2)
# Default limit, as a multiple of the target: the reward chooses none of the dearer ones, which take longest to train.
MOST = 2.0


def embedded_base() -> BackboneSpec:
    """EfficientNet-B0 for the embedded images of 32 px: a quarter of its width, 10 of its 16 blocks, stride 8.

    It is small enough to be trained many times, and its stages have one or two blocks, so that depth grows in steps.

    Example:
        >>> base = embedded_base()
        >>> base.resolution, base.total_stride, [stage.depth for stage in base.stages]
        (32, 8, [1, 1, 1, 2, 2, 2, 1])
    """
    small = scale_spec(
        "efficientnet_b0",
        coefficients=Coefficients(depth=0.6, width=0.25, resolution=EMBEDDED_RESOLUTION / 224),
        rounding=Rounding(depth="round"),
    )
    pixels = Preprocessing(scale=1 / 127.5, offset=-1.0)
    return replace(limit_stride(small, EMBEDDED_STRIDE), name="efficientnet_b0_32px", preprocessing=pixels)


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
    method: Literal["halving", "grid"] = "halving",
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
    check_choice(SearchError, "method", method, ("halving", "grid"))
    where = Engine(Path(output), storage, workers, **engine)
    base = embedded_base() if spec is None else resolve_backbone(spec)
    train = short_training(steps) if train is None else train
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
    trials, summary = run_search(plan, train, where, partial(summarize_coefficients, plan, found, fixed))
    networks: dict[str, Any] = {each.key: each for each in (*plan.references, *plan.candidates)}
    winner = networks[summary.winner]
    best = replace(winner.spec, name=f"{base.name}_phi1")
    with folder_lock(where.output):  # another host may have just finished the same search
        write_spec(best, where.output / "best.json")
    return CoefficientResult(Compound(**winner.choices), best, summary, tuple(trials))


def short_training(steps: int) -> Any:
    """The train function that stands in for none. Loads Keras, which a train function of one's own may do without."""
    from keras_effnet.search.proxy_training import ProxyTraining

    return ProxyTraining(horizon=steps)


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
    plan: SuccessiveHalving, found: Sequence[CoefficientCandidate], fixed: Any, common: Any, trials: Sequence[Trial]
) -> CoefficientSummary:
    """Summarises what the trials tell so far."""
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
    return CoefficientSummary(
        **common,
        **fixed,
        rungs=plan.rungs,
        grid_steps=plain_grid_steps(plan),
        candidates=tuple(networks),
        finalists=tuple(finalists),
        winner=winner,
        rule=None if winner is None else repr(Compound(**choices[winner])),
        difference=difference,
    )


@dataclass(frozen=True, eq=False)
class ArchitectureResult:
    """What a search for an architecture found.

    Args:
        spec: network of the largest reward.
        front: networks that no other one beats in both cost and metric, by rising cost.
        summary: all numbers, as in result.json. Its `learned` is False if the best network is not above chance.
        trials: all trials.
    """

    spec: BackboneSpec
    front: tuple[BackboneSpec, ...]
    summary: ArchitectureSummary
    trials: tuple[Trial, ...]


def search_architecture(
    spec: BackboneSpec | str | ArchitectureSpace | None = None,
    train: Any = None,
    *,
    output: str | Path,
    trials: int = 60,
    steps: int = 160,
    cost: str = "macs",
    target: float | None = None,
    exponent: float | None = None,
    over: float | None = None,
    limits: Mapping[str, float] | None = None,
    method: Method = "evolution",
    population: int = 20,
    sample: int = 5,
    lag: int = 4,
    seed: int = 0,
    inherit: bool = False,
    classes: int | None = None,
    storage: str | None = None,
    workers: int = 1,
    **engine: Any,
) -> ArchitectureResult:
    """Searches the network that is worth most: metric * (cost / target)^w, among all of a space.

    Candidates are chosen stage by stage (`ArchitectureSpace`), by regularised evolution or at random. Those beyond the
    limits are rejected by their count, before anything is built. A stopped search continues with the same call.

    Args:
        spec: base, the name of a registered one, or a space; None for `embedded_base()`.
        train: function from a `Task` to a number, the larger the better, or its name, "package.module:function", which
            more than one worker needs; a `ZeroCost` score; None for `ProxyTraining()` on embedded data.
        output: folder for results.
        trials: number of candidates, at least 1.
        steps: number of training steps of each candidate, at least 1; a score needs none.
        cost: name of the measure that is weighed: "macs", "params", "activations" or "model_bytes".
        target: cost at which the reward is the metric, above 0; None for the base's cost.
        exponent: w, at most 0; None for -0.07, as in the paper, and for 0 with scores, which are no accuracies.
        over: w above the target, at most 0; None for the same; -1 with `exponent=0` is MnasNet's hard constraint.
        limits: largest allowed values, such as `{"params": 1e6}`; None for twice the target (scores: the target).
        method: "evolution", or "random" to draw every candidate at random.
        population: size of the population, at least 2.
        sample: number of its members of which the best has a child, from 1 to the population.
        lag: number of latest results that may be missing when the next candidate is chosen; see `Evolution`.
        seed: seed of choices and training.
        inherit: whether a child starts from its parent's weights.
        classes: number of classes, for the cost; None for those of the data, and 1000 for other train functions.
        storage: address of a database, as in `Engine`.
        workers: number of processes, as in `Engine`.
        engine: further arguments of `Engine`: `ray_address`, `trial_timeout`, `retries`, `heartbeat`.

    Returns:
        The best network. The folder then holds best.json, a spec file; front.json, and in front/ a spec file for each
        network on the Pareto front; trials.csv, result.json, report.html, and its plots.

    Raises:
        SearchError: a value outside its range; limits that no network keeps; the folder or the store holds another
            search; the train function returns no number; no trial came to a result.
        RegistryError: an unknown name.

    Example:
        >>> def train(task):  # how good is a network? Here: the more activations, the better
        ...     return task.candidate.cost["activations"] / 1e6
        >>> from tempfile import mkdtemp
        >>> result = search_architecture("efficientnet_b0", train, output=mkdtemp(), trials=8, population=5, sample=2)
        >>> len(result.spec.stages), result.summary.size > 1e15
        (7, True)
    """
    check_choice(SearchError, "cost", cost, COUNTED)
    where = Engine(Path(output), storage, workers, **engine)
    train = short_training(steps) if train is None else train
    scored = train_to_dict(train)["kind"] == "score"
    if isinstance(spec, ArchitectureSpace):
        space = spec
    else:
        base = embedded_base() if spec is None else resolve_backbone(spec)
        divisor = EMBEDDED_DIVISOR if spec is None else ArchitectureSpace.divisor
        space = ArchitectureSpace(base, divisor=divisor, classes=data_classes(train) if classes is None else classes)
    if target is None:
        target = count_cost(space.base, classes=space.classes, channels=space.channels)[cost]
    usual, most, steps = (0.0, 1.0, 1) if scored else (EXPONENT, MOST, steps)
    reward = Reward(target, cost, usual if exponent is None else exponent, over)
    limits = dict(limits or {cost: most * target})
    plan = Evolution(space, reward, limits, trials, steps, population, sample, lag, seed, method, inherit)
    logger.info("%s networks, %d trials", f"{space.size:.3g}", trials)
    found, summary = run_search(plan, train, where, partial(summarize_architecture, plan))
    by_key: dict[str | None, SearchedNetwork] = {each.key: each for each in summary.candidates}
    specs = {key: plan.candidate(by_key[key].choices).spec for key in (summary.best, *summary.front)}
    best = replace(specs[summary.best], name=f"{space.base.name}_searched")
    front = [{**asdict(by_key[key]), "spec": f"front/{key}.json"} for key in summary.front]
    with folder_lock(where.output):  # another host may have just finished the same search
        for key in summary.front:
            atomic_write(where.output / "front" / f"{key}.json", partial(write_spec, specs[key]))
        atomic_write(where.output / "front.json", lambda part: part.write_text(json.dumps(front, indent=1)))
        atomic_write(where.output / "best.json", partial(write_spec, best))
    return ArchitectureResult(best, tuple(specs[key] for key in summary.front), summary, tuple(found))


def summarize_architecture(plan: Evolution, common: Mapping[str, Any], trials: Sequence[Trial]) -> ArchitectureSummary:
    """Summarises what the trials tell so far."""
    family = plan.parents(trials)
    generations: dict[str | None, int] = {None: -1}
    for key, parent in family.items():
        generations[key] = generations[parent] + 1
    candidates = []
    for trial in sorted(outcomes(trials).values(), key=lambda trial: trial.number):
        key, known = trial.job.key, {"metric": trial.metric, "number": trial.number, "value": trial.value}
        known |= {"parent": family.get(key), "generation": generations.get(key, 0)}
        candidates.append(SearchedNetwork.of(plan.candidate(trial.job.choices), **known))
    best = best_trial(trials)
    return ArchitectureSummary(
        search="architecture",
        **common,
        method=plan.method,
        inherit=plan.inherit,
        reward=asdict(plan.reward),
        limits=dict(plan.limits),
        size=plan.space.size,
        best=best and best.job.key,
        front=tuple(pareto_front(trials, plan)),
        candidates=tuple(candidates),
        table=best and str(explain(plan.candidate(best.job.choices).spec, classes=plan.space.classes)),
    )
