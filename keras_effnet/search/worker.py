"""One worker: asks for a trial, finds out what it is to do, does it, says what it came to, and asks again.

No process is in charge. The number that Optuna gives a trial is a ticket: whoever holds it waits until every trial of a
lower number has its job written in the store, and then takes the next one by the plan. So two workers never take the
same job, without any lock; a worker that dies holds up nobody for longer than its heartbeat is waited for.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError

from keras_effnet.errors import SearchError, TrainingError
from keras_effnet.search.candidates import Candidate
from keras_effnet.search.plan import Job, Plan
from keras_effnet.search.store import JOB, NOTES, STOPPED, Store, fresh_rows
from keras_effnet.search.task import Task, TrainFunction, installed_versions, read_metric

logger = logging.getLogger(__name__)

POLL = 0.1  # seconds between two looks into the store, by whoever waits
FATAL = 3  # exit status: an error that no other try can mend
TRIALS_FOLDER = "trials"
STORE_VARIABLE, PARENT_VARIABLE = "KERAS_EFFNET_STORE", "KERAS_EFFNET_PARENT"
# A process makes room for a fresh one after so many, where memory is scarce: TensorFlow keeps some 100 MB of every
# network that it has traced, whatever Keras clears (measured: 2.1 GB after 17 networks of 10 to 20 blocks).
TRIALS_PER_PROCESS = 20
SCARCE = 0.5  # share of the machine's memory that is free


class Worker:
    """Does trials of a search until nothing is left.

    Args:
        store: of the search.
        plan: of the search.
        train: the train function.
        output: the search's folder; trials keep what they need in folders under it.
        name: of this worker.
        on_end: called after every trial.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        train: TrainFunction,
        output: Path,
        name: str,
        on_end: Callable[[], Any] = lambda: None,
    ) -> None:
        self.store = store
        self.plan = plan
        self.train = train
        self.output = output
        self.name = name
        self.on_end = on_end
        self._fatal: Exception | None = None
        self._number, self._failed = -1, False  # of the trial at hand
        self._notes: dict[str, Any] = {}
        self._reported: set[int] = set()

    def run(self, enough: Callable[[int], bool] = lambda count: False) -> None:
        """Works until the plan is done.

        Args:
            enough: whether to end before, after so many trials.

        Raises:
            SearchError: the store fails, or the train function returns no number.
        """
        count = 0
        while not enough(count):
            rows = self.store.rows()
            if self.plan.is_done(rows):
                return
            waiting = any(row.state == "waiting" for row in rows)
            if not waiting and self.plan.next_job(rows, fresh_rows(rows)) is None:
                self.store.find_lost()
                time.sleep(POLL)
                continue
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
                    return
        except KeyboardInterrupt:
            self._try_again()
            raise
        self._try_again()
        if self._fatal is not None:
            raise self._fatal

    def _try_again(self) -> None:
        """Queues what has just failed once more."""
        if self._failed and self.store.rows()[self._number].state == "retried":
            self.store.try_again(self._number)

    def _objective(self, trial: optuna.Trial) -> float:
        self._number = trial.number
        self._notes, self._reported = {}, set()
        try:
            job = self._job(trial)
        except Exception as error:  # of the store or the plan: no trial could go on
            self._fatal = error
            raise
        if job is None:
            raise optuna.TrialPruned("nothing was left to do")
        try:
            candidate = self.plan.candidate(job.choices)
            metric = self._metric(job, candidate, trial)
            value = self.plan.value(candidate, metric)
        except BaseException as error:
            self._failed = True
            self._notes["error"] = f"{type(error).__name__}: {error!s:.500}"
            if isinstance(error, SearchError):
                self._fatal = error
            trial.set_user_attr(STOPPED, isinstance(error, SearchError | KeyboardInterrupt))
            raise
        else:
            self._notes["metric"] = metric
            if job.steps not in self._reported:
                trial.report(metric, job.steps)
            return value
        finally:
            trial.set_user_attr(NOTES, {**self._notes, "versions": installed_versions()})

    def _job(self, trial: optuna.Trial) -> Job | None:
        """What a trial is to do; None where others were quicker: nothing is left, or a second try goes first."""
        known = trial.user_attrs.get(JOB)
        job = None
        if known is not None:
            job = Job(**{name: value for name, value in known.items() if name != "worker"})
        while job is None:
            rows = self.store.rows()
            if any(row.state == "waiting" for row in rows):
                return None  # whoever else could take it may be gone
            lower, later = rows[: trial.number], rows[trial.number + 1 :]
            if all(row.job is not None or row.state == "void" for row in lower):
                known = [*lower, *(row for row in later if not row.fresh)]
                job = self.plan.next_job(known, fresh_rows(lower))
                if job is None and self.plan.is_done(known):
                    return None
            if job is None:
                self.store.find_lost()
                time.sleep(POLL)
        trial.set_user_attr(JOB, {**asdict(job), "worker": self.name})
        return job

    def _metric(self, job: Job, candidate: Candidate, trial: optuna.Trial) -> float:
        folder = self.folder(job.key, job.seed)
        folder.mkdir(parents=True, exist_ok=True)
        parent = None if job.parent is None else self.folder(job.parent, job.seed)

        def report(step: int, metric: float) -> None:
            self._reported.add(step)
            trial.report(read_metric(metric), step)

        task = Task(candidate, job.seed, job.steps, folder, parent, report, self._notes.__setitem__)
        try:
            metric = read_metric(self.train(task))
        except SystemExit as error:  # would end the worker, with a status that means something else
            raise TrainingError(f"the train function ended its process. Received: {error!r}") from error
        if not math.isfinite(metric):
            raise TrainingError(f"the metric is not finite. Received: {metric}")
        return metric

    def folder(self, key: str, seed: int) -> Path:
        """Where the trials of a candidate keep what they need."""
        return self.output / TRIALS_FOLDER / f"{key}-{seed}"


def plan_from_dict(values: dict[str, Any]) -> Plan:
    """The plan that its `to_dict` wrote.

    Raises:
        SearchError: no such plan.
    """
    from keras_effnet.search.evolution import Evolution
    from keras_effnet.search.successive_halving import SuccessiveHalving

    kinds = {kind.kind: kind for kind in (SuccessiveHalving, Evolution)}
    if values.get("kind") not in kinds:
        raise SearchError(f"a plan is one of {', '.join(kinds)}. Received: kind={values.get('kind')!r}")
    return kinds[values["kind"]].from_dict(values)


def train_from_dict(values: dict[str, Any]) -> TrainFunction:
    """The train function that `train_to_dict` wrote.

    Raises:
        SearchError: the function is not found, or lives in another process.
    """
    if values["kind"] == "proxy":
        from keras_effnet.search.proxy_training import ProxyTraining

        return ProxyTraining.from_dict(values)
    if values["kind"] == "score":
        from keras_effnet.search.scores import ZeroCost

        return ZeroCost.from_dict(values)
    name = values["function"]
    module, _, function = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise SearchError(
            f"the train function cannot be imported: {error}. Name it as 'package.module:function', and put the folder "
            f"of the module on PYTHONPATH. Received: {name!r}"
        ) from error
    return found


def makes_room(trials: int) -> bool:
    """Whether a process has done enough, and keeps memory that others need."""
    memory = psutil.virtual_memory()
    return trials >= TRIALS_PER_PROCESS and memory.available < SCARCE * memory.total


def end_with_parent(parent: int) -> None:
    """Ends this process once the one that started it is gone: nobody else would."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(study: str, output: str, name: str, heartbeat: str, retries: str) -> int:
    """A worker as a process of its own; gives its exit status."""
    end_with_parent(int(os.environ[PARENT_VARIABLE]))
    try:
        store = Store(os.environ[STORE_VARIABLE], name=study, heartbeat=float(heartbeat), retries=int(retries))
        plan, train = plan_from_dict(store.identity["plan"]), train_from_dict(store.identity["train"])
        Worker(store, plan, train, Path(output), name).run(makes_room)
    except SearchError as error:
        sys.stderr.write(f"{error}\n")
        return FATAL
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
