"""Regularised evolution, and random search as its control.

Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search" (arXiv:1802.01548), Algorithm 1: of a
population of P networks draw S, mutate the best of them, train the child, add it, and let the *oldest* die. The first
ones are drawn at random.

The same seed tries the same candidates, however many workers there are and whatever their speed: the candidate of a
number is a function of the seed and of the results whose numbers are lower by more than `lag`. So up to `lag` trials
may still run while the next one is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any, ClassVar, Literal

from keras_effnet.checks import check_bool, check_choice, check_int
from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Candidate, Choice
from keras_effnet.search.limits import Limits, draw_feasible, some_feasible
from keras_effnet.search.plan import Job, Plan, Row, outcomes
from keras_effnet.search.reward import Reward
from keras_effnet.search.space import ArchitectureSpace, Choices

Method = Literal["evolution", "random"]

# A child that costs too much or has been tried is drawn again; after so many times there is little left around its
# parent, and it comes from anywhere.
CHILDREN = 100
# Where that gives nothing new either, all that keeps the limits has been tried, or nearly so.
STRANGERS = 300
SETTLED = ("done", "failed")


@dataclass(frozen=True, eq=False)
class Evolution(Plan):
    """So many candidates, each trained once for the same number of steps.

    Args:
        space: what there is to choose from.
        reward: what is maximised, from the metric and the cost.
        limits: what no candidate exceeds; it is counted, and nothing is built of what does.
        trials: candidates that are tried, at least 1.
        steps: of training of each, at least 1.
        population: P, at least 2; so many candidates are drawn at random.
        sample: S, from 1 to the population.
        lag: results that need not be there yet when the next candidate is chosen, at least 0 and below the population:
            one less than the workers that can be busy at once. It changes what is tried.
        seed: of the choices, and of the training, at least 0.
        method: "evolution", or "random": all are drawn at random.
        inherit: whether a child starts from its parent's weights.

    Raises:
        SearchError: a value outside its range, or limits that no network keeps.

    Example:
        >>> from keras_effnet.search.proxy_training import embedded_base
        >>> plan = Evolution(ArchitectureSpace(embedded_base()), Reward(target=3e6), Limits({"macs": 6e6}))
        >>> job = plan.next_job([], 0)
        >>> job.steps, job.parent, plan.candidate(job.choices).cost["macs"] <= 6e6
        (100, None, True)
    """

    kind: ClassVar[str] = "evolution"

    space: ArchitectureSpace
    reward: Reward
    limits: Limits = field(default_factory=Limits)
    trials: int = 100
    steps: int = 100
    population: int = 20
    sample: int = 5
    lag: int = 4
    seed: int = 0
    method: Method = "evolution"
    inherit: bool = False

    def __post_init__(self) -> None:
        for name in ("trials", "steps"):
            check_int(SearchError, name, getattr(self, name), 1)
        check_int(SearchError, "population", self.population, 2)
        check_int(SearchError, "sample", self.sample, 1, self.population)
        check_int(SearchError, "lag", self.lag, 0, self.population - 1)
        check_int(SearchError, "seed", self.seed, 0)
        check_choice(SearchError, "method", self.method, ("evolution", "random"))
        check_bool(SearchError, "inherit", self.inherit)
        self._start  # noqa: B018 - raises where the limits leave nothing

    @cached_property
    def _start(self) -> Choices:
        return some_feasible(self.space, self.limits)

    @property
    def names(self) -> tuple[str, ...]:
        return self.space.names

    def candidate(self, choices: Mapping[str, Choice]) -> Candidate:
        read = self.space.read(choices)
        return Candidate(self.space.flat(read), self.space.network(read), self.space.cost(read))

    def value(self, candidate: Candidate, metric: float) -> float:
        return self.reward(metric, candidate.cost[self.reward.cost])

    def next_job(self, rows: Sequence[Row], index: int) -> Job | None:
        before, found = _in_order(rows)[:index], outcomes(rows)
        past = [found[job.what] for job in before[: max(0, index - self.lag)] if job is not None]
        if index >= self.trials or None in before or any(row.state not in SETTLED for row in past):
            return None
        generator = Random(f"{self.method}-{self.seed}-{index}")
        parent = self._parent(past, index, generator)
        tried = {job.key for job in before if job is not None}
        child = self._new(parent, tried, generator)
        if child is None:
            return None
        inherited = parent.key if parent is not None and self.inherit else None
        return Job(child.key, child.choices, self.steps, self.seed, parent=inherited)

    def is_done(self, rows: Sequence[Row]) -> bool:
        jobs = _in_order(rows)
        settled = all(row.state in SETTLED for row in outcomes(rows).values())
        return settled and None not in jobs and self.next_job(rows, len(jobs)) is None

    def total(self) -> tuple[int, int]:
        return self.trials, self.trials * self.steps

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "space": self.space.to_dict(),
            "reward": self.reward.to_dict(),
            "limits": self.limits.to_dict(),
            **{name: getattr(self, name) for name in PLAIN},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evolution:
        """The plan that `to_dict` wrote."""
        space, reward = ArchitectureSpace.from_dict(values["space"]), Reward(**values["reward"])
        return cls(space, reward, Limits(**values["limits"]), **{name: values[name] for name in PLAIN})

    def parents(self, rows: Sequence[Row]) -> dict[str, str | None]:
        """Whom each candidate was mutated from, by their keys; None where it was drawn at random."""
        jobs, found = _in_order(rows), outcomes(rows)
        family: dict[str, str | None] = {}
        for index, job in enumerate(jobs):
            if job is not None:
                past = [found[each.what] for each in jobs[: max(0, index - self.lag)] if each is not None]
                parent = self._parent(past, index, Random(f"{self.method}-{self.seed}-{index}"))
                family[job.key] = None if parent is None else parent.key
        return family

    def _parent(self, past: Sequence[Row], index: int, generator: Random) -> Job | None:
        """The best of a sample of the population; None where the next candidate is drawn at random."""
        alive = [row for row in past if row.state == "done"][-self.population :]
        if self.method == "random" or index < self.population or not alive:
            return None
        # With replacement, as in Algorithm 1.
        sample = [generator.choice(range(len(alive))) for _ in range(self.sample)]
        # Of equally good ones the oldest: a second try has a late number, but its candidate's age.
        return alive[max(sample, key=lambda place: (alive[place].value or 0.0, -place))].job

    def _new(self, parent: Job | None, tried: set[str], generator: Random) -> Candidate | None:
        """A candidate within the limits that has not been tried; None where there seems to be none."""
        if parent is not None:
            origin = self.space.read(parent.choices)
            for _ in range(CHILDREN):
                choices = self.space.step(origin, generator)
                if not self.limits.excess(self.space.cost(choices)):
                    child = self.candidate(self.space.flat(choices))
                    if child.key not in tried:
                        return child
        for _ in range(STRANGERS):
            choices = draw_feasible(self.space, self.limits, generator, self._start)
            stranger = self.candidate(self.space.flat(choices))
            if stranger.key not in tried:
                return stranger
        return None


PLAIN = ("trials", "steps", "population", "sample", "lag", "seed", "method", "inherit")


def _in_order(rows: Sequence[Row]) -> list[Job | None]:
    """The jobs in the order of their candidates; None for one that is not written down yet."""
    return [row.job for row in rows if row.fresh and row.state != "void"]


def pareto_front(rows: Sequence[Row], plan: Plan, cost: str) -> list[str]:
    """Keys of the candidates that no other one beats: none costs as little and is as good, and better in one of both.

    Args:
        rows: of the search.
        plan: of the search.
        cost: "macs", "params", "activations" or "model_bytes".

    Returns:
        The keys, by rising cost.
    """
    points = [
        (plan.candidate(row.job.choices).cost[cost], -row.metric, row.number, row.job.key)
        for row in outcomes(rows).values()
        if row.state == "done" and row.job is not None and row.metric is not None
    ]
    front: list[tuple[float, float, int, str]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return [key for *_, key in front]
