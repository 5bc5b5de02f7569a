"""What a search tries, as values that know neither store nor Keras nor clock.

A candidate is a network that follows from choices. A job trains one candidate with one seed up to a number of steps. A
trial is one run of a job, as the store knows it. A plan says which job comes next, as a pure function of the trials.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, get_args, get_origin, get_type_hints

from keras_effnet.cost import estimate_cost
from keras_effnet.json_text import parse_json, through_json
from keras_effnet.measures import count
from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:  # plans name Optuna's distributions, and need none of its engine
    from optuna.distributions import BaseDistribution

Choice = float | int | str | bool
State = Literal["waiting", "running", "done", "retried", "failed", "void"]
SETTLED = ("done", "failed")  # states of a job that nobody does again
KEY_DIGITS = 12  # of a hash: among a million candidates two share 48 bits with a chance of 0.2 %


class Record:
    """A dataclass that is written as JSON-able values, and read again by another process."""

    kind: ClassVar[str] = ""  # told beside the fields where several classes are read in one place

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values, with the `kind`."""
        return through_json(self, default=_fields)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The object that `to_dict` wrote."""
        return _decode(cls, values)


def _fields(value: Any) -> Any:
    """The fields of a dataclass, those inside it as they are."""
    if isinstance(value, BackboneSpec):
        return parse_json(value.to_json())
    kind = {"kind": value.kind} if getattr(value, "kind", "") else {}
    return kind | {each.name: getattr(value, each.name) for each in fields(value)}


def _decode(hint: Any, value: Any) -> Any:
    """Reads a value that is annotated by a type hint."""
    if hint is BackboneSpec:
        return BackboneSpec.from_json(json.dumps(value))
    if get_origin(hint) is tuple:
        return tuple(_decode(get_args(hint)[0], each) for each in value)
    if not is_dataclass(hint):
        return value
    hints: Any = get_type_hints(hint)
    return cast(Any, hint)(**{name: _decode(hints[name], each) for name, each in value.items() if name != "kind"})


@dataclass(frozen=True, eq=False)
class Candidate(Record):
    """One network of a search.

    Args:
        choices: chosen values by name, such as `{"alpha": 1.2, ...}` or `{"stage1.kernel": 5, ...}`; JSON-able.
        spec: the network that follows from the choices.
        cost: value of each measure by name (`keras_effnet.measures`); "latency_ms" only if the search weighs it.
    """

    choices: Mapping[str, Choice]
    spec: BackboneSpec
    cost: Mapping[str, float]

    @cached_property
    def key(self) -> str:
        """12 hexadecimal digits, the same for equal networks, however they were chosen."""
        return spec_key(self.spec)


def spec_key(spec: BackboneSpec) -> str:
    """Identifies a network by 12 hexadecimal digits, whatever its name."""
    return sha256(replace(spec, name="any").to_json().encode()).hexdigest()[:KEY_DIGITS]


def count_cost(spec: BackboneSpec, *, classes: int, channels: int = 3) -> dict[str, float]:
    """Counts every measure of a network but its latency, by name."""
    return count(estimate_cost(spec, classes=classes, channels=channels))


@dataclass(frozen=True)
class Job:
    """What one trial does: train one candidate with one seed.

    Args:
        key: key of the candidate.
        choices: choices that make the candidate.
        steps: number of training steps at the end, including those of earlier jobs of the same candidate and seed.
        seed: seed of weights and batches.
        rung: rung of successive halving, from 0.
        parent: key of the candidate whose weights, trained with the same seed, are the start; None for random weights.
    """

    key: str
    choices: Mapping[str, Choice]
    steps: int
    seed: int
    rung: int = 0
    parent: str | None = None

    @property
    def what(self) -> tuple[str, int, int]:
        """Identity of the job: candidate, seed and steps."""
        return self.key, self.seed, self.steps


@dataclass(frozen=True)
class Trial:
    """One run of a job, as the store knows it.

    Args:
        number: number of the trial in the study, from 0.
        job: its job; without a key if a void trial came from elsewhere.
        state: "waiting", "running", "done", "retried" (failed; another trial repeats its job), "failed" (given up), or
            "void" (it repeated a job that an earlier trial already had, or found nothing to do).
        fresh: whether it is the first try of its job.
        metric: result of the training; None unless done.
        value: number that the search maximises, made from metric and cost; None unless done.
        curve: metric by number of steps, as reported during training.
        seconds: duration; None while it runs.
        error: why it failed.
        worker: name of the worker that ran it.
        notes: anything else that was noted, such as versions, test accuracy or share of inherited weights.
    """

    number: int
    job: Job
    state: State
    fresh: bool = True
    metric: float | None = None
    value: float | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    seconds: float | None = None
    error: str | None = None
    worker: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class Plan(Record, ABC):
    """Which jobs a search has, and in which order; a JSON-able value."""

    # Whether trials of other plans of this kind stand for its own jobs, where those are the same. Then the folder of
    # one plan can go on with another one.
    shares_trials: ClassVar[bool] = False

    @property
    @abstractmethod
    def distributions(self) -> Mapping[str, BaseDistribution]:
        """Optuna's distribution of each choice, by name: the parameters of every trial."""

    @property
    @abstractmethod
    def cost(self) -> str:
        """Name of the measure that stands beside the metric as the second objective."""

    @abstractmethod
    def candidate(self, choices: Mapping[str, Choice]) -> Candidate:
        """Makes the candidate of given choices."""

    def equal_job(self, job: Job) -> Job | None:
        """Finds the job of this plan that is the same as one of another plan; None if there is none."""
        return None

    @abstractmethod
    def next_job(self, trials: Sequence[Trial]) -> Job | None:
        """Finds the next job; None if there is none now."""

    def is_done(self, trials: Sequence[Trial]) -> bool:
        """Tells whether nothing is left to do, now or later."""
        return all(trial.state in SETTLED for trial in outcomes(trials).values()) and self.next_job(trials) is None

    @abstractmethod
    def total(self) -> tuple[int, int]:
        """Estimates the number of trials and of training steps of the whole search."""

    def value(self, candidate: Candidate, metric: float) -> float:
        """Gives the number that is maximised: the metric, unless the plan weighs it against a cost."""
        return metric


def outcomes(trials: Iterable[Trial]) -> dict[tuple[str, int, int], Trial]:
    """Finds the trial that tells how each job stands, by `Job.what`: its last try, unless an earlier one is done."""
    found: dict[tuple[str, int, int], Trial] = {}
    for trial in (each for each in trials if each.state != "void"):
        what = trial.job.what
        if what not in found or found[what].state != "done":
            found[what] = trial
    return found


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """Finds the finished trial with the largest value, the first of equal ones; None if none has finished."""
    done = [trial for trial in trials if trial.state == "done" and trial.value is not None]
    return max(done, key=lambda trial: (trial.value, -trial.number), default=None)


def steps_trained(trials: Iterable[Trial]) -> int:
    """Counts the training steps of finished trials, each step of a candidate and seed once."""
    done = sorted(what for what, trial in outcomes(trials).items() if trial.state == "done")
    return sum({what[:2]: what[2] for what in done}.values())
