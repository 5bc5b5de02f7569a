"""One worker: takes a trial, does its job, says what came of it, and takes the next one.

No process is in charge. A worker that finds no waiting trial asks the plan for the next job, a function of the trials
alone, and queues it. Two workers that do so at the same moment queue the same job, of which the store lets one count.
So no lock is needed, and a worker that dies holds up nobody.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError

from keras_effnet.errors import SearchError, TrainingError
from keras_effnet.search.candidates import Plan
from keras_effnet.search.store import NOTES, STOPPED, VALUE, WORKER, Store
from keras_effnet.search.task import FUNCTION, Task, TrainFunction, read_metric
from keras_effnet.startup import import_less
from keras_effnet.versions import installed_versions

logger = logging.getLogger(__name__)

POLL = 0.1  # seconds between two looks into the store, for a worker that waits
FATAL = 3  # exit status: an error that no other try can mend
TRIALS_FOLDER = "trials"
STORE_VARIABLE, PARENT_VARIABLE = "KERAS_EFFNET_STORE", "KERAS_EFFNET_PARENT"
# If memory is scarce, a fresh process takes over after so many trials: TensorFlow keeps some 100 MB of every network
# that it has traced, whatever Keras clears (measured: 2.1 GB after 17 networks of 10 to 20 blocks).
TRIALS_PER_PROCESS = 20
SCARCE = 0.5  # free share of the machine's memory below which memory is scarce
# The classes that are told by their kind. Imported by name, so that a search loads only its own.
KINDS = {
    "halving": "successive_halving:SuccessiveHalving",
    "evolution": "evolution:Evolution",
    "comparison": "comparison_plan:ComparisonPlan",
    "proxy": "proxy_training:ProxyTraining",
    "comparison_training": "comparison_training:ComparisonTraining",
    "score": "scores:ZeroCost",
}


@dataclass
class Worker:
    """Runs the trials of a search until nothing is left."""

    store: Store
    plan: Plan
    train: TrainFunction
    output: Path  # folder of the search; each candidate and seed has a folder of its own inside
    name: str  # of this worker, in the store
    on_end: Callable[[], Any] = lambda: None  # called after every trial
    _fatal: Exception | None = field(default=None, init=False)
    _number: int = field(default=-1, init=False)  # of the current trial
    _failed: bool = field(default=False, init=False)  # whether the current trial has
    _notes: dict[str, Any] = field(default_factory=dict, init=False)

    def run(self, enough: Callable[[int], bool] = lambda count: False) -> None:
        """Works until the plan is done."""
        count = 0
        while not enough(count):
            trials = self.store.trials()
            if self.plan.is_done(trials):
                return
            if not any(trial.state == "waiting" for trial in trials):
                job = self.plan.next_job(trials)
                if job is None:
                    self.store.find_lost()
                    time.sleep(POLL)
                    continue
                self.store.queue(job, self.plan.distributions, self.plan.candidate(job.choices).cost)
            self._one_trial()
            self.on_end()
            count += 1

    def _one_trial(self) -> None:
        self._number, self._failed = -1, False
        try:
            with self.store.errors():
                try:
                    self.store.study.optimize(self._objective, n_trials=1, catch=(Exception,))
                except (UpdateFinishedTrialError, ValueError):
                    logger.warning("trial %d went on in another worker: its signs of life came too late", self._number)
                    self._failed = False
        finally:
            if self._failed and self.store.trials()[self._number].state == "retried":
                self.store.try_again(self._number)
        if self._fatal is not None:
            raise self._fatal

    def _objective(self, trial: optuna.Trial) -> tuple[float, float]:
        """Does the job of a trial; gives its metric and its cost."""
        curve: dict[int, float] = {}
        self._number, self._notes = trial.number, {"curve": curve}
        try:
            known = self.store.trials()[trial.number]
        except Exception as error:  # the store failed: no other trial could go on
            self._fatal = error
            raise
        if known.state == "void":
            raise optuna.TrialPruned("another worker was quicker")
        trial.set_user_attr(WORKER, self.name)
        job, folder = known.job, self.output / TRIALS_FOLDER / f"{known.job.key}-{known.job.seed}"
        parent = None if job.parent is None else folder.with_name(f"{job.parent}-{job.seed}")

        def report(step: int, metric: float) -> None:
            curve[int(step)] = read_metric(metric)

        try:
            candidate = self.plan.candidate(job.choices)
            folder.mkdir(parents=True, exist_ok=True)
            task = Task(candidate, job.seed, job.steps, folder, parent, report, self._notes.__setitem__)
            metric = _trained(self.train, task)
            curve.setdefault(job.steps, metric)
            trial.set_user_attr(VALUE, self.plan.value(candidate, metric))
            return metric, candidate.cost[self.plan.cost]
        except BaseException as error:
            self._failed = True
            self._notes["error"] = f"{type(error).__name__}: {error!s:.500}"
            if isinstance(error, SearchError):
                self._fatal = error
            trial.set_user_attr(STOPPED, isinstance(error, SearchError | KeyboardInterrupt))
            raise
        finally:
            trial.set_user_attr(NOTES, {**self._notes, "versions": installed_versions()})


def _trained(train: TrainFunction, task: Task) -> float:
    """Calls a train function, and raises TrainingError if it ends its process or its metric is not finite."""
    try:
        metric = read_metric(train(task))
    except SystemExit as error:  # would end the worker, with a status that means something else
        raise TrainingError("the train function ended its process.", received=repr(error)) from error
    if not math.isfinite(metric):
        raise TrainingError("the metric must be a finite number.", received=str(metric))
    return metric


def restore(values: Mapping[str, Any]) -> Any:
    """Makes the plan or the train function that its `to_dict`, or `train_to_dict`, wrote."""
    kind = values["kind"]
    if kind not in (*KINDS, FUNCTION):
        known = ", ".join((*KINDS, FUNCTION))
        raise SearchError(f"a worker can only make {known}: give `train` by its name.", received=repr(kind))
    name = values["function"] if kind == FUNCTION else f"keras_effnet.search.{KINDS[kind]}"
    module, _, path = name.partition(":")
    try:
        found: Any = attrgetter(path)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise SearchError(
            f"the train function cannot be imported: {error}. Name it as 'package.module:function', and put the folder "
            "of the module on PYTHONPATH.",
            received=repr(name),
        ) from error
    return found if kind == FUNCTION else found.from_dict(values)


def makes_room(trials: int) -> bool:
    """Tells whether a process has run many trials and keeps memory that others need."""
    memory = psutil.virtual_memory()
    return trials >= TRIALS_PER_PROCESS and memory.available < SCARCE * memory.total


def main(study: str, output: str, name: str, heartbeat: str, retries: str) -> int:
    """Runs a worker as a process of its own, and returns its exit status."""
    parent = int(os.environ[PARENT_VARIABLE])

    def end_with_parent() -> None:  # nobody else would end this process
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        store = Store(os.environ[STORE_VARIABLE], name=study, heartbeat=float(heartbeat), retries=int(retries))
        plan, train = restore(store.identity["plan"]), restore(store.identity["train"])
        Worker(store, plan, train, Path(output), name).run(makes_room)
    except SearchError as error:
        sys.stderr.write(f"{error}\n")
        return FATAL
    return 0


if __name__ == "__main__":
    import_less()
    sys.exit(main(*sys.argv[1:]))
