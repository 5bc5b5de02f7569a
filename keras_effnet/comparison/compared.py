"""The result of a comparison: a row for each network, as text, CSV, Markdown and JSON-able values."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_effnet.errors import ComparisonError
from keras_effnet.intervals import CONFIDENCE, PairedDifference, paired_difference, t_interval
from keras_effnet.report.text import short
from keras_effnet.resolution import Resolution, resolution_text
from keras_effnet.tables import Shown, aligned, csv_text

VERSION = 1  # of compare.json
NOTHING = "-"


@dataclass(frozen=True, kw_only=True)
class ComparedNetwork:
    """A row of a comparison.

    Args:
        label: name of the network in tables.
        group: name of its line in plots.
        phi: phi that it was scaled by; None if it was not scaled here.
        rule: name of the scaling rule; None if it was not scaled here.
        resolution: side of its images in pixels, or (height, width); None if it reads none.
        params: number of all weights.
        macs: multiply-adds per image.
        activations: outputs of convolutions and dense layers, per image.
        latency_ms: median milliseconds per image on this machine; None if it was not timed.
        steps: number of training steps of each run; None if it was not trained.
        training_macs: multiply-adds of one run.
        rates: validation accuracy by learning rate tried; None for a run that failed or has not ended.
        rate: learning rate of the runs that are reported.
        accuracies: accuracy by seed: on the test images if the data has any, else on the validation images.
        note: what is to be known of the row.
    """

    label: str
    group: str
    phi: float | str | None = None
    rule: str | None = None
    resolution: Resolution | None = None
    params: int
    macs: int
    activations: int
    latency_ms: float | None = None
    steps: int | None = None
    training_macs: float | None = None
    rates: Mapping[float, float | None] = field(default_factory=dict)
    rate: float | None = None
    accuracies: Mapping[int, float] = field(default_factory=dict)
    note: str = ""

    @property
    def mean(self) -> float | None:
        """Mean accuracy over the seeds; None without a run."""
        return statistics.fmean(self.accuracies.values()) if self.accuracies else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of 95 % of the mean, by Student's t over the seeds; None for fewer than two."""
        return t_interval(list(self.accuracies.values())) if len(self.accuracies) > 1 else None


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """How the networks of a comparison were trained.

    Args:
        data: name or path of the images, or name of the train function.
        metric: name of what was measured, such as "accuracy".
        measured_on: "test images" or "validation images".
        images: number of images of each split, by name; empty if unknown.
        chance: accuracy of guessing; None if unknown.
        recipe: fields of the recipe.
        seeds: the seeds that are reported.
        rate_seed: seed of the runs that chose the learning rates; None if there was nothing to choose.
        runs: number of runs that are "done", "failed", and in "total".
        seconds: duration of all runs, summed over the workers.
        versions: versions of the packages that the runs were made with, each as one text.
        finished: whether all runs are made.
    """

    data: str
    metric: str
    measured_on: str
    images: Mapping[str, int]
    chance: float | None
    recipe: Mapping[str, Any]
    seeds: tuple[int, ...]
    rate_seed: int | None
    runs: Mapping[str, int]
    seconds: float
    versions: tuple[str, ...]
    finished: bool


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Shown):
    """A comparison of networks. `str()` is a table.

    Args:
        networks: a row for each network, in the order asked for.
        command: command that made it.
        training: how the networks were trained; None if they were only counted.
        machine: what latencies depend on; None if nothing was timed.
    """

    networks: tuple[ComparedNetwork, ...]
    command: str
    training: TrainingSummary | None = None
    machine: Mapping[str, str] | None = None

    def __getitem__(self, label: str) -> ComparedNetwork:
        """The row of a network.

        Raises:
            ComparisonError: no network has this label.
        """
        for each in self.networks:
            if each.label == label:
                return each
        known = ", ".join(each.label for each in self.networks)
        raise ComparisonError(f"no network has this label; there are {known}.", received=repr(label))

    def difference(self, ours: str, theirs: str) -> PairedDifference:
        """Says by how much one network is ahead of another, seed by seed, with the t-interval of 95 %.

        Args:
            ours: label of the one.
            theirs: label of the other.

        Returns:
            The difference; its `verdict` is "better", "worse" or "not told apart".

        Raises:
            ComparisonError: an unknown label; fewer than two seeds that both have.
        """
        pair = self[ours], self[theirs]
        on = "test" if self.training and self.training.measured_on == "test images" else "metrics"
        found = paired_difference(pair[0].accuracies, pair[1].accuracies, on)
        if found is None:
            raise ComparisonError(
                "a difference needs at least two seeds with which both networks were trained: raise the seeds.",
                received=f"seeds {list(pair[0].accuracies)} of {ours!r}, {list(pair[1].accuracies)} of {theirs!r}",
            )
        return found

    def table(self, *, exact: bool = True) -> list[tuple[str, ...]]:
        """The table that people read: a header, and a row for each network, without columns that tell nothing.

        Args:
            exact: whether costs have all their digits, or three of them.
        """
        metric = self.training.metric if self.training else ""
        unequal = self.training is not None and self.training.recipe["equal"] != "steps"
        size: Callable[[int], str] = "{:,}".format if exact else short
        columns: dict[str, Callable[[ComparedNetwork], str]] = {
            "network": lambda row: row.label,
            "px": lambda row: NOTHING if row.resolution is None else resolution_text(row.resolution),
            "params": lambda row: size(row.params),
            "MACs": lambda row: size(row.macs),
            "activations": lambda row: size(row.activations),
            "latency ms": lambda row: _number(row.latency_ms, ".2f"),
            "steps": lambda row: _number(row.steps, ",d"),
            "training MACs" if unequal else "": lambda row: (
                NOTHING if row.training_macs is None else short(row.training_macs)
            ),
            "rate": lambda row: _number(row.rate, "g"),
            metric: lambda row: _number(row.mean, ".4f"),
            f"{CONFIDENCE:.0%} interval": lambda row: NOTHING if row.interval is None else _range(*row.interval),
            "seeds": lambda row: str(len(row.accuracies)) if row.accuracies else NOTHING,
        }
        cells = [tuple(columns), *(tuple(cell(row) for cell in columns.values()) for row in self.networks)]
        filled = [
            number
            for number in range(len(columns))
            if cells[0][number] and any(line[number] != NOTHING for line in cells[1:])
        ]
        return [tuple(line[number] for number in filled) for line in cells]

    @property
    def notes(self) -> list[str]:
        """What is to be known beside the table, a line each."""
        lines = [f"{each.label}: {each.note}" for each in self.networks if each.note]
        if self.training is not None:
            lines += training_notes(self.training)
        return lines

    @property
    def headline(self) -> str:
        """How many networks, and what they were trained on."""
        count = f"{len(self.networks)} network{'s' if len(self.networks) != 1 else ''}"
        return f"{count} trained on {self.training.data}" if self.training else f"{count} counted"

    def __str__(self) -> str:
        notes = self.notes
        return "\n".join([*aligned(self.table(), text_column=0), *(["", *notes] if notes else [])])

    def to_csv(self) -> str:
        """A line for each network with all that is known of it, and a column for each seed."""
        seeds = sorted({seed for each in self.networks for seed in each.accuracies})
        counted = ("label", "group", "phi", "rule", "resolution", "params", "macs", "activations", "latency_ms")
        trained = ("steps", "training_macs", "rate")
        header = [*counted, *trained, "mean", "low", "high", *(f"seed {seed}" for seed in seeds), "note"]
        rows = []
        for each in self.networks:
            told = {**vars(each), "resolution": None if each.resolution is None else resolution_text(each.resolution)}
            interval = each.interval or (None, None)
            accuracies = [each.accuracies.get(seed) for seed in seeds]
            rows.append([*(told[name] for name in (*counted, *trained)), each.mean, *interval, *accuracies, each.note])
        return csv_text([header, *rows])

    def to_markdown(self) -> str:
        """The table that people read, in Markdown, with the notes below."""
        header, *rows = ([cell.replace("|", r"\|") for cell in line] for line in self.table())
        rule = ["---", *["---:"] * (len(header) - 1)]
        lines = [f"| {' | '.join(line)} |" for line in (header, rule, *rows)]
        return "\n".join([*lines, *(line for note in self.notes for line in ("", note))]) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values, as compare.json holds it."""
        rows = [{**asdict(each), "mean": each.mean, "interval": each.interval} for each in self.networks]
        return {"version": VERSION, **asdict(self), "networks": rows}


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _range(low: float, high: float) -> str:
    return f"{low:.4f} to {high:.4f}"


def training_notes(training: TrainingSummary) -> list[str]:
    """What is to be known of the runs, a line each."""
    runs, lines = training.runs, []
    if not training.finished:
        lines.append(f"Not finished: {runs['done']} of {runs['total']} runs; the same command goes on.")
    if runs["failed"]:
        lines.append(f"{runs['failed']} runs failed for good; trials.csv has the reasons.")
    if len(training.versions) > 1:
        lines.append(f"The runs were made with different versions: {'; '.join(training.versions)}.")
    chance = "" if training.chance is None else f"; chance is {training.chance:.4f}"
    lines.append(f"The {training.metric} is that of {training.measured_on}{chance}.")
    return lines
