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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from keras_effnet.checks import check_bool, check_choice, check_int, check_number, check_seed, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.measures import COUNTED
from keras_effnet.search.candidates import SETTLED, Candidate, Choice, Job, Plan, Trial, outcomes
from keras_effnet.search.space import ArchitectureSpace, Choices

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Method = Literal["evolution", "random"]

EXPONENT = -0.07  # arXiv:1807.11626, section 3: twice the latency for 5 % more accuracy is worth the same
CHILDREN = 100  # draws of a new child within the limits; then little is left around its parent
STRANGERS = 300  # draws from anywhere; if none is new, all that keeps the limits has been tried, or nearly so
DRAWS = 1_000  # draws from the whole space before a walk within the limits replaces them
WALK = 100  # steps of such a walk: a few for each choice of a network
Costs = Mapping[str, float]


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
        """Weighs a metric against a cost; raises SearchError for one below 0, which a factor below 1 makes better."""
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
        limits: largest allowed value of each limited measure, by its name (`keras_effnet.measures`), above 0. It is
            counted: nothing is built that exceeds it.
        trials: number of candidates to try, at least 1.
        steps: number of training steps of each candidate, at least 1.
        population: P, at least 2; also the number of candidates drawn at random at the start.
        sample: S, from 1 to the population.
        lag: number of latest results that may be missing when the next candidate is chosen, at least 0 and below the
            population: one less than the number of workers that can be busy at once. It changes what is tried.
        seed: seed of the choices and of the training, 0 to 4294967295.
        method: "evolution", or "random" to draw every candidate at random.
        inherit: whether a child starts from its parent's weights.

    Raises:
        SearchError: a value outside its range, or limits that no network keeps.

    Example:
        >>> from keras_effnet.search.searches import embedded_base
        >>> plan = Evolution(ArchitectureSpace(embedded_base()), Reward(target=3e6), {"macs": 6e6})
        >>> plan.candidate(plan.next_job([]).choices).cost["macs"] <= 6e6
        True
    """

    kind: ClassVar[str] = "evolution"

    space: ArchitectureSpace
    reward: Reward
    limits: Mapping[str, float] = field(default_factory=dict)
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
        for name, low in (("trials", 1), ("steps", 1), ("population", 2)):
            check_int(SearchError, name, getattr(self, name), low)
        check_seed(SearchError, self.seed)
        check_int(SearchError, "sample", self.sample, 1, self.population)
        check_int(SearchError, "lag", self.lag, 0, self.population - 1)
        check_choice(SearchError, "method", self.method, get_args(Method))
        check_bool(SearchError, "inherit", self.inherit)
        for name, limit in self.limits.items():
            check_choice(SearchError, "limits", name, COUNTED)
            check_number(SearchError, name, limit, 0, open_low=True)
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
        if len(before) >= self.trials or any(trial.state not in SETTLED for trial in self._past(before, found)):
            return None
        parent, generator = self._parent(before, found)
        tried = {job.key for job in before}
        for choices in self._draws(parent, generator):
            child = None if excess(self.space.cost(choices), self.limits) else self.candidate(self.space.flat(choices))
            if child is not None and child.key not in tried:
                inherited = parent.key if parent is not None and self.inherit else None
                return Job(child.key, child.choices, self.steps, self.seed, parent=inherited)
        return None

    def _draws(self, parent: Job | None, generator: Random) -> Iterator[Choices]:
        """Networks that may come next, until there seems to be no new one."""
        if parent is not None:
            origin = self.space.read(parent.choices)
            yield from (self.space.step(origin, generator) for _ in range(CHILDREN))
        yield from (draw_feasible(self.space, self.limits, generator, self._start) for _ in range(STRANGERS))

    def total(self) -> tuple[int, int]:
        return self.trials, self.trials * self.steps

    def parents(self, trials: Sequence[Trial]) -> dict[str, str | None]:
        """Keys of the parents from which the candidates were mutated, by key; None for those drawn at random."""
        jobs, found = _in_order(trials), outcomes(trials)
        parents = [self._parent(jobs[:index], found)[0] for index in range(len(jobs))]
        return {job.key: parent and parent.key for job, parent in zip(jobs, parents, strict=True)}

    def _past(self, before: Sequence[Job], found: Mapping[Any, Trial]) -> list[Trial]:
        """The results that the next candidate may depend on."""
        return [found[job.what] for job in before[: max(0, len(before) - self.lag)]]

    def _parent(self, before: Sequence[Job], found: Mapping[Any, Trial]) -> tuple[Job | None, Random]:
        """The best of a sample of the population, or None for a random draw; and what to draw the next one with."""
        generator = Random(f"{self.method}-{self.seed}-{len(before)}")
        alive = [trial for trial in self._past(before, found) if trial.state == "done"][-self.population :]
        if self.method == "random" or len(before) < self.population or not alive:
            return None, generator
        # With replacement, as in Algorithm 1.
        sample = [generator.choice(range(len(alive))) for _ in range(self.sample)]
        # Of equally good ones the oldest: a second try has a late number, but its candidate's age.
        return alive[max(sample, key=lambda place: (alive[place].value or 0.0, -place))].job, generator


def _in_order(trials: Sequence[Trial]) -> list[Job]:
    """The jobs in the order of their candidates."""
    return [trial.job for trial in trials if trial.fresh and trial.state != "void"]


def pareto_front(trials: Sequence[Trial], plan: Plan) -> list[str]:
    """Finds the candidates that no other beats: none costs at most as much, is at least as good, and differs in one."""
    points = [
        (plan.candidate(trial.job.choices).cost[plan.cost], -trial.metric, trial.number, trial.job.key)
        for trial in outcomes(trials).values()
        if trial.state == "done" and trial.metric is not None
    ]
    front: list[tuple[float, float, int, str]] = []
    for point in sorted(points):
        if not front or point[1] < front[-1][1] or point[:2] == front[-1][:2]:
            front.append(point)
    return [key for *_, key in front]


def excess(cost: Costs, limits: Costs) -> float:
    """Tells how far a cost is beyond its limits, as a sum of shares of them; 0 if it keeps them all."""
    return sum(max(0.0, cost[name] / limit - 1) for name, limit in limits.items())


def draw_feasible(space: ArchitectureSpace, limits: Costs, generator: Random, start: Choices) -> Choices:
    """Draws a network within the limits.

    If hardly any network of the space keeps them, the draw comes from a random walk that never leaves the limits. It
    starts at `start`, a network within them, as `some_feasible` finds it.
    """
    for _ in range(DRAWS):
        choices = space.draw(generator)
        if not excess(space.cost(choices), limits):
            return choices
    for _ in range(WALK):
        choices = space.step(start, generator)
        if not excess(space.cost(choices), limits):
            start = choices
    return start


def some_feasible(space: ArchitectureSpace, limits: Costs) -> Choices:
    """Finds a network within the limits, always the same."""

    def beyond(choices: Choices) -> float:
        return excess(space.cost(choices), limits)

    generator = Random("feasible")
    found = []
    for _ in range(DRAWS):
        found.append(space.draw(generator))
        if not beyond(found[-1]):
            return found[-1]
    for name, limit in limits.items():
        least = smallest(space, lambda cost, name=name: cost[name])
        if space.cost(least)[name] > limit:
            raise SearchError(
                f"no network of the space keeps the limit on `{name}`: the smallest has {_shown(space.cost(least))}. "
                "Raise that limit, or give the space other widths, depths or kinds of blocks.",
                received=f"{name}={limit:,.4g}",
            )
        found.append(least)
    # A walk that never goes further beyond the limits.
    nearest = min(found, key=beyond)
    for _ in range(DRAWS):
        nearest = min(space.step(nearest, generator), nearest, key=beyond)
        if not beyond(nearest):
            return nearest
    raise SearchError(
        "each limit can be kept, but no network was found that keeps all of them at once: widen one of them. The "
        f"nearest has {_shown(space.cost(nearest))}.",
        received=repr(dict(limits)),
    )


def _shown(cost: Costs) -> str:
    return ", ".join(f"{name} {value:,.4g}" for name, value in cost.items())


def smallest(space: ArchitectureSpace, measure: Callable[[Costs], float]) -> Choices:
    """Finds the network of a space that measures least, exactly.

    The cost of a stage depends on its own choices and on the channels that it reads. So of all ways to a stage that end
    in equally many channels only the least one counts (dynamic programming).
    """
    tail = tuple(options[0] for options in space.options)
    ways: dict[int, Choices] = {space.entry: ()}
    for number, options in enumerate(space.options):
        found: dict[int, tuple[float, Choices]] = {}
        for before, option in product(ways.values(), options):
            # What follows is the same for all of one width, so that whole networks compare as their beginnings.
            choices = (*before, option)
            value, width = measure(space.cost((*choices, *tail[number + 1 :]))), option.width
            if width not in found or value < found[width][0]:
                found[width] = value, choices
        ways = {width: choices for width, (_, choices) in found.items()}
    return space.canonical(min(ways.values(), key=lambda choices: measure(space.cost(choices))))
