"""trials.csv: read back by csv, cut at every byte, written by two at once."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from summaries import architecture, coefficients
from support import tiny_spec

from keras_effnet.blocks import MBConv
from keras_effnet.errors import DataError, SearchError
from keras_effnet.search.candidates import Candidate, Choice, Job, Trial, count_cost
from keras_effnet.search.records import TrialLog
from keras_effnet.search.search_page import write_search_report
from keras_effnet.spec import BackboneSpec

CHOICES = ("alpha", "beta", "gamma")
ERROR = 'RuntimeError: "out of, memory"\n\tat line 3;\r\né'


@cache
def candidate(resolution: int) -> Candidate:
    spec = tiny_spec(MBConv(), resolution=resolution, depth=1)
    choices = {"alpha": resolution / 32, "beta": 1.0, "gamma": 1.15}
    return Candidate(choices, spec, count_cost(spec, classes=10))


def candidate_of(choices: Mapping[str, Choice]) -> Candidate:
    return candidate(round(32 * float(choices["alpha"])))


def trial(number: int, state: Any = "done", **changes: Any) -> Trial:
    made = candidate(32 + 8 * (number % 4))
    job = Job(made.key, made.choices, steps=100 + number, seed=7, rung=1, parent="0123456789ab" if number else None)
    values: dict[str, Any] = {"worker": "host-1", "seconds": 1.5 + number}
    if state == "done":
        notes = {"versions": {"keras": "3.15.1", "jax": "0.10"}, "test accuracy": 0.25}
        values |= {"metric": 0.1 * number, "value": 0.2 * number, "notes": notes}
    if state in ("failed", "retried"):
        values |= {"error": ERROR}
    return Trial(number, job, state, **{**values, **changes})


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(log: TrialLog, *trials: Trial) -> None:
    """Lists the trials of a store, which gives them by number."""
    assert log.update(lambda: list(trials), candidate_of) == list(trials)


def test_a_line_holds_all_of_a_trial(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trials.csv"
    write(TrialLog(path, CHOICES), trial(1, "retried"), trial(3))
    failed, done = read(path)
    made = candidate(56)
    assert BackboneSpec.from_json(done.pop("spec")) == made.spec
    assert json.loads(done.pop("notes")) == {"test accuracy": 0.25}
    costs = {name: int(done.pop(name)) for name in ("macs", "params", "activations", "model_bytes")}
    assert costs == {name: made.cost[name] for name in costs}
    assert float(done.pop("metric")) == 0.1 * 3
    assert float(done.pop("value")) == 0.2 * 3
    assert done == {
        "number": "3",
        "key": made.key,
        "rung": "1",
        "seed": "7",
        "steps": "103",
        "state": "done",
        "latency_ms": "",
        "resolution": "56",
        "alpha": "1.75",
        "beta": "1.0",
        "gamma": "1.15",
        "seconds": "4.5",
        "parent": "0123456789ab",
        "worker": "host-1",
        "error": "",
        "versions": "keras 3.15.1, jax 0.10",
    }
    assert failed["error"] == 'RuntimeError: "out of, memory" \tat line 3; é'
    assert (failed["state"], failed["metric"], failed["value"]) == ("retried", "", "")
    assert len(path.read_bytes().splitlines()) == 3, "one line a trial"


def test_only_finished_trials_are_listed_and_each_once_by_number(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    log = TrialLog(path, CHOICES)
    write(log, *(trial(number, state) for number, state in enumerate(("waiting", "running", "void"))))
    assert read(path) == [], "the columns are there from the start"
    write(log, trial(0, "running"), trial(2), trial(5))
    assert [each["number"] for each in read(path)] == ["2", "5"]
    write(log, trial(0), trial(2), trial(5))
    write(TrialLog(path, CHOICES), trial(0), trial(2), trial(5))
    assert [each["number"] for each in read(path)] == ["0", "2", "5"]
    assert TrialLog(path, CHOICES).numbers == {0, 2, 5}


def test_a_file_cut_anywhere_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # hundreds of times
    trials = [trial(0), trial(1, "failed")]
    path = tmp_path / "trials.csv"
    write(TrialLog(path, CHOICES), *trials)
    whole = path.read_bytes()
    ends = [end + 1 for end, byte in enumerate(whole) if byte == ord("\n")]
    edges = {end + side for end in (0, *ends) for side in (-1, 0, 1) if 0 <= end + side <= len(whole)}
    for cut in sorted(edges | set(range(0, len(whole), 37))):
        path.write_bytes(whole[:cut])
        log = TrialLog(path, CHOICES)
        assert len(log.numbers) == max(0, sum(end <= cut for end in ends) - 1)
        write(log, *trials)
        assert path.read_bytes() == whole


def test_two_drivers_write_one_file(tmp_path: Path) -> None:
    path, store, taking = tmp_path / "trials.csv", [trial(0)], Lock()

    def work(_: int) -> None:
        log = TrialLog(path, CHOICES)
        for _ in range(40):
            with taking:  # each finds trials in the store that the other one has ended
                store.append(trial(len(store)))
            before = len(read(path)) if path.exists() else 0
            found = log.update(store.copy, candidate_of)
            assert before <= len(read(path)), "nobody writes over what is newer"
            assert len(found) <= len(read(path))

    # A lock belongs to an open file, not to a process: threads show what processes would.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert [int(each["number"]) for each in read(path)] == [*range(81)]
    assert len(path.read_bytes().splitlines()) == 82


def test_an_emptied_or_deleted_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    log = TrialLog(path, CHOICES)
    write(log, trial(0))
    whole = path.read_bytes()
    path.unlink()
    write(log, trial(0))
    write(log, trial(0), trial(1))
    assert path.read_bytes().startswith(whole)
    assert [each["number"] for each in read(path)] == ["0", "1"]


@pytest.mark.parametrize(
    "content", ["name,age\n", "name,age", "number\n1\n", None], ids=["other", "half", "fewer", "a line of another"]
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "trials.csv"
    if content is None:
        write(TrialLog(path, CHOICES), trial(0))
        content = path.read_text() + "one,2\n"
    path.write_text(content)
    with pytest.raises(SearchError, match=r"columns number, key.*Move it away.*Received: "):
        TrialLog(path, CHOICES)
    assert path.read_text() == content


def test_other_choices_are_another_search(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    write(TrialLog(path, CHOICES), trial(0))
    with pytest.raises(SearchError, match="columns"):
        TrialLog(path, ("stage1.kernel",))
    with pytest.raises(SearchError, match="Received: alpha, steps"):
        TrialLog(tmp_path / "other.csv", ("alpha", "steps"))


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.csv"
    log = TrialLog(path, CHOICES)
    write(log, trial(0))
    whole = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(DataError, match=r"No space left.*free some space.*Received: .*trials.csv"):
            write(log, trial(0), trial(1))
    assert path.read_bytes() == whole
    write(log, trial(0), trial(1))
    assert [each["number"] for each in read(path)] == ["0", "1"]


def test_the_result_is_written_whole_and_read_back(tmp_path: Path) -> None:
    for make in (coefficients, architecture):
        summary, trials = make(5)
        write_search_report(summary, trials, tmp_path / "new")
        found = json.loads((tmp_path / "new" / "result.json").read_text())
        assert found == json.loads(json.dumps(summary.to_dict()))
        assert found["learned"] is True
        assert {each.name for each in fields(summary)} <= set(found)
    summary, _ = coefficients(5)
    first = summary.to_dict()["finalists"][0]
    assert first["mean"] == pytest.approx(sum(first["metrics"].values()) / 3)


def known(metric: float, images: int | None, networks: int = 1, seeds: tuple[float, ...] = ()) -> bool:
    """Whether a search whose best metric this is has learned something, at a chance of 0.1."""
    summary, _ = architecture(networks)
    candidates = tuple(replace(each, metric=metric) for each in summary.candidates)
    if seeds:
        grid, _ = coefficients(17)
        finalists = tuple(replace(each, metrics=dict(enumerate(seeds))) for each in grid.finalists)
        return replace(grid, chance=0.1, images=images, finalists=finalists).learned
    return replace(summary, candidates=candidates, chance=0.1, images=images).learned


def test_a_search_at_chance_has_learned_nothing() -> None:
    # 100 images of 10 classes: 95 % of networks that guess have 5 to 16 right, and hardly one in 1,000 has 30.
    assert not known(0.1, 100)
    assert not known(0.16, 100)
    assert known(0.3, 100)
    # The same share of more images says more, and of the best of many networks less.
    assert known(0.16, 1000)
    assert known(0.18, 100)
    assert not known(0.18, 100, networks=50)
    # Several seeds speak for themselves.
    assert known(0, 100, seeds=(0.14, 0.15, 0.16))
    assert not known(0, 100, seeds=(0.09, 0.3, 0.12))
    summary, _ = architecture(3)
    assert replace(summary, chance=None).learned, "without a chance level nothing can be said against it"


def test_the_share_of_searches_at_chance_that_claim_to_have_learned_is_small() -> None:
    generator = np.random.default_rng(0)
    claims = sum(known(generator.binomial(200, 0.1, 20).max() / 200, 200, networks=20) for _ in range(200))
    assert claims <= 10, "5 % of 200"
