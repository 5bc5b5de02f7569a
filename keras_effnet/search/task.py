"""The interface of a train function, and its name across processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Candidate

FUNCTION = "function"  # kind of a train function that is told by its name


@dataclass(frozen=True, eq=False)
class Task:
    """One call of a train function: train this candidate up to a number of steps, and return how good it is.

    Args:
        candidate: the network and its cost.
        seed: seed of weights and batches.
        steps: number of training steps at the end; an earlier call for a lower rung may have done a part of them.
        folder: existing folder of this candidate and seed alone. It holds what an earlier or a killed call left there,
            so that kept work need not be done again.
        parent: folder of the candidate whose weights are the start; None to start from random weights.
        report: records an intermediate result: `task.report(step, metric)`.
        note: records a JSON-able value beside the result: `task.note("test_accuracy", 0.9)`.
    """

    candidate: Candidate
    seed: int
    steps: int
    folder: Path
    parent: Path | None
    report: Callable[[int, float], None]
    note: Callable[[str, Any], None]


TrainFunction = Callable[[Task], float]
"""Takes a task and returns how good the candidate is, the larger the better."""


def read_metric(value: Any) -> float:
    """Reads what a train function returned; raises SearchError if it is not a number."""
    # Scalars of NumPy and the frameworks convert to float; so do texts, which have no `__float__`.
    numeric = isinstance(value, Real) or (hasattr(value, "__float__") and getattr(value, "shape", ()) == ())
    if isinstance(value, bool) or not numeric:
        raise SearchError(
            "a train function must return a number, the larger the better: the metric after `task.steps` steps.",
            received=f"{value!r:.200}",
        )
    return float(value)


def data_classes(train: Any) -> int:
    """Number of classes in the data of a train function; ImageNet's 1000 if it does not say."""
    return getattr(train, "classes", 1000)


def metric_name(train: Any) -> str:
    """Names the number that a train function returns."""
    values = train_to_dict(train)
    names = dict.fromkeys(("proxy", "comparison_training"), "accuracy")
    return {**names, "score": f"{values.get('score')} score"}.get(values["kind"], "metric")


def train_to_dict(train: Any) -> dict[str, Any]:
    """Describes a train function by JSON-able values, so that another process can find it.

    Of a function that is given itself, not by name, only the name is kept: it can be called in this process alone.
    Raises SearchError for what is no function.
    """
    if hasattr(train, "to_dict"):
        return train.to_dict()
    if isinstance(train, str):
        return {"kind": FUNCTION, "function": train}
    if not callable(train):
        raise SearchError(
            "`train` must be a function from a Task to a number, or its name 'package.module:function'.",
            received=f"train={train!r}",
        )
    return {"kind": "here", "function": f"{train.__module__}:{getattr(train, '__qualname__', type(train).__name__)}"}
