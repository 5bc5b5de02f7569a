"""Which runs a comparison of networks has: a learning rate is found for each network with the same effort, then seeds.

Every network is trained once with each learning rate of one ladder, all with one seed. The rate with the best metric is
that network's own: it is trained with it and the further seeds, which are reported and took no part in the choice. With
a ladder of one rate there is nothing to choose, and only the seeds are trained.

A run is known by its content: network, steps, learning rate, recipe, data and seed. So another comparison, with more
networks or seeds, trains only what is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar

from keras_effnet.checks import check_int, check_number, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import (
    KEY_DIGITS,
    SETTLED,
    Candidate,
    Choice,
    Job,
    Plan,
    Trial,
    outcomes,
    spec_key,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# Version of how networks are trained here: with another one, runs that are there already do not count.
VERSION = 1


@dataclass(frozen=True, eq=False)
class TrainedCandidate(Candidate):
    """A network, and how it is trained.

    Args:
        training: text that is the same for equal training: recipe, data and steps. The learning rate is a choice.
    """

    training: str

    @cached_property
    def key(self) -> str:
        """12 hexadecimal digits, the same for equal networks that are trained alike, whatever their labels."""
        content = f"{VERSION} {spec_key(self.spec)} {self.choices['rate']!r} {self.training}"
        return sha256(content.encode()).hexdigest()[:KEY_DIGITS]


@dataclass(frozen=True, eq=False)
class ComparisonPlan(Plan):
    """Networks, each trained with every learning rate of a ladder, and with its best one and several seeds.

    Args:
        networks: networks to compare, at least one, whose choice "network" is a label that no other one has.
        steps: number of training steps of each network, at least 1.
        rates: learning rates to choose from, at least one, no two alike, each above 0.
        seeds: number of further seeds, at least 1.
        seed: seed of the runs that choose the learning rate, at least 0; the further ones follow it.
        training: text that is the same for equal recipes and data.
        version: version of how networks are trained.

    Raises:
        SearchError: a value outside its range.

    Example:
        >>> from keras_effnet.search.candidates import count_cost
        >>> from keras_effnet.registry import resolve_backbone
        >>> spec = resolve_backbone("mobilenet_v1")
        >>> network = Candidate({"network": spec.name}, spec, count_cost(spec, classes=10))
        >>> plan = ComparisonPlan((network,), steps=(100,), rates=(0.1, 0.3), seeds=3)
        >>> plan.next_job([]).choices, plan.total()
        ({'network': 'mobilenet_v1', 'rate': 0.1}, (5, 500))
    """

    kind: ClassVar[str] = "comparison"
    shares_trials: ClassVar[bool] = True

    networks: tuple[Candidate, ...]
    steps: tuple[int, ...]
    rates: tuple[float, ...]
    seeds: int = 3
    seed: int = 0
    training: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        store_plain(self)
        check_int(SearchError, "seeds", self.seeds, 1)
        check_int(SearchError, "seed", self.seed, 0)
        for steps in self.steps:
            check_int(SearchError, "steps", steps, 1)
        for rate in self.rates:
            check_number(SearchError, "rates", rate, 0, open_low=True)
        if not self.rates or len(set(self.rates)) < len(self.rates):
            raise SearchError("there must be learning rates, no two alike.", received=f"rates={self.rates}")
        labels = [each.choices["network"] for each in self.networks]
        if not labels or len(set(labels)) < len(labels) or len(labels) != len(self.steps):
            raise SearchError(
                "there must be networks with labels of their own, and a number of steps for each.",
                received=f"{labels}, steps={self.steps}",
            )

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        labels = tuple(each.choices["network"] for each in self.networks)
        rate = FloatDistribution(min(self.rates), max(self.rates), log=True)
        return {"network": CategoricalDistribution(labels), "rate": rate}

    @property
    def cost(self) -> str:
        return "macs"

    @cached_property
    def _candidates(self) -> dict[tuple[Choice, Choice], TrainedCandidate]:
        """Every network with every learning rate, the rates of one network after each other."""
        return {
            (each.choices["network"], rate): TrainedCandidate(
                {"network": each.choices["network"], "rate": rate}, each.spec, each.cost, f"{steps} {self.training}"
            )
            for each, steps in zip(self.networks, self.steps, strict=True)
            for rate in self.rates
        }

    def candidate(self, choices: Mapping[str, Choice]) -> TrainedCandidate:
        return self._candidates[choices["network"], choices["rate"]]

    def job(self, number: int, rate: float, seed: int) -> Job:
        """The job of one run.

        Args:
            number: number of the network, from 0.
            rate: learning rate, one of the ladder.
            seed: seed of weights and batches.
        """
        made = self._candidates[self.networks[number].choices["network"], rate]
        return Job(made.key, made.choices, self.steps[number], seed)

    @property
    def final_seeds(self) -> range:
        """The seeds that are reported."""
        return range(self.seed + 1, self.seed + 1 + self.seeds)

    def equal_job(self, job: Job) -> Job | None:
        return self.every.get(job.what)

    @cached_property
    def every(self) -> dict[tuple[str, int, int], Job]:
        """Every job that there may be, by what it is."""
        seeds = range(self.seed, self.seed + 1 + self.seeds)
        jobs = (
            self.job(number, rate, seed)
            for number in range(len(self.networks))
            for rate in self.rates
            for seed in seeds
        )
        return {job.what: job for job in jobs}

    def tried(self, number: int, found: Mapping[tuple[str, int, int], Trial]) -> dict[float, Trial | None]:
        """The run that each learning rate was judged by; None if there is none yet.

        Args:
            number: number of the network, from 0.
            found: trials by job, as `outcomes` returns them.
        """
        return {rate: found.get(self.job(number, rate, self.seed).what) for rate in self.rates}

    def best_rate(self, number: int, found: Mapping[tuple[str, int, int], Trial]) -> float | None:
        """The learning rate of a network; None while a rate is not settled, or if all of them have failed.

        Args:
            number: number of the network, from 0.
            found: trials by job, as `outcomes` returns them.
        """
        if len(self.rates) == 1:
            return self.rates[0]
        tried = self.tried(number, found)
        if any(trial is None or trial.state not in SETTLED for trial in tried.values()):
            return None
        metrics = {rate: trial.metric for rate, trial in tried.items() if trial and trial.metric is not None}
        return max(metrics, key=lambda rate: metrics[rate], default=None)

    def next_job(self, trials: Sequence[Trial]) -> Job | None:
        found = outcomes(trials)
        return next((job for job in self._jobs(found) if job.what not in found), None)

    def _jobs(self, found: Mapping[tuple[str, int, int], Trial]) -> Iterator[Job]:
        """All jobs that may be done by now, in the order in which they come."""
        numbers = range(len(self.networks))
        if len(self.rates) > 1:
            for number in numbers:
                for rate in self.rates:
                    yield self.job(number, rate, self.seed)
        best = [self.best_rate(number, found) for number in numbers]
        for seed in self.final_seeds:
            for number, rate in zip(numbers, best, strict=True):
                if rate is not None:
                    yield self.job(number, rate, seed)

    def total(self) -> tuple[int, int]:
        runs = self.seeds + (len(self.rates) if len(self.rates) > 1 else 0)
        return runs * len(self.networks), runs * sum(self.steps)
