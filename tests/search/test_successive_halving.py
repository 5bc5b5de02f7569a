"""Successive halving: against the synchronous one by hand, with any number of workers, and with trials that fail."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from keras_effnet import scale_spec
from keras_effnet.errors import SearchError
from keras_effnet.scaling import Coefficients
from keras_effnet.search.candidates import Candidate, Job, Trial, outcomes
from keras_effnet.search.successive_halving import SuccessiveHalving


def candidate(number: int) -> Candidate:
    spec = scale_spec("efficientnet_b0", coefficients=Coefficients(resolution=1 + number / 10))
    return Candidate({"gamma": 1 + number / 10}, spec, {"macs": float(number)})


CANDIDATES = tuple(candidate(number) for number in range(24))
WORTH = {each.key: value for each, value in zip(CANDIDATES, Random("worth").sample(range(24), 24), strict=True)}


def make_plan(**changes: Any) -> SuccessiveHalving:
    values: dict[str, Any] = {"rungs": (10, 40, 160), "eta": 4, "finalists": 2, "seeds": 2}
    return SuccessiveHalving(**{"candidates": CANDIDATES, **values, **changes})


def run(
    plan: SuccessiveHalving, workers: int = 1, order: Random | None = None, fails: frozenset[str] = frozenset()
) -> list[Trial]:
    """Simulates workers; a job of a key in `fails` fails for good."""
    trials: list[Trial] = []
    while not plan.is_done(trials):
        running = [trial for trial in trials if trial.state == "running"]
        job = plan.next_job(trials) if len(running) < workers else None
        if job is not None:
            trials.append(Trial(len(trials), job, "running"))
            continue
        assert running, "nobody works, and nothing is to do"
        ended = order.choice(running) if order else running[0]
        assert ended.job
        metric = WORTH[ended.job.key] + ended.job.steps / 1000
        done = Trial(ended.number, ended.job, "done", metric=metric, value=metric)
        trials[ended.number] = Trial(ended.number, ended.job, "failed") if ended.job.key in fails else done
    return trials


def jobs(trials: list[Trial], **wanted: int) -> list[Job]:
    found = [trial.job for trial in trials if trial.job is not None]
    return [job for job in found if all(getattr(job, name) == value for name, value in wanted.items())]


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_best_of_all_reaches_the_top_and_no_job_is_done_twice(workers):
    plan = make_plan()
    trials = run(plan, workers, Random(f"order-{workers}"))
    assert len(outcomes(trials)) == len(trials)
    best = max(WORTH, key=lambda key: WORTH[key])
    assert best in {job.key for job in jobs(trials, steps=160, seed=0)}
    assert plan.best(trials)[0].job == next(job for job in jobs(trials, steps=160, seed=0) if job.key == best)
    assert len(jobs(trials, steps=10)) == len(CANDIDATES)


def test_with_one_worker_it_is_successive_halving_as_by_hand():
    trials = run(make_plan(seeds=0))
    ranked = sorted(WORTH, key=lambda key: -WORTH[key])
    assert {job.key for job in jobs(trials, steps=40)} == set(ranked[:6])
    assert ranked[0] in {job.key for job in jobs(trials, steps=160)}
    # Of six the best one goes on; while two of them are still trained, another one may have looked like it.
    assert len(jobs(trials, steps=160)) <= 2


@pytest.mark.parametrize("seed", range(6))
def test_hardly_more_are_promoted_with_many_workers(seed):
    trials = run(make_plan(seeds=0), 5, Random(f"many-{seed}"))
    assert 6 <= len(jobs(trials, steps=40)) <= 6 + 4
    for rung in (40, 160):
        below = {job.key for job in jobs(trials, steps=rung // 4)}
        assert {job.key for job in jobs(trials, steps=rung)} <= below


def test_all_have_started_before_anyone_is_promoted_and_nobody_waits_for_a_rung_to_be_whole():
    plan = make_plan(seeds=0)
    trials: list[Trial] = []
    for number in range(24):
        job = plan.next_job(trials)
        assert job is not None
        assert job.rung == 0
        trials.append(Trial(number, job, "done", metric=WORTH[job.key], value=WORTH[job.key]))
    running = trials[-1]
    trials[-1] = Trial(running.number, running.job, "running")
    best = max(trials[:-1], key=lambda trial: trial.value or 0)
    promoted = plan.next_job(trials)
    assert promoted is not None
    assert best.job is not None
    assert (promoted.key, promoted.rung, promoted.steps) == (best.job.key, 1, 40)


def test_nobody_is_promoted_from_fewer_than_eta():
    plan = make_plan(candidates=CANDIDATES[:3], seeds=0)
    assert [job.rung for job in jobs(run(plan))] == [0, 0, 0]


def test_finalists_and_references_have_fresh_seeds_and_come_last():
    reference = candidate(30)
    WORTH[reference.key] = 3
    plan = make_plan(references=(reference,), seed=5)
    trials = run(plan, 2, Random("two"))
    finals = [trial.job for trial in trials if trial.job and trial.job.seed != 5]
    best = [trial.job.key for trial in plan.best(trials) if trial.job][:2]
    assert {job.seed for job in finals} == {6, 7} == set(plan.final_seeds())
    assert {job.key for job in finals} == {reference.key, *best}
    assert all(job.steps == 160 for job in finals)
    first = next(trial.number for trial in trials if trial.job and trial.job.seed != 5)
    assert all(trial.job.seed != 5 for trial in trials[first:] if trial.job)


def test_one_rung_is_the_plain_grid():
    trials = run(make_plan(rungs=(160,), seeds=0))
    assert [job.steps for job in jobs(trials)] == [160] * 24
    assert len({job.key for job in jobs(trials)}) == 24


def test_what_fails_for_good_is_neither_promoted_nor_stops_the_others():
    best = max(WORTH, key=lambda key: WORTH[key])
    plan = make_plan()
    trials = run(plan, 2, Random("fails"), frozenset([best]))
    second = sorted(WORTH, key=lambda key: -WORTH[key])[1]
    assert [job.steps for job in jobs(trials) if job.key == best] == [10]
    assert next(trial.job.key for trial in plan.best(trials) if trial.job) == second


def test_the_finals_wait_for_what_is_tried_again():
    plan = make_plan()
    trials = [trial for trial in run(plan) if trial.job and trial.job.seed == 0]
    assert plan.next_job(trials) is not None
    lost = trials[5]
    trials[5] = Trial(lost.number, lost.job, "retried")
    assert plan.next_job(trials) is None
    assert not plan.is_done(trials)


def test_the_same_seed_gives_the_same_order_and_another_one_another():
    orders = [[each.key for each in make_plan(seed=seed).order] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])


def test_a_plan_survives_json():
    plan = make_plan(references=(candidate(30),), seed=2)
    again = SuccessiveHalving.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again.to_dict() == plan.to_dict()
    assert [each.key for each in again.order] == [each.key for each in plan.order]


def test_its_total_is_what_synchronous_halving_takes():
    trials, steps = make_plan().total()
    assert trials == 24 + 6 + 1 + 2 * 2
    assert steps == 24 * 10 + 6 * 30 + 1 * 120 + 4 * 160


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rungs": ()}, "rising"),
        ({"rungs": (40, 40)}, "rising"),
        ({"eta": 1}, "`eta`"),
        ({"finalists": 0}, "`finalists`"),
        ({"candidates": ()}, "candidates"),
        ({"candidates": CANDIDATES[:1] * 2}, "of which 1 differ"),
    ],
)
def test_bad_values_are_named(changes, said):
    with pytest.raises(SearchError, match=said) as caught:
        make_plan(**changes)
    assert "Received: " in str(caught.value)
