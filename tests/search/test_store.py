"""Stores that cannot be used, and what a store says of trials whose process is gone."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from search_trains import HALVING, calls, ended_once, hold_lock, make_plan, search, steady, stored

from keras_effnet.errors import KerasEffnetError, SearchError
from keras_effnet.search import store as module
from keras_effnet.search import worker as worker_module
from keras_effnet.search.candidates import Job
from keras_effnet.search.store import WORKER, Store, sqlite_url, storage_url
from keras_effnet.search.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # tests ask for trials themselves

IDENTITY = {"search": "halving", "plan": {"candidates": 3}}
DISTRIBUTIONS = {"gamma": optuna.distributions.FloatDistribution(1, 2)}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'search.db'}"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a finished search."""
    folder = tmp_path_factory.mktemp("made")
    search(folder, steady, kind="halving", count=1)
    return stored(folder)


def put(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def refused(folder: Path, words: str, **options: Any) -> None:
    """The search in this folder is refused with these words, and nothing there has changed."""
    before = stored(folder)
    with pytest.raises(SearchError, match=rf"(?s){words}.*Received: "):
        search(folder, steady, **{"kind": "halving", "count": 1, **options})
    assert stored(folder) == before


def test_a_locked_store(tmp_path, made, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)
    put(made, tmp_path)
    connection = hold_lock(tmp_path / "search.db")
    with pytest.raises(SearchError, match=r"the store is locked by another process: end what holds it.* Received: "):
        Store(sqlite_url(tmp_path), IDENTITY)
    connection.rollback()
    connection.close()
    assert stored(tmp_path) == made
    assert Store(sqlite_url(tmp_path), IDENTITY).trials() == []


def test_a_file_that_is_no_database(tmp_path, made):
    put({**made, "search.db": b"number,metric\n" * 100}, tmp_path)
    refused(tmp_path, "the store is no database, or a broken one: restore the file")


def test_a_corrupt_store(tmp_path, made):
    content = made["search.db"]
    put({**made, "search.db": content[:4096] + b"\xff" * (len(content) - 4096)}, tmp_path)
    refused(tmp_path, "the store is no database, or a broken one")


def test_a_store_cut_short(tmp_path, made):
    put({**made, "search.db": made["search.db"][:20_000]}, tmp_path)
    refused(tmp_path, "the store is no database, or a broken one")


def test_a_store_that_was_deleted_and_not_its_list(tmp_path):
    search(tmp_path, steady, kind="halving", count=1)
    (tmp_path / "search.db").unlink()
    listed = (tmp_path / "trials.csv").read_bytes()
    for _ in range(2):  # the second time there is a new, empty one
        with pytest.raises(SearchError, match=r"bring the store back, or name another output.* Received: \d+ such"):
            search(tmp_path, steady, kind="halving", count=1)
    assert (tmp_path / "trials.csv").read_bytes() == listed


def test_a_folder_of_another_search(tmp_path, made):
    put(made, tmp_path)
    refused(tmp_path, "holds another search, with another plan.seed; name another folder", seed=1)
    refused(tmp_path, "holds another search, with another plan.candidates, plan.rungs; ", count=2, steps=8)


def test_a_folder_of_a_store_alone(tmp_path, made):
    put({"search.db": made["search.db"]}, tmp_path)
    refused(tmp_path, "holds a store, but nothing that says of which search; name another folder")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
def test_a_folder_whose_description_is_broken(tmp_path, made, content):
    put({**made, "search.json": content}, tmp_path)
    refused(tmp_path, "cannot be read.* Name another folder")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KerasEffnetError, match=r"name another folder.* Received: "):
        search(tmp_path / "file" / "output", steady, **HALVING)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_study_of_another_search(url):
    Store(url, IDENTITY, name="mine")
    with pytest.raises(
        SearchError, match=r"another search of this name; choose another name\. Received: 'mine' in 'sqlite:"
    ):
        Store(url, {**IDENTITY, "plan": {}}, name="mine")
    assert Store(url, name="mine").identity == IDENTITY


def test_a_search_that_is_not_there(url):
    with pytest.raises(SearchError, match=r"the store holds no such search.* Received: 'sqlite:"):
        Store(url, name="none")


@pytest.mark.parametrize(
    ("text", "words"),
    [("here.db", "a store is an address such as"), ("nonsense://x", "the store cannot be used")],
)
def test_what_is_no_address(text, words):
    with pytest.raises(SearchError, match=rf"{words}.* Received: "):
        Store(text, IDENTITY)


def test_a_password_is_not_shown():
    with pytest.raises(SearchError) as caught:
        Store("postgresql://me:secret@127.0.0.1:9/searches", IDENTITY)
    assert "secret" not in str(caught.value)
    assert storage_url("postgres://me:secret@db/x") == "postgresql+psycopg://me:secret@db/x"


def make_store(url: str, number: int, ready: Any, told: Any) -> None:
    ready.wait()
    try:
        told.put(Store(url, {**IDENTITY, "number": number}).trials())
    except SearchError as error:
        told.put(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_processes_that_make_a_store_at_the_same_time(url, same):
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(3), context.Queue()
    makers = [context.Process(target=make_store, args=(url, number * (not same), ready, told)) for number in range(3)]
    for maker in makers:
        maker.start()
    assert [told.get(timeout=60) for _ in makers] == [[]] * 3
    for maker in makers:
        maker.join()


def draw_trials(url: str, ready: Any, told: Any) -> None:
    store = Store(url, IDENTITY)
    ready.wait()
    told.put([store.study.ask().number for _ in range(10)])


@pytest.mark.slow
def test_processes_never_draw_the_same_waiting_trial(url):
    store = Store(url, IDENTITY)
    for _ in range(40):
        store.study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.WAITING))
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(3), context.Queue()
    workers = [context.Process(target=draw_trials, args=(url, ready, told)) for _ in range(3)]
    for worker in workers:
        worker.start()
    numbers = [number for _ in workers for number in told.get(timeout=60)]
    for worker in workers:
        worker.join()
    assert len(set(numbers)) == len(numbers) == 30


def ask(store: Store, worker: str = "one") -> optuna.Trial:
    """A trial that a worker has taken."""
    store.queue(Job(worker, {"gamma": 1.0}, 4, 0), DISTRIBUTIONS, {"macs": 1.0})
    trial = store.study.ask()
    trial.set_user_attr(WORKER, worker)
    return trial


def states(store: Store) -> list[str]:
    return [trial.state for trial in store.trials()]


def test_a_lost_worker_costs_a_try_and_a_stopped_one_none(url):
    store = Store(url, IDENTITY, retries=1)
    ask(store)
    for stopped in (True, True, False, True):
        assert len(store.give_up("one", "gone", stopped=stopped)) == 1
        again = store.study.ask()
        assert WORKER not in again.user_attrs
        assert again.params == {"gamma": 1.0}
        again.set_user_attr(WORKER, "one")
    store.give_up("one", "gone for good")
    assert states(store) == ["retried"] * 4 + ["failed"]
    assert [trial.fresh for trial in store.trials()] == [True] + [False] * 4
    assert {trial.job.what for trial in store.trials() if trial.job} == {("one", 0, 4)}
    assert store.trials()[-1].error == "gone for good"


def test_what_another_process_has_given_up_already_is_queued_once(url, monkeypatch):
    store, other = Store(url, IDENTITY), Store(url, IDENTITY)
    ask(store)
    before = store.trials()
    other.give_up("one", "its heartbeat was missed")
    trials = iter([before])
    monkeypatch.setattr(store, "trials", lambda: next(trials, None) or Store.trials(store))
    store.give_up("one", "gone")
    assert states(store) == ["retried", "waiting"]
    assert store.trials()[0].error == "its heartbeat was missed"


def test_a_worker_that_was_killed_before_it_queued_its_trial_again(url):
    store = Store(url, IDENTITY)
    for worker in ("one", "two"):
        ask(store, worker)
    for number in (0, 1):
        store.study.tell(number, state=optuna.trial.TrialState.FAIL)
    assert store.give_up("one", "gone") == []
    assert states(store) == ["retried", "retried", "waiting"]
    store.mend()
    store.mend()
    assert states(store) == ["retried", "retried", "waiting", "waiting"]


def test_a_host_that_was_gone_before_it_queued_its_trial_again(url, monkeypatch):
    store = Store(url, IDENTITY, heartbeat=1)
    ask(store, "of another host")
    store.study.tell(0, state=optuna.trial.TrialState.FAIL)
    store.find_lost()
    assert states(store) == ["retried"]  # it may be about to
    later = time.monotonic() + 2 * module.GRACE
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    for _ in range(2):
        store.find_lost()
    assert states(store) == ["retried", "waiting"]


@pytest.mark.slow
@pytest.mark.parametrize("beats", [True, False], ids=["once", "never"])
def test_a_trial_whose_worker_was_killed_before_it_began_holds_up_nobody(tmp_path, monkeypatch, beats):
    monkeypatch.setattr(module, "GRACE", 1)
    monkeypatch.setattr(worker_module, "POLL", 0.5)  # to look ten times a second is work
    plan = make_plan("evolution", 3)
    # Without a second try: a trial whose job never began has not been tried.
    store = Store(sqlite_url(tmp_path), {"plan": plan.to_dict()}, heartbeat=1, retries=0)
    job = plan.next_job([])
    assert job is not None
    store.queue(job, plan.distributions, plan.candidate(job.choices).cost)
    for _ in range(2):  # the second one found nothing
        lost = store.study.ask()
        if beats:
            store._database.record_heartbeat(store._id(lost.number))
    Worker(store, plan, steady, tmp_path, "other").run()
    trials = store.trials()
    assert [trial.state for trial in trials[:2]] == ["retried", "void"]
    assert [trial.state for trial in trials[2:]] == ["done"] * 3
    alone = search(tmp_path / "alone", steady, kind="evolution", count=3)
    assert {trial.job.what for trial in trials if trial.state != "void"} == {trial.job.what for trial in alone}


def test_a_job_that_two_workers_queued_is_done_once(tmp_path):
    plan = make_plan("halving", 2)
    store = Store(sqlite_url(tmp_path), {"plan": plan.to_dict()}, heartbeat=1)
    first = plan.next_job([])
    assert first is not None
    for _ in range(2):
        store.queue(first, plan.distributions, plan.candidate(first.choices).cost)
    assert states(store) == ["waiting", "void"]
    Worker(store, plan, steady, tmp_path, "other").run()
    assert states(store) == ["done", "void", "done"]
    assert calls(tmp_path, "end")[0].key == first.key
    assert ended_once(tmp_path)
