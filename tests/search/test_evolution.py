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
from keras_effnet.search.evolution import Evolution, pareto_front
from keras_effnet.search.limits import Limits
from keras_effnet.search.plan import Job, Row, best_row
from keras_effnet.search.reward import Reward
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


TOP = SPACE.random(Random("top"))


def run(
    plan: Evolution, workers: int = 1, order: Random | None = None, fails: frozenset[int] = frozenset()
) -> list[Row]:
    """Simulates workers: whoever is free takes a job where there is one, and any of those that run may end next."""
    rows: list[Row] = []
    while not plan.is_done(rows):
        running = [row for row in rows if row.state == "running"]
        job = plan.next_job(rows, len(rows)) if len(running) < workers else None
        if job is not None:
            rows.append(Row(len(rows), job, "running"))
            continue
        assert running, "nobody works, and nothing is to do"
        ended = order.choice(running) if order else running[0]
        assert ended.job
        metric = worth(ended.job)
        if ended.number in fails:
            rows[ended.number] = replace(ended, state="failed")
        else:
            value = plan.value(plan.candidate(ended.job.choices), metric)
            rows[ended.number] = replace(ended, state="done", metric=metric, value=value)
    return rows


def jobs(rows: list[Row]) -> list[Job]:
    return [row.job for row in rows if row.job]


def test_the_parents_are_those_of_the_published_algorithm() -> None:
    plan = make_plan(lag=0, trials=40)
    rows, population = run(plan), deque(maxlen=plan.population)
    for row in rows:
        assert row.job
        expected = None
        if row.number >= plan.population:
            generator = Random(f"evolution-3-{row.number}")
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
        assert row.job.parent == plan.parents(rows)[row.job.key] == expected
        population.append(row)  # the oldest one leaves


def test_a_child_is_one_step_from_its_parent() -> None:
    rows = run(make_plan())
    by_key = {job.key: job for job in jobs(rows)}
    children = [job for job in jobs(rows) if job.parent]
    assert len(children) == 16
    assert make_plan().parents(rows) == {job.key: job.parent for job in jobs(rows)}
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
    rows: list[Row] = run(replace(plan, trials=10))
    for _ in range(4):
        job = plan.next_job(rows, len(rows))
        assert job
        rows.append(Row(len(rows), job, "running"))
    assert plan.next_job(rows, len(rows)) is None


def test_another_seed_tries_other_candidates() -> None:
    first, second = ({job.key for job in jobs(run(make_plan(seed=seed)))} for seed in (1, 2))
    assert len(first & second) < 5


def test_no_candidate_is_tried_twice_and_none_costs_too_much() -> None:
    plan = make_plan(limits=Limits(most={"params": 20_000}), trials=60)
    rows = run(plan)
    keys = [job.key for job in jobs(rows)]
    assert len(set(keys)) == len(keys) == 60
    assert max(plan.candidate(job.choices).cost["params"] for job in jobs(rows)) <= 20_000


def test_evolution_climbs_where_random_search_does_not() -> None:
    best = {
        method: [
            row.value or 0.0
            for seed in range(2)
            if (row := best_row(run(make_plan(method=method, seed=seed, trials=80, lag=1))))
        ]
        for method in ("evolution", "random")
    }
    assert min(best["evolution"]) > max(best["random"]), best


def test_the_reward_weighs_the_cost() -> None:
    plan = make_plan(reward=Reward(target=1e5, exponent=-0.5))
    [row, *_] = run(plan)
    assert row.job
    macs = plan.candidate(row.job.choices).cost["macs"]
    assert row.value == pytest.approx(worth(row.job) * (1e5 / macs) ** 0.5)


def test_failed_candidates_are_no_parents_and_hold_up_nobody() -> None:
    fails = frozenset({1, 5, 9, 12, 13})
    rows = run(make_plan(), 3, Random("f"), fails)
    assert len(rows) == 24
    failed = {row.job.key for row in rows if row.number in fails and row.job}
    assert not failed & {job.parent for job in jobs(rows)}
    assert jobs(rows) == jobs(run(make_plan(), 1, None, fails))


def test_where_all_failed_the_next_ones_are_drawn() -> None:
    rows = run(make_plan(trials=14), fails=frozenset(range(14)))
    assert len(rows) == 14
    assert not any(job.parent for job in jobs(rows))


def test_a_candidate_that_is_tried_again_is_waited_for() -> None:
    plan = make_plan(lag=0)
    rows = run(replace(plan, trials=10))
    last = rows[-1]
    rows[-1] = replace(last, state="retried", metric=None, value=None)
    again = Row(10, last.job, "running", fresh=False)
    assert plan.next_job([*rows, again], 10) is None
    done = replace(again, state="done", metric=last.metric, value=last.value)
    assert plan.next_job([*rows, done], 10) == plan.next_job([*rows[:-1], last], 10)
    assert plan.next_job([*rows, replace(again, state="failed")], 10) is not None
    assert not plan.is_done([*rows, done])


def test_a_worker_killed_before_it_wrote_its_job_down() -> None:
    plan = make_plan(trials=12)
    whole = run(plan)
    silent = replace(whole[6], job=None, state="running", metric=None, value=None)
    rows = [*whole[:6], silent]
    assert plan.next_job(rows, 7) is None  # number 6 is unknown, and 7 must not be the same
    assert not plan.is_done(rows)
    # Once it is known to be gone the next number takes the job, and all goes on as if nothing had been.
    void = [*whole[:6], replace(silent, state="void")]
    assert plan.next_job(void, 6) == whole[6].job
    assert plan.next_job([*void, replace(whole[6], number=7)], 7) == whole[7].job


def test_of_equally_good_ones_the_older_is_the_parent_also_when_it_was_tried_again() -> None:
    plan = make_plan(trials=12, lag=0)
    rows = [replace(row, value=1.0) for row in run(plan)[:11]]
    retried = [replace(row, state="retried", value=None) for row in rows]
    again = [replace(row, number=11 + place, fresh=False) for place, row in enumerate(reversed(rows))]
    assert plan.next_job([*retried, *again], 11) == plan.next_job(rows, 11)


def test_a_space_that_is_used_up_ends_the_search() -> None:
    few: dict[str, Any] = {"kinds": ("conv",), "kernels": (3,), "widths": (1,), "depths": (0,)}
    space = ArchitectureSpace(BASE, **few)
    plan = make_plan(space=space, trials=1000, population=5, sample=2)
    rows = run(plan, 2, Random("u"))
    assert len({job.key for job in jobs(rows)}) == len(rows) == space.size == 8


def test_a_plan_survives_json() -> None:
    plan = make_plan(limits=Limits({"macs": 1e6}), reward=Reward(2e5, "params", over=-1), method="random")
    values = json.loads(json.dumps(plan.to_dict()))
    again = Evolution.from_dict(values)
    assert json.loads(json.dumps(again.to_dict())) == values
    assert values["kind"] == "evolution"
    assert jobs(run(again)) == jobs(run(plan))
    rows = [Row(0, Job(**json.loads(json.dumps(vars(plan.next_job([], 0))))), "running")]
    assert again.next_job(rows, 1) == plan.next_job(rows, 1)


def test_the_front_is_what_nobody_beats() -> None:
    plan = make_plan(trials=40)
    rows = run(plan, fails=frozenset({2}))
    points = {
        row.job.key: (plan.candidate(row.job.choices).cost["macs"], row.metric)
        for row in rows
        if row.job and row.metric is not None
    }

    def beats(one: tuple[float, Any], other: tuple[float, Any]) -> bool:
        return one[0] <= other[0] and one[1] >= other[1] and one != other

    expected = {key for key, point in points.items() if not any(beats(each, point) for each in points.values())}
    front = pareto_front(rows, plan, "macs")
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
        make_plan(limits=Limits(most={"params": 100}))
