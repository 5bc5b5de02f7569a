"""What a search leaves for programs: result.json, from one dataclass for each search, and trials.csv."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from keras_effnet.atomic import as_data_error, atomic_write, folder_lock
from keras_effnet.errors import SearchError
from keras_effnet.intervals import CONFIDENCE, PairedDifference, t_interval
from keras_effnet.json_text import parse_json
from keras_effnet.measures import WEIGHED
from keras_effnet.search.candidates import Candidate, Choice, Trial
from keras_effnet.search.successive_halving import Finalist
from keras_effnet.tables import csv_text

NOT_LEARNED = "nothing learned yet: raise --steps"
FINISHED = ("done", "failed", "retried")
# Columns of trials.csv; the choices stand between the two.
FIRST = ("number", "key", "rung", "seed", "steps", "state", "metric", "value", *WEIGHED, "resolution")
LAST = ("seconds", "parent", "worker", "error", "versions", "notes", "spec")


@dataclass(frozen=True, kw_only=True)
class TriedNetwork:
    """A network of a search.

    Args:
        key: key of the candidate.
        choices: its choices, by name.
        cost: value of each measure, by name.
        resolution: side of its images, in pixels.
        widths: width of each stage, in channels.
        depths: number of blocks of each stage.
        metric: its latest metric; None before its first result.
    """

    key: str
    choices: Mapping[str, Choice]
    cost: Mapping[str, float]
    resolution: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    metric: float | None = None

    @classmethod
    def of(cls, candidate: Candidate, **more: Any) -> Self:
        """The network of a candidate, with what the search knows of it besides."""
        widths, depths = zip(*((stage.width, stage.depth) for stage in candidate.spec.stages), strict=True)
        known: dict[str, Any] = {"key": candidate.key, "choices": dict(candidate.choices), "cost": dict(candidate.cost)}
        return cls(**known, resolution=candidate.spec.resolution, widths=widths, depths=depths, **more)


@dataclass(frozen=True, kw_only=True)
class GridNetwork(TriedNetwork):
    """A network of the grid of coefficients.

    Args:
        triples: all (alpha, beta, gamma) that round to this network; the first stands for them.
        ratio: its cost, as a multiple of the base's.
        steps: number of training steps of its latest metric, 0 before the first.
        rung: rung of its latest metric; None before the first.
    """

    triples: tuple[tuple[float, float, float], ...]
    ratio: float
    steps: int = 0
    rung: int | None = None


@dataclass(frozen=True, kw_only=True)
class SearchedNetwork(TriedNetwork):
    """A network of a search for an architecture.

    Args:
        number: number of its trial.
        value: its reward; None before its result.
        parent: key of the candidate that it was mutated from; None if it was drawn at random.
        generation: number of mutations since a random draw.
    """

    number: int
    value: float | None = None
    parent: str | None = None
    generation: int = 0


@dataclass(frozen=True, kw_only=True)
class SearchSummary:
    """What both searches say of themselves.

    Args:
        search: "coefficients" or "architecture".
        command: command that started the search.
        storage: address of its database, without a password.
        versions: versions of the packages in use.
        data: description of the train function and its data.
        metric: name of the metric.
        chance: metric of guessing; None if the metric is not an accuracy.
        images: number of validation images that an accuracy is measured on; None if unknown.
        seed: seed of the search.
        steps: number of training steps so far.
        trials: number of trials that are "total", "done", "failed", "running" and "retried".
        trial_seconds: duration of the finished trials, summed over the workers.
        seconds: time since this call began.
        finished: whether the search is done.
    """

    search: str
    command: str
    storage: str
    versions: Mapping[str, str]
    data: Mapping[str, Any]
    metric: str
    chance: float | None
    images: int | None
    seed: int
    steps: int
    trials: Mapping[str, int]
    trial_seconds: float
    seconds: float
    finished: bool

    def winning_metrics(self) -> tuple[list[float], int]:
        """Metric of the winner for each of its seeds, and the number of networks that it was chosen from."""
        raise NotImplementedError

    @property
    def learned(self) -> bool:
        """Whether the winner's interval of 95 % lies above the chance level; True if that level is not known.

        Over several seeds the interval is Student's t. For a single one it is the binomial (Clopper and Pearson 1934)
        of the validation images, wide enough for the best of all networks tried (Bonferroni).
        """
        metrics, tried = self.winning_metrics()
        if self.chance is None or not metrics:
            return True
        if len(metrics) > 1:
            return t_interval(metrics)[0] > self.chance
        if self.images is None:
            return metrics[0] > self.chance
        from scipy.stats import binomtest

        test = binomtest(round(metrics[0] * self.images), self.images)
        return test.proportion_ci(1 - (1 - CONFIDENCE) / tried).low > self.chance

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON-able values, as result.json holds it."""
        return {**asdict(self), "learned": self.learned}


@dataclass(frozen=True, kw_only=True)
class CoefficientSummary(SearchSummary):
    """What a search for coefficients found.

    Args:
        base: name, resolution and cost of the base.
        measure: name of the measure that is to grow.
        factor: asked cost, as a multiple of the base's.
        tolerance: share of the factor by which a cost may differ.
        method: "halving" or "grid".
        note: why the grid replaced halving; None if it did not.
        rungs: number of training steps at each rung.
        grid_steps: number of training steps of the plain grid, without further seeds.
        candidates: the networks of the grid.
        finalists: the networks that were compared with further seeds, the best first.
        winner: key of the winner; None before the first result.
        rule: the winner's coefficients as Python, `Compound(...)`.
        difference: the winner against the paper's constants; None if they were not compared.
    """

    base: Mapping[str, Any]
    measure: str
    factor: float
    tolerance: float
    method: str
    note: str | None
    rungs: tuple[int, ...]
    grid_steps: int
    candidates: tuple[GridNetwork, ...]
    finalists: tuple[Finalist, ...] = ()
    winner: str | None = None
    rule: str | None = None
    difference: PairedDifference | None = None

    def winning_metrics(self) -> tuple[list[float], int]:
        found = {each.key: [each.metric] for each in self.candidates if each.metric is not None}
        finals = {each.key: list(each.metrics.values()) for each in self.finalists}
        return {**found, **finals}.get(self.winner or "", []), max(len(found), 1)

    def to_dict(self) -> dict[str, Any]:
        finalists = [{**asdict(each), "mean": each.mean, "sd": each.sd} for each in self.finalists]
        difference = self.difference and {**asdict(self.difference), "verdict": self.difference.verdict}
        return {**super().to_dict(), "finalists": finalists, "difference": difference}


@dataclass(frozen=True, kw_only=True)
class ArchitectureSummary(SearchSummary):
    """What a search for an architecture found.

    Args:
        method: "evolution" or "random".
        inherit: whether children started from their parents' weights.
        reward: the reward's fields (`Reward`).
        limits: largest allowed value of each limited measure, by name.
        size: number of networks in the space.
        candidates: the networks that were tried.
        best: key of the network of the largest reward; None before the first result.
        front: keys of the Pareto front of metric and cost, by rising cost.
        table: the best network, stage by stage, as text.
    """

    method: str
    inherit: bool
    reward: Mapping[str, Any]
    limits: Mapping[str, float]
    size: int
    candidates: tuple[SearchedNetwork, ...]
    best: str | None = None
    front: tuple[str, ...] = ()
    table: str | None = None

    def winning_metrics(self) -> tuple[list[float], int]:
        trained = {each.key: each.metric for each in self.candidates if each.metric is not None}
        return [trained[self.best]] if self.best in trained else [], max(len(trained), 1)


Summary = CoefficientSummary | ArchitectureSummary


class TrialLog:
    """trials.csv of a search: a line for each trial that has ended, well or not, by their numbers.

    The file is written whole, so that a kill leaves no half of a line.

    Args:
        path: path of the file; the first `update` creates it, with its folder.
        choices: names of the choices, one column each.

    Raises:
        SearchError: an existing file lists anything else, or a choice has the name of another column.
    """

    def __init__(self, path: Path, choices: Sequence[str]) -> None:
        self.path = path
        self._columns, self._rows = (*FIRST, *choices, *LAST), dict[int, list[Any]]()
        if clash := ", ".join({*FIRST, *LAST} & set(choices)):
            rule = f"each column of trials.csv needs a name of its own: rename the choice {clash}, as that is taken."
            raise SearchError(rule, received=", ".join(choices))
        with as_data_error(path):
            found = path.read_text("utf-8", "replace") if path.exists() else ""
        header, numbers = csv_text([self._columns]), [line.partition(",")[0] for line in found.split("\n")[1:-1]]
        if not (found.startswith(header) or header.startswith(found)) or not all(map(str.isdigit, numbers)):
            raise SearchError(
                f"{path} does not list this search's trials: it should have the columns {', '.join(self._columns)}. "
                "Move it away or name another output folder: the store holds all trials, and they are listed again.",
                received=repr(found[:200]),
            )
        self.numbers = frozenset(map(int, numbers))  # of the trials that earlier calls have listed

    def update(
        self, read: Callable[[], list[Trial]], candidate_of: Callable[[Mapping[str, Choice]], Candidate]
    ) -> list[Trial]:
        """Reads the trials from the store, and writes the file if more have ended since the last call."""
        trials = read()
        if self.path.exists() and all(each.number in self._rows for each in trials if each.state in FINISHED):
            return trials
        with folder_lock(self.path.parent):
            trials, rows = read(), dict[int, list[Any]]()  # again: another driver may have just listed more
            for trial in (each for each in trials if each.state in FINISHED):
                rows[trial.number] = self._rows.get(trial.number) or self._cells(trial, candidate_of(trial.job.choices))
            content = csv_text([self._columns, *rows.values()]).encode(errors="replace")
            atomic_write(self.path, lambda part: part.write_bytes(content))
        self._rows = rows
        return trials

    def _cells(self, trial: Trial, candidate: Candidate) -> list[Any]:
        notes, spec = dict(trial.notes), candidate.spec
        versions = ", ".join(f"{name} {version}" for name, version in notes.pop("versions", {}).items())
        cells = {**vars(trial), "versions": versions, "notes": json.dumps(notes), **candidate.cost, **vars(trial.job)}
        cells |= {"resolution": spec.resolution, "spec": json.dumps(parse_json(spec.to_json())), **trial.job.choices}
        # Without line breaks in its cells a trial is one line.
        row = (cells.get(name) for name in self._columns)
        return [re.sub(r"[\r\n]+", " ", cell) if isinstance(cell, str) else cell for cell in row]
