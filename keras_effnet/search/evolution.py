"""Regularised evolution of what is worth most, and random search as its control.

Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search" (arXiv:1802.01548), Algorithm 1: of a
population of P networks draw S, mutate the best of them, train the child, add it, and let the *oldest* die. The first
ones are drawn at random. What is maximised is accuracy weighed against cost:

| source | reward |
|---|---|
| MnasNet, Tan et al. 2019, arXiv:1807.11626, equations 2, 3 | ACC * (LAT / T)^w, w = alpha where LAT <= T, else beta |
| there, the soft constraint | alpha = beta = -0.07 |
| there, the hard constraint | alpha = 0, beta = -1 |
| EfficientNet, Tan and Le 2019, arXiv:1905.11946, section 4 | ACC * (FLOPS / T)^w, w = -0.07, T = 400M |

The same seed tries the same candidates, however many workers there are and whatever their speed: the candidate of a
number is a function of the seed and of the results whose numbers are lower by more than `lag`. So up to `lag` trials
may still run while the next one is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from keras_effnet.checks import check_bool, check_choice, check_int, check_number, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.measures import COUNTED
from keras_effnet.search.candidates import Candidate, Choice, Job, Plan, Trial, outcomes
from keras_effnet.search.limits import Limits, draw_feasible, some_feasible
from keras_effnet.search.space import ArchitectureSpace, Choices

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Method = Literal["evolution", "random"]

EXPONENT = -0.07  # arXiv:1807.11626, section 3: twice the latency for 5 % more accuracy is worth the same
# A child that costs too much or has been tried is drawn again; after so many times there is little left around its
# parent, and it comes from anywhere.
CHILDREN = 100
# If that gives nothing new either, all that keeps the limits has been tried, or nearly so.
STRANGERS = 300
SETTLED = ("done", "failed")


@dataclass(frozen=True)
class Reward:
    """What a candidate is worth: metric * (cost / target)^w.

    Args:
        target: cost at which the reward is the metric itself, above 0.
        cost: name of the counted measure that is weighed.
        exponent: w, at most 0; 0 leaves the cost out.
        over: w for costs above the target, at most 0; None for the same exponent. `exponent=0, over=-1` is the hard
            constraint: below the target a candidate is worth its metric alone.

    Raises:
        SearchError: a value outside its range.

    Example:
        >>> reward = Reward(target=400e6)
        >>> reward(0.75, 400e6), round(reward(0.75, 800e6), 4)
        (0.75, 0.7145)
        >>> Reward(target=400e6, exponent=0, over=-1)(0.75, 800e6)
        0.375
    """

    target: float
    cost: str = "macs"
    exponent: float = EXPONENT
    over: float | None = None

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(SearchError, "target", self.target, 0, open_low=True)
        check_choice(SearchError, "cost", self.cost, COUNTED)
        check_number(SearchError, "exponent", self.exponent, float("-inf"), 0)
        if self.over is not None:
            check_number(SearchError, "over", self.over, float("-inf"), 0)

    def __call__(self, metric: float, cost: float) -> float:
        """Weighs a metric against a cost.

        Raises:
            SearchError: the metric is below 0, so that a factor below 1 would make it better.
        """
        exponent = self.exponent if cost <= self.target or self.over is None else self.over
        if exponent and metric < 0:
            raise SearchError(
                "a metric that is weighed against a cost must be at least 0, as an accuracy is. For other metrics "
                "limit the cost, and leave it out of the reward with `exponent=0` and no `over`.",
                received=f"metric={metric!r}, {self!r}",
            )
        return metric * (cost / self.target) ** exponent


@dataclass(frozen=True, eq=False)
class Evolution(Plan):
    """A number of candidates, each trained once for the same number of steps.

    Args:
        space: space of the candidates.
        reward: number that is maximised, from metric and cost.
        limits: limits that every candidate keeps. They are counted: nothing is built that exceeds them.
        trials: number of candidates to try, at least 1.
        steps: number of training steps of each candidate, at least 1.
        population: P, at least 2; also the number of candidates drawn at random at the start.
        sample: S, from 1 to the population.
        lag: number of latest results that may be missing when the next candidate is chosen, at least 0 and below the
            population: one less than the number of workers that can be busy at once. It changes what is tried.
        seed: seed of the choices and of the training, at least 0.
        method: "evolution", or "random" to draw every candidate at random.
        inherit: whether a child starts from its parent's weights.

    Raises:
        SearchError: a value outside its range, or limits that no network keeps.

    Example:
        >>> from keras_effnet.search.proxy_training import embedded_base
        >>> plan = Evolution(ArchitectureSpace(embedded_base()), Reward(target=3e6), Limits({"macs": 6e6}))
        >>> job = plan.next_job([])
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
        store_plain(self)
        for name in ("trials", "steps"):
            check_int(SearchError, name, getattr(self, name), 1)
        check_int(SearchError, "population", self.population, 2)
        check_int(SearchError, "sample", self.sample, 1, self.population)
        check_int(SearchError, "lag", self.lag, 0, self.population - 1)
        check_int(SearchError, "seed", self.seed, 0)
        check_choice(SearchError, "method", self.method, get_args(Method))
        check_bool(SearchError, "inherit", self.inherit)
        self._start  # noqa: B018 - raises if the limits leave nothing

    @cached_property
    def _start(self) -> Choices:
        return some_feasible(self.space, self.limits)

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution

        return {name: CategoricalDistribution(values) for name, values in self.space.values.items()}

    @property
    def cost(self) -> str:
        return self.reward.cost

    def candidate(self, choices: Mapping[str, Choice]) -> Candidate:
        read = self.space.read(choices)
        return Candidate(self.space.flat(read), self.space.network(read), self.space.cost(read))

    def value(self, candidate: Candidate, metric: float) -> float:
        return self.reward(metric, candidate.cost[self.reward.cost])

    def next_job(self, trials: Sequence[Trial]) -> Job | None:
        before, found = _in_order(trials), outcomes(trials)
        index = len(before)
        past = [found[job.what] for job in before[: max(0, index - self.lag)]]
        if index >= self.trials or any(trial.state not in SETTLED for trial in past):
            return None
        generator = Random(f"{self.method}-{self.seed}-{index}")
        parent = self._parent(past, index, generator)
        child = self._new(parent, {job.key for job in before}, generator)
        if child is None:
            return None
        inherited = parent.key if parent is not None and self.inherit else None
        return Job(child.key, child.choices, self.steps, self.seed, parent=inherited)

    def is_done(self, trials: Sequence[Trial]) -> bool:
        settled = all(trial.state in SETTLED for trial in outcomes(trials).values())
        return settled and self.next_job(trials) is None

    def total(self) -> tuple[int, int]:
        return self.trials, self.trials * self.steps

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "space": self.space.to_dict(),
            "reward": asdict(self.reward),
            "limits": asdict(self.limits),
            **{name: getattr(self, name) for name in PLAIN},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evolution:
        """The plan that `to_dict` wrote."""
        space, reward = ArchitectureSpace.from_dict(values["space"]), Reward(**values["reward"])
        return cls(space, reward, Limits(**values["limits"]), **{name: values[name] for name in PLAIN})

    def parents(self, trials: Sequence[Trial]) -> dict[str, str | None]:
        """Keys of the parents from which the candidates were mutated, by key; None for those drawn at random."""
        jobs, found = _in_order(trials), outcomes(trials)
        family: dict[str, str | None] = {}
        for index, job in enumerate(jobs):
            past = [found[each.what] for each in jobs[: max(0, index - self.lag)]]
            parent = self._parent(past, index, Random(f"{self.method}-{self.seed}-{index}"))
            family[job.key] = None if parent is None else parent.key
        return family

    def _parent(self, past: Sequence[Trial], index: int, generator: Random) -> Job | None:
        """The best of a sample of the population; None if the next candidate is drawn at random."""
        alive = [trial for trial in past if trial.state == "done"][-self.population :]
        if self.method == "random" or index < self.population or not alive:
            return None
        # With replacement, as in Algorithm 1.
        sample = [generator.choice(range(len(alive))) for _ in range(self.sample)]
        # Of equally good ones the oldest: a second try has a late number, but its candidate's age.
        return alive[max(sample, key=lambda place: (alive[place].value or 0.0, -place))].job

    def _new(self, parent: Job | None, tried: set[str], generator: Random) -> Candidate | None:
        """A candidate within the limits that has not been tried; None if there seems to be none."""
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


def _in_order(trials: Sequence[Trial]) -> list[Job]:
    """The jobs in the order of their candidates."""
    return [trial.job for trial in trials if trial.fresh and trial.state != "void" and trial.job is not None]


def pareto_front(trials: Sequence[Trial], plan: Plan) -> list[str]:
    """Finds the candidates that no other beats: none costs at most as much, is at least as good, and differs in one.

    Args:
        trials: trials of the search.
        plan: plan of the search; its cost is the one that counts.

    Returns:
        Keys of the candidates, by rising cost.
    """
    points = [
        (plan.candidate(trial.job.choices).cost[plan.cost], -trial.metric, trial.number, trial.job.key)
        for trial in outcomes(trials).values()
        if trial.state == "done" and trial.job is not None and trial.metric is not None
    ]
    front: list[tuple[float, float, int, str]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return [key for *_, key in front]
