"""Successive halving over training steps, without waiting for each other (ASHA), and the comparison of its finalists.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv:1810.05934), Algorithm 2: every candidate
is trained a little; of those that have reached a rung the best 1/eta are promoted to the next one, as soon as there are
enough to tell. A promoted candidate goes on from its own checkpoint, so that no step is trained twice. There candidates
never end, and whoever can be promoted goes first. Here they are finitely many, so a free worker takes the lowest job
there is: it has as much to do, and fewer are promoted that would not have been among the best. One rung is a grid.

Finalists and the paper's network are trained with the same further seeds, which took no part in choosing the finalists.
Their differences, seed by seed, have a mean with a t-interval (Student 1908; any textbook: paired t).
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, ClassVar

from keras_effnet.checks import check_int, check_seed, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import SETTLED, Candidate, Choice, Job, Plan, Trial, outcomes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ETA = 4  # arXiv:1810.05934, section 4: "we set eta = 4" in its experiments


@dataclass(frozen=True, eq=False)
class SuccessiveHalving(Plan):
    """Finitely many candidates; the best of them are trained with several seeds at the end.

    Args:
        candidates: candidates to try, at least one, no two alike.
        rungs: number of training steps at each rung, rising; one rung is a plain grid search.
        eta: reduction factor, at least 2: the best 1/eta of a rung are promoted.
        finalists: number of the best candidates that are trained again with other seeds, at least 1.
        seeds: number of other seeds, at least 0; they take no part in choosing the finalists.
        references: candidates that are only trained along with the finalists, for comparison.
        seed: seed of the order of the candidates and of their training, 0 to 4294967295.
        measure: name of the cost that every candidate has, for Optuna's second objective.

    Raises:
        SearchError: a value outside its range.

    Example:
        >>> from keras_effnet.search.coefficient_grid import CoefficientGrid
        >>> found = CoefficientGrid("efficientnet_b0").candidates(step=0.25)
        >>> plan = SuccessiveHalving(tuple(each.candidate for each in found), rungs=(10, 40))
        >>> plan.next_job([]).steps
        10
    """

    kind: ClassVar[str] = "halving"

    candidates: tuple[Candidate, ...]
    rungs: tuple[int, ...]
    eta: int = ETA
    finalists: int = 3
    seeds: int = 3
    references: tuple[Candidate, ...] = ()
    seed: int = 0
    measure: str = "macs"

    def __post_init__(self) -> None:
        store_plain(self)
        check_int(SearchError, "eta", self.eta, 2)
        check_int(SearchError, "finalists", self.finalists, 1)
        check_int(SearchError, "seeds", self.seeds, 0)
        check_seed(SearchError, self.seed, more=self.seeds)
        for rung in self.rungs:
            check_int(SearchError, "rungs", rung, 1)
        if not self.rungs or any(low >= high for low, high in pairwise(self.rungs)):
            raise SearchError("`rungs` must be rising numbers of steps, at least one.", received=f"rungs={self.rungs}")
        keys = [candidate.key for candidate in self.candidates]
        if not keys or len(set(keys)) < len(keys):
            raise SearchError(
                "there must be candidates, no two alike.", received=f"{len(keys)}, of which {len(set(keys))} differ"
            )

    @cached_property
    def order(self) -> tuple[Candidate, ...]:
        """The candidates in the random order in which they start: a search cut short has tried all regions."""
        shuffled = list(self.candidates)
        random.Random(f"order-{self.seed}").shuffle(shuffled)
        return tuple(shuffled)

    @cached_property
    def _by_choices(self) -> dict[frozenset[tuple[str, Choice]], Candidate]:
        # The last one wins: a reference that is also a candidate is a candidate like the others.
        return {frozenset(each.choices.items()): each for each in (*self.references, *self.candidates)}

    @property
    def distributions(self) -> Mapping[str, BaseDistribution]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        found: dict[str, BaseDistribution] = {}
        for name in self.candidates[0].choices:
            values: list[Any] = [each.choices[name] for each in (*self.candidates, *self.references)]
            if any(isinstance(value, str | bool) for value in values):
                found[name] = CategoricalDistribution(tuple(dict.fromkeys(values)))
            else:
                found[name] = FloatDistribution(min(values), max(values))
        return found

    @property
    def cost(self) -> str:
        return self.measure

    def candidate(self, choices: Mapping[str, Choice]) -> Candidate:
        return self._by_choices[frozenset(choices.items())]

    def next_job(self, trials: Sequence[Trial]) -> Job | None:
        found = outcomes(trials)
        return next((job for job in self._jobs(found) if job.what not in found), None)

    def _jobs(self, found: Mapping[Any, Trial]) -> Iterator[Job]:
        """All jobs that may be done by now, in the order in which they come."""
        for each in self.order:
            yield Job(each.key, each.choices, self.rungs[0], self.seed)
        for rung, steps in enumerate(self.rungs[1:]):
            here = self._on_rung(found, rung)
            for trial in here[: len(here) // self.eta]:
                yield replace(trial.job, steps=steps, rung=rung + 1)
        # Finalists and references with other seeds, once nobody is promoted any more.
        if any(trial.state not in SETTLED for trial in found.values() if trial.job.seed == self.seed):
            return
        best = [trial.job for trial in self.best(list(found.values()))][: self.finalists]
        compared = {job.key: job.choices for job in best} | {each.key: each.choices for each in self.references}
        for seed, (key, choices) in product(self.final_seeds(), compared.items()):
            yield Job(key, choices, self.rungs[-1], seed, len(self.rungs) - 1)

    def total(self) -> tuple[int, int]:
        jobs, steps, before, count = 0, 0, 0, len(self.candidates)
        for rung in self.rungs:
            jobs, steps = jobs + count, steps + count * (rung - before)
            count, before = count // self.eta, rung
        compared = (min(self.finalists, len(self.candidates)) + len(self.references)) * self.seeds
        return jobs + compared, steps + compared * self.rungs[-1]

    def _on_rung(self, found: Mapping[Any, Trial], rung: int) -> list[Trial]:
        """Finished trials of a rung with the search's own seed, the best first."""
        what = self.seed, self.rungs[rung]
        here = (each for each in found.values() if each.state == "done" and (each.job.seed, each.job.steps) == what)
        return sorted(here, key=lambda trial: (-(trial.value or 0.0), trial.number))

    def best(self, trials: Sequence[Trial]) -> list[Trial]:
        """Finished trial of each candidate on its highest rung: higher rungs first, on one rung the best first."""
        ranked, found = dict[str, Trial](), outcomes(trials)
        for rung in reversed(range(len(self.rungs))):
            for trial in self._on_rung(found, rung):
                ranked.setdefault(trial.job.key, trial)
        return list(ranked.values())

    def final_seeds(self) -> range:
        """The seeds with which finalists and references are compared."""
        return range(self.seed + 1, self.seed + 1 + self.seeds)


@dataclass(frozen=True)
class Finalist:
    """A candidate that was trained with the final seeds.

    Args:
        key: key of the candidate.
        choices: its choices.
        cost: value of each measure, by name.
        label: "paper" for a reference, otherwise "candidate".
        metrics: metric by seed.
        test: accuracy on the test images by seed; empty if the data has none.
    """

    key: str
    choices: Mapping[str, Choice]
    cost: Mapping[str, float]
    label: str
    metrics: dict[int, float] = field(default_factory=dict)
    test: dict[int, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean of the metric over the seeds."""
        return statistics.fmean(self.metrics.values())

    @property
    def sd(self) -> float | None:
        """Standard deviation of the metric over the seeds; None for a single seed."""
        return statistics.stdev(self.metrics.values()) if len(self.metrics) > 1 else None


def compare_finalists(plan: SuccessiveHalving, trials: Sequence[Trial]) -> list[Finalist]:
    """Collects the candidates trained with the final seeds, the best mean first; empty if none has finished."""
    found: dict[str, Finalist] = {}
    references = {each.key for each in plan.references}
    for (key, seed, steps), trial in outcomes(trials).items():
        if seed not in plan.final_seeds() or steps != plan.rungs[-1] or trial.metric is None:
            continue
        candidate, label = plan.candidate(trial.job.choices), "paper" if key in references else "candidate"
        entry = found.setdefault(key, Finalist(key, dict(candidate.choices), dict(candidate.cost), label))
        entry.metrics[seed] = trial.metric
        if "test_accuracy" in trial.notes:
            entry.test[seed] = trial.notes["test_accuracy"]
    return sorted(found.values(), key=lambda entry: (-entry.mean, entry.key))
