"""The memory of a search: an Optuna study in a database, and its trials as a plan reads them.

A study has two objectives, the metric (maximised) and the cost (minimised), so that Optuna's tools draw the Pareto
front. The choices of a candidate are the parameters of its trial; key, seed, steps, rung, parent, worker and all
counted costs are user attributes. Multi-objective trials cannot report intermediate values: "notes" hold the curve.

SQLite in the output folder serves one machine, PostgreSQL any number of hosts. A job is queued as a waiting trial with
all its parameters in one transaction. Optuna hands no trial out twice, and misses the heartbeat of one that is lost.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from keras_effnet.errors import SearchError
from keras_effnet.redaction import HIDDEN, without_secrets
from keras_effnet.search.candidates import Job, State, Trial

IDENTITY = "identity"  # user attribute of the study
# User attributes of a trial that, with its parameters, are its job; and what a trial has that is none of ours.
JOB = {"key": "", "steps": 0, "seed": 0, "rung": 0, "parent": None}
WORKER, VALUE, NOTES = "worker", "value", "notes"  # user attributes that a trial gets while it runs
STOPPED = "stopped"  # user attribute of a trial that ended with its search: not its own fault, so not counted as a try
SQLITE_FILE = "search.db"
LOCK_SECONDS = 60.0  # SQLite waits so long for another process; Optuna's own tests with two writers needed that much
OPENINGS = 20  # attempts to open a new database that several processes create at the same time
GRACE = 4  # heartbeats that may be missed: a worker that is busy with TensorFlow's graph sends them late
# PostgreSQL's own form of an address, with the driver that the extra installs: psycopg 3.
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
STATES: dict[str, State] = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "done", "PRUNED": "void"}
# By what a database or its driver says; the first that fits.
ADVICE = {
    "locked": "the store is locked by another process: end what holds it, and start the same command again",
    "not a database|malformed|corrupt": "the store is no database, or a broken one: restore the file, or name another "
    "output folder",
    "no module named|psycopg.*import|import.*psycopg": "the store needs a driver that is not installed: pip install "
    "'psycopg[binary]'",
    "record does not exist": "the store holds no such search",
    "": "the store cannot be used",
}

optuna.logging.set_verbosity(optuna.logging.ERROR)  # our reports say the same, and trials.csv lists failures
logging.getLogger("alembic").setLevel(logging.WARNING)


class Store:
    """The trials of one search.

    Args:
        url: SQLAlchemy's address of the database.
        identity: JSON-able description of the search; None to open an existing search by its name.
        name: name of the study; None to derive it from the identity, so that no two searches share one.
        objectives: names of metric and cost, for Optuna's tools.
        heartbeat: seconds between two signs of life of a trial.
        retries: number of times that a failed trial is tried again.

    Raises:
        SearchError: the database cannot be opened, is none, is locked, or holds another search under this name.
    """

    def __init__(
        self,
        url: str,
        identity: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        objectives: tuple[str, str] = ("metric", "cost"),
        heartbeat: float = 10,
        retries: int = 2,
    ) -> None:
        self.url = storage_url(url)
        self.name = study_name(identity or {}) if name is None else name
        self.retries = retries
        self._objectives = list(objectives)
        self._known_trials: dict[int, Trial] = {}
        self._sighted: dict[int, float] = {}  # when a trial was first seen running
        self._queued_at: dict[int, float] = {}  # when a failed trial is queued again, unless somebody does so before
        self._arguments = {"timeout": LOCK_SECONDS} if self.url.startswith("sqlite") else {}
        self._beat = max(1, math.ceil(heartbeat))
        with self.errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._open(identity)

    def _open(self, identity: dict[str, Any] | None, tries: int = OPENINGS) -> None:
        try:
            self._database = RDBStorage(
                self.url,
                engine_kwargs={"connect_args": self._arguments},
                heartbeat_interval=self._beat,
                grace_period=GRACE * self._beat,
                heartbeat_stale_trial_callback=self._queue_again,
            )
            if self.url.startswith("sqlite"):
                # Transactions begin with their lock, as SQLAlchemy's documentation describes: Optuna reads that
                # a trial waits, then takes it. Other databases lock the row in between; SQLite has no such lock,
                # and two processes were seen to take the same trial.
                self._database.engine.dispose()  # closes connections that began otherwise
                event.listen(self._database.engine, "connect", lambda made, _: setattr(made, "isolation_level", None))
                event.listen(self._database.engine, "begin", lambda made: made.exec_driver_sql("BEGIN IMMEDIATE"))
            if identity is None:
                self.study = optuna.load_study(study_name=self.name, storage=self._database)
            else:
                named: Any = {"study_name": self.name, "directions": ["maximize", "minimize"], "load_if_exists": True}
                self.study = optuna.create_study(storage=self._database, **named)
                # Another host that has just created it may not have described it yet; by its name it is ours.
                if self.study.user_attrs.get(IDENTITY, identity) != identity:
                    raise SearchError(
                        "the store holds another search of this name; choose another name.",
                        received=f"{self.name!r} in {shown_url(self.url)!r}",
                    )
                self.study.set_user_attr(IDENTITY, identity)
                self.study.set_metric_names(self._objectives)
            self.identity = self.study.user_attrs[IDENTITY]
        except (SQLAlchemyError, StorageInternalError) as error:
            message = str(error.__cause__ or error).lower()
            if tries == 1 or not any(words in message for words in ("already exists", "unique constraint")):
                raise
            # Optuna creates its tables one by one, and another process did so at the same moment.
            time.sleep(random.uniform(0.1, 0.5))
            self._open(identity, tries - 1)
            return
        self.study.sampler = optuna.samplers.RandomSampler()  # never asked: every trial comes with its parameters

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Re-raises a database's errors as SearchError."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError, KeyError, ImportError, RuntimeError) as error:
            cause: BaseException = error.__cause__ or error
            said = _hidden(" ".join(str(cause).split()), self.url)
            advice = next(advice for words, advice in ADVICE.items() if re.search(words, said, re.IGNORECASE))
            raise SearchError(f"{advice}: {said:.300}.", received=repr(shown_url(self.url))) from error

    def queue(self, job: Job, distributions: Mapping[str, BaseDistribution], cost: Mapping[str, float]) -> None:
        """Adds a waiting trial for a job.

        Two workers may queue the same job at the same moment. The trial of the lower number counts; the other is void.
        """
        waiting = optuna.create_trial(
            state=TrialState.WAITING,
            params=dict(job.choices),
            distributions=dict(distributions),
            user_attrs={**cost, **{name: getattr(job, name) for name in JOB}},
        )
        with self.errors():
            self.study.add_trial(waiting)

    def adopt(self, equal_job: Callable[[Job], Job | None], distributions: Mapping[str, BaseDistribution]) -> int:
        """Copies the finished trials of other searches of this kind whose jobs are this search's too.

        Args:
            equal_job: gives this search's own job for one of another search; None if it has none that is the same.
            distributions: of each choice, by name.

        Returns:
            The number of trials that were copied.
        """
        have = {trial.job.what for trial in self.trials() if trial.state == "done"}
        kind, before = self.name.rpartition("-")[0], len(have)
        with self.errors():
            for name in optuna.get_all_study_names(self._database):
                if name == self.name or name.rpartition("-")[0] != kind:
                    continue
                other = optuna.load_study(study_name=name, storage=self._database)
                for trial in other.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
                    job = equal_job(_job(trial))
                    if job is None or job.what in have:
                        continue
                    have.add(job.what)
                    made = copy.deepcopy(trial)  # with its times
                    made.params, made.distributions = dict(job.choices), dict(distributions)
                    made.user_attrs = {**trial.user_attrs, **{name: getattr(job, name) for name in JOB}}
                    made.system_attrs = {}  # numbers of tries in the other search
                    self.study.add_trial(made)
        return len(have) - before

    def trials(self) -> list[Trial]:
        """Reads the trials, by number."""
        with self.errors():
            found = [self._read(trial) for trial in self.study.get_trials(deepcopy=False)]
        seen: set[tuple[str, int, int]] = set()
        for trial in found:
            if trial.fresh and trial.state != "void":
                if trial.job.what in seen:
                    found[trial.number] = replace(trial, state="void")
                seen.add(trial.job.what)
        return found

    def _read(self, frozen: FrozenTrial) -> Trial:
        """Reads a trial, and keeps it once it cannot change any more."""
        if frozen.number in self._known_trials:
            return self._known_trials[frozen.number]
        attributes, state = frozen.user_attrs, self._state(frozen)
        notes = dict(attributes.get(NOTES, {}))
        error = notes.pop("error", "its process was gone" if state in ("failed", "retried") else None)
        done = state == "done"
        trial = Trial(
            number=frozen.number,
            job=_job(frozen),
            state=state,
            fresh=first_number(frozen) == frozen.number,
            metric=frozen.values[0] if done else None,
            value=attributes.get(VALUE) if done else None,
            curve={int(step): metric for step, metric in notes.pop("curve", {}).items()},
            seconds=frozen.duration.total_seconds() if frozen.duration is not None else None,
            error=error,
            worker=attributes.get(WORKER),
            notes=notes,
        )
        if frozen.state.is_finished():
            self._known_trials[frozen.number] = trial
        return trial

    def _state(self, trial: FrozenTrial) -> State:
        if trial.state == TrialState.FAIL and "key" in trial.user_attrs:
            return "retried" if len(_tries(trial)) <= self.retries else "failed"
        return STATES[trial.state.name] if "key" in trial.user_attrs else "void"

    def try_again(self, number: int) -> None:
        """Queues a failed trial once more, unless it has been tried often enough."""
        with self.errors():
            self._queue_again(self.study, self.study.get_trials(deepcopy=False)[number])

    def _queue_again(self, study: optuna.Study, trial: FrozenTrial) -> None:
        # Optuna's own RetryHeartbeatStaleTrialCallback, whose names for the history are used here, also counts trials
        # that were stopped, and passes on the notes of the failed try.
        if self._state(trial) != "retried":
            return
        own = (WORKER, VALUE, NOTES, STOPPED)
        again = optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={name: value for name, value in trial.user_attrs.items() if name not in own},
            system_attrs={"failed_trial": first_number(trial), "retry_history": _tries(trial)},
        )
        study.add_trial(again)

    def give_up(self, worker: str, reason: str, *, stopped: bool = False) -> list[int]:
        """Fails the running trials of a worker that is known to be gone, and queues them again."""
        lost = [trial.number for trial in self.trials() if trial.state == "running" and trial.worker == worker]
        for number in lost:
            # Unless its heartbeat was missed first: then it is queued already.
            with self.errors(), suppress(UpdateFinishedTrialError, ValueError):
                self._database.set_trial_user_attr(self._id(number), NOTES, {"error": reason})
                self._database.set_trial_user_attr(self._id(number), STOPPED, stopped)
                self.study.tell(number, state=TrialState.FAIL)
        self.mend(worker)
        return lost

    def _id(self, number: int) -> int:
        """The database's own number of a trial."""
        study = self._database.get_study_id_from_name(self.name)
        return self._database.get_trial_id_from_study_id_trial_number(study, number)

    def find_lost(self) -> None:
        """Fails and queues again the trials whose heartbeat has stopped; Optuna itself looks before every trial.

        This also queues a trial that failed on a host that was gone before it could queue it.
        """
        now = time.monotonic()
        with self.errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                # A trial whose process was killed before its first heartbeat would run for ever. It is given that
                # heartbeat, once, which does no harm to a trial that is alive.
                if now - self._sighted.setdefault(trial.number, now) > GRACE * self._beat:
                    self._sighted[trial.number] = math.inf
                    self._database.record_heartbeat(self._id(trial.number))
            optuna.storages.fail_stale_trials(self.study)
        for trial in self._left():
            # Those who wait must not do this at the same moment, or it would be queued several times.
            if now > self._queued_at.setdefault(trial.number, now + GRACE * self._beat * random.uniform(1, 2)):
                self.try_again(trial.number)

    def mend(self, worker: str | None = None) -> None:
        """Queues again the failed trials that a killed process left unqueued."""
        for trial in self._left():
            if worker in (None, trial.worker):
                self.try_again(trial.number)

    def _left(self) -> list[Trial]:
        """Trials that failed, are to be tried again, and that nobody has queued."""
        with self.errors():
            trials = self.study.get_trials(deepcopy=False)
        # Of one look into the store: what has been queued since must not be missed beside a newer state.
        last = {first_number(trial): trial for trial in trials}
        return [trial for trial in map(self._read, last.values()) if trial.state == "retried"]


def storage_url(text: str) -> str:
    """Completes the address of a database with the driver that serves it; raises SearchError if it is no address."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the latter of a port that is no number; both may repeat a password
        raise SearchError(
            "a store is an address such as postgresql://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:///FILE.",
            received=repr(without_secrets(text)),
        ) from None
    return url.set(drivername=DRIVERS.get(url.drivername, url.drivername)).render_as_string(hide_password=False)


def shown_url(text: str) -> str:
    """Completes an address as `storage_url` does, without its password and other secrets."""
    return without_secrets(storage_url(text))


def _hidden(said: str, url: str) -> str:
    """What a database or its driver says, without the secrets in its address."""
    address = make_url(url)
    secrets = [address.password, *(value for values in address.normalized_query.values() for value in values)]
    for secret in filter(None, secrets):
        said = said.replace(secret, HIDDEN)
    return said


def sqlite_url(folder: Path) -> str:
    """Address of the store in an output folder."""
    return f"sqlite:///{(folder / SQLITE_FILE).resolve()}"


def study_name(identity: dict[str, Any]) -> str:
    """Names the study of a search; only equal searches share a name."""
    digest = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return f"keras_effnet-{identity.get('search', 'search')}-{digest}"


def first_number(trial: FrozenTrial) -> int:
    """Number of the first try of a trial's job: its own, unless it repeats another."""
    return trial.system_attrs.get("failed_trial", trial.number)


def _job(trial: FrozenTrial) -> Job:
    """The job of a trial; without a key if it came from elsewhere."""
    return Job(choices=trial.params, **{name: trial.user_attrs.get(name, default) for name, default in JOB.items()})


def _tries(trial: FrozenTrial) -> list[int]:
    """Numbers of the tries that have failed by now; one that was stopped, or lost before its job began, is none."""
    before, attributes = trial.system_attrs.get("retry_history", []), trial.user_attrs
    return before if attributes.get(STOPPED) or WORKER not in attributes else [*before, trial.number]
