"""What a search remembers: an Optuna study in a database, and the trials in it as the plan reads them.

SQLite in the output folder serves one machine, PostgreSQL any number of hosts. Optuna gives every trial a number, hands
no trial out twice, and finds trials whose process is gone by their heartbeat; they are queued again. What a trial does
stands in its user attribute "job", what it came to in "notes".
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from keras_effnet.errors import SearchError
from keras_effnet.search.plan import Job, Row, State

JOB, NOTES, IDENTITY = "job", "notes", "identity"
STOPPED = "stopped"  # of a trial that its search was stopped at: that was no fault of its own, and counts as no try
SQLITE_FILE = "search.db"
LOCK_SECONDS = 60.0  # that SQLite waits for another process; Optuna's own trials of two writers needed that much
OPENINGS = 20  # tries to open a new database that as many processes make at the same time
GRACE = 4  # heartbeats that may be missed: a worker that is busy with TensorFlow's graph sends them late
# What PostgreSQL's own form of an address means here: psycopg 3, which the extra installs.
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it logs stands in our own reports, and failures in trials.csv
logging.getLogger("alembic").setLevel(logging.WARNING)


class Store:
    """The trials of one search.

    Args:
        url: of the database, as SQLAlchemy reads it.
        identity: what the search is, JSON-able; None: of a search that exists, found by its name.
        name: of the study; None: made from the identity, so that two searches never share one.
        heartbeat: seconds between two signs of life of a trial.
        retries: how often a trial that failed is tried again.
        patience: seconds to wait for a locked SQLite file.

    Raises:
        SearchError: the database cannot be opened, is none, is locked, or holds another search under this name.
    """

    def __init__(
        self,
        url: str,
        identity: dict[str, Any] | None = None,
        *,
        name: str | None = None,
        heartbeat: float = 10,
        retries: int = 2,
        patience: float = LOCK_SECONDS,
    ) -> None:
        self.url = storage_url(url)
        self.name = study_name(identity or {}) if name is None else name
        self.retries = retries
        self._rows: dict[int, Row] = {}
        self._sighted: dict[int, float] = {}  # since when a trial has been seen to run
        self._queued_at: dict[int, float] = {}  # when a failed trial is queued again, if nobody does so before
        self._arguments = {"timeout": patience} if self.url.startswith("sqlite") else {}
        self._beat = max(1, math.ceil(heartbeat))
        with self.errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._open(identity)

    def _open(self, identity: dict[str, Any] | None, tries: int = OPENINGS) -> None:
        try:
            self._storage = RDBStorage(
                self.url,
                engine_kwargs={"connect_args": self._arguments},
                heartbeat_interval=self._beat,
                grace_period=GRACE * self._beat,
                heartbeat_stale_trial_callback=self._queue_again,
            )
            if self.url.startswith("sqlite"):
                _take_turns(self._storage.engine)
            if identity is None:
                self.study = optuna.load_study(study_name=self.name, storage=self._storage)
                self.identity = self.study.user_attrs[IDENTITY]
            else:
                self.study = self._create(identity)
                self.identity = identity
        except (SQLAlchemyError, StorageInternalError) as error:
            message = str(error.__cause__ or error).lower()
            if tries == 1 or not any(words in message for words in ("already exists", "unique constraint")):
                raise
            # Optuna makes its tables one by one, and so did another process at the same moment.
            time.sleep(random.uniform(0.1, 0.5))
            self._open(identity, tries - 1)

    def _create(self, identity: dict[str, Any]) -> optuna.Study:
        try:
            study = optuna.create_study(study_name=self.name, storage=self._storage, direction="maximize")
            study.set_user_attr(IDENTITY, identity)
        except DuplicatedStudyError:
            study = optuna.load_study(study_name=self.name, storage=self._storage)
            # Another host that has just made it may not have said yet what it is; by the name it is ours.
            found = study.user_attrs.get(IDENTITY, identity)
            if found != json.loads(json.dumps(identity)):
                raise SearchError(
                    f"the store holds another search of this name. Received: {self.name!r} in {self.shown_url!r}"
                ) from None
            study.set_user_attr(IDENTITY, identity)
        return study

    @property
    def shown_url(self) -> str:
        """The address without a password."""
        return make_url(self.url).render_as_string(hide_password=True)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what a database raises into SearchError."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError, KeyError, ImportError, RuntimeError) as error:
            cause: BaseException = error.__cause__ or error
            said = " ".join(str(cause).split())
            raise SearchError(f"{_advice(said)}: {said:.300}. Received: {self.shown_url!r}") from error

    def rows(self) -> list[Row]:
        """The trials in the order of their numbers.

        Raises:
            SearchError: the database cannot be read.
        """
        with self.errors():
            trials = self.study.get_trials(deepcopy=False)
        return [self._known(trial) for trial in trials]

    def _known(self, trial: FrozenTrial) -> Row:
        """The row of a trial, kept once nothing in it can change."""
        row = self._rows.get(trial.number)
        if row is None:
            row = self._row(trial)
            if row.state in ("done", "failed", "retried", "void"):
                self._rows[trial.number] = row
        return row

    def _row(self, trial: FrozenTrial) -> Row:
        job, notes = trial.user_attrs.get(JOB), dict(trial.user_attrs.get(NOTES, {}))
        values = {} if job is None else {name: value for name, value in job.items() if name != "worker"}
        seconds = trial.duration.total_seconds() if trial.duration is not None else None
        state = self._state(trial)
        if state in ("waiting", "running"):
            notes = {}  # of the try before
        error = notes.pop("error", "its process was gone" if state in ("failed", "retried") else None)
        return Row(
            number=trial.number,
            job=Job(**values) if values else None,
            state=state,
            fresh=first_number(trial) == trial.number,
            metric=notes.pop("metric", None),
            value=trial.value if state == "done" else None,
            curve={int(step): value for step, value in trial.intermediate_values.items()},
            seconds=seconds,
            error=error,
            worker=None if job is None else job.get("worker"),
            notes=notes,
        )

    def _state(self, trial: FrozenTrial) -> State:
        if trial.state == TrialState.FAIL and JOB not in trial.user_attrs:
            return "void"
        if trial.state == TrialState.FAIL:
            return "retried" if len(_tries(trial)) <= self.retries else "failed"
        names: dict[TrialState, State] = {
            TrialState.WAITING: "waiting",
            TrialState.RUNNING: "running",
            TrialState.COMPLETE: "done",
            TrialState.PRUNED: "void",
        }
        return names[trial.state]

    def try_again(self, number: int) -> None:
        """Queues a failed trial once more, unless it has been tried often enough.

        Raises:
            SearchError: the database cannot be written.
        """
        with self.errors():
            self._queue_again(self.study, self.study.get_trials(deepcopy=False)[number])

    def _queue_again(self, study: optuna.Study, trial: FrozenTrial) -> None:
        # Optuna's own RetryHeartbeatStaleTrialCallback, by whose names this goes, counts the trials that were stopped,
        # and hands on the notes of the try before.
        if self._state(trial) != "retried":
            return
        job = {name: value for name, value in trial.user_attrs[JOB].items() if name != "worker"}
        history = {"failed_trial": first_number(trial), "retry_history": _tries(trial)}
        again = optuna.create_trial(state=TrialState.WAITING, user_attrs={JOB: job}, system_attrs=history)
        study.add_trial(again)

    def give_up(self, worker: str, reason: str, *, stopped: bool = False) -> list[int]:
        """Fails the running trials of a worker that is known to be gone, and queues them again.

        Args:
            worker: its name.
            reason: that is noted.
            stopped: whether the search was stopped, so that this counts as no try.

        Returns:
            Their numbers.

        Raises:
            SearchError: the database cannot be written.
        """
        lost = [row.number for row in self.rows() if row.state == "running" and row.worker == worker]
        for number in lost:
            with self.errors():
                trial = self.study.get_trials(deepcopy=False)[number]
                try:
                    self._storage.set_trial_user_attr(trial._trial_id, NOTES, {"error": reason})
                    self._storage.set_trial_user_attr(trial._trial_id, STOPPED, stopped)
                    self.study.tell(number, state=TrialState.FAIL)
                except (UpdateFinishedTrialError, ValueError):
                    continue  # its heartbeat was missed first: it is queued already
        self.mend(worker)
        return lost

    def find_lost(self) -> None:
        """Fails and queues again the trials whose heartbeat has stopped; Optuna itself looks before every trial.

        A trial that failed on a host that was gone before it had queued it again is queued, too.

        Raises:
            SearchError: the database cannot be read or written.
        """
        now = time.monotonic()
        with self.errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                # A trial whose process was killed before its first heartbeat would run for ever: it is given that one,
                # once, which does no harm to a trial that lives.
                if now - self._sighted.setdefault(trial.number, now) > GRACE * self._beat:
                    self._sighted[trial.number] = math.inf
                    self._storage.record_heartbeat(trial._trial_id)
            optuna.storages.fail_stale_trials(self.study)
        for row in self._left():
            # Not at the same moment by all who wait, or it would be queued as often.
            if now > self._queued_at.setdefault(row.number, now + GRACE * self._beat * random.uniform(1, 2)):
                self.try_again(row.number)

    def mend(self, worker: str | None = None) -> None:
        """Queues again what failed and was to be tried again, where whoever should have done so was killed in between.

        Args:
            worker: whose trials are meant, none of which runs; None: all.

        Raises:
            SearchError: the database cannot be read or written.
        """
        for row in self._left():
            if worker in (None, row.worker):
                self.try_again(row.number)

    def _left(self) -> list[Row]:
        """Trials that failed and are to be tried again, and that nobody has queued."""
        with self.errors():
            trials = self.study.get_trials(deepcopy=False)
        # Of one look into the store: what has been queued since must not be missed beside a newer state.
        last = {first_number(trial): trial for trial in trials}
        return [row for row in map(self._known, last.values()) if row.state == "retried"]


def _take_turns(engine: Engine) -> None:
    """Lets SQLite's transactions begin with their lock, as SQLAlchemy describes for its driver.

    Optuna reads that a trial waits, and then takes it. Other databases lock the row in between; SQLite has no such
    lock, and two processes were seen to take the same trial.
    """
    engine.dispose()  # of connections that began otherwise
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def storage_url(text: str) -> str:
    """The address of a database with the driver that serves it.

    Raises:
        SearchError: the text is no address.

    Example:
        >>> storage_url("postgresql://me@db/searches")
        'postgresql+psycopg://me@db/searches'
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise SearchError(
            "a store is an address such as postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE. "
            f"Received: {text!r}"
        ) from error
    driver = DRIVERS.get(url.drivername, url.drivername)
    return url.set(drivername=driver).render_as_string(hide_password=False)


def sqlite_url(folder: Path) -> str:
    """The address of the store of an output folder."""
    return f"sqlite:///{(folder / SQLITE_FILE).resolve()}"


def study_name(identity: dict[str, Any]) -> str:
    """A name that two searches share only where they are the same."""
    digest = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return f"keras_effnet-{identity.get('search', 'search')}-{digest}"


def fresh_rows(rows: Sequence[Row]) -> int:
    """How many of these trials are no second tries, and came to a job or still may."""
    return sum(row.fresh and row.state != "void" for row in rows)


def first_number(trial: FrozenTrial) -> int:
    """The number that a trial, or the one that it is another try of, began with."""
    return trial.system_attrs.get("failed_trial", trial.number)


def _tries(trial: FrozenTrial) -> list[int]:
    """The numbers of the tries that have failed by now, this one among them."""
    before = trial.system_attrs.get("retry_history", [])
    return before if trial.user_attrs.get(STOPPED) else [*before, trial.number]


def _advice(message: str) -> str:
    low = message.lower()
    if "locked" in low:
        return "the store is locked by another process: end what holds it, and start the same command again"
    if "not a database" in low or "malformed" in low or "corrupt" in low:
        return "the store is no database, or a broken one: restore the file, or name another output folder"
    if "no module named" in low or ("psycopg" in low and "import" in low):
        return "the store needs a driver that is not installed: pip install 'keras-effnet[postgresql]'"
    if "record does not exist" in low:
        return "the store holds no such search"
    return "the store cannot be used"
