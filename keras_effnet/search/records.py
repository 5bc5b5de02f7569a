"""What a search leaves for programs: result.json, from one dataclass for each search, and trials.csv."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from keras_effnet.atomic import as_data_error, atomic_write, folder_lock
from keras_effnet.errors import SearchError
from keras_effnet.measures import MEASURES
from keras_effnet.report.text import json_text
from keras_effnet.search.candidates import Candidate, Choice, Trial
from keras_effnet.search.successive_halving import CONFIDENCE, Finalist, PairedDifference, t_interval

NOT_LEARNED = "nothing learned yet: raise --steps"
FINISHED = ("done", "failed", "retried")
# Columns of trials.csv; the choices stand between the two.
FIRST = ("number", "key", "rung", "seed", "steps", "state", "metric", "value", *MEASURES, "resolution")
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
        trained = [each for each in self.candidates if each.metric is not None]
        found = {each.key: [each.metric] for each in trained if each.metric is not None}
        found |= {each.key: list(each.metrics.values()) for each in self.finalists}
        return found.get(self.winner or "", []), max(len(trained), 1)

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
        limits: the limits' fields (`Limits`).
        size: number of networks in the space.
        candidates: the networks that were tried.
        best: key of the network of the largest reward; None before the first result.
        front: keys of the Pareto front of metric and cost, by rising cost.
        best_so_far: number and reward of each trial that was the best so far.
        table: the best network, stage by stage, as text.
    """

    method: str
    inherit: bool
    reward: Mapping[str, Any]
    limits: Mapping[str, Mapping[str, float]]
    size: int
    candidates: tuple[SearchedNetwork, ...]
    best: str | None = None
    front: tuple[str, ...] = ()
    best_so_far: tuple[tuple[int, float], ...] = ()
    table: str | None = None

    def winning_metrics(self) -> tuple[list[float], int]:
        trained = {each.key: each.metric for each in self.candidates if each.metric is not None}
        return [trained[self.best]] if self.best in trained else [], max(len(trained), 1)


Summary = CoefficientSummary | ArchitectureSummary


def write_result(output: Path, summary: SearchSummary) -> None:
    """Writes result.json.

    Args:
        output: folder of the search; created if missing.
        summary: summary of the search.

    Raises:
        DataError: the file cannot be written.
    """
    text = json_text(summary.to_dict())
    atomic_write(output / "result.json", lambda path: path.write_text(text, encoding="utf-8"))


class TrialLog:
    """trials.csv of a search: a line for each trial that has ended, well or not, in the order in which they ended.

    A line is written at once and synced to the disk. A half-written line that a kill left is cut away. Several
    processes may append to one file: each reads what the others wrote, so that no trial is listed twice.

    Args:
        path: path of the file; the first `append` creates it, with its folder.
        choices: names of the choices, one column each.

    Raises:
        DataError: an existing file cannot be read.
        SearchError: it has other columns, or lines that are no trials; or a choice has the name of another column.
    """

    def __init__(self, path: Path, choices: Sequence[str]) -> None:
        self.path = path
        self._columns = (*FIRST, *choices, *LAST)
        if len(set(self._columns)) < len(self._columns):
            raise SearchError(
                "each column of trials.csv needs a name of its own: rename the choice that is called like one of "
                f"{', '.join((*FIRST, *LAST))}.",
                received=", ".join(choices),
            )
        self._numbers: set[int] = set()
        self._end = 0  # bytes that have been read
        if path.exists():
            with as_data_error(path), path.open("rb") as file:
                self._read_on(file)

    @property
    def numbers(self) -> frozenset[int]:
        """Numbers of the trials that the file lists."""
        return frozenset(self._numbers)

    def append(self, trials: Sequence[Trial], candidate_of: Callable[[Mapping[str, Choice]], Candidate]) -> int:
        """Appends the finished trials that the file does not list yet.

        Args:
            trials: all trials of the search, in the order in which they are to be listed.
            candidate_of: function that makes the candidate of given choices.

        Returns:
            Number of trials that were appended.

        Raises:
            DataError: the file cannot be written.
            SearchError: another program wrote something else into it.
        """
        if not any(self._is_new(trial) for trial in trials) and self.path.exists():
            return 0
        with folder_lock(self.path.parent), as_data_error(self.path), self.path.open("ab+") as file:
            self._read_on(file)
            file.truncate(self._end)
            new = [trial for trial in trials if self._is_new(trial)]
            lines = [] if self._end else [self._columns]
            lines += [self._line(trial, candidate_of) for trial in new]
            content = _csv(lines)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(self._end)
                raise
        self._end += len(content)
        self._numbers |= {trial.number for trial in new}
        return len(new)

    def _is_new(self, trial: Trial) -> bool:
        return trial.state in FINISHED and trial.number not in self._numbers

    def _read_on(self, file: BinaryIO) -> None:
        """Reads the whole lines that were written since the last time."""
        if file.seek(0, os.SEEK_END) < self._end:  # somebody emptied it
            self._end = 0
            self._numbers.clear()
        file.seek(self._end)
        content = file.read()
        whole, header = content[: content.rfind(b"\n") + 1], _csv([self._columns])
        if not self._end and not (whole.startswith(header) if whole else header.startswith(content)):
            raise self._strange(content)
        lines = whole[0 if self._end else len(header) :].split(b"\n")[:-1]
        numbers = [line.partition(b",")[0] for line in lines]
        for line, number in zip(lines, numbers, strict=True):
            if not number.isdigit():
                raise self._strange(line)
        self._numbers.update(map(int, numbers))
        self._end += len(whole)

    def _strange(self, content: bytes) -> SearchError:
        return SearchError(
            f"{self.path} does not list this search's trials: it should have the columns {', '.join(self._columns)}. "
            "Move it away or name another output folder: the trials are in the search's store, and are listed again.",
            received=repr(content[:200].decode(errors="replace")),
        )

    def _line(self, trial: Trial, candidate_of: Callable[[Mapping[str, Choice]], Candidate]) -> list[Any]:
        """Cells of a trial's line; None is an empty cell."""
        notes, cells = dict(trial.notes), {"number": trial.number, "state": trial.state, "metric": trial.metric}
        cells |= {"value": trial.value, "seconds": trial.seconds, "worker": trial.worker, "error": trial.error}
        cells |= {"versions": _short_versions(notes.pop("versions", None)), "notes": json.dumps(notes)}
        if trial.job is not None:
            candidate = candidate_of(trial.job.choices)
            cells |= {name: candidate.cost.get(name) for name in MEASURES}
            cells |= {"resolution": candidate.spec.resolution, **trial.job.choices}
            cells |= {name: getattr(trial.job, name) for name in ("key", "rung", "seed", "steps", "parent")}
            cells["spec"] = json.dumps(json.loads(candidate.spec.to_json()))
        return [_on_one_line(cells.get(name)) for name in self._columns]


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode(errors="replace")


def _on_one_line(cell: Any) -> Any:
    """Removes line breaks: a half-written trial is known by the line break that it lacks."""
    return re.sub(r"[\r\n]+", " ", cell) if isinstance(cell, str) else cell


def _short_versions(versions: Any) -> str | None:
    """`{"keras": "3.15.1"}` as "keras 3.15.1"."""
    if isinstance(versions, Mapping):
        return ", ".join(f"{name} {version}" for name, version in versions.items())
    return None if versions is None else str(versions)
