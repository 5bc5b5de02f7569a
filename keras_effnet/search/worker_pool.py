"""Workers as processes, here or on a Ray cluster: started, watched, and replaced when they die or hang.

On a cluster Ray places one actor per worker on some node (`SPREAD`: one after another). The actor starts the worker as
a process of its own, so that what kills it does not kill the actor, and tells when it ends. It ends with its actor.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from keras_effnet.errors import SearchError
from keras_effnet.extras import import_extra
from keras_effnet.search.candidates import SETTLED, Trial
from keras_effnet.search.store import Store
from keras_effnet.search.worker import FATAL, PARENT_VARIABLE, STORE_VARIABLE

logger = logging.getLogger(__name__)

LOGS_FOLDER = "logs"
# Workers that die so often, with no trial finished in between, die of something else than their trial.
MAX_DEATHS = 5
# Environment variables that set the number of threads of TensorFlow, its operations and NumPy.
THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip
# Exit status of a worker whose node or actor is gone: nobody can say how its process ended.
LOST = -1
SECONDS = 60.0  # for the cluster to answer; starting an actor took 2 to 10 seconds on two cores
# Tried in a process that can be ended.
PROBE = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
LONGEST_NAME = 255  # characters of a host's name, RFC 1035


Spawn = Callable[[Sequence[str], Mapping[str, str], Path], Any]
"""Starts a command, with additional environment variables and a file for its output; returns a `LocalProcess`."""


class LocalProcess:
    """A process on this machine, which ends with this one; on a cluster, the actor that starts one on its node."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path, folder: str | None = None
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        every = {**os.environ, **environment, PARENT_VARIABLE: str(os.getpid())}
        with log.open("ab") as file:
            # A session of its own: Ctrl-C is for the driver, which ends its workers itself.
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                list(command), stdout=file, stderr=file, env=every, cwd=folder, start_new_session=True
            )

    def poll(self) -> int | None:
        """Returns the exit status, or None while the process runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Waits for the end of the process, and returns its exit status."""
        return self._process.wait()

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()


class PoolWorker(NamedTuple):
    """One worker of a pool: its name in the store, its process, and the file that its output goes to."""

    name: str
    handle: Any
    log: Path


@dataclass
class WorkerPool:
    """The workers that one driver has started."""

    store: Store
    output: Path  # folder of the search
    size: int  # number of workers, at least 1
    heartbeat: float  # seconds between two signs of life of a trial
    trial_timeout: float  # seconds after which a trial counts as hung
    spawn: Spawn = LocalProcess
    threads: int | None = None  # per worker; None to leave it to the worker
    workers: list[PoolWorker] = field(default_factory=list, init=False)
    _deaths: int = field(default=0, init=False)  # since the last trial finished
    _finished: int = field(default=0, init=False)  # trials at the last check
    _since: dict[int, float] = field(default_factory=dict, init=False)  # when each trial was first seen running

    def look_after(self, trials: Sequence[Trial], done: bool) -> None:
        """Ends workers that hang, and replaces those that are gone, unless the search is done."""
        finished = sum(trial.state in SETTLED for trial in trials)
        if finished > self._finished:
            self._finished, self._deaths = finished, 0
        running, now = {trial.worker: trial.number for trial in trials if trial.state == "running"}, time.monotonic()
        for worker in list(self.workers):
            number = running.get(worker.name)
            hangs = number is not None and now - self._since.setdefault(number, now) > self.trial_timeout
            if hangs:
                logger.warning("trial %d hangs: ended after %.0f s", number, self.trial_timeout)
                worker.handle.kill()
            status = worker.handle.poll()
            if status is None:
                continue
            self.workers.remove(worker)
            if status == FATAL:
                raise SearchError(f"a worker cannot go on; see {str(worker.log)!r}.", received=last_line(worker.log))
            ended = f"its process ended with status {status}"
            lost = self.store.give_up(worker.name, f"hung: ended after {self.trial_timeout:g} s" if hangs else ended)
            if status == 0 or done:
                continue
            logger.warning("worker %s ended with status %d at trial %s: another one starts", worker.name, status, lost)
            self._deaths += not lost  # a trial can kill workers only as often as it is tried
            if self._deaths > MAX_DEATHS * self.size:
                raise SearchError(
                    f"workers die whatever they do; the last one said: {last_line(worker.log)!r}.",
                    received=f"{self._deaths} deaths in a row, the last with status {status}; see {str(worker.log)!r}",
                )
        while not done and len(self.workers) < self.size:
            name = uuid4().hex[:8]
            log = self.output / LOGS_FOLDER / f"worker-{name}.log"
            options = [str(self.output), name, str(self.heartbeat), str(self.store.retries)]
            command = [sys.executable, "-m", "keras_effnet.search.worker", self.store.name, *options]
            # All users of the machine see commands, and an address may hold a password.
            environment = {STORE_VARIABLE: self.store.url, "TF_CPP_MIN_LOG_LEVEL": "2"}
            environment |= dict.fromkeys(THREAD_VARIABLES if self.threads else (), str(self.threads))
            self.workers.append(PoolWorker(name, self.spawn(command, environment, log), log))

    def stop(self) -> None:
        """Ends all workers, and queues their trials again."""
        for worker in self.workers:
            worker.handle.kill()
        for worker in self.workers:
            self.store.give_up(worker.name, "interrupted", stopped=True)
        self.workers.clear()


def last_line(log: Path) -> str:
    """Last line that a process has printed."""
    try:
        return (log.read_text(errors="replace").strip() or "nothing").splitlines()[-1]
    except OSError:  # it ran on another host
        return "its output is on its own host"


def connect_ray(address: str) -> Spawn:
    """Connects to a Ray cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = import_extra("ray", "a Ray cluster")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        # Fails early: Ray waits for minutes for a silent host, and for ever for one that is no cluster.
        if port.isdigit() and 0 < len(host) <= LONGEST_NAME:  # else "auto" and its like: Ray finds the address
            socket.create_connection((host, int(port)), timeout=SECONDS).close()
        probe = [sys.executable, "-c", PROBE, address]
        subprocess.run(probe, capture_output=True, timeout=SECONDS, check=True)  # noqa: S603 - our own text
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        raise SearchError(
            f"no Ray cluster answers; start one with `ray start --head`, or name its address: {error!s:.300}.",
            received=f"ray_address={address!r}",
        ) from error
    options = {"num_cpus": 1, "max_restarts": 0, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
    actor: Any = ray.remote(**options)(LocalProcess)
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    return lambda command, environment, log: RayHandle(
        actor.remote(command, {**inherited, **environment}, log, os.getcwd())
    )


class RayHandle:
    """Handle of the process of an actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._end = actor.wait.remote()

    def poll(self) -> int | None:
        import ray
        from ray.exceptions import RayError

        # Asked without waiting: an actor that still waits for a free node must hold up nobody.
        if not ray.wait([self._end], timeout=0)[0]:
            return None
        try:
            return ray.get(self._end)
        except RayError:
            return LOST
        finally:
            ray.kill(self._actor)  # gives its place on the node back

    def kill(self) -> None:
        import ray
        from ray.exceptions import RayError

        with suppress(RayError):  # it is gone already, or was never placed
            ray.get(self._actor.kill.remote(), timeout=SECONDS)
        ray.kill(self._actor)
