"""The runs of a comparison: which are made, that none is made twice, and what is said of them."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_trains import Trains, made, run_in_memory
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
FEW = ScratchRecipe(steps=40, rates=(0.1, 0.3))


def compare(output: Path, train: Trains, networks: Any = NETWORKS, **options: Any) -> Any:
    return compare_networks(networks, train=train, output=output, **{"recipe": RECIPE, **options})


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes runs without a database, which takes a tenth of the time."""
    monkeypatch.setattr("keras_effnet.comparison.comparison_runs.run_search", run_in_memory)


@pytest.mark.usefixtures("in_memory")
def test_each_network_gets_its_best_rate_with_the_same_effort_and_seeds_of_their_own(tmp_path: Path) -> None:
    train = Trains()
    found = compare(tmp_path, train)
    assert sorted(train.runs[:6]) == sorted((name, rate, 0, 40) for name in NETWORKS for rate in (0.03, 0.1, 0.3))
    assert sorted(train.runs[6:]) == sorted((name, 0.1, seed, 40) for name in NETWORKS for seed in (1, 2, 3))
    for row in found.networks:
        assert row.rate == 0.1
        assert row.rates == {rate: made(row.macs, rate, 0) for rate in (0.03, 0.1, 0.3)}
        assert row.accuracies == {seed: made(row.macs, 0.1, seed) for seed in (1, 2, 3)}
        assert row.training_macs == 3 * row.macs * 32 * 40
    assert found.training.runs == {"done": 12, "failed": 0, "total": 12}
    assert found.training.measured_on == "validation images"


@pytest.mark.usefixtures("in_memory")
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
    one = compare(tmp_path, Trains(), seeds=1)
    assert one.networks[0].interval is None
    with pytest.raises(ComparisonError, match="at least two seeds"):
        one.difference(*NETWORKS)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": ScratchRecipe(steps=41, rates=RECIPE.rates)},
        {"recipe": ScratchRecipe(steps=40, rates=(0.01, 0.02, 0.05))},
        {"seed": 10},
        {"networks": [scale_spec(name, 1) for name in NETWORKS]},
    ],
)
def test_what_differs_in_steps_rates_seed_or_network_is_another_run(
    in_memory: None, tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Any] = []
    note = lambda plan, *rest: plans.append(plan) or run_in_memory(plan, *rest)  # noqa: E731
    monkeypatch.setattr("keras_effnet.comparison.comparison_runs.run_search", note)
    compare(tmp_path, Trains())
    compare(tmp_path, Trains(), **change)
    compare(tmp_path, Trains(), [*NETWORKS, "mobilenet_v2"], seeds=4)
    first, other, larger = ({job.what for job in plan.every.values()} for plan in plans)
    assert not first & other
    assert first < larger
    if "seed" not in change:  # nor do they share a folder, which holds a key and a seed
        assert not {what[0] for what in first} & {what[0] for what in other}


@pytest.mark.usefixtures("in_memory")
def test_the_base_is_trained_once_for_all_rules(tmp_path: Path) -> None:
    train = Trains()
    options: dict[str, Any] = {"phi": [0, 1], "rule": ["compound", "width_only"]}
    found = compare(tmp_path, train, ["mobilenet_v1"], **options, recipe=ScratchRecipe(steps=4, rates=(0.1,)), seeds=2)
    assert len(train.runs) == 3 * 2  # one rate: nothing to choose
    bases = [row for row in found.networks if row.phi == 0]
    assert len(bases) == 2
    assert bases[0].accuracies == bases[1].accuracies
    assert found.training.rate_seed is None


@pytest.mark.usefixtures("in_memory")
def test_equal_compute_gives_every_network_the_multiply_adds_of_the_first(tmp_path: Path) -> None:
    recipe = ScratchRecipe(steps=1000, rates=(0.1,), equal="compute")
    rows = compare(tmp_path, Trains(), ["mobilenet_v1"], phi=[0, 1, 2], recipe=recipe, seeds=1).networks
    assert rows[0].steps == 1000
    assert rows[2].steps < rows[1].steps < 1000
    for row in rows:
        assert row.training_macs == pytest.approx(rows[0].training_macs, rel=2e-3)
    with pytest.raises(RecipeError, match="less than a step"):
        compare(tmp_path, Trains(), ["mobilenet_v1"], phi=[0, 8], recipe=ScratchRecipe(steps=1, equal="compute"))
    with pytest.raises(RecipeError, match="has steps, not epochs"):
        compare(tmp_path, Trains(), recipe=ScratchRecipe(epochs=1))


@pytest.mark.usefixtures("in_memory")
def test_what_fails_is_told_and_costs_only_its_own_run(tmp_path: Path) -> None:
    found = compare(tmp_path, Trains(fails=[0.3]))
    assert found.networks[0].rates[0.3] is None
    assert found.networks[0].rate == 0.1
    assert "2 runs failed for good" in str(found)
    edge = compare(tmp_path, Trains(), recipe=ScratchRecipe(steps=4, rates=(0.01, 0.03, 0.1)), seeds=1)
    assert "0.1, is the last of the ladder" in str(edge)
    nothing = compare(tmp_path, Trains(fails=RECIPE.rates))
    assert "resnet50: it failed with every learning rate" in str(nothing)
    assert nothing.networks[0].mean is None


@pytest.mark.usefixtures("in_memory")
def test_test_images_decide_if_there_are_any(tmp_path: Path) -> None:
    found = compare(tmp_path, Trains(tests=True))
    for row in found.networks:
        assert row.accuracies[1] == pytest.approx(row.rates[0.1] - 0.1 + 0.01)
    assert found.training.measured_on == "test images"
    assert found.difference(*NETWORKS).on == "test"


def test_an_interrupted_comparison_goes_on_and_makes_no_run_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third, whole = Trains(most=5), Trains(), Trains(), Trains()
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path, first, recipe=FEW)
    found = compare(tmp_path, second, recipe=FEW)
    assert len(first.runs) == 5
    assert compare(tmp_path, third, recipe=FEW).networks == found.networks
    assert third.runs == []
    assert read_comparison(tmp_path).networks == found.networks
    names = {".lock", "compare.csv", "compare.json", "compare.md", "compare.png", "index.html", SEARCH_FILE}
    assert {path.name for path in tmp_path.iterdir()} >= names
    monkeypatch.setattr("keras_effnet.comparison.comparison_runs.run_search", run_in_memory)
    assert compare(tmp_path, whole, recipe=FEW).networks == found.networks
    assert sorted(first.runs + second.runs) == sorted(whole.runs)


def test_more_networks_and_seeds_train_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_effnet.comparison.comparison_runs.write_comparison", lambda *_: None)
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    first = compare(tmp_path / "one", Trains(), storage=storage, recipe=FEW, seeds=1)
    train, again = Trains(), Contender("resnet50", "the same, called otherwise")
    options: dict[str, Any] = {"storage": storage, "recipe": FEW, "seeds": 2}
    # In the folder of the first one, which another comparison may follow ...
    found = compare(tmp_path / "one", train, ["mobilenet_v2", "mobilenet_v1", again], **options)
    new = [("mobilenet_v2", 0.1, 0, 40), ("mobilenet_v2", 0.3, 0, 40), ("mobilenet_v2", 0.1, 1, 40)]
    new += [(label, 0.1, 2, 40) for label in ("mobilenet_v2", "mobilenet_v1", again.label)]
    assert sorted(train.runs) == sorted(new)
    assert found["mobilenet_v1"].accuracies[1] == first["mobilenet_v1"].accuracies[1]
    assert found[again.label].accuracies[1] == first["resnet50"].accuracies[1]
    with (tmp_path / "one" / "trials.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert len(listed) == 12
    assert min(float(row["seconds"]) for row in listed) > 0, "a run that is there keeps its time"
    # ... and in another one, with the same database.
    train = Trains()
    assert compare(tmp_path / "two", train, ["resnet50"], **options)["resnet50"].mean == found[again.label].mean
    assert train.runs == []


def test_the_folder_of_another_search_or_version_is_left_alone(tmp_path: Path) -> None:
    compare(tmp_path, Trains(), ["mobilenet_v1"], recipe=ScratchRecipe(steps=4, rates=(0.1,)), seeds=1)
    path = tmp_path / SEARCH_FILE
    content = json.loads(path.read_text())
    others = {"search": "halving"}, {"plan": {**content["plan"], "version": 0}}
    for change, words in zip(others, ("search", "plan.version"), strict=True):
        path.write_text(json.dumps({**content, "study": "other", **change}))
        with pytest.raises(SearchError, match=rf"holds another search, with another {words}[;,]"):
            compare(tmp_path, Trains(), ["mobilenet_v1"], recipe=ScratchRecipe(steps=4, rates=(0.1,)), seeds=1)
        assert json.loads(path.read_text())["study"] == "other"


def test_figures_without_runs_and_folders_without_figures_name_the_command(in_memory: None, tmp_path: Path) -> None:
    counted = compare_networks(NETWORKS, output=tmp_path)
    with pytest.raises(ComparisonError, match=r"has been trained.*--train DATA"):
        accuracy_png(counted)
    with pytest.raises(ComparisonError, match="--latency"):
        accuracy_png(compare(tmp_path, Trains()), "latency_ms")
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
    assert sum(found.training.images.values()) == 1797
    assert found.training.measured_on == "test images"
    for row in found.networks:
        assert row.mean is not None
        assert row.mean > 0.2  # chance is 0.1
    lines = (tmp_path / "trials.csv").read_text()
    assert compare_networks(networks, recipe=recipe, seeds=2, **options).networks == found.networks
    assert (tmp_path / "trials.csv").read_text() == lines
