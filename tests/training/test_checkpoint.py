"""Checkpoints: whole or not at all, and only for the run that they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_effnet.errors import DataError, TrainingError
from keras_effnet.finetune.checkpoint import Checkpoint


def variables(value: float) -> list[keras.Variable]:
    return [keras.Variable(np.full((2, 3), value, "float32")), keras.Variable(np.array(int(value)), dtype="int32")]


def test_weights_and_state_come_back_together(tmp_path: Path) -> None:
    one = Checkpoint(tmp_path / "new" / "checkpoint", {"seed": 1, "sizes": (1, 2)})
    one.save_weights(variables(3), epoch=1, history=[{"epoch": 1}])
    one.save_weights(variables(4), epoch=2, history=[{"epoch": 1}, {"epoch": 2}])
    two = Checkpoint(tmp_path / "new" / "checkpoint", {"seed": 1, "sizes": (1, 2)})
    assert (two.state["epoch"], len(two.state["history"])) == (2, 2)
    found = variables(0)
    two.load_weights(found)
    assert [float(np.max(variable.numpy())) for variable in found] == [4, 4]
    assert sorted(path.name for path in two.folder.iterdir()) == ["state.json", "weights-0-2.npz"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Checkpoint(tmp_path, {})
    one.save_weights(variables(3), epoch=1)
    real = Path.write_text

    def fails(path: Path, *arguments: str, **named: str) -> int:
        if "state" in path.name:
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fails)
        with pytest.raises(DataError, match=r"No space left.*Received: "):
            one.save_weights(variables(4), epoch=2, history=[{}])
    # The newer weights may lie there; nothing names them, and the older ones are whole.
    two = Checkpoint(tmp_path, {})
    assert two.state["epoch"] == 1
    found = variables(0)
    two.load_weights(found)
    assert float(found[0].numpy().max()) == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"identity": {"seed": 1}}', '{"identity": 3, "phase": 0}'])
def test_a_state_that_cannot_be_read_is_no_reason_to_begin_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Delete the folder.*Received: "):
        Checkpoint(tmp_path, {"seed": 1})
    assert (tmp_path / "state.json").read_text() == content


def test_another_runs_folder_is_left_alone(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"seed": 1, "phi": 0})
    before = (tmp_path / "state.json").read_text()
    with pytest.raises(TrainingError, match=r"another seed;.*Received: "):
        Checkpoint(tmp_path, {"seed": 2, "phi": 0})
    assert (tmp_path / "state.json").read_text() == before


def test_weights_of_another_network_or_half_a_file_change_nothing(tmp_path: Path) -> None:
    one = Checkpoint(tmp_path, {})
    one.save_weights(variables(3))
    found = variables(0)
    with pytest.raises(TrainingError, match=r"another network.*Received: "):
        one.load_weights(found[:1])
    path = tmp_path / one.state["weights"]
    for content in (path.read_bytes()[:-40], b"", json.dumps([1]).encode()):
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Received: "):
            one.load_weights(found)
    path.unlink()
    with pytest.raises(TrainingError, match=r"(?s)cannot be read.*Received: "):
        one.load_weights(found)
    assert float(found[0].numpy().max()) == 0
