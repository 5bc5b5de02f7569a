"""Short training: cut off and gone on with it ends with the same numbers, and a child starts from its parent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_effnet import BackboneSpec, StageSpec
from keras_effnet.blocks import ConvBlock, FusedMBConv, MBConv
from keras_effnet.errors import SearchError, TrainingError
from keras_effnet.search.candidates import Candidate
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.search.searches import embedded_base
from keras_effnet.search.task import Task, read_metric, train_to_dict
from keras_effnet.search.worker import restore

TINY = BackboneSpec(
    name="tiny",
    stem=StageSpec(ConvBlock(), width=8, stride=2),
    stages=(StageSpec(MBConv(expand=2, se_ratio=0), width=8, depth=1, stride=2),),
    resolution=16,
)
PROXY = ProxyTraining("digits", horizon=24, batch_size=16, keep_every=5)


def make_task(
    folder: Path, steps: int, spec: BackboneSpec = TINY, parent: Path | None = None, notes: Any = None
) -> Task:
    folder.mkdir(exist_ok=True)
    note = {} if notes is None else notes
    return Task(Candidate({}, spec, {}), 3, steps, folder, parent, lambda step, metric: None, note.__setitem__)


def final_weights(folder: Path) -> list[np.ndarray]:
    state = json.loads((folder / "state.json").read_text())
    with np.load(folder / state["weights"]) as file:
        return [file[name] for name in file.files]


@pytest.mark.slow
def test_training_in_pieces_is_training_in_one_go_to_the_bit(tmp_path, monkeypatch):
    notes: dict[str, Any] = {}
    whole = PROXY(make_task(tmp_path / "whole", 24, notes=notes))
    for steps in (7, 12):
        PROXY(make_task(tmp_path / "pieces", steps))

    # ... and killed between two checkpoints: what came after the last one is done again.
    class Killed(BaseException):
        pass

    from keras_effnet.training.checkpoint import Checkpoint

    keep, saves = Checkpoint.save_weights, []

    def die(self: Checkpoint, variables: Any, **changes: Any) -> None:
        keep(self, variables, **changes)
        saves.append(changes)
        if len(saves) == 2:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save_weights", die)
    with pytest.raises(Killed):
        PROXY(make_task(tmp_path / "pieces", 24))
    monkeypatch.undo()
    pieces = PROXY(make_task(tmp_path / "pieces", 24))
    assert whole == pieces
    assert notes["test_accuracy"] > 0.15  # chance is 0.1
    with pytest.raises(TrainingError, match=r"Received: .* with 24 steps, 12 asked for"):
        PROXY(make_task(tmp_path / "whole", 12))
    for ours, theirs in zip(final_weights(tmp_path / "whole"), final_weights(tmp_path / "pieces"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_a_child_starts_with_what_its_parent_learned(tmp_path):
    PROXY(make_task(tmp_path / "parent", 24))
    wider = replace(TINY, stages=(replace(TINY.stages[0], width=16),))
    notes: dict[str, Any] = {}
    # No step of its own: what it can do is what it was given.
    given = ProxyTraining.from_dict({**PROXY.to_dict(), "rate": 1e-9})
    alone = given(make_task(tmp_path / "alone", 1, wider))
    # The parent's folder says with which proxy it was trained: it must be the same one.
    with pytest.raises(TrainingError, match="another proxy"):
        given(make_task(tmp_path / "other", 1, wider, tmp_path / "parent"))
    grown = PROXY(make_task(tmp_path / "grown", 1, wider, tmp_path / "parent", notes))
    assert notes["inherited"] == 1
    assert grown > alone + 0.1
    fused = replace(TINY, stages=(StageSpec(FusedMBConv(expand=2), width=8, depth=1, stride=2),))
    PROXY(make_task(tmp_path / "fused", 1, fused, tmp_path / "parent", notes))
    assert notes["inherited"] == 0


def test_a_parent_that_is_not_there_is_no_silent_start_from_nothing(tmp_path):
    with pytest.raises(SearchError, match="that all hosts share"):
        PROXY(make_task(tmp_path / "child", 1, TINY, tmp_path / "nowhere"))


def test_no_trial_takes_more_steps_than_the_rate_has_a_course_for(tmp_path):
    with pytest.raises(SearchError, match=r"steps=25, horizon=24"):
        PROXY(make_task(tmp_path, 25))


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.25), np.int64(3), np.array(2.0), float("nan")])
def test_numbers_are_numbers(value):
    assert read_metric(value) == float(value) or value != value


@pytest.mark.parametrize("value", [None, True, "0.5", [0.5], np.array([0.5]), {"accuracy": 0.5}])
def test_what_is_no_number_is_told(value):
    with pytest.raises(SearchError, match="must return a number") as caught:
        read_metric(value)
    assert "Received: " in str(caught.value)


def test_a_train_function_is_found_by_its_name():
    found = restore(train_to_dict("keras_effnet.search.task:read_metric"))
    assert found is read_metric  # pyright: ignore[reportUnnecessaryComparison]
    assert restore(json.loads(json.dumps(train_to_dict(PROXY)))) == PROXY


@pytest.mark.parametrize("name", ["nowhere:train", "keras_effnet.search.task:nothing", "no_function", ":"])
def test_a_train_function_that_is_not_found_is_told(name):
    with pytest.raises(SearchError, match="PYTHONPATH"):
        restore(train_to_dict(name))


@pytest.mark.parametrize("kind", ["here", "another"])
def test_a_train_function_of_an_unknown_kind_is_told(kind):
    with pytest.raises(SearchError, match=r"can only make halving, .*, function") as caught:
        restore({"kind": kind, "function": "keras_effnet.search.task:read_metric"})
    assert caught.value.received == repr(kind)


def test_what_is_no_function_is_told():
    with pytest.raises(SearchError, match="must be a function"):
        train_to_dict(3)


@pytest.mark.parametrize("values", [{"horizon": 0}, {"rate": 0}, {"validation": 1}, {"batch_size": 1.5}])
def test_bad_values_are_named(values):
    with pytest.raises(SearchError, match=next(iter(values))):
        ProxyTraining(**values)


def test_the_embedded_base_is_a_small_efficientnet():
    base = embedded_base()
    assert [type(stage.block) for stage in base.stages] == [MBConv] * 7
    assert base.preprocessing.in_model
