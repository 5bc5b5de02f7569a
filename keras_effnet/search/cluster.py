"""Workers on a Ray cluster: Ray says where, all else is as on one machine.

For each worker an actor is placed on some node (`SPREAD`: one after another). It starts the worker as a process of its
own, so that what kills a worker does not kill the actor, and tells whether it still runs. A worker ends with its actor.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from keras_effnet.errors import SearchError
from keras_effnet.search.worker_pool import Handle, Spawn, child_environment

# Of a worker whose node or actor is gone: nobody can say how its process ended.
LOST = -1
SECONDS = 60.0  # that the cluster may take to answer; starting an actor took 2 to 10 seconds on two cores
# Tried in a process that can be ended.
PROBE = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR')"
LONGEST_NAME = 255  # of a host, RFC 1035


def connect(address: str) -> Spawn:
    """Connects to a Ray cluster.

    Args:
        address: as `ray.init` takes it: "auto", "HOST:PORT" or "ray://HOST:PORT".

    Returns:
        What starts a worker on one of its nodes. The command, its folder and its environment are those of this process;
        the file that it prints to lies on its node.

    Raises:
        SearchError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SearchError(
            "a Ray cluster needs Ray: pip install 'keras-effnet[ray]'. Received: "
            f"ray_address={address!r}, and no module named 'ray'"
        ) from error
    _check_answer(address)
    try:
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise SearchError(f"{_ADVICE}: {error!s:.300}. Received: ray_address={address!r}") from error
    actor: Any = ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(NodeProcess)
    names = ("PATH", "PYTHONPATH", "HOME")
    inherited = {name: os.environ[name] for name in names if name in os.environ}

    def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Handle:
        made = actor.remote(list(command), {**inherited, **environment}, str(log), os.getcwd())
        return RayHandle(made)

    return spawn


_ADVICE = "no Ray cluster answers; start one with `ray start --head`, or name its address"


def _check_answer(address: str) -> None:
    """Ray itself waits for minutes for a host that does not answer, and for ever for one that is no cluster."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if port.isdigit() and 0 < len(host) <= LONGEST_NAME:  # else "auto" and its like: Ray finds the address
            socket.create_connection((host, int(port)), timeout=SECONDS).close()
        probe = [sys.executable, "-c", PROBE, address]
        subprocess.run(probe, capture_output=True, timeout=SECONDS, check=True)  # noqa: S603 - our own text
    except (OSError, OverflowError, subprocess.SubprocessError) as error:
        raise SearchError(f"{_ADVICE}: {error!s:.300}. Received: ray_address={address!r}") from error


class NodeProcess:
    """What an actor does on its node: one process, from its start to its end."""

    def __init__(self, command: list[str], environment: dict[str, str], log: str, folder: str) -> None:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with Path(log).open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdout=file, stderr=file, env=child_environment(environment), cwd=folder
            )

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()


class RayHandle:
    """The process of an actor, seen from here."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._answer: Any = None
        self._status: int | None = None

    def poll(self) -> int | None:
        import ray
        from ray.exceptions import RayError

        if self._status is not None:
            return self._status
        # Asked and not waited for: an actor that still waits for a free node must hold up nobody.
        if self._answer is None:
            self._answer = self._actor.poll.remote()
        ready, _ = ray.wait([self._answer], timeout=0)
        if ready:
            answer, self._answer = self._answer, None
            try:
                self._status = ray.get(answer)
            except RayError:
                self._status = LOST
        if self._status is not None:
            ray.kill(self._actor)  # gives its place on the node back
        return self._status

    def kill(self) -> None:
        import ray
        from ray.exceptions import RayError

        with suppress(RayError):  # it is gone already, or was never placed
            ray.get(self._actor.kill.remote(), timeout=SECONDS)
        ray.kill(self._actor)
        self._status = LOST
