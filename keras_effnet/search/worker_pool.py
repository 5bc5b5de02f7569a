"""Workers as processes: started, looked after, and started again when they die or hang."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from keras_effnet.errors import SearchError
from keras_effnet.search.plan import Row
from keras_effnet.search.store import Store
from keras_effnet.search.worker import FATAL, PARENT_VARIABLE, STORE_VARIABLE

logger = logging.getLogger(__name__)

LOGS_FOLDER = "logs"
# A worker that dies so often without a trial finished in between dies of something else than its trial.
MAX_DEATHS = 5
# How TensorFlow, its operations and NumPy are told how many threads to use.
THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


class Handle(Protocol):
    """A process somewhere."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        ...

    def kill(self) -> None:
        """Ends it at once, and waits until it is gone."""
        ...


Spawn = Callable[[Sequence[str], Mapping[str, str], Path], Handle]
"""Starts a command with additional environment variables; what it prints goes to a file."""


class LocalProcess:
    """A process on this machine."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as file:
            # A session of its own: Ctrl-C is for the driver, which ends its workers itself.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                list(command), stdout=file, stderr=file, env=child_environment(environment), start_new_session=True
            )

    def poll(self) -> int | None:
        return self._process.poll()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that shall end with this one."""
    return {**os.environ, **more, PARENT_VARIABLE: str(os.getpid())}


@dataclass
class Member:
    """One worker of a crew.

    Args:
        name: of the worker, as the store knows it.
        handle: its process.
        log: what it prints.
        trial: the number of the trial that it is at, and since when; None: at none.
    """

    name: str
    handle: Handle
    log: Path
    trial: tuple[int, float] | None = None


@dataclass
class WorkerPool:
    """The workers that one driver has started.

    Args:
        store: of the search.
        output: the search's folder.
        size: how many workers, at least 1.
        heartbeat: seconds between two signs of life of a trial.
        trial_timeout: seconds after which a trial counts as hung.
        spawn: starts a process; `LocalProcess` by default.
        threads: that each worker computes with; None: as many as it likes.
    """

    store: Store
    output: Path
    size: int
    heartbeat: float
    trial_timeout: float
    spawn: Spawn = LocalProcess
    threads: int | None = None
    members: list[Member] = field(default_factory=list)
    deaths: int = 0
    finished: int = 0

    def start(self) -> None:
        """Starts as many workers as are missing."""
        while len(self.members) < self.size:
            name = uuid4().hex[:8]
            log = self.output / LOGS_FOLDER / f"worker-{name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            options = [str(self.output), name, str(self.heartbeat), str(self.store.retries)]
            command = [sys.executable, "-m", "keras_effnet.search.worker", self.store.name, *options]
            # Commands are seen by all who share the machine, and an address may hold a password.
            environment = {STORE_VARIABLE: self.store.url, "TF_CPP_MIN_LOG_LEVEL": "2"}
            if self.threads is not None:
                environment |= dict.fromkeys(THREAD_VARIABLES, str(self.threads))
            self.members.append(Member(name, self.spawn(command, environment, log), log))

    def look_after(self, rows: Sequence[Row], done: bool) -> None:
        """Ends workers that hang, and replaces those that are gone unless the search is done.

        Raises:
            SearchError: a worker met what no other try can mend, or workers die whatever they do.
        """
        finished = sum(row.state in ("done", "failed") for row in rows)
        if finished > self.finished:
            self.finished, self.deaths = finished, 0
        running = {row.worker: row.number for row in rows if row.state == "running" and row.job is not None}
        for member in list(self.members):
            hangs = self._hangs(member, running.get(member.name))
            if hangs:
                logger.warning("trial %d hangs: ended after %.0f s", running[member.name], self.trial_timeout)
                member.handle.kill()
            status = member.handle.poll()
            if status is not None:
                self.members.remove(member)
                ended = f"its process ended with status {status}"
                self._bury(member, status, f"hung: ended after {self.trial_timeout:g} s" if hangs else ended, done)
        if not done:
            self.start()

    def stop(self) -> None:
        """Ends all workers; what they were at is queued again."""
        for member in self.members:
            member.handle.kill()
        for member in self.members:
            self.store.give_up(member.name, "interrupted", stopped=True)
        self.members.clear()

    def _hangs(self, member: Member, number: int | None) -> bool:
        if number is None:
            member.trial = None
        elif member.trial is None or member.trial[0] != number:
            member.trial = (number, time.monotonic())
        return member.trial is not None and time.monotonic() - member.trial[1] > self.trial_timeout

    def _bury(self, member: Member, status: int, reason: str, done: bool) -> None:
        if status == FATAL:
            raise SearchError(f"a worker cannot go on; see {str(member.log)!r}. Received: {last_line(member.log)}")
        lost = self.store.give_up(member.name, reason)
        if status == 0 or done:
            return
        logger.warning("worker %s ended with status %d at trial %s: another one starts", member.name, status, lost)
        if lost:
            return  # each trial can end so only as often as it is tried
        self.deaths += 1
        if self.deaths > MAX_DEATHS * self.size:
            raise SearchError(
                f"workers die whatever they do; the last one said: {last_line(member.log)!r}. Received: {self.deaths} "
                f"deaths in a row, the last with status {status}; see {str(member.log)!r}"
            )


def last_line(log: Path) -> str:
    """The last line that a process has printed."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:  # it ran on another host
        return "what it said lies on its own host"
    return lines[-1] if lines else "nothing"
