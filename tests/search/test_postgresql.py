"""Several hosts on one PostgreSQL server: two drivers with folders of their own, on loopback."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from search_trains import (
    HALVING,
    begin_slowly,
    calls,
    finish,
    hurry,
    listed,
    search,
    start,
    trials_of,
    wait_for,
    workers_of,
)

from keras_effnet.errors import SearchError
from keras_effnet.search.store import Store

VARIABLE = "KERAS_EFFNET_POSTGRESQL"


@pytest.fixture
def server() -> str:
    """The address of a server that the tests may use as they like."""
    if not os.environ.get(VARIABLE):
        pytest.skip(f"needs a PostgreSQL server: {VARIABLE}=$(scripts/postgresql start FOLDER), as .ci/run does")
    return os.environ[VARIABLE]


def done_by_both(folders: list[Path]) -> list[tuple[str, int, int]]:
    return sorted((call.key, call.seed, call.steps) for folder in folders for call in calls(folder, "end"))


@pytest.mark.slow
def test_two_hosts_share_a_search_and_do_no_job_twice(tmp_path, server):
    hosts = [tmp_path / "one", tmp_path / "two"]
    asked = {**HALVING, "count": 8, "seed": 11, "storage": server}
    running = [begin_slowly(host, **asked) for host in hosts]
    for host in hosts:
        hurry(host)
    assert [finish(process)[0] for process in running] == [0, 0]
    assert all(calls(host, "end") for host in hosts), "both took part"
    done = done_by_both(hosts)
    assert len(done) == len(set(done)) == 8
    numbers = [sorted(int(line["number"]) for line in listed(host) if line["state"] == "done") for host in hosts]
    assert numbers[0] == numbers[1] == [trial.number for trial in trials_of(hosts[0], **asked) if trial.state == "done"]
    # A host that comes when all is done finds the results, and does nothing.
    late = search(tmp_path / "late", **asked)
    assert [trial.number for trial in late if trial.state == "done"] == numbers[0]
    assert not calls(tmp_path / "late", "begin")
    with pytest.raises(SearchError, match="no such search"):
        Store(server, name="another")


@pytest.mark.slow
def test_a_host_that_is_killed_loses_its_trial_alone(tmp_path, server):
    asked = {**HALVING, "count": 6, "seed": 12, "storage": server, "retries": 1}
    victim = begin_slowly(tmp_path / "one", **asked)
    other = begin_slowly(tmp_path / "two", **asked)
    victim.kill()
    finish(victim)
    wait_for(lambda: not workers_of(tmp_path / "one"), "its workers end")
    hurry(tmp_path / "two")
    status, errors = finish(other)
    assert status == 0, errors
    trials = trials_of(tmp_path / "two", **asked)
    assert [trial.state for trial in trials].count("done") == 6
    lost = [trial for trial in trials if trial.state == "retried"]
    assert len(lost) == 1
    assert lost[0].error == "its process was gone"
    done = done_by_both([tmp_path / "one", tmp_path / "two"])
    assert len(done) == len(set(done)) == 6


@pytest.mark.slow
def test_two_searches_in_one_database_do_not_mix(tmp_path, server):
    asked = [{**HALVING, "seed": seed, "storage": server} for seed in (13, 14)]
    running = [start(tmp_path / str(each["seed"]), **each) for each in asked]
    assert [finish(process)[0] for process in running] == [0, 0]
    for each in asked:
        trials = trials_of(tmp_path / str(each["seed"]), **each)
        assert [trial.state for trial in trials] == ["done"] * 4
        assert {trial.job.seed for trial in trials if trial.job} == {each["seed"]}


def test_a_server_that_is_not_there_is_told_at_once_and_without_its_password():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SearchError, match=r"cannot be used.*Received") as caught:
        Store(f"postgresql://me:secret@127.0.0.1:{port}/searches", {"search": "halving"})
    assert "secret" not in str(caught.value)
