"""A train function without any network, for comparisons in this process, which writes down what it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_effnet.search.candidates import Plan, Trial
from keras_effnet.search.driver import Engine
from keras_effnet.search.task import Task

Run = tuple[str, float, int, int]  # network, learning rate, seed, steps


class Trains:
    """How good a network is follows from its size, the learning rate and the seed: 0.1 is the best rate.

    Args:
        most: number of runs after which the process is interrupted.
        fails: learning rates that always fail.
        tests: whether the data has test images.
    """

    def __init__(self, most: int = 10**6, fails: Sequence[float] = (), *, tests: bool = False) -> None:
        self.most, self.fails, self.tests = most, fails, tests
        self.runs: list[Run] = []

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "here", "function": "comparison_trains:Trains"}

    def __call__(self, task: Task) -> float:
        if len(self.runs) == self.most:
            raise KeyboardInterrupt
        choices = task.candidate.choices
        rate = float(choices["rate"])
        self.runs.append((str(choices["network"]), rate, task.seed, task.steps))
        if rate in self.fails:
            raise ValueError("the loss is no longer a number")
        if self.tests:
            task.note("test_accuracy", worth(task) - 0.1)
        return worth(task)


def worth(task: Task) -> float:
    """The metric of a run."""
    return made(task.candidate.cost["macs"], float(task.candidate.choices["rate"]), task.seed)


def made(macs: float, rate: float, seed: int) -> float:
    """What a run of a network of that cost comes to: the more expensive, the better."""
    return 0.5 + min(macs, 1e10) / 1e11 + seed / 100 - abs(rate - 0.1)


def run_in_memory(plan: Plan, train: Trains, engine: Engine, describe: Any, write: Any) -> tuple[list[Trial], Any]:
    """Stands in for `run_search`: one worker, no database, no files."""
    trials: list[Trial] = []
    while (job := plan.next_job(trials)) is not None:
        notes: dict[str, Any] = {}
        task = Task(
            plan.candidate(job.choices), job.seed, job.steps, Path(), None, lambda step, metric: None, notes.__setitem__
        )
        try:
            metric = train(task)
        except ValueError as error:
            trials.append(Trial(len(trials), job, "failed", error=str(error)))
        else:
            trials.append(Trial(len(trials), job, "done", metric=metric, value=metric, notes=notes))
    common = {"data": {"name": "nothing"}, "chance": None, "trial_seconds": 1.0, "finished": True}
    return trials, describe(common, trials)
