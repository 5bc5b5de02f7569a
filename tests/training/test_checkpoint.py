"""Checkpoints: whole or not at all, and only for the run that they belong to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_effnet.errors import DataError, TrainingError
from keras_effnet.training.checkpoint import Checkpoint, HistoryRow, Progress


def variables(value: float) -> list[keras.Variable]:
    return [keras.Variable(np.full((2, 3), value, "float32")), keras.Variable(np.array(int(value)), dtype="int32")]


def row(**changes: Any) -> dict[str, Any]:
    values = {"phase": "whole", "epoch": 1, "step": 1, "loss": 0.5, "accuracy": 0.5, "val_loss": 0.5}
    return {**values, "val_accuracy": 0.5, "rate": 0.1, "seconds": 1.0, "images_per_second": 9.0, **changes}


ROW = HistoryRow(**row())
STATE: dict[str, Any] = {
    "identity": {"seed": 1},
    "phase": 1,
    "step": 2,
    "history": [row(), row(epoch=2, step=2, val_loss=None, val_accuracy=None)],
    "best": row(),
    "weights": "weights-0-1.npz",
}


def test_weights_and_state_come_back_together(tmp_path: Path) -> None:
    one = Checkpoint(tmp_path / "new" / "checkpoint", {"seed": 1, "sizes": (1, 2)})
    one.save_weights(variables(3), step=1, history=(ROW,))
    one.save_weights(variables(4), step=2, history=(ROW, ROW), best=ROW)
    two = Checkpoint(tmp_path / "new" / "checkpoint", {"seed": 1, "sizes": (1, 2)})
    assert two.progress == Progress(0, 2, (ROW, ROW), ROW, "weights-0-2.npz")
    found = variables(0)
    two.load_weights(found)
    assert [float(np.max(variable.numpy())) for variable in found] == [4, 4]
    assert sorted(path.name for path in two.folder.iterdir()) == ["state.json", "weights-0-2.npz"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Checkpoint(tmp_path, {})
    one.save_weights(variables(3), step=1, history=(ROW,))
    real = Path.write_text

    def fails(path: Path, *arguments: str, **named: str) -> int:
        if "state" in path.name:
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fails)
        with pytest.raises(DataError, match=r"No space left.*Received: "):
            one.save_weights(variables(4), step=2, history=(ROW, ROW))
    # The newer weights may lie there; nothing names them, and the older ones are whole.
    two = Checkpoint(tmp_path, {})
    assert two.progress.step == 1
    found = variables(0)
    two.load_weights(found)
    assert float(found[0].numpy().max()) == 3


def assert_refused(content: str, folder: Path) -> None:
    (folder / "state.json").write_text(content)
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Delete the folder.*Received: .*state.json"):
        Checkpoint(folder, {"seed": 1})
    assert (folder / "state.json").read_text() == content


def test_a_state_that_cannot_be_read_is_no_reason_to_start_afresh(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps(STATE))
    found = Checkpoint(tmp_path, {"seed": 1}).progress
    assert json.loads(json.dumps(asdict(found))) == {name: STATE[name] for name in STATE if name != "identity"}
    for content in (
        "",
        "[]",
        "{}",
        "3",
        "null",
        '{"identity": {"seed": 1}}',
        '{"identity": 3, "phase": 0}',
        "[" * 99999,
    ):
        assert_refused(content, tmp_path)
    (tmp_path / "state.json").write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Received: "):
        Checkpoint(tmp_path, {"seed": 1})


def test_every_field_of_a_state_is_checked(tmp_path: Path) -> None:
    """Each is left out, misspelt, and given values of every other type; so is each field of a row."""
    wrong: dict[str, tuple[Any, ...]] = {
        "phase": (-1, 1.5, True, "1", None, [], {}),
        "step": (-1, 1.5, True, "1", None, [], {}),
        "history": (None, {}, 3, "rows", [3], [[]], [{}], []),
        "best": (3, "row", [], {}, row(step="1")),
        "weights": (None, 3, True, [], "../weights-0-1.npz", "weights-0-1.npz/..", "state.json", ""),
    }
    for name, found in wrong.items():
        for value in found:
            assert_refused(json.dumps({**STATE, name: value}), tmp_path)
        assert_refused(json.dumps({other: STATE[other] for other in STATE if other != name}), tmp_path)
    assert_refused(json.dumps({**STATE, "epoch": 1}), tmp_path)
    for name, good in row().items():
        bad = [[], {}] if name.startswith("val") else [[], {}, True]
        bad += [] if "accuracy" in name or name.startswith("val") else [None]  # only classifiers have an accuracy
        bad += [3] if isinstance(good, str) else ["1", *([-1] if not name.startswith("val") else [])]
        for value in bad:
            assert_refused(json.dumps({**STATE, "history": [row(**{name: value})]}), tmp_path)
        assert_refused(json.dumps({**STATE, "history": [{k: v for k, v in row().items() if k != name}]}), tmp_path)
    assert_refused(json.dumps({**STATE, "history": [row(loss=float("nan"))]}), tmp_path)


def test_the_better_row_has_more_right_or_a_smaller_loss() -> None:
    better = [row(val_accuracy=0.6, val_loss=9.0), row(val_loss=0.4)]
    worse = [row(val_accuracy=0.4, val_loss=0.1), row(val_loss=0.6), row()]
    assert all(HistoryRow(**values).is_better(ROW) for values in better)
    assert not any(HistoryRow(**values).is_better(ROW) for values in worse)
    assert ROW.is_better(None)


def test_another_runs_folder_is_left_alone(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"seed": 1, "phi": 0}).save()
    before = (tmp_path / "state.json").read_text()
    with pytest.raises(TrainingError, match=r"another seed;.*--overwrite.*Received: seed=2, not 1"):
        Checkpoint(tmp_path, {"seed": 2, "phi": 0})
    assert (tmp_path / "state.json").read_text() == before


def test_a_run_that_has_learned_nothing_does_not_keep_the_folder(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "run", {"seed": 1})
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written.*Received: "):
        Checkpoint(tmp_path / "file" / "run", {"seed": 1})


def test_what_has_changed_is_named_and_some_numbers_may_grow(tmp_path: Path) -> None:
    def run(rate: float = 0.1, epochs: int = 3) -> dict[str, Any]:
        return {"recipe": {"rate": rate, "epochs": epochs}}

    growing = ("recipe.epochs",)
    Checkpoint(tmp_path, run()).save_weights(variables(3), step=1, history=(ROW,))
    assert Checkpoint(tmp_path, run(epochs=4), growing=growing).progress.step == 1
    for wrong in (run(epochs=2), run(rate=0.2, epochs=4)):
        with pytest.raises(TrainingError, match=r"another recipe\.(rate|epochs).*Received: "):
            Checkpoint(tmp_path, wrong, growing=growing)
    with pytest.raises(TrainingError, match=r"another recipe\.epochs.*Received: recipe\.epochs=4, not 3"):
        Checkpoint(tmp_path, run(epochs=4))


def test_a_run_from_before_an_option_was_there_goes_on(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"recipe": {"rate": 0.1}}).save_weights(variables(3), step=1, history=(ROW,))
    now, defaults = {"recipe": {"rate": 0.1, "focal": 0.0}, "fold": None}, {"recipe": {"focal": 0.0, "rate": 9}}
    assert Checkpoint(tmp_path, now, defaults=defaults).progress.step == 1
    with pytest.raises(TrainingError, match=r"another recipe\.focal.*Received: recipe\.focal=2\.0, not 0\.0"):
        Checkpoint(tmp_path, {"recipe": {"rate": 0.1, "focal": 2.0}}, defaults=defaults)
    with pytest.raises(TrainingError, match=r"another recipe\.rate"):
        Checkpoint(tmp_path, {"recipe": {"rate": 9, "focal": 0.0}}, defaults=defaults)


def test_what_is_overwritten_stays_until_something_better_is_there(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"seed": 1}).save_weights(variables(3), step=1, history=(ROW,))
    new = Checkpoint(tmp_path, {"seed": 2}, overwrite=True)
    assert new.progress == Progress()
    assert Checkpoint(tmp_path, {"seed": 1}).progress.step == 1
    new.save_weights(variables(4), step=2, history=(ROW, ROW))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "weights-0-2.npz"]
    assert Checkpoint(tmp_path, {"seed": 2}).progress.step == 2


def test_weights_of_another_network_or_half_a_file_change_nothing(tmp_path: Path) -> None:
    one = Checkpoint(tmp_path, {})
    one.save_weights(variables(3))
    found = variables(0)
    with pytest.raises(TrainingError, match=r"another network.*Received: "):
        one.load_weights(found[:1])
    path = tmp_path / str(one.progress.weights)
    for content in (path.read_bytes()[:-40], b"", json.dumps([1]).encode()):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Received: "):
            one.load_weights(found)
    path.unlink()
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Received: "):
        one.load_weights(found)
    assert float(found[0].numpy().max()) == 0
