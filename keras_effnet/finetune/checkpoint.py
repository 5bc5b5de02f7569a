"""How far a run has come, in its folder: after every epoch, whole or not at all.

`state.json` says what is done and names the file of weights that belongs to it. The weights are written first and under
a new name, so that whatever moment a process dies at, the two fit together.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.distribution import Distribution

logger = logging.getLogger(__name__)


class Checkpoint:
    """What a run has done.

    Args:
        folder: of the checkpoint; made if missing.
        identity: what the run is asked to do, JSON-able: a folder goes on only with what it was begun with.
        distribution: of several processes the first one reads and writes, and sends the others what they need.

    Attributes:
        state: "phase" and "epoch": how many phases, and epochs of the phase after them, are done; "history": a row for
            each epoch; "best": the row whose weights are the best so far, or None; "weights": name of the file.

    Raises:
        TrainingError: the folder belongs to another run, or its state cannot be read.
        DataError: the folder cannot be written.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], distribution: Distribution | None = None) -> None:
        self.folder = folder
        self.distribution = Distribution() if distribution is None else distribution
        self._path = folder / "state.json"
        fresh = {"phase": 0, "epoch": 0, "history": [], "best": None, "weights": None}
        self.state: dict[str, Any] = {"identity": json.loads(json.dumps(identity)), **fresh}
        if self._path.exists() and self.distribution.is_first:
            self._resume()
        else:
            self.save()  # finds out now whether the folder can be written
        self.state = json.loads(self.distribution.share_text(json.dumps(self.state)))

    def _resume(self) -> None:
        try:
            found = json.loads(self._path.read_text())
            theirs, ours = dict(found["identity"]), self.state["identity"]
            going_on = (found["phase"], len(found["history"]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise TrainingError(
                f"the run cannot go on, its state cannot be read: {error}. Delete the folder to begin anew. "
                f"Received: {str(self._path)!r}"
            ) from error
        if theirs != ours:
            changed = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
            raise TrainingError(
                f"the output folder holds a run with another {', '.join(changed)}; name another folder, or delete it. "
                f"Received: {str(self.folder.parent)!r}"
            )
        self.state = found
        if going_on != (0, 0):
            logger.info("going on in %s after epoch %d", self.folder.parent, going_on[1])

    def save(self, **changes: Any) -> None:
        """Writes the state with changes.

        Raises:
            DataError: the file cannot be written; the old one is still there.
        """
        state = {**self.state, **changes}
        if self.distribution.is_first:
            atomic_write(self._path, lambda path: path.write_text(json.dumps(state, indent=1)))
        self.state = state

    def save_weights(self, variables: Sequence[Any], **changes: Any) -> None:
        """Writes the values of variables and then the state that belongs to them; deletes the older file."""
        number = len(changes.get("history", self.state["history"]))
        name = f"weights-{changes.get('phase', self.state['phase'])}-{number}.npz"
        arrays = {str(index): _value(variable) for index, variable in enumerate(variables)}
        if self.distribution.is_first:
            atomic_write(self.folder / name, lambda path: _save_arrays(path, arrays))
        old = self.state["weights"]
        self.save(weights=name, **changes)
        if self.distribution.is_first and old not in (None, name):
            (self.folder / old).unlink(missing_ok=True)

    def load_weights(self, variables: Sequence[Any]) -> None:
        """Puts the values of the last `save_weights` into variables.

        Raises:
            TrainingError: the file is missing, broken, or of other variables; nothing was changed.
        """
        if self.distribution.is_first:
            arrays = self._read_weights(variables)
        else:
            arrays = [np.zeros_like(_value(variable)) for variable in variables]
        for variable, array in zip(variables, self.distribution.share(arrays), strict=True):
            variable.assign(array)

    def _read_weights(self, variables: Sequence[Any]) -> list[np.ndarray]:
        path = self.folder / str(self.state["weights"])
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = [file[str(index)] for index in range(len(file.files))]
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"the run cannot go on, its weights cannot be read: {error}. Delete the folder to begin anew. "
                f"Received: {str(path)!r}"
            ) from error
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise TrainingError(
                "the run cannot go on, its weights are those of another network: the package or Keras has changed. "
                f"Delete the folder to begin anew. Received: {str(path)!r} with {len(arrays)} arrays"
            )
        return arrays


def _value(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # given a name, NumPy would add a suffix to it
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
