"""Searches whose train function fails in every way, that are interrupted, that share a store."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import pytest
import search_trains
from search_trains import (
    HALVING,
    HOLD,
    begin_slowly,
    calls,
    ended_once,
    finish,
    hurry,
    listed,
    run,
    search,
    set_pause,
    start,
    steady,
    trials_of,
    wait_for,
    workers_of,
)

from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Trial
from keras_effnet.search.task import Task

REASONS = {
    1.1: "ValueError: a layer is missing",
    1.2: "TrainingError: the metric must be a finite number. Received: nan",
    1.3: "MemoryError: no room for 10 GB",
    1.4: "its process ended with status -9",
    1.5: "hung: ended after 2 s",
}


def reasons(trials: list[Trial], state: str) -> dict[Any, str | None]:
    return {trial.job.choices["gamma"]: trial.error for trial in trials if trial.job and trial.state == state}


def test_what_fails_in_this_process_is_tried_again_and_given_up(tmp_path):
    trials = search(tmp_path, search_trains.faulty, kind="halving", count=4, retries=1)
    expected = {gamma: REASONS[gamma] for gamma in (1.1, 1.2, 1.3)}
    assert [trial.state for trial in trials].count("retried") == 3
    assert reasons(trials, "retried") == reasons(trials, "failed") == expected
    assert list(reasons(trials, "done")) == [1.0]
    assert len(listed(tmp_path)) == len(trials) == 2 * 3 + 1
    # All is done: the same call runs nothing.
    assert search(tmp_path, search_trains.faulty, kind="halving", count=4, retries=1) == trials
    assert len(calls(tmp_path, "begin")) == 1


@pytest.mark.slow
def test_without_retries_the_first_failure_counts(tmp_path):
    trials = search(tmp_path, search_trains.faulty, kind="halving", count=3, retries=0)
    assert [trial.state for trial in trials].count("retried") == 0
    assert set(reasons(trials, "failed")) == {1.1, 1.2}


@pytest.mark.slow
def test_what_fails_in_workers_never_stops_the_search(tmp_path):
    asked = {"kind": "halving", "count": 7, "retries": 1, "workers": 2, "trial_timeout": 2}
    assert finish(start(tmp_path, train="search_trains:faulty", **asked))[0] == 0
    trials = trials_of(tmp_path, train="search_trains:faulty", **asked)
    assert reasons(trials, "retried") == reasons(trials, "failed") == REASONS
    assert set(reasons(trials, "done")) == {1.0, 1.6}
    assert len(listed(tmp_path)) == len(trials) == 2 * 5 + 2


def test_a_train_function_that_ends_its_process_is_recorded(tmp_path):
    def leaves(task: Task) -> float:
        raise SystemExit(3)

    with pytest.raises(SearchError, match=r"no trial came to a result.*\n?.*SystemExit\(3\)"):
        search(tmp_path, leaves, kind="halving", count=1, retries=0)
    assert [line["state"] for line in listed(tmp_path)] == ["failed"]


@pytest.mark.parametrize(
    "returned", [None, *(pytest.param(each, marks=pytest.mark.slow) for each in ("0.9", True, [0.9]))]
)
def test_what_is_no_number_ends_the_search_and_loses_nothing(tmp_path, returned):
    (tmp_path / "returns").write_text(json.dumps(returned))
    for _ in range(2):  # more often than a trial is tried
        with pytest.raises(SearchError, match=r"must return a number.* Received: "):
            search(tmp_path, search_trains.mended, **HALVING, retries=0)
    (tmp_path / "returns").unlink()
    trials = search(tmp_path, search_trains.mended, **HALVING, retries=0)
    assert [trial.state for trial in trials].count("done") == 4
    assert {trial.error for trial in trials if trial.state == "retried"} == {
        f"SearchError: a train function must return a number, the larger the better: the metric after `task.steps` "
        f"steps. Received: {returned!r}"
    }


@pytest.mark.slow
def test_what_is_no_number_ends_workers_as_well(tmp_path):
    asked = {**HALVING, "train": "search_trains:mended", "workers": 2, "retries": 0}
    (tmp_path / "returns").write_text('"good"')
    status, errors = finish(start(tmp_path, **asked))
    assert status == 1
    assert "SearchError: a worker cannot go on" in errors
    assert errors.rstrip().endswith("Received: 'good'")
    assert not workers_of(tmp_path)
    (tmp_path / "returns").unlink()
    assert finish(start(tmp_path, **asked))[0] == 0
    assert [trial.state for trial in trials_of(tmp_path, **asked)].count("done") == 4


def test_ctrl_c_in_this_process_costs_no_try(tmp_path):
    interrupted = []

    def stopped(task: Task) -> float:
        if len(interrupted) < 2:
            interrupted.append(task)
            raise KeyboardInterrupt
        return steady(task)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, stopped, **HALVING, retries=0)
    trials = search(tmp_path, stopped, **HALVING, retries=0)
    assert [trial.state for trial in trials].count("done") == 4
    assert [trial.state for trial in trials].count("retried") == 2
    assert ended_once(tmp_path)


@pytest.mark.slow
def test_ctrl_c_ends_the_command_with_130_and_its_workers(tmp_path):
    set_pause(tmp_path, HOLD)
    words = "search coefficients efficientnet_b0 --train search_trains:steady --workers 2 --heartbeat 1 --steps 64"
    command = [sys.executable, "-m", "keras_effnet", *words.split(), "--output", str(tmp_path)]
    process = run(command)
    wait_for(lambda: len(calls(tmp_path, "begin")) == 2, "both workers are at a trial")
    os.kill(process.pid, signal.SIGINT)
    status, errors = finish(process)
    assert status == 130
    assert "Traceback" not in errors
    assert not workers_of(tmp_path)


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_the_same_call_goes_on(tmp_path):
    asked = {**HALVING, "workers": 2, "retries": 0}
    process = begin_slowly(tmp_path, **asked)
    os.kill(process.pid, signal.SIGINT)
    status, errors = finish(process)
    assert (status, errors.rstrip().splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    assert not workers_of(tmp_path)
    stopped = trials_of(tmp_path, **asked)
    assert {trial.error for trial in stopped if trial.state == "retried"} == {"interrupted"}
    hurry(tmp_path)
    assert finish(start(tmp_path, **asked))[0] == 0
    assert [trial.state for trial in trials_of(tmp_path, **asked)].count("done") == 4
    assert ended_once(tmp_path)
    assert any(call.step for call in calls(tmp_path, "begin"))


@pytest.mark.slow
def test_two_searches_in_one_store_do_not_mix(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    asked = [{**HALVING, "seed": seed, "storage": url} for seed in (0, 1)]
    running = [start(tmp_path / str(each["seed"]), **each) for each in asked]
    assert [finish(process)[0] for process in running] == [0, 0]
    for each in asked:
        trials = trials_of(tmp_path / str(each["seed"]), **each)
        assert [trial.state for trial in trials] == ["done"] * 4
        assert {trial.job.seed for trial in trials if trial.job} == {each["seed"]}
        assert ended_once(tmp_path / str(each["seed"]))


@pytest.mark.slow
def test_one_search_after_the_other_in_one_store(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    for seed in (0, 1):
        trials = search(tmp_path / str(seed), steady, **HALVING, seed=seed, storage=url)
        assert [trial.number for trial in trials] == [0, 1, 2, 3]
        assert {trial.job.seed for trial in trials if trial.job} == {seed}


def tried(trials: list[Trial]) -> list[str]:
    """The candidates in the order of their numbers."""
    return [trial.job.key for trial in trials if trial.job is not None and trial.fresh and trial.job.rung == 0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["evolution", "halving"])
def test_the_candidates_are_the_same_with_two_workers_and_a_kill(tmp_path, kind):
    asked = {"kind": kind, "count": 8}
    alone = tried(search(tmp_path / "alone", steady, **asked))
    assert len(alone) == 8
    assert tried(search(tmp_path / "seed", steady, **asked, seed=1)) != alone
    if kind == "evolution":  # whose choices depend on what has ended before; the order of halving is drawn beforehand
        two = tmp_path / "two"
        assert finish(start(two, **asked, workers=2))[0] == 0
        assert tried(trials_of(two, **asked)) == alone
    killed = tmp_path / "killed"
    process = begin_slowly(killed, **asked, workers=2)
    os.kill(calls(killed, "begin")[0].process, signal.SIGKILL)
    hurry(killed)
    assert finish(process)[0] == 0
    trials = trials_of(killed, **asked)
    assert "retried" in {trial.state for trial in trials}
    assert tried(trials) == alone
