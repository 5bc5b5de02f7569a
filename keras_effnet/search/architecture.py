"""`search_architecture`: a baseline of your own, as EfficientNet-B0 was found, from a base to a spec file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.checks import check_choice
from keras_effnet.errors import SearchError
from keras_effnet.explanation import explain
from keras_effnet.measures import COUNTED
from keras_effnet.registry import resolve_backbone
from keras_effnet.search.candidates import Trial, best_trial, count_cost, outcomes
from keras_effnet.search.driver import Engine, run_search
from keras_effnet.search.evolution import EXPONENT, Evolution, Method, Reward, pareto_front
from keras_effnet.search.records import ArchitectureSummary, SearchedNetwork
from keras_effnet.search.space import ArchitectureSpace
from keras_effnet.search.task import data_classes, train_to_dict
from keras_effnet.serialization import write_spec
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

# For the embedded base, whose stages have 8 to 80 channels: the usual 8 would double the first ones.
EMBEDDED_DIVISOR = 4
# Default limit, as a multiple of the target. Some networks cost ten times the target and more: the reward would not
# choose them, but training them would take most of the time.
MOST = 2.0


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
    from keras_effnet.search.proxy_training import ProxyTraining, embedded_base  # imports Keras

    check_choice(SearchError, "cost", cost, COUNTED)
    where = Engine(Path(output), storage, workers, **engine)
    train = ProxyTraining(horizon=steps) if train is None else train
    scored = train_to_dict(train)["kind"] == "score"
    if isinstance(spec, ArchitectureSpace):
        space = spec
    else:
        base = embedded_base() if spec is None else resolve_backbone(spec)
        divisor = EMBEDDED_DIVISOR if spec is None else ArchitectureSpace.divisor
        space = ArchitectureSpace(base, divisor=divisor, classes=data_classes(train) if classes is None else classes)
    if target is None:
        target = count_cost(space.base, classes=space.classes, channels=space.channels)[cost]
    if exponent is None:
        exponent = 0.0 if scored else EXPONENT
    limits = dict(limits or {cost: target * (1.0 if scored else MOST)})
    reward, steps = Reward(target, cost, exponent, over), 1 if scored else steps
    plan = Evolution(space, reward, limits, trials, steps, population, sample, lag, seed, method, inherit)
    logger.info("%s networks, %d trials", f"{space.size:.3g}", trials)

    def describe(common: dict[str, Any], found: Sequence[Trial]) -> ArchitectureSummary:
        return ArchitectureSummary(search="architecture", **common, **summarize_architecture(plan, found))

    found, summary = run_search(plan, train, where, describe)
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


def summarize_architecture(plan: Evolution, trials: Sequence[Trial]) -> dict[str, Any]:
    """Fields of `ArchitectureSummary` that the trials tell so far."""
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
    return {
        "method": plan.method,
        "inherit": plan.inherit,
        "reward": asdict(plan.reward),
        "limits": dict(plan.limits),
        "size": plan.space.size,
        "best": best and best.job.key,
        "front": tuple(pareto_front(trials, plan)),
        "candidates": tuple(candidates),
        "table": best and str(explain(plan.candidate(best.job.choices).spec, classes=plan.space.classes)),
    }
