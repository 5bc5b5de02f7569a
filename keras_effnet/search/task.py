"""What a train function gets, and how one is named across processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import keras_effnet
from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Candidate

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "optuna")  # whose versions go with a result


@dataclass(frozen=True, eq=False)
class Task:
    """One call of a train function: train this candidate until it has so many steps, and say how good it is.

    Args:
        candidate: the network and its cost.
        seed: of weights and batches.
        steps: of training that it has at the end; an earlier call for a lower rung may have done a part of them.
        folder: of this candidate and seed alone; it exists, and holds what an earlier call left, or one that was
            killed. What is kept in it need not be done again.
        parent: folder of a candidate whose weights to start from; None: from random ones.
        report: tells a result on the way: `task.report(step, metric)`.
        note: tells what shall stand with the result: `task.note("test_accuracy", 0.9)`; JSON-able.
    """

    candidate: Candidate
    seed: int
    steps: int
    folder: Path
    parent: Path | None
    report: Callable[[int, float], None]
    note: Callable[[str, Any], None]


TrainFunction = Callable[[Task], float]
"""From a task to how good the candidate is: the larger the better."""


def read_metric(value: Any) -> float:
    """What a train function returned.

    Raises:
        SearchError: it is no number.
    """
    # NumPy's and the frameworks' scalars say that they are numbers by turning into one, and so do texts.
    numeric = isinstance(value, Real) or (hasattr(value, "__float__") and getattr(value, "shape", ()) == ())
    if isinstance(value, bool) or not numeric:
        raise SearchError(
            "a train function must return a number, the larger the better: the metric after `task.steps` steps. "
            f"Received: {value!r:.200}"
        )
    return float(value)


def data_classes(train: Any) -> int:
    """The classes of the data that a train function looks at; where it does not say, ImageNet's 1000."""
    return getattr(train, "classes", 1000)


def metric_name(train: Any) -> str:
    """What the number is that a train function returns."""
    values = train_to_dict(train)
    return {"proxy": "accuracy", "score": f"{values.get('score')} score"}.get(values["kind"], "metric")


def train_to_dict(train: Any) -> dict[str, Any]:
    """A train function as JSON holds it, for another process to find.

    Args:
        train: what has a `to_dict` (`ProxyTraining`, `ZeroCost`), the text "package.module:function", or any function:
            only its name is kept, and it can be called in this process alone.

    Raises:
        SearchError: it is no function.
    """
    if hasattr(train, "to_dict"):
        return train.to_dict()
    if isinstance(train, str):
        return {"kind": "function", "function": train}
    if not callable(train):
        raise SearchError(
            f"`train` must be a function from a Task to a number, or its name 'package.module:function'. "
            f"Received: train={train!r}"
        )
    return {"kind": "here", "function": f"{train.__module__}:{getattr(train, '__qualname__', type(train).__name__)}"}


def installed_versions() -> dict[str, str]:
    """Of what a trial was computed with, without importing it."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"keras_effnet": keras_effnet.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
