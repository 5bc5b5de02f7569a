"""What Optuna alone finds in the study of a search: every choice, cost and metric, for its own tools to draw."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import optuna
import pytest
from optuna.visualization import matplotlib as draw


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of two finished searches."""
    from search_trains import steady

    from keras_effnet import search_architecture, search_coefficients
    from keras_effnet.search import driver

    folder = tmp_path_factory.mktemp("optuna")
    sizes = {"trials": 8, "population": 4, "sample": 2, "steps": 1, "lag": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "write_search_report", lambda *_: None)  # other tests read it; it takes seconds
        search_coefficients("efficientnet_b0", steady, output=folder / "coefficients", step=0.2, steps=16, finalists=1)
        search_architecture("efficientnet_b0", steady, output=folder / "architecture", **sizes)
    return folder


def read(folder: Path) -> optuna.Study:
    url = f"sqlite:///{folder / 'search.db'}"
    [name] = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


def done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))


@pytest.mark.slow
def test_the_coefficients_are_parameters_and_metric_and_cost_are_values(output: Path) -> None:
    study = read(output / "coefficients")
    assert study.directions == [optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE]
    assert study.metric_names == ["metric", "macs"]
    trials = done(study)
    assert len(trials) == 7 + 1 + 2 * 3, "the grid, the promoted one, and two finalists with three seeds"
    for trial in trials:
        assert set(trial.params) == {"alpha", "beta", "gamma"}
        assert all(isinstance(each, optuna.distributions.FloatDistribution) for each in trial.distributions.values())
        assert trial.values[1] == trial.user_attrs["macs"] == pytest.approx(2 * 385_814_752, rel=0.1)
        assert trial.user_attrs["params"] > 5e6
        # What `steady` says of this candidate.
        worth = 0.5 + int(trial.user_attrs["key"], 16) / 16**12 / 2 + trial.user_attrs["steps"] / 10_000
        assert trial.values[0] == pytest.approx(worth)
        assert trial.user_attrs["notes"]["curve"][str(trial.user_attrs["steps"])] == trial.values[0]
    assert {trial.user_attrs["steps"] for trial in trials} == {1, 4, 16}
    assert max(trial.params["alpha"] for trial in trials) > 1.5


def test_every_choice_of_an_architecture_is_a_parameter(output: Path) -> None:
    trials = done(read(output / "architecture"))
    fields = {"kind", "kernel", "expand", "se_ratio", "width", "depth", "skip"}
    for trial in trials:
        assert set(trial.params) == {f"stage{number}.{field}" for number in range(1, 8) for field in fields}
        for name, distribution in trial.distributions.items():
            assert isinstance(distribution, optuna.distributions.CategoricalDistribution)
            assert trial.params[name] in distribution.choices
        assert trial.params["stage1.width"] in (8, 16, 24), "channels, not a factor"
        assert trial.params["stage7.depth"] in (1, 2), "blocks, not a change"
        macs = trial.user_attrs["macs"]
        assert trial.values[1] == macs
        assert trial.user_attrs["value"] == pytest.approx(trial.values[0] * (macs / 385_814_752) ** -0.07)
    assert len({tuple(trial.params.values()) for trial in trials}) == len(trials) == 8


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", ["coefficients", "architecture"])
def test_optuna_draws_the_study(output: Path, name: str) -> None:
    study = read(output / name)
    shown = draw.plot_pareto_front(study)
    assert sum(len(part.get_offsets()) for part in shown.collections) >= len(done(study))
    shown = draw.plot_parallel_coordinate(study, target=lambda trial: trial.values[0], target_name="metric")
    assert len(shown.get_xticklabels()) == 1 + len(done(study)[0].params)
    shown = draw.plot_optimization_history(study, target=lambda trial: trial.values[0], target_name="metric")
    assert len(shown.collections[0].get_offsets()) == len(done(study))
    plt.close("all")
