"""A search from its first trial to its report: starts the workers, shows how far they are, writes what they find."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.checks import check_int, check_number
from keras_effnet.errors import SearchError
from keras_effnet.report.text import this_command
from keras_effnet.search.plan import Plan, Row, best_row, outcomes
from keras_effnet.search.records import TrialLog
from keras_effnet.search.search_page import write_search_report
from keras_effnet.search.store import SQLITE_FILE, Store, sqlite_url, study_name
from keras_effnet.search.task import installed_versions, metric_name, train_to_dict
from keras_effnet.search.worker import Worker
from keras_effnet.search.worker_pool import LocalProcess, WorkerPool

logger = logging.getLogger(__name__)

SEARCH_FILE = "search.json"
LOOK_SECONDS = 0.5  # between two looks at the workers
REPORT_SECONDS = 60  # between two reports while the search runs: each takes some seconds of a core

Describe = Callable[[Sequence[Row], bool], dict[str, Any]]
"""From the trials, and whether all are finished, to the summary of a search."""


@dataclass(frozen=True)
class Engine:
    """Where and how the trials of a search run.

    Args:
        output: folder for results; made if missing. What is there of the same search is gone on with.
        storage: address of a database; None: SQLite in the output folder. With PostgreSQL's, the same search may be
            started on any number of hosts, each with an output folder of its own or with a shared one.
        workers: processes on this machine (or cluster), at least 1.
        ray_address: of a Ray cluster to spread the workers over; None: this machine.
        trial_timeout: seconds after which a trial counts as hung; above 0.
        retries: how often a trial that crashed, hung, ran out of memory or gave no finite number is tried again.
        heartbeat: seconds between two signs of life of a trial, at least 1. A trial whose host is gone is noticed
            after four of them.

    Raises:
        SearchError: a value outside its range.
    """

    output: Path
    storage: str | None = None
    workers: int = 1
    ray_address: str | None = None
    trial_timeout: float = 1800
    retries: int = 2
    heartbeat: float = 10

    def __post_init__(self) -> None:
        check_int(SearchError, "workers", self.workers, 1)
        check_int(SearchError, "retries", self.retries, 0)
        check_number(SearchError, "trial_timeout", self.trial_timeout, 0, open_low=True)
        check_number(SearchError, "heartbeat", self.heartbeat, 1)


class Started:
    """When and how a search was started: what every summary says of it."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._command = this_command()

    def summary(self, search: str, train: Any, plan: Plan, rows: Sequence[Row], finished: bool) -> dict[str, Any]:
        """The part of a summary that both searches share, JSON-able."""
        states = Counter(row.state for row in rows)
        trials = {"total": plan.total()[0], **{state: states[state] for state in ("done", "failed", "running")}}
        return {
            "search": search,
            "command": self._command,
            "versions": installed_versions(),
            "data": _described(train_to_dict(train)),
            "metric": metric_name(train),
            "seed": getattr(plan, "seed", 0),
            "steps": steps_trained(rows),
            "trials": {**trials, "retried": states["retried"]},
            # Of all workers together; of this call alone the time since it began.
            "trial_seconds": sum(row.seconds or 0.0 for row in rows if row.state == "done"),
            "seconds": time.monotonic() - self._begin,
            "finished": finished,
        }


def run_search(plan: Plan, train: Any, engine: Engine, describe: Describe | None = None) -> list[Row]:
    """Does what is not done yet of a search, and writes trials.csv, the reports and the images.

    Args:
        plan: what is tried.
        train: a `TrainFunction`: a `ProxyTraining`, a score, the name "package.module:function", or any function, then
            runs in this process, with one worker.
        engine: where and how.
        describe: makes the summary for the reports; None: trials.csv is all that is written.

    Returns:
        All trials.

    Raises:
        SearchError: the folder or the store belongs to another search or cannot be used; no trial came to a result;
            the train function returns no number. What had finished is kept.
    """
    identity = {"search": plan.kind, "plan": plan.to_dict(), "train": train_to_dict(train)}
    here = identity["train"]["kind"] == "here"
    if here and (engine.workers > 1 or engine.ray_address is not None):
        raise SearchError(
            "a function of this process runs with one worker; give its name, 'package.module:function', for others to "
            f"import it. Received: train={train!r}, workers={engine.workers}, ray_address={engine.ray_address!r}"
        )
    with folder_lock(engine.output):
        _claim_folder(engine.output, identity)
    url = sqlite_url(engine.output) if engine.storage is None else engine.storage
    store = Store(url, identity, heartbeat=engine.heartbeat, retries=engine.retries)
    store.mend()
    progress = _Progress(store, plan, engine.output, describe)
    try:
        if here:
            Worker(store, plan, train, engine.output, "here", progress.show).run()
        else:
            _run_crew(store, plan, engine, progress)
    finally:
        progress.show()
        progress.close()
    rows = store.rows()
    if best_row(rows) is None:
        reasons = [row.error for row in rows if row.error]
        raise SearchError(
            f"no trial came to a result. Received: {len(rows)} trials, the first of which ended with {reasons[:1]}"
        )
    progress.report(rows, finished=True)
    return rows


def _claim_folder(output: Path, identity: dict[str, Any]) -> None:
    """Finds out whether the folder holds this search or none, and writes down which one it is."""
    path, name = output / SEARCH_FILE, study_name(identity)
    try:
        found = json.loads(path.read_text())
        if not isinstance(found, dict):
            raise ValueError("it is no description of a search")
    except FileNotFoundError:
        if (output / SQLITE_FILE).exists():
            raise SearchError(
                f"the output folder holds a store, but nothing that says of which search: name another folder. "
                f"Received: {str(output)!r}"
            ) from None
        atomic_write(path, lambda part: part.write_text(json.dumps({"study": name, **identity}, indent=1)))
        return
    except (OSError, ValueError) as error:
        raise SearchError(
            f"what the folder holds cannot be read: {error}. Name another folder. Received: {str(path)!r}"
        ) from error
    if found.get("study") != name:
        theirs = {key: found.get(key) for key in identity}
        changed = ", ".join(_changes(theirs, json.loads(json.dumps(identity))))
        raise SearchError(
            f"the output folder holds another search, with another {changed}; name another folder, or delete it. "
            f"Received: {str(output)!r}"
        )


def _changes(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """Where two values of JSON differ, as names."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for each in dict.fromkeys([*ours, *theirs]):
            found += _changes(theirs.get(each), ours.get(each), f"{name}.{each}".strip("."))
        return found
    return [] if theirs == ours else [name]


def _run_crew(store: Store, plan: Plan, engine: Engine, progress: _Progress) -> None:
    threads = None
    spawn = LocalProcess
    if engine.ray_address is not None:
        from keras_effnet.search.cluster import connect

        spawn = connect(engine.ray_address)
    elif engine.workers > 1:
        threads = max(1, (os.cpu_count() or 1) // engine.workers)
    crew = WorkerPool(store, engine.output, engine.workers, engine.heartbeat, engine.trial_timeout, spawn, threads)
    try:
        while True:
            rows = progress.show()
            done = plan.is_done(rows)
            crew.look_after(rows, done)
            if done and not crew.members:
                return
            time.sleep(LOOK_SECONDS)
    finally:
        crew.stop()


def _described(train: dict[str, Any]) -> dict[str, Any]:
    """A train function, with a name for people."""
    return {"name": train.get("data") or train.get("function") or train["kind"], **train}


class _Progress:
    """What is seen of a search while it runs: a bar, trials.csv, now and then a report."""

    def __init__(self, store: Store, plan: Plan, output: Path, describe: Describe | None) -> None:
        self.store = store
        self.plan = plan
        self.output = output
        self.describe = describe
        self.log = TrialLog(output / "trials.csv", plan.names)
        if lost := self.log.numbers - {row.number for row in store.rows()}:
            raise SearchError(
                "trials.csv lists trials that the store does not hold: bring the store back, or name another output "
                f"folder. Received: {len(lost)} such trials in {str(self.log.path)!r}, store {store.shown_url!r}"
            )
        self.trials, steps = plan.total()
        self.bar = tqdm(total=steps, unit="step", unit_scale=True)
        self.reported = time.monotonic()

    def show(self) -> list[Row]:
        """Looks into the store, and shows and writes what is new there."""
        rows = self.store.rows()
        self.log.append(rows, self.plan.candidate)
        best = best_row(rows)
        finished = sum(row.state == "done" for row in rows)
        if best is not None:
            self.bar.total = max(self.bar.total, steps_trained(rows))
            self.bar.set_description(f"trial {finished}/{max(self.trials, finished)}, best {best.value:.4g}", False)
            self.bar.update(steps_trained(rows) - self.bar.n)
            if time.monotonic() - self.reported > REPORT_SECONDS:
                self.report(rows, finished=False)
        return rows

    def report(self, rows: Sequence[Row], finished: bool) -> None:
        """Writes the report."""
        if self.describe is not None:
            write_search_report(self.describe(rows, finished), rows, self.output)
        self.reported = time.monotonic()

    def close(self) -> None:
        self.bar.close()


def steps_trained(rows: Sequence[Row]) -> int:
    """Steps of training that finished trials have made, each step of a candidate and seed counted once."""
    reached: dict[tuple[str, int], int] = {}
    for key, seed, steps in (what for what, row in outcomes(rows).items() if row.state == "done"):
        reached[key, seed] = max(steps, reached.get((key, seed), 0))
    return sum(reached.values())
