"""Train functions without any network, for searches in other processes, and the script that searches with them.

How good a candidate is follows from its key. Each step but the first takes as long as a file says by now, so that a
test can hold a search in the middle of a trial, kill it, and let it go on at once. How far a trial is stands in its
folder, as a checkpoint would.
"""

from __future__ import annotations

import atexit
import csv
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_effnet import scale_spec
from keras_effnet.atomic import atomic_write
from keras_effnet.registry import resolve_backbone
from keras_effnet.scaling import Coefficients
from keras_effnet.search.candidates import Candidate, Plan, Trial
from keras_effnet.search.driver import SEARCH_FILE, Engine, run_search
from keras_effnet.search.evolution import Evolution, Reward
from keras_effnet.search.space import ArchitectureSpace
from keras_effnet.search.store import Store, sqlite_url, study_name
from keras_effnet.search.successive_halving import SuccessiveHalving
from keras_effnet.search.task import Task, train_to_dict

PAUSE, CALLS = "pause", "calls"  # files beside trials.csv: seconds of a step; what train functions did
HALVING: dict[str, Any] = {"kind": "halving", "count": 4}
HOLD = 600  # seconds of a step that a test holds, and lets go
PATIENCE = 90  # seconds until a test says that what it waits for never comes


def worth(task: Task) -> float:
    """How good a candidate is."""
    return 0.5 + int(task.candidate.key, 16) / 16**12 / 2 + task.steps / 10_000


def steady(task: Task) -> float:
    """Trains step after step, from where an earlier try was."""
    output, file = task.folder.parents[1], task.folder / "step"
    begin = int(file.read_text()) if file.exists() else 0
    _write_call(output, "begin", task, begin)
    for step in range(begin, task.steps):
        _wait(output / PAUSE, -math.inf if step == begin else time.monotonic())
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(str(step + 1))
        part.replace(file)
    _write_call(output, "end", task, task.steps)
    task.note("from", begin)
    return worth(task)


def _wait(pause: Path, since: float) -> None:
    """Waits for as long as the file says by now."""
    while pause.exists() and time.monotonic() - since < float(pause.read_text()):
        time.sleep(0.02)


def faulty(task: Task) -> float:
    """Trains; but the candidates 1 to 5 fail, each in its own way, whenever they are tried."""
    number = round(10 * float(task.candidate.choices["gamma"]) - 10)
    if number == 1:
        raise ValueError("a layer is missing")
    if number == 2:
        return math.nan
    if number == 3:
        raise MemoryError("no room for 10 GB")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is out
    if number == 5:
        time.sleep(10 * PATIENCE)
    return steady(task)


def mended(task: Task) -> Any:
    """Returns what the file `returns` holds, where there is one."""
    path = task.folder.parents[1] / "returns"
    return json.loads(path.read_text()) if path.exists() else steady(task)


def _write_call(output: Path, what: str, task: Task, step: int) -> None:
    line = json.dumps([what, task.candidate.key, task.seed, task.steps, step, os.getpid()])
    with (output / CALLS).open("a") as file:  # O_APPEND: lines of two processes do not mix
        file.write(f"{line}\n")


class Call(NamedTuple):
    """What a train function wrote down."""

    what: str
    key: str
    seed: int
    steps: int
    step: int
    process: int


def calls(output: Path, what: str) -> list[Call]:
    """The calls that began, or that ended."""
    path = output / CALLS
    found = [Call(*json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    return [call for call in found if call.what == what]


def ended_once(output: Path) -> bool:
    """Whether no job came to its end twice."""
    return set(Counter((call.key, call.seed, call.steps) for call in calls(output, "end")).values()) == {1}


def candidate(number: int) -> Candidate:
    """EfficientNet-B0 at another resolution."""
    spec = scale_spec("efficientnet_b0", coefficients=Coefficients(resolution=1 + number / 10))
    return Candidate({"gamma": 1 + number / 10}, spec, {"macs": float(number)})


def make_plan(kind: str, count: int, steps: int = 4, seed: int = 0) -> Plan:
    """A small search."""
    if kind == "halving":
        candidates = tuple(candidate(number) for number in range(count))
        return SuccessiveHalving(candidates, rungs=(steps,), finalists=1, seeds=0, seed=seed)
    space = ArchitectureSpace(resolve_backbone("efficientnet_b0"))
    return Evolution(space, Reward(4e8), {}, count, steps, population=4, sample=2, lag=2, seed=seed)


def search(output: Path, train: Any = "search_trains:steady", **options: Any) -> list[Trial]:
    """Searches in this process."""
    plan = make_plan(**{name: options.pop(name) for name in ("kind", "count", "steps", "seed") if name in options})
    return run_search(plan, train, Engine(output, **{"heartbeat": 1, **options}))[0]


def start(output: Path, **options: Any) -> subprocess.Popen[str]:
    """Starts `search` as a process."""
    return run([sys.executable, __file__, str(output), json.dumps(options)])


def run(command: Sequence[str]) -> subprocess.Popen[str]:
    """Starts a command that finds these train functions."""
    folder = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(list(command), env=environment, start_new_session=True, **pipes)
    atexit.register(process.kill)  # of a test that failed
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status of a search, and what it said about errors."""
    try:
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, errors


def wait_for(condition: Any, what: str) -> Any:
    """Waits until a condition holds, and gives what it came to."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"{what}: not within {PATIENCE} s")


def workers_of(output: Path) -> list[int]:
    """The worker processes of a search that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if b"keras_effnet.search.worker" in words and str(output).encode() in words:
            found.append(int(path.parent.name))
    return found


def trials_of(
    output: Path, train: str = "search_trains:steady", storage: str | None = None, **options: Any
) -> list[Trial]:
    """The trials that a search has stored, but those that came to nothing."""
    named = {name: options[name] for name in ("kind", "count", "steps", "seed") if name in options}
    plan = make_plan(**named)
    identity = {"search": plan.kind, "plan": plan.to_dict(), "train": train_to_dict(train)}
    url = sqlite_url(output) if storage is None else storage
    trials = Store(url, name=study_name(identity), retries=options.get("retries", 2)).trials()
    return [trial for trial in trials if trial.state != "void"]


def listed(output: Path) -> list[dict[str, str]]:
    """The lines of trials.csv."""
    with (output / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def begin_slowly(output: Path, **options: Any) -> Any:
    """Starts a search whose trials are held, and waits until each worker is in the middle of one."""
    output.mkdir(exist_ok=True)
    set_pause(output, HOLD)
    process = start(output, **options)

    def halfway() -> bool:
        begun = {call.key for call in calls(output, "begin")} - {call.key for call in calls(output, "end")}
        done = [path for path in output.glob("trials/*/step") if path.parent.name.split("-")[0] in begun]
        return len(done) >= options.get("workers", 1)

    wait_for(halfway, "every worker has trained for a step")
    return process


def set_pause(output: Path, seconds: float) -> None:
    """How long a step takes from now on."""
    atomic_write(output / PAUSE, lambda path: path.write_text(str(seconds)))


def hurry(output: Path) -> None:
    """Lets trials end at once."""
    set_pause(output, 0)


def stored(output: Path) -> dict[str, bytes]:
    """What the files hold that nobody may change who was refused."""
    return {path.name: path.read_bytes() for path in (output / SEARCH_FILE, output / "search.db") if path.exists()}


def hold_lock(path: Path) -> sqlite3.Connection:
    """Locks a SQLite file, as a process that writes does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


if __name__ == "__main__":
    search(Path(sys.argv[1]), **json.loads(sys.argv[2]))
