"""The runs of a comparison: which are made, that none is made twice, and what is said of them."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_trains import Trains
from scipy import stats
from support import tiny_spec

from keras_effnet import Contender, ScratchRecipe, compare_networks, read_comparison, scale_spec
from keras_effnet.blocks import MBConv
from keras_effnet.comparison.comparison_plots import accuracy_png
from keras_effnet.data.images import Images
from keras_effnet.data.sets import DataSplits
from keras_effnet.errors import ComparisonError, DataError, RecipeError, SearchError
from keras_effnet.search.candidates import Candidate
from keras_effnet.search.comparison_training import ComparisonTraining, check_splits
from keras_effnet.search.driver import SEARCH_FILE
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.search.task import Task

NETWORKS = ("mobilenet_v1", "resnet50")
RECIPE = ScratchRecipe(steps=40, rates=(0.03, 0.1, 0.3))


def compare(output: Path, train: Trains, networks: Any = NETWORKS, **options: Any) -> Any:
    return compare_networks(networks, train=train, output=output, **{"recipe": RECIPE, **options})


def test_each_network_gets_its_best_rate_with_the_same_effort_and_seeds_of_their_own(tmp_path: Path) -> None:
    train = Trains()
    found = compare(tmp_path, train)
    assert sorted(train.runs[:6]) == sorted((name, rate, 0, 40) for name in NETWORKS for rate in (0.03, 0.1, 0.3))
    assert sorted(train.runs[6:]) == sorted((name, 0.1, seed, 40) for name in NETWORKS for seed in (1, 2, 3))
    for row in found.networks:
        assert row.rate == 0.1
        assert {rate: round(metric, 4) for rate, metric in row.rates.items()} == pytest.approx(
            {rate: 0.5 + min(row.macs, 1e9) / 1e10 - abs(rate - 0.1) for rate in (0.03, 0.1, 0.3)}, abs=1e-4
        )
        assert list(row.accuracies) == [1, 2, 3]
        assert row.training_macs == 3 * row.macs * 32 * 40
    assert found.training.runs == {"done": 12, "failed": 0, "total": 12}
    assert found.training.finished


def test_mean_and_interval_are_scipys_and_differences_too(tmp_path: Path) -> None:
    found = compare(tmp_path, Trains())
    values = {row.label: list(row.accuracies.values()) for row in found.networks}
    for row in found.networks:
        assert row.mean == pytest.approx(statistics.fmean(values[row.label]))
        expected = stats.ttest_1samp(values[row.label], 0).confidence_interval(0.95)
        assert row.interval == pytest.approx((expected.low, expected.high))
    difference = found.difference("resnet50", "mobilenet_v1")
    assert difference.mean == pytest.approx(np.subtract(values["resnet50"], values["mobilenet_v1"]).mean())
    assert difference.verdict == "better"
    with pytest.raises(ComparisonError, match="at least two seeds"):
        compare(tmp_path, Trains(), seeds=1).difference(*NETWORKS)


@pytest.mark.parametrize("runs", [1, 4, 9])
def test_an_interrupted_comparison_goes_on_and_makes_no_run_twice(tmp_path: Path, runs: int) -> None:
    first, second = Trains(most=runs), Trains()
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path / "cut", first)
    found = compare(tmp_path / "cut", second)
    whole = Trains()
    assert found.networks == compare(tmp_path / "whole", whole).networks
    assert len(first.runs) == runs
    assert sorted(first.runs + second.runs) == sorted(whole.runs)
    third = Trains()
    assert compare(tmp_path / "cut", third).networks == found.networks
    assert third.runs == []


def test_more_networks_and_seeds_train_only_what_is_new(tmp_path: Path) -> None:
    first = compare(tmp_path, Trains())
    train = Trains()
    again = Contender("resnet50", "the same, called otherwise")
    found = compare(tmp_path, train, ["mobilenet_v2", "mobilenet_v1", again])
    assert {run[0] for run in train.runs} == {"mobilenet_v2"}
    assert len(train.runs) == 6
    assert found["mobilenet_v1"].accuracies == first["mobilenet_v1"].accuracies
    assert found[again.label].accuracies == first["resnet50"].accuracies
    assert found.training.seconds > 0
    with (tmp_path / "trials.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 18
    seeds = Trains()
    compare(tmp_path, seeds, seeds=5)
    assert sorted(seeds.runs) == sorted((name, 0.1, seed, 40) for name in NETWORKS for seed in (4, 5))


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": ScratchRecipe(steps=41, rates=RECIPE.rates)},
        {"recipe": ScratchRecipe(steps=40, rates=(0.01, 0.02, 0.05))},
        {"seed": 10},
        {"networks": [scale_spec(name, 1) for name in NETWORKS]},
    ],
)
def test_what_differs_in_steps_rates_seed_or_network_is_another_run(tmp_path: Path, change: dict[str, Any]) -> None:
    compare(tmp_path, Trains())
    train = Trains()
    compare(tmp_path, train, **change)
    assert len(train.runs) == 12


def test_comparisons_of_other_folders_share_a_database(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    compare(tmp_path / "one", Trains(), storage=storage)
    train = Trains()
    compare(tmp_path / "two", train, storage=storage)
    assert train.runs == []
    assert read_comparison(tmp_path / "one").networks == read_comparison(tmp_path / "two").networks


def test_the_base_is_trained_once_for_all_rules(tmp_path: Path) -> None:
    train = Trains()
    options: dict[str, Any] = {"phi": [0, 1], "rule": ["compound", "width_only"]}
    found = compare(tmp_path, train, ["mobilenet_v1"], **options, recipe=ScratchRecipe(steps=4, rates=(0.1,)), seeds=2)
    assert len(train.runs) == 3 * 2  # one rate: nothing to choose
    bases = [row for row in found.networks if row.phi == 0]
    assert len(bases) == 2
    assert bases[0].accuracies == bases[1].accuracies
    assert found.training.rate_seed is None


def test_equal_compute_gives_every_network_the_multiply_adds_of_the_first(tmp_path: Path) -> None:
    recipe = ScratchRecipe(steps=1000, rates=(0.1,), equal="compute")
    rows = compare(tmp_path, Trains(), ["mobilenet_v1"], phi=[0, 1, 2], recipe=recipe, seeds=1).networks
    assert rows[0].steps == 1000
    assert rows[2].steps < rows[1].steps < 1000
    for row in rows:
        assert row.training_macs == pytest.approx(rows[0].training_macs, rel=2e-3)
    with pytest.raises(RecipeError, match="less than a step"):
        compare(tmp_path, Trains(), ["mobilenet_v1"], phi=[0, 8], recipe=ScratchRecipe(steps=1, equal="compute"))


def test_what_fails_is_told_and_costs_only_its_own_run(tmp_path: Path) -> None:
    found = compare(tmp_path / "a", Trains(fails=[0.3]), retries=0)
    assert found.networks[0].rates[0.3] is None
    assert found.networks[0].rate == 0.1
    assert "2 runs failed for good" in str(found)
    edge = compare(tmp_path / "b", Trains(), recipe=ScratchRecipe(steps=4, rates=(0.01, 0.03, 0.1)), seeds=1)
    assert "0.1, is the last of the ladder" in str(edge)
    with pytest.raises(SearchError, match="no trial came to a result"):
        compare(tmp_path / "c", Trains(fails=RECIPE.rates), retries=0)


def test_test_images_decide_if_there_are_any(tmp_path: Path) -> None:
    found = compare(tmp_path, Trains(tests=True))
    for row in found.networks:
        assert row.accuracies[1] == pytest.approx(row.rates[0.1] - 0.1 + 0.01)
    assert found.training.measured_on == "test images"
    assert found.difference(*NETWORKS).on == "test"


def test_the_folder_of_another_search_or_version_is_left_alone(tmp_path: Path) -> None:
    compare(tmp_path, Trains())
    path = tmp_path / SEARCH_FILE
    content = json.loads(path.read_text())
    for changed in (
        {**content, "study": "other", "search": "halving"},
        {**content, "study": "old", "plan": {"version": 0}},
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(SearchError, match=r"holds another search, with another .*(search|plan.version)"):
            compare(tmp_path, Trains(), seeds=4)
        assert json.loads(path.read_text()) == changed


def test_figures_without_runs_and_folders_without_figures_name_the_command(tmp_path: Path) -> None:
    counted = compare_networks(NETWORKS, output=tmp_path)
    with pytest.raises(ComparisonError, match=r"has been trained.*--train DATA"):
        accuracy_png(counted)
    with pytest.raises(ComparisonError, match="--latency"):
        accuracy_png(compare(tmp_path / "trained", Trains()), "latency_ms")
    with pytest.raises(ComparisonError, match=f"keras-effnet compare NETWORK ... --output {tmp_path}/empty"):
        read_comparison(tmp_path / "empty")
    path = tmp_path / "compare.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(ComparisonError, match="is of version 99, and this is version 1"):
        read_comparison(tmp_path)
    for broken in ("{", "[]", json.dumps({**content, "networks": [{}]})):
        path.write_text(broken)
        with pytest.raises(ComparisonError, match="cannot be read"):
            read_comparison(tmp_path)


def test_a_model_without_a_spec_is_not_trained(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3)], name="theirs")
    with pytest.raises(ComparisonError, match=r"cannot be built anew.*Received: 'theirs'"):
        compare(tmp_path / "x", Trains(), [model])
    assert not (tmp_path / "x").exists()


def make_splits(train: list[int], validation: list[int]) -> DataSplits:
    def images(labels: list[int]) -> Images:
        return Images(np.zeros((len(labels), 8, 8, 3), np.uint8), np.array(labels, np.int32), ("a", "b", "c"))

    return DataSplits("few", images(train), images(validation), None)


def test_too_little_data_for_the_split_is_named() -> None:
    check_splits(make_splits([0, 1, 2], [0, 1, 2]), 3)
    with pytest.raises(DataError, match=r"fewer training images than a batch.*3 training images"):
        check_splits(make_splits([0, 1, 2], [0, 1, 2]), 4)
    with pytest.raises(DataError, match=r"no image to measure by.*no image of b, c"):
        check_splits(make_splits([0, 1, 2], [0]), 3)
    with pytest.raises(DataError, match=r"no image to train on.*no image of a"):
        check_splits(make_splits([1, 2], [0, 1, 2]), 2)


def test_a_run_is_a_short_training_with_its_own_rate_and_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(ProxyTraining, "__call__", lambda self, task: asked.append((self, task)) or 0.5)
    candidate = Candidate({"network": "x", "rate": 0.03}, tiny_spec(MBConv()), {})
    task = Task(candidate, 1, 70, tmp_path, None, lambda step, metric: None, lambda name, value: None)
    assert ComparisonTraining("digits", batch_size=16, validation=0.5)(task) == 0.5
    assert asked == [(ProxyTraining("digits", 70, 16, 0.03, 0.5), task)]
    with pytest.raises(SearchError, match="not those that the comparison began with"):
        ComparisonTraining("digits", content="of other images")(task)


@pytest.mark.slow
def test_networks_learn_and_a_cut_run_goes_on(tmp_path: Path) -> None:
    narrow, wide = (scale_spec(tiny_spec(MBConv(), resolution=16), phi) for phi in (0, 2))
    options: dict[str, Any] = {"data": "digits", "output": tmp_path, "workers": 2}
    recipe = ScratchRecipe(steps=60, batch_size=16, rates=(0.1,))
    networks = [Contender(narrow, "narrow"), Contender(wide, "wide")]
    found = compare_networks(networks, recipe=recipe, seeds=2, **options)
    assert found.training is not None
    assert found.training.chance == 0.1
    assert found.training.images == {"training": 1078, "validation": 360, "test": 359}
    assert found.training.measured_on == "test images"
    for row in found.networks:
        assert row.mean is not None
        assert row.mean > 0.2  # chance is 0.1
    lines = (tmp_path / "trials.csv").read_text()
    assert compare_networks(networks, recipe=recipe, seeds=2, **options).networks == found.networks
    assert (tmp_path / "trials.csv").read_text() == lines
