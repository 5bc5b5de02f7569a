"""Successive halving over training steps, without waiting for each other: ASHA.

Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (arXiv:1810.05934), Algorithm 2: every candidate
is trained a little; of those that have reached a rung the best 1/eta go on to the next one, as soon as there are enough
to tell. A candidate that goes on does so from its own checkpoint, so that no step is trained twice.

One thing differs. There candidates never end, and whoever may climb goes first. Here they are finitely many, so that a
free worker takes the lowest job there is: it has as much to do, and fewer climb who would not have been among the best.

With one rung this is the plain grid search that halving is checked against.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

from keras_effnet.checks import check_int
from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Candidate, Choice
from keras_effnet.search.plan import Job, Plan, Row, outcomes

ETA = 4  # arXiv:1810.05934, section 4: "we set eta = 4" in its experiments


@dataclass(frozen=True, eq=False)
class SuccessiveHalving(Plan):
    """Finitely many candidates; the best of them trained with several seeds at the end.

    Args:
        candidates: what is tried, at least one, no two alike.
        rungs: steps of training at each rung, rising; one rung is a plain grid search.
        eta: of the candidates on a rung one in so many goes on, at least 2.
        finalists: how many of the best are trained again with other seeds, at least 1.
        seeds: how many other seeds, at least 0; they take no part in choosing the finalists.
        references: candidates that are only trained along with the finalists, to compare with.
        seed: of the order of the candidates and of their training, at least 0.

    Raises:
        SearchError: a value outside its range.

    Example:
        >>> from keras_effnet.search.coefficient_grid import coefficient_candidates
        >>> found = coefficient_candidates("efficientnet_b0", step=0.25)
        >>> plan = SuccessiveHalving(tuple(each.candidate for each in found), rungs=(10, 40))
        >>> job = plan.next_job([], 0)
        >>> job.steps, job.rung
        (10, 0)
    """

    kind: ClassVar[str] = "ladder"

    candidates: tuple[Candidate, ...]
    rungs: tuple[int, ...]
    eta: int = ETA
    finalists: int = 3
    seeds: int = 3
    references: tuple[Candidate, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        check_int(SearchError, "eta", self.eta, 2)
        check_int(SearchError, "finalists", self.finalists, 1)
        check_int(SearchError, "seeds", self.seeds, 0)
        check_int(SearchError, "seed", self.seed, 0)
        for rung in self.rungs:
            check_int(SearchError, "rungs", rung, 1)
        if not self.rungs or any(low >= high for low, high in pairwise(self.rungs)):
            raise SearchError(f"`rungs` must be rising numbers of steps, at least one. Received: rungs={self.rungs}")
        keys = [candidate.key for candidate in self.candidates]
        if not keys or len(set(keys)) < len(keys):
            raise SearchError(
                f"there must be candidates, no two alike. Received: {len(keys)}, of which {len(set(keys))} differ"
            )

    @cached_property
    def order(self) -> tuple[Candidate, ...]:
        """The candidates in the order in which they start: drawn, so that a search cut short has tried all regions."""
        shuffled = list(self.candidates)
        random.Random(f"order-{self.seed}").shuffle(shuffled)
        return tuple(shuffled)

    @cached_property
    def _by_choices(self) -> dict[tuple[tuple[str, Choice], ...], Candidate]:
        # What comes last wins: a reference is a candidate like others where it is both.
        return {_frozen(each.choices): each for each in (*self.references, *self.candidates)}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.candidates[0].choices)

    def candidate(self, choices: Mapping[str, Choice]) -> Candidate:
        return self._by_choices[_frozen(choices)]

    def next_job(self, rows: Sequence[Row], index: int) -> Job | None:
        found = outcomes(rows)
        return self._start(found) or self._climb(found) or self._compare(found)

    def is_done(self, rows: Sequence[Row]) -> bool:
        found = outcomes(rows)
        settled = all(row.state in ("done", "failed") for row in found.values())
        return settled and self.next_job(rows, 0) is None

    def total(self) -> tuple[int, int]:
        trials = steps = before = 0
        count = len(self.candidates)
        for rung in self.rungs:
            trials, steps = trials + count, steps + count * (rung - before)
            count, before = count // self.eta, rung
        compared = (min(self.finalists, len(self.candidates)) + len(self.references)) * self.seeds
        return trials + compared, steps + compared * self.rungs[-1]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "candidates": [each.to_dict() for each in self.candidates],
            "rungs": list(self.rungs),
            "eta": self.eta,
            "finalists": self.finalists,
            "seeds": self.seeds,
            "references": [each.to_dict() for each in self.references],
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SuccessiveHalving:
        """The plan that `to_dict` wrote."""
        made = {name: values[name] for name in ("eta", "finalists", "seeds", "seed")}
        candidates, references = (
            tuple(Candidate.from_dict(each) for each in values[name]) for name in ("candidates", "references")
        )
        return cls(candidates, tuple(values["rungs"]), references=references, **made)

    def on_rung(self, rows: Sequence[Row] | Mapping[Any, Row], rung: int) -> list[Row]:
        """The finished trials of a rung with the search's own seed, the best first."""
        found = rows if isinstance(rows, Mapping) else outcomes(rows)
        here = [
            row
            for row in found.values()
            if row.state == "done" and row.job and (row.job.seed, row.job.steps) == (self.seed, self.rungs[rung])
        ]
        return sorted(here, key=lambda row: (-(row.value or 0.0), row.number))

    def best(self, rows: Sequence[Row]) -> list[Row]:
        """The highest trial of each candidate: those on higher rungs first, on one rung the best first."""
        ranked: dict[str, Row] = {}
        for rung in reversed(range(len(self.rungs))):
            for row in self.on_rung(rows, rung):
                if row.job is not None:
                    ranked.setdefault(row.job.key, row)
        return list(ranked.values())

    def final_seeds(self) -> range:
        """The seeds that finalists and references are compared with."""
        return range(self.seed + 1, self.seed + 1 + self.seeds)

    def _climb(self, found: Mapping[Any, Row]) -> Job | None:
        """The best candidate that may go on from the lowest rung."""
        for rung in range(len(self.rungs) - 1):
            here = self.on_rung(found, rung)
            for row in here[: len(here) // self.eta]:
                job = row.job
                if job is not None and (job.key, self.seed, self.rungs[rung + 1]) not in found:
                    return Job(job.key, job.choices, self.rungs[rung + 1], self.seed, rung + 1)
        return None

    def _start(self, found: Mapping[Any, Row]) -> Job | None:
        for each in self.order:
            if (each.key, self.seed, self.rungs[0]) not in found:
                return Job(each.key, each.choices, self.rungs[0], self.seed)
        return None

    def _compare(self, found: Mapping[Any, Row]) -> Job | None:
        """A finalist or a reference with another seed, once nobody climbs any more."""
        if any(row.job and row.job.seed == self.seed and row.state not in ("done", "failed") for row in found.values()):
            return None
        best = [row.job for row in self.best(list(found.values())) if row.job is not None][: self.finalists]
        compared = {job.key: job.choices for job in best} | {each.key: each.choices for each in self.references}
        for seed in self.final_seeds():
            for key, choices in compared.items():
                if (key, seed, self.rungs[-1]) not in found:
                    return Job(key, choices, self.rungs[-1], seed, len(self.rungs) - 1)
        return None


def _frozen(choices: Mapping[str, Choice]) -> tuple[tuple[str, Choice], ...]:
    return tuple(sorted(choices.items()))
