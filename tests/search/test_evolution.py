"""Regularised evolution: the algorithm again in a few lines, any number of workers, failures, kills, and fronts."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from keras_effnet import BackboneSpec, StageSpec
from keras_effnet.blocks import ConvBlock, MBConv
from keras_effnet.errors import SearchError
from keras_effnet.search.candidates import Job, Trial, best_trial
from keras_effnet.search.evolution import Evolution, Reward, pareto_front
from keras_effnet.search.space import ArchitectureSpace

BASE = BackboneSpec(
    name="three",
    stem=StageSpec(ConvBlock(), width=16, stride=2),
    stages=tuple(StageSpec(MBConv(), width=16, depth=2) for _ in range(3)),
    resolution=16,
)
SPACE = ArchitectureSpace(BASE, classes=5)
FLAT = Reward(target=1, exponent=0)


def make_plan(**changes: Any) -> Evolution:
    values: dict[str, Any] = {"trials": 24, "steps": 10, "population": 8, "sample": 3, "seed": 3, "inherit": True}
    return Evolution(**{"space": SPACE, "reward": FLAT, **values, **changes})


def worth(job: Job) -> float:
    """A landscape with one top: how many choices are those of a chosen network."""
    return float(sum(job.choices[name] == value for name, value in TOP.items()))


TOP = SPACE.flat(SPACE.draw(Random("top")))


def run(
    plan: Evolution, workers: int = 1, order: Random | None = None, fails: frozenset[int] = frozenset()
) -> list[Trial]:
    """Simulates workers: whoever is free takes a job where there is one, and any of those that run may end next."""
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
        metric = worth(ended.job)
        if ended.number in fails:
            trials[ended.number] = replace(ended, state="failed")
        else:
            value = plan.value(plan.candidate(ended.job.choices), metric)
            trials[ended.number] = replace(ended, state="done", metric=metric, value=value)
    return trials


def jobs(trials: list[Trial]) -> list[Job]:
    return [trial.job for trial in trials if trial.job]


def test_the_parents_are_those_of_the_published_algorithm() -> None:
    plan = make_plan(lag=0, trials=40)
    trials, population = run(plan), deque(maxlen=plan.population)
    for trial in trials:
        assert trial.job
        expected = None
        if trial.number >= plan.population:
            generator = Random(f"evolution-3-{trial.number}")
            best = None
            for _ in range(plan.sample):
                drawn = generator.choice(population)
                if (
                    best is None
                    or drawn.value > best.value
                    or (drawn.value == best.value and drawn.number < best.number)
                ):
                    best = drawn
            assert best
            expected = best.job.key
        assert trial.job.parent == plan.parents(trials)[trial.job.key] == expected
        population.append(trial)  # the oldest one leaves


def test_a_child_is_one_step_from_its_parent() -> None:
    trials = run(make_plan())
    by_key = {job.key: job for job in jobs(trials)}
    children = [job for job in jobs(trials) if job.parent]
    assert len(children) == 16
    assert make_plan().parents(trials) == {job.key: job.parent for job in jobs(trials)}
    for job in children:
        parent = by_key[job.parent or ""]
        stages = {name.split(".")[0] for name in job.choices if job.choices[name] != parent.choices[name]}
        assert len(stages) <= 2  # the other one's skip may lose its effect
        assert job.choices != parent.choices


@pytest.mark.parametrize("method", ["evolution", "random"])
def test_the_candidates_do_not_depend_on_the_workers(method: Any) -> None:
    plan = make_plan(method=method)
    alone = jobs(run(plan))
    for workers, speed in ((2, "a"), (5, "b"), (5, "c"), (9, "d")):
        assert jobs(run(plan, workers, Random(speed))) == alone


def test_as_many_work_at_once_as_the_lag_says() -> None:
    plan = make_plan(lag=3)
    trials: list[Trial] = run(replace(plan, trials=10))
    for _ in range(4):
        job = plan.next_job(trials)
        assert job
        trials.append(Trial(len(trials), job, "running"))
    assert plan.next_job(trials) is None


def test_another_seed_tries_other_candidates() -> None:
    first, second = ({job.key for job in jobs(run(make_plan(seed=seed)))} for seed in (1, 2))
    assert len(first & second) < 5


def test_no_candidate_is_tried_twice_and_none_costs_too_much() -> None:
    plan = make_plan(limits={"params": 20_000}, trials=60)
    trials = run(plan)
    keys = [job.key for job in jobs(trials)]
    assert len(set(keys)) == len(keys) == 60
    assert max(plan.candidate(job.choices).cost["params"] for job in jobs(trials)) <= 20_000


def test_evolution_climbs_where_random_search_does_not() -> None:
    best = {
        method: [
            trial.value or 0.0
            for seed in range(2)
            if (trial := best_trial(run(make_plan(method=method, seed=seed, trials=80, lag=1))))
        ]
        for method in ("evolution", "random")
    }
    assert min(best["evolution"]) > max(best["random"]), best


def test_the_reward_weighs_the_cost() -> None:
    plan = make_plan(reward=Reward(target=1e5, exponent=-0.5))
    [trial, *_] = run(plan)
    assert trial.job
    macs = plan.candidate(trial.job.choices).cost["macs"]
    assert trial.value == pytest.approx(worth(trial.job) * (1e5 / macs) ** 0.5)


def test_failed_candidates_are_no_parents_and_hold_up_nobody() -> None:
    fails = frozenset({1, 5, 9, 12, 13})
    trials = run(make_plan(), 3, Random("f"), fails)
    assert len(trials) == 24
    failed = {trial.job.key for trial in trials if trial.number in fails and trial.job}
    assert not failed & {job.parent for job in jobs(trials)}
    assert jobs(trials) == jobs(run(make_plan(), 1, None, fails))


def test_where_all_failed_the_next_ones_are_drawn() -> None:
    trials = run(make_plan(trials=14), fails=frozenset(range(14)))
    assert len(trials) == 14
    assert not any(job.parent for job in jobs(trials))


def test_a_candidate_that_is_tried_again_is_waited_for() -> None:
    plan = make_plan(lag=0)
    trials = run(replace(plan, trials=10))
    last = trials[-1]
    trials[-1] = replace(last, state="retried", metric=None, value=None)
    again = Trial(10, last.job, "running", fresh=False)
    assert plan.next_job([*trials, again]) is None
    done = replace(again, state="done", metric=last.metric, value=last.value)
    assert plan.next_job([*trials, done]) == plan.next_job([*trials[:-1], last])
    assert plan.next_job([*trials, replace(again, state="failed")]) is not None
    assert not plan.is_done([*trials, done])


def test_a_job_that_two_workers_queued_counts_once() -> None:
    plan = make_plan(trials=12)
    whole = run(plan)
    void = replace(whole[6], state="void", metric=None, value=None)
    trials = [*whole[:7], replace(void, number=7)]
    assert plan.next_job(trials) == whole[7].job
    assert plan.next_job([*whole[:6], Trial(6, None, "void")]) == whole[6].job


def test_of_equally_good_ones_the_older_is_the_parent_also_when_it_was_tried_again() -> None:
    plan = make_plan(trials=12, lag=0)
    trials = [replace(trial, value=1.0) for trial in run(plan)[:11]]
    retried = [replace(trial, state="retried", value=None) for trial in trials]
    again = [replace(trial, number=11 + place, fresh=False) for place, trial in enumerate(reversed(trials))]
    assert plan.next_job([*retried, *again]) == plan.next_job(trials)


def test_a_space_that_is_used_up_ends_the_search() -> None:
    few: dict[str, Any] = {"kinds": ("conv",), "kernels": (3,), "widths": (1,), "depths": (0,)}
    space = ArchitectureSpace(BASE, **few)
    plan = make_plan(space=space, trials=1000, population=5, sample=2)
    trials = run(plan, 2, Random("u"))
    assert len({job.key for job in jobs(trials)}) == len(trials) == space.size == 8


def test_a_plan_survives_json() -> None:
    plan = make_plan(limits={"macs": 1e6}, reward=Reward(2e5, "params", over=-1), method="random")
    values = json.loads(json.dumps(plan.to_dict()))
    again = Evolution.from_dict(values)
    assert json.loads(json.dumps(again.to_dict())) == values
    assert values["kind"] == "evolution"
    assert jobs(run(again)) == jobs(run(plan))
    trials = [Trial(0, Job(**json.loads(json.dumps(vars(plan.next_job([]))))), "running")]
    assert again.next_job(trials) == plan.next_job(trials)


def test_the_front_is_what_nobody_beats() -> None:
    plan = make_plan(trials=40)
    trials = run(plan, fails=frozenset({2}))
    points = {
        trial.job.key: (plan.candidate(trial.job.choices).cost["macs"], trial.metric)
        for trial in trials
        if trial.job and trial.metric is not None
    }

    def beats(one: tuple[float, Any], other: tuple[float, Any]) -> bool:
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    expected = {key for key, point in points.items() if not any(beats(each, point) for each in points.values())}
    front = pareto_front(trials, plan)
    assert set(front) == expected
    assert len(front) == len(expected) > 2
    assert [points[key][0] for key in front] == sorted(points[key][0] for key in front)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 0),
        ("steps", 0),
        ("population", 1),
        ("sample", 9),
        ("lag", 8),
        ("seed", -1),
        ("method", "annealing"),
        ("inherit", 1),
    ],
)
def test_wrong_values_are_named(name: str, value: Any) -> None:
    with pytest.raises(SearchError, match=f"`{name}`.*Received"):
        make_plan(**{name: value})


def test_limits_that_leave_nothing_are_seen_before_the_start() -> None:
    with pytest.raises(SearchError, match=r"`params`: the smallest has"):
        make_plan(limits={"params": 100})
