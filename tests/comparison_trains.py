"""A train function without any network, for comparisons in this process, which writes down what it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    size = min(task.candidate.cost["macs"], 1e9) / 1e10
    return 0.5 + size + task.seed / 100 - abs(float(task.candidate.choices["rate"]) - 0.1)
