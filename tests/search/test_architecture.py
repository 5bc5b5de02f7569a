"""The search for a baseline from its call to its files, with functions of this process in place of training."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from keras_effnet import BackboneSpec, StageSpec, estimate_cost
from keras_effnet.blocks import ConvBlock, MBConv
from keras_effnet.errors import SearchError
from keras_effnet.report.text import short
from keras_effnet.search import driver
from keras_effnet.search.candidates import spec_key
from keras_effnet.search.search_page import format_search
from keras_effnet.search.searches import ArchitectureResult, search_architecture
from keras_effnet.search.space import ArchitectureSpace
from keras_effnet.search.task import Task
from keras_effnet.serialization import read_spec

BASE = BackboneSpec(
    name="base",
    stem=StageSpec(ConvBlock(), width=16, stride=2),
    stages=(StageSpec(MBConv(), width=16, depth=2), StageSpec(MBConv(), width=24, depth=1, stride=2)),
    resolution=32,
)


def blocks(task: Task) -> float:
    """The deeper the better."""
    return task.candidate.spec.depth / 10


def search(output: Path, train: Any = blocks, **changes: Any) -> ArchitectureResult:
    sizes: dict[str, Any] = {"trials": 14, "population": 6, "sample": 3, "steps": 2}
    return search_architecture(BASE, train, output=output, **{**sizes, **changes})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArchitectureResult, Path]:
    output = tmp_path_factory.mktemp("found")
    return search(output), output


def test_the_best_is_what_the_reward_says(found: tuple[ArchitectureResult, Path]) -> None:
    result, _ = found
    target = estimate_cost(BASE).macs
    rewards = {}
    for each in result.summary.candidates:
        space = ArchitectureSpace(BASE)
        spec = space.network(space.read(each.choices))
        macs = estimate_cost(spec).macs
        assert each.metric is not None
        rewards[each.key] = each.metric * (macs / target) ** -0.07
        assert each.value == pytest.approx(rewards[each.key])
        assert each.widths == tuple(stage.width for stage in spec.stages)
        assert each.depths == tuple(stage.depth for stage in spec.stages)
        assert macs <= 2 * target
    assert len(rewards) == 14
    assert spec_key(result.spec) == max(rewards, key=lambda key: rewards[key]) == result.summary.best


def keras_effnet(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "keras_effnet", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_other_commands_take_what_was_found(found: tuple[ArchitectureResult, Path]) -> None:
    result, output = found
    assert read_spec(output / "best.json") == result.spec
    assert f"{estimate_cost(result.spec).params:,}" in keras_effnet("explain", str(output / "best.json"))
    assert "1,000,000" in keras_effnet("fit", str(output / "best.json"), "--macs", "1000000")


def test_the_front_is_left_as_spec_files(found: tuple[ArchitectureResult, Path]) -> None:
    result, output = found
    front = json.loads((output / "front.json").read_text())
    assert [each["key"] for each in front] == list(result.summary.front)
    specs = [read_spec(output / each["spec"]) for each in front]
    assert tuple(specs) == result.front
    for one, next_one in pairwise(front):
        assert one["cost"]["macs"] < next_one["cost"]["macs"]
        assert one["metric"] < next_one["metric"]
    assert [estimate_cost(spec).macs for spec in specs] == [each["cost"]["macs"] for each in front]


def test_the_summary_is_json_and_tells_the_family(found: tuple[ArchitectureResult, Path]) -> None:
    result, output = found
    written = json.loads((output / "result.json").read_text())
    told = json.loads(json.dumps(result.summary.to_dict()))
    for changing in ("seconds", "versions"):
        del told[changing], written[changing]
    assert written == told
    by_key = {each["key"]: each for each in written["candidates"]}
    parents = [each["parent"] for each in written["candidates"]]
    assert parents[:6] == [None] * 6
    assert all(parents[6:])
    for each in written["candidates"]:
        older = -1 if each["parent"] is None else by_key[each["parent"]]["generation"]
        assert each["generation"] == older + 1
    assert "MBConv" in written["table"]


def test_the_same_call_goes_on_and_another_one_is_refused(found: tuple[ArchitectureResult, Path]) -> None:
    result, output = found
    assert search(output).summary.candidates == result.summary.candidates
    with pytest.raises(SearchError, match=r"another search.*seed.*Received"):
        search(output, seed=5)


def test_every_measure_can_be_weighed_and_has_its_column(tmp_path: Path) -> None:
    result = search(tmp_path, cost="model_bytes", trials=6)
    text, page = format_search(result.summary), (tmp_path / "report.html").read_text()
    with (tmp_path / "trials.csv").open(newline="") as file:
        listed = {line["key"]: float(line["model_bytes"]) for line in csv.DictReader(file)}
    best = next(each for each in result.summary.candidates if each.key == result.summary.best)
    params = estimate_cost(result.spec).params
    assert best.cost["model_bytes"] == listed[best.key] == 4 * params
    assert "model bytes  metric  reward  trial" in text
    for each in result.summary.candidates:
        assert short(each.cost["model_bytes"]) in page


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without plots and pages, which other tests read."""
    monkeypatch.setattr(driver, "write_search_report", lambda *_: None)


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_random_search_has_no_parents(tmp_path: Path) -> None:
    result = search(tmp_path, method="random", trials=8)
    assert {each.parent for each in result.summary.candidates} == {None}


def test_an_empty_feasible_set_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"`params`: the smallest has.*Received: params=1,000"):
        search(tmp_path / "none", limits={"params": 1000})
    assert not (tmp_path / "none").exists()


def test_a_train_function_that_returns_no_number_is_told(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"must return a number.*Received: 'good'"):
        search(tmp_path, lambda task: "good")


@pytest.mark.usefixtures("unreported")
def test_metrics_below_zero_are_ranked_where_the_cost_is_left_out(tmp_path: Path) -> None:
    result = search(tmp_path, lambda task: blocks(task) - 1, exponent=0, trials=6)
    metrics = {each.key: each.metric for each in result.summary.candidates if each.metric is not None}
    assert max(metrics.values()) < 0
    assert metrics[result.summary.best or ""] == max(metrics.values())


def test_a_metric_below_zero_ends_a_search_whose_reward_it_would_turn_round(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"leave it out of the reward.*Received: metric="):
        search(tmp_path, lambda task: -1.0)


@pytest.mark.slow
def test_scores_and_training_on_the_embedded_data(tmp_path: Path) -> None:
    from keras_effnet.search.scores import ZeroCost
    from keras_effnet.search.searches import embedded_base

    base = replace(embedded_base(), stages=embedded_base().stages[:2])
    sizes: dict[str, Any] = {"trials": 3, "population": 2, "sample": 1, "lag": 0}
    scored = search_architecture(base, ZeroCost("naswot"), output=tmp_path / "score", **sizes)
    target = scored.summary.reward["target"]
    assert all(each.cost["macs"] <= target for each in scored.summary.candidates)
    assert scored.summary.reward["exponent"] == 0
    limits = {"macs": 0.7 * target}
    trained = search_architecture(
        base, None, output=tmp_path / "train", steps=2, workers=1, inherit=True, limits=limits, **sizes
    )
    assert trained.summary.metric == "accuracy"
    assert 0 <= (trained.summary.candidates[0].metric or 0) <= 1
