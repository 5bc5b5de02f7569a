"""Searches whose workers and drivers are killed: what is lost, and that the same call ends them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from search_trains import (
    HALVING,
    HOLD,
    begin_slowly,
    calls,
    ended_once,
    finish,
    hurry,
    listed,
    search,
    set_pause,
    start,
    steady,
    trials_of,
    wait_for,
    workers_of,
)

from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Job, Trial
from keras_effnet.search.store import WORKER, Store, sqlite_url
from keras_effnet.search.worker_pool import MAX_DEATHS, WorkerPool


def results(trials: list[Trial]) -> dict[str, float | None]:
    return {trial.job.key: trial.metric for trial in trials if trial.job is not None and trial.state == "done"}


class Dead:
    """A worker that draws a trial, or none, and is killed."""

    def __init__(self, store: Store, name: str, log: Path, job: Job | None) -> None:
        log.parent.mkdir(exist_ok=True)
        log.touch()
        if job is not None:
            if not store.trials():
                store.queue(job, {}, {})
            store.study.ask().set_user_attr(WORKER, name)

    def poll(self) -> int:
        return -9

    def kill(self) -> None:
        pass


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
@pytest.mark.parametrize("job", [Job("key", {}, 4, 0), None], ids=["its trial", "something else"])
def test_workers_may_die_of_a_trial_as_often_as_it_is_tried_and_not_of_something_else(tmp_path, job):
    store = Store(sqlite_url(tmp_path), {}, retries=MAX_DEATHS + 2)
    pool = WorkerPool(store, tmp_path, 1, 1, 60, lambda command, _, log: Dead(store, command[-3], log, job))
    for _ in range(MAX_DEATHS + 1):
        pool.look_after(store.trials(), False)
    if job is None:
        with pytest.raises(SearchError, match=rf"workers die whatever they do.* Received: {MAX_DEATHS + 1} deaths"):
            pool.look_after(store.trials(), False)
    else:
        pool.look_after(store.trials(), False)
        assert {trial.error for trial in store.trials() if trial.state == "retried"} == {
            "its process ended with status -9"
        }


@pytest.mark.slow
def test_a_killed_worker_loses_its_trial_alone_which_goes_on_from_its_checkpoint(tmp_path):
    asked = {**HALVING, "workers": 2, "retries": 1}
    process = begin_slowly(tmp_path, **asked)
    began = calls(tmp_path, "begin")
    victim = began[-1]
    os.kill(victim.process, signal.SIGKILL)
    hurry(tmp_path)
    assert finish(process)[0] == 0
    trials = trials_of(tmp_path, **asked)
    lost = [trial for trial in trials if trial.state == "retried"]
    assert [(trial.job.key, trial.error) for trial in lost if trial.job] == [
        (victim.key, "its process ended with status -9")
    ]
    again = [call for call in calls(tmp_path, "begin") if call.key == victim.key]
    assert again[0].step == 0
    assert again[1].step > 0
    assert again[1].process != victim.process
    assert [trial.state for trial in trials].count("done") == 4
    assert ended_once(tmp_path)
    assert sorted(line["state"] for line in listed(tmp_path)) == ["done"] * 4 + ["retried"]


@pytest.mark.slow
def test_a_killed_driver_takes_its_workers_along_and_the_same_call_goes_on(tmp_path):
    asked = {**HALVING, "count": 6, "workers": 2}
    process = begin_slowly(tmp_path, **asked)
    hurry(tmp_path)
    wait_for(lambda: "done" in {trial.state for trial in trials_of(tmp_path, **asked)}, "a trial ends")
    set_pause(tmp_path, HOLD)

    def is_stored() -> bool:
        states = [trial.state for trial in trials_of(tmp_path, **asked)]
        return states.count("done") == len(calls(tmp_path, "end"))

    wait_for(is_stored, "what has ended is in the store")
    process.kill()
    finish(process)
    wait_for(lambda: not workers_of(tmp_path), "the workers end")
    finished = [trial for trial in trials_of(tmp_path, **asked) if trial.state == "done"]
    assert finished
    hurry(tmp_path)
    assert finish(start(tmp_path, **asked))[0] == 0
    trials = trials_of(tmp_path, **asked)
    assert [trial for trial in trials if trial.number in {trial.number for trial in finished}] == finished
    assert ended_once(tmp_path)
    numbers = [int(line["number"]) for line in listed(tmp_path)]
    assert sorted(numbers) == [trial.number for trial in trials]
    undisturbed = search(tmp_path / "other", steady, **{**asked, "workers": 1})
    assert results(trials) == results(undisturbed)
