"""A search from its first trial to its report: starts the workers, shows their progress, writes what they find."""

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

from keras_effnet.atomic import atomic_write, folder_lock
from keras_effnet.checks import check_int, check_number, store_plain
from keras_effnet.errors import SearchError
from keras_effnet.json_text import read_json, through_json
from keras_effnet.messages import progress_bar
from keras_effnet.report.text import this_command
from keras_effnet.search.candidates import Plan, Trial, best_trial, steps_trained
from keras_effnet.search.records import TrialLog
from keras_effnet.search.search_page import write_search_report
from keras_effnet.search.store import SQLITE_FILE, Store, shown_url, sqlite_url, study_name
from keras_effnet.search.task import data_classes, metric_name, train_to_dict
from keras_effnet.search.worker import Worker
from keras_effnet.search.worker_pool import LocalProcess, WorkerPool, connect_ray
from keras_effnet.versions import installed_versions

logger = logging.getLogger(__name__)

SEARCH_FILE, TRIALS_FILE = "search.json", "trials.csv"
COUNTED_STATES = ("done", "failed", "running", "retried")
LOOK_SECONDS = 0.5  # between two checks of the workers
REPORT_SECONDS = 60  # between two reports of a running search: each takes some seconds of a core
Describe = Callable[[dict[str, Any], Sequence[Trial]], Any] | None
Write = Callable[[Any, Sequence[Trial], Path], None] | None


@dataclass(frozen=True)
class Engine:
    """Where and how the trials of a search run.

    Args:
        output: folder for results; created if missing. A search that is there already is continued.
        storage: address of a database; None for SQLite in the output folder. With PostgreSQL the same search can be
            started on any number of hosts, each with its own output folder or with a shared one.
        workers: number of processes on this machine (or cluster), at least 1.
        ray_address: address of a Ray cluster over which the workers are spread; None for this machine.
        trial_timeout: seconds after which a trial counts as hung, above 0.
        retries: number of times that a trial is tried again if it crashes, hangs or gives no finite number, at least 0.
        heartbeat: seconds between two signs of life of a trial, at least 1. Four missed ones mean a lost host.

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
        store_plain(self)
        check_int(SearchError, "workers", self.workers, 1)
        check_int(SearchError, "retries", self.retries, 0)
        check_number(SearchError, "trial_timeout", self.trial_timeout, 0, open_low=True)
        check_number(SearchError, "heartbeat", self.heartbeat, 1)


def run_search(
    plan: Plan, train: Any, engine: Engine, describe: Describe = None, write: Write = None
) -> tuple[list[Trial], Any]:
    """Runs the rest of a search, and writes trials.csv, the report and its plots.

    Args:
        plan: plan of the search.
        train: train function: a `ProxyTraining`, a score, the name "package.module:function", or any function, which
            then runs in this process, with one worker.
        engine: where and how the trials run.
        describe: function from what all searches tell, and the trials, to a summary; None to write only trials.csv.
        write: function that writes a summary, with the trials, into a folder; None for the report of a search.

    Returns:
        All trials, and the summary; None without `describe`.

    Raises:
        SearchError: the folder or the store belongs to another search or cannot be used; no trial came to a result;
            the train function returns no number. Finished trials are kept.
    """
    asked = {"search": plan.kind, "plan": plan.to_dict(), "train": train_to_dict(train)}
    identity: dict[str, Any] = through_json(asked)  # as a store gives it back
    here = identity["train"]["kind"] == "here"
    if here and (engine.workers > 1 or engine.ray_address is not None):
        raise SearchError(
            "a function of this process runs with one worker; give its name, 'package.module:function', for others "
            "to import it.",
            received=f"train={train!r}, workers={engine.workers}, ray_address={engine.ray_address!r}",
        )
    with folder_lock(engine.output):
        _claim_folder(engine.output, identity, plan.shares_trials)
    url = engine.storage or sqlite_url(engine.output)
    objectives = metric_name(train), plan.cost
    store = Store(url, identity, objectives=objectives, heartbeat=engine.heartbeat, retries=engine.retries)
    store.mend()
    if plan.shares_trials and (adopted := store.adopt(plan.equal_job, plan.distributions)):
        logger.info("%d trials are there already", adopted)
    progress = _Progress(store, plan, train, engine.output, describe, write)
    share = engine.workers > 1 and engine.ray_address is None
    threads = max(1, (os.cpu_count() or 1) // engine.workers) if share else None
    spawn = LocalProcess if engine.ray_address is None else connect_ray(engine.ray_address)
    pool = WorkerPool(store, engine.output, engine.workers, engine.heartbeat, engine.trial_timeout, spawn, threads)
    try:
        if here:
            Worker(store, plan, train, engine.output, "here", progress.show).run()
        while not (done := plan.is_done(trials := progress.show())) or pool.workers:
            pool.look_after(trials, done)
            time.sleep(LOOK_SECONDS)
    finally:
        pool.stop()
        trials = progress.show()
        progress.bar.close()
    if best_trial(trials) is None:
        reasons = [trial.error for trial in trials if trial.error]
        raise SearchError(
            "no trial came to a result.", received=f"{len(trials)} trials, the first of which ended with {reasons[:1]}"
        )
    return trials, progress.report(trials, finished=True)


def _claim_folder(output: Path, identity: dict[str, Any], shares_trials: bool = False) -> None:
    """Checks that the folder holds this search or none, and notes there which one it is.

    If plans share trials, one of the same kind and version goes on in the folder of another one.
    """
    path, asked = output / SEARCH_FILE, {"study": study_name(identity), **identity}
    if not path.exists():
        if (output / SQLITE_FILE).exists():
            raise SearchError(
                "the output folder holds a store, but nothing that says of which search; name another folder.",
                received=repr(str(output)),
            )
        atomic_write(path, lambda part: part.write_text(json.dumps(asked, indent=1)))
        return
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError("it does not describe a search")
    except (OSError, ValueError) as error:
        raise SearchError(
            f"what the folder holds cannot be read: {error}. Name another folder.", received=repr(str(path))
        ) from error
    if found.get("study") != asked["study"]:
        if shares_trials and _kind(found) == _kind(asked):
            atomic_write(path, lambda part: part.write_text(json.dumps(asked, indent=1)))
            (output / TRIALS_FILE).unlink(missing_ok=True)  # the store holds all trials, under other numbers
            return
        del asked["study"]
        found.pop("study", None)
        raise SearchError(
            f"the output folder holds another search, with another {', '.join(_changes(found, asked))}; name another "
            "folder, or delete it.",
            received=repr(str(output)),
        )


def _kind(identity: dict[str, Any]) -> tuple[Any, Any]:
    """Kind and version of the plan of a search."""
    plan = identity.get("plan")
    return identity.get("search"), plan.get("version") if isinstance(plan, dict) else None


def _changes(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """Names of the parts in which two JSON values differ."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return [] if theirs == ours else [name]
    pairs = {f"{name}.{each}".strip("."): (theirs.get(each), ours.get(each)) for each in (*ours, *theirs)}
    return [change for each, pair in pairs.items() for change in _changes(*pair, each)]


class _Progress:
    """Shows a running search: a progress bar, trials.csv, now and then a report."""

    def __init__(self, store: Store, plan: Plan, train: Any, output: Path, describe: Describe, write: Write) -> None:
        self.store, self.plan, self.train, self.output = store, plan, train, output
        self.describe, self.write = describe, write or write_search_report
        self.log = TrialLog(output / TRIALS_FILE, tuple(plan.distributions))
        if lost := self.log.numbers - {trial.number for trial in store.trials()}:
            raise SearchError(
                "trials.csv lists trials that the store does not hold: bring the store back, or name another output "
                "folder.",
                received=f"{len(lost)} such trials in {str(self.log.path)!r}, store {shown_url(store.url)!r}",
            )
        self.bar = progress_bar(total=plan.total()[1], unit="step", unit_scale=True)
        self.begin = self.reported = time.monotonic()

    def show(self) -> list[Trial]:
        """Reads the store, and shows and writes what is new."""
        trials = self.log.update(self.store.trials, self.plan.candidate)
        if best := best_trial(trials):
            steps, finished = steps_trained(trials), sum(trial.state == "done" for trial in trials)
            self.bar.total = max(self.bar.total, steps)
            total = max(self.plan.total()[0], finished)
            self.bar.set_description(f"trial {finished}/{total}, best {best.value:.4g}", False)
            self.bar.update(steps - self.bar.n)
            if time.monotonic() - self.reported > REPORT_SECONDS:
                self.report(trials, finished=False)
        return trials

    def report(self, trials: Sequence[Trial], finished: bool) -> Any:
        """Writes the report, and returns the summary that it is made of."""
        self.reported = time.monotonic()
        if self.describe is None:
            return None
        common = common_fields(self.plan, self.train, self.store.url, trials)
        summary = self.describe({**common, "seconds": self.reported - self.begin, "finished": finished}, trials)
        self.write(summary, trials, self.output)
        return summary


def common_fields(plan: Plan, train: Any, url: str, trials: Sequence[Trial]) -> dict[str, Any]:
    """Fields of `SearchSummary` that both searches have, but for how long this call took and whether it is done."""
    states, known, metric = Counter(trial.state for trial in trials), train_to_dict(train), metric_name(train)
    return {
        "command": this_command(),
        "storage": shown_url(url),
        "versions": installed_versions(),
        "data": {"name": known.get("data") or known.get("function") or known["kind"], **known},
        "metric": metric,
        "chance": 1 / data_classes(train) if metric == "accuracy" else None,
        "images": getattr(train, "validation_images", None),
        "seed": getattr(plan, "seed", 0),
        "steps": steps_trained(trials),
        "trials": {"total": plan.total()[0], **{state: states[state] for state in COUNTED_STATES}},
        "trial_seconds": sum(trial.seconds or 0.0 for trial in trials if trial.state == "done"),
    }
