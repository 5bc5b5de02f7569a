"""`search_architecture`: a baseline of one's own, as EfficientNet-B0 was found, from a base to a spec file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.checks import check_choice
from keras_effnet.errors import SearchError
from keras_effnet.explanation import explain
from keras_effnet.registry import resolve_backbone
from keras_effnet.search.candidates import count_cost
from keras_effnet.search.driver import Engine, Started, run_search
from keras_effnet.search.evolution import Evolution, Method, pareto_front
from keras_effnet.search.limits import Limits
from keras_effnet.search.plan import Row, best_row, outcomes
from keras_effnet.search.proxy_training import ProxyTraining, embedded_base
from keras_effnet.search.reward import EXPONENT, MEASURES, Reward
from keras_effnet.search.space import ArchitectureSpace
from keras_effnet.search.task import data_classes, train_to_dict
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

# Of the embedded base, whose stages have 8 to 80 channels: steps of 8 would be a half of the first ones.
EMBEDDED_DIVISOR = 4
# A share of all networks costs ten and more times the target. The reward would not choose them, but training them takes
# most of the time.
MOST = 2.0


@dataclass(frozen=True, eq=False)
class ArchitectureResult:
    """What a search for an architecture found.

    Args:
        spec: the network of the largest reward.
        front: the networks that no other one beats in both cost and metric, by rising cost.
        summary: all numbers, as in result.json.
        rows: all trials.
    """

    spec: BackboneSpec
    front: tuple[BackboneSpec, ...]
    summary: dict[str, Any]
    rows: tuple[Row, ...]


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
    limits: Limits | Mapping[str, float] | None = None,
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

    Candidates are chosen stage by stage (`ArchitectureSpace`), by regularised evolution or at random. What is beyond
    the limits is rejected by count, and nothing is built of it. Stopped at any moment, the same call goes on.

    Args:
        spec: the base, the name of a registered one, or a space of one's own; None: `embedded_base()`.
        train: a function from a `Task` to a number, the larger the better; or its name, "package.module:function",
            which more than one worker needs; a `ZeroCost` score; None: `ProxyTraining()` (embedded data).
        output: folder for results.
        trials: candidates.
        steps: of training of each; a score needs none.
        cost: what is weighed: "macs", "params", "activations" or "model_bytes".
        target: the cost at which the reward is the metric; None: the base's.
        exponent: w; None: -0.07, as in the paper, and 0 for scores, which are no shares of anything.
        over: w above the target; None: the same; -1 with `exponent=0` for MnasNet's hard constraint.
        limits: what no candidate exceeds, such as `{"params": 1e6}`; None: twice the target, and for scores the target.
        method: "evolution", or "random".
        population: of the evolution.
        sample: of it, of which the best has a child.
        lag: results that need not be there when the next candidate is chosen; see `Evolution`.
        seed: of choices and training.
        inherit: whether a child starts from its parent's weights.
        classes: of the classifier, for the cost; None: those of the data, and 1000 for other train functions.
        storage: as in `Engine`.
        workers: as in `Engine`.
        engine: further arguments of `Engine`: `ray_address`, `trial_timeout`, `retries`, `heartbeat`.

    Returns:
        The best network. The folder then holds best.json, a spec file; front.json, and in front/ a spec file for each
        network on the Pareto front; trials.csv, result.json, report.html, and images.

    Raises:
        SearchError: a value outside its range; limits that no network keeps; the folder or the store holds another
            search; the train function returns no number; no trial came to a result.
        RegistryError: an unknown name.

    Example:
        >>> def train(task):  # how good is a network? Here: the more activations, the better
        ...     return task.candidate.cost["activations"] / 1e6
        >>> from tempfile import mkdtemp
        >>> result = search_architecture("efficientnet_b0", train, output=mkdtemp(), trials=8, population=5, sample=2)
        >>> len(result.spec.stages), result.summary["space"]["size"] > 1e15
        (7, True)
    """
    check_choice(SearchError, "cost", cost, MEASURES)
    started = Started()
    if train is None:
        train = ProxyTraining(horizon=steps)
    kind = train_to_dict(train)["kind"]
    space = _space(spec, train, classes)
    if target is None:
        target = count_cost(space.base, classes=space.classes, channels=space.channels)[cost]
    if exponent is None:
        exponent = 0.0 if kind == "score" else EXPONENT
    if not limits:
        limits = {cost: target * (1.0 if kind == "score" else MOST)}
    plan = Evolution(
        space,
        Reward(target, cost, exponent, over),
        limits if isinstance(limits, Limits) else Limits(limits),
        trials,
        1 if kind == "score" else steps,
        population,
        sample,
        lag,
        seed,
        method,
        inherit,
    )
    logger.info("%s networks, %d trials", f"{space.size:.3g}", trials)

    def describe(rows: Sequence[Row], finished: bool) -> dict[str, Any]:
        told = started.summary("architecture", train, plan, rows, finished)
        return {**told, **summarize(plan, rows)}

    rows = run_search(plan, train, Engine(Path(output), storage, workers, **engine), describe)
    summary = describe(rows, True)
    with folder_lock(Path(output)):  # of another host that has just finished the same search
        best, front = write_networks(plan, summary, Path(output))
    return ArchitectureResult(best, front, summary, tuple(rows))


def _space(spec: BackboneSpec | str | ArchitectureSpace | None, train: Any, classes: int | None) -> ArchitectureSpace:
    if isinstance(spec, ArchitectureSpace):
        return spec
    count = data_classes(train) if classes is None else classes
    if spec is None:
        return ArchitectureSpace(embedded_base(), divisor=EMBEDDED_DIVISOR, classes=count)
    return ArchitectureSpace(resolve_backbone(spec), classes=count)


def summarize(plan: Evolution, rows: Sequence[Row]) -> dict[str, Any]:
    """What the trials say so far, JSON-able."""
    candidates: list[dict[str, Any]] = []
    progress: list[list[float]] = []
    family = plan.parents(rows)
    generations: dict[str | None, int] = {None: -1}
    for key, parent in family.items():
        generations[key] = generations[parent] + 1
    for row in sorted(outcomes(rows).values(), key=lambda row: row.number):
        job = row.job
        if job is None:
            continue
        told = {"key": job.key, "number": row.number, "choices": dict(job.choices)}
        family_told = {"parent": family.get(job.key), "generation": generations.get(job.key, 0)}
        found = {"metric": row.metric, "value": row.value, **family_told}
        candidates.append({**told, "cost": dict(plan.candidate(job.choices).cost), **found})
        if row.value is not None and (not progress or row.value > progress[-1][1]):
            progress.append([row.number, row.value])
    best = best_row(rows)
    job = None if best is None else best.job
    table = None if job is None else str(explain(plan.candidate(job.choices).spec, classes=plan.space.classes))
    return {
        "method": plan.method,
        "inherit": plan.inherit,
        "reward": plan.reward.to_dict(),
        "limits": plan.limits.to_dict(),
        "space": {"size": plan.space.size, **plan.space.to_dict()},
        "best": None if job is None else job.key,
        "front": pareto_front(rows, plan, plan.reward.cost),
        "candidates": candidates,
        "best_so_far": progress,
        "table": table,
    }


def write_networks(
    plan: Evolution, summary: Mapping[str, Any], output: Path
) -> tuple[BackboneSpec, tuple[BackboneSpec, ...]]:
    """Writes best.json, front.json and the spec files in front/; gives the networks."""
    by_key = {each["key"]: each for each in summary["candidates"]}
    specs = {key: plan.candidate(by_key[key]["choices"]).spec for key in {summary["best"], *summary["front"]}}
    named = replace(specs[summary["best"]], name=f"{plan.space.base.name}_searched")
    front = []
    for key in summary["front"]:
        path = Path("front") / f"{key}.json"
        _write(specs[key].to_json(), output / path)
        told = {name: by_key[key][name] for name in ("key", "number", "metric", "value", "cost", "choices")}
        front.append({**told, "spec": path.as_posix()})
    _write(json.dumps(front, indent=1), output / "front.json")
    _write(named.to_json(), output / "best.json")
    return named, tuple(specs[key] for key in summary["front"])


def _write(text: str, path: Path) -> None:
    atomic_write(path, lambda part: part.write_text(text + "\n", encoding="utf-8"))
