"""What a search does next, as pure functions of what it knows: no store, no Keras, no clock.

A search is a row of trials. A trial has a *job*: train this candidate, with this seed, until so many steps have been
made. Whoever asks for a job (any process, on any host) has a number, and sees the jobs of all lower numbers: a plan
gives it the next one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from keras_effnet.search.candidates import Candidate, Choice

State = Literal["waiting", "running", "done", "retried", "failed", "void"]


@dataclass(frozen=True)
class Job:
    """What one trial does.

    Args:
        key: of the candidate.
        choices: that make the candidate.
        steps: how many steps of training it has at the end, with those of earlier jobs of the same candidate and seed.
        seed: of weights and batches.
        rung: of the ladder, from 0.
        parent: key of the candidate, trained with the same seed, whose weights it starts from; None: random ones.
    """

    key: str
    choices: Mapping[str, Choice]
    steps: int
    seed: int
    rung: int = 0
    parent: str | None = None

    @property
    def what(self) -> tuple[str, int, int]:
        """What makes two jobs the same: candidate, seed and steps."""
        return self.key, self.seed, self.steps


@dataclass(frozen=True)
class Row:
    """A trial as it stands.

    Args:
        number: of the trial, from 0.
        job: None: not known yet.
        state: "waiting" (to be tried again), "running", "done", "retried" (failed; another trial has its job), "failed"
            (for good), or "void" (it came to no job: there was nothing left to do, or it was ended before).
        fresh: whether it is no second try of another one.
        metric: what the training came to; None unless done.
        value: what is maximised, made from the metric and the cost; None unless done.
        curve: the metric after so many steps, as far as it was reported.
        seconds: from start to end; None while it runs.
        error: why it failed.
        worker: who ran it.
        notes: whatever else was noted: versions, test accuracy, share of weights inherited.
    """

    number: int
    job: Job | None
    state: State
    fresh: bool = True
    metric: float | None = None
    value: float | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None
    worker: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class Plan(ABC):
    """Which jobs a search has, and in which order; a value that JSON holds."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of what is chosen."""

    @abstractmethod
    def candidate(self, choices: Mapping[str, Choice]) -> Candidate:
        """The candidate of a choice."""

    @abstractmethod
    def next_job(self, rows: Sequence[Row], index: int) -> Job | None:
        """The next job; None where there is none now.

        Args:
            rows: all trials of lower numbers, in order, each of which but the void ones has its job; then the second
                tries of them.
            index: how many of them are fresh and not void.
        """

    @abstractmethod
    def is_done(self, rows: Sequence[Row]) -> bool:
        """Whether nothing is left to do, now or later."""

    @abstractmethod
    def total(self) -> tuple[int, int]:
        """About how many trials, and steps, it takes altogether."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON holds it, with its `kind`."""

    def value(self, candidate: Candidate, metric: float) -> float:
        """What is maximised: the metric itself, unless the plan weighs it against a cost."""
        return metric


def outcomes(rows: Iterable[Row]) -> dict[tuple[str, int, int], Row]:
    """The row that tells how each job stands, by `Job.what`: of a job tried again the last try, unless one is done."""
    found: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        if row.job is not None and row.state != "void":
            before = found.get(row.job.what)
            if before is None or before.state != "done":
                found[row.job.what] = row
    return found


def best_row(rows: Iterable[Row]) -> Row | None:
    """The finished trial of the largest value, of equal ones the first; None where none has finished."""
    done = [row for row in rows if row.state == "done" and row.value is not None]
    return max(done, key=lambda row: (row.value, -row.number), default=None)
