"""A run's checkpoint: its progress and weights in a folder, written whole or not at all.

`state.json` holds the run's identity, its progress, and the name of the weight file that belongs to them. The weights
are written first and under a new name, so that the two match whenever the process dies.
"""

from __future__ import annotations

import json
import logging
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.errors import TrainingError
from keras_effnet.json_text import parse_json, read_json, through_json
from keras_effnet.training.distribution import Distribution

logger = logging.getLogger(__name__)

STATE_FILE = "state.json"
WEIGHTS_NAME = re.compile(r"weights-\d+-\d+\.npz")  # no other name is opened or deleted


@dataclass(frozen=True)
class HistoryRow:
    """What one stretch of training (an epoch, or the steps between two checkpoints) came to.

    Args:
        phase: name of the phase.
        epoch: number of the stretch over all phases, from 1.
        step: number of steps of the phase that are done after it, at least 1.
        loss: mean loss on the training images, with label smoothing if there is any.
        accuracy: mean accuracy on the training images, from 0 to 1; None if it is no classifier that learns.
        val_loss: the same loss on the validation images; None if nothing was validated.
        val_accuracy: accuracy on the validation images, from 0 to 1; None likewise, or if nothing was validated.
        rate: learning rate of the last step.
        seconds: time of training, without validation.
        images_per_second: images trained on in a second.
    """

    phase: str
    epoch: int
    step: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    rate: float
    seconds: float
    images_per_second: float

    def is_better(self, best: HistoryRow | None) -> bool:
        """Whether this row's weights beat `best`: a higher validation accuracy, or an equal one (or none) and a lower
        validation loss.
        """
        return best is None or self._score > best._score

    @property
    def _score(self) -> tuple[float, float]:
        return self.val_accuracy or 0.0, -(self.val_loss or 0.0)

    @classmethod
    def from_dict(cls, values: Any) -> HistoryRow:
        """Reads what `dataclasses.asdict` gives.

        Raises:
            ValueError: a field is missing, unknown, of the wrong type or out of range.
        """
        _check_fields(cls, values)
        _expect(isinstance(values["phase"], str), "phase must be a string")
        for name in ("epoch", "step"):
            _expect(_is_count(values[name], 1), f"{name} must be an integer of at least 1")
        for name in ("loss", "accuracy", "rate", "seconds", "images_per_second"):
            unknown = name == "accuracy" and values[name] is None
            fine = unknown or (_is_number(values[name]) and values[name] >= 0)
            _expect(fine, f"{name} must be a number of at least 0")
        for name in ("val_loss", "val_accuracy"):
            # Networks that were finite in training may still overflow in validation: such a loss is kept as it is.
            _expect(values[name] is None or isinstance(values[name], int | float), f"{name} must be a number or null")
        return cls(**values)


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        phase: number of phases that are done.
        step: number of steps that are done of the phase after them.
        history: a row for every stretch of training so far.
        best: row whose weights are the best so far; None if none were kept yet.
        weights: name of the weight file that belongs to all this; None before the first one.
    """

    phase: int = 0
    step: int = 0
    history: tuple[HistoryRow, ...] = ()
    best: HistoryRow | None = None
    weights: str | None = None

    @classmethod
    def from_dict(cls, values: Any) -> Progress:
        """Reads what `dataclasses.asdict` gives.

        Raises:
            ValueError: a field is missing, unknown, of the wrong type or out of range.
        """
        _check_fields(cls, values)
        for name in ("phase", "step"):
            _expect(_is_count(values[name], 0), f"{name} must be an integer of at least 0")
        _expect(isinstance(values["history"], list), "history must be a list")
        name = values["weights"]
        named = isinstance(name, str) and WEIGHTS_NAME.fullmatch(name) is not None
        _expect(name is None or named, "weights must be the name of a weight file or null")
        started = values["phase"] + values["step"] > 0
        _expect(named or not started, "weights must be named once a step is done")
        _expect(values["history"] != [] or not started, "history must have a row once a step is done")
        history = tuple(HistoryRow.from_dict(row) for row in values["history"])
        best = None if values["best"] is None else HistoryRow.from_dict(values["best"])
        return cls(**{**values, "history": history, "best": best})


class Checkpoint:
    """A run's progress and weights in a folder.

    Args:
        folder: folder of the checkpoint; made if missing.
        identity: what the run was asked to do, JSON-able; a folder is only continued by a run with the same one.
        distribution: processes that train together; the first one reads and writes, and sends the others what they
            need. By default there is one.
        growing: names of numbers in the identity that may be larger than before, such as "recipe.epochs".
        defaults: what was meant by values that a run's identity does not name, since they became options later.
        overwrite: whether to forget the run in the folder, if there is one. Its files are replaced when this run has
            better ones, not before.

    Attributes:
        progress: how far the run has come.

    Raises:
        TrainingError: the folder belongs to another run, or its state cannot be read.
        DataError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        identity: dict[str, Any],
        distribution: Distribution | None = None,
        *,
        growing: Sequence[str] = (),
        defaults: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.folder = folder
        self.distribution = Distribution() if distribution is None else distribution
        self.progress = Progress()
        self._growing = growing
        self._defaults: dict[str, Any] = through_json(defaults or {})
        self._identity: dict[str, Any] = through_json(identity)
        if self.distribution.is_first:
            # Nothing is written before something is learned: a run that fails at once must not keep the folder.
            check_writable(folder, folder=True)
            if (folder / STATE_FILE).exists() and not overwrite:
                self._resume()
        shared = self.distribution.share_text(json.dumps(asdict(self.progress)))
        self.progress = Progress.from_dict(parse_json(shared))

    def _resume(self) -> None:
        path = self.folder / STATE_FILE
        try:
            found = read_json(path)
            _expect(isinstance(found, dict) and isinstance(found.get("identity"), dict), "identity must be an object")
            theirs = found.pop("identity")
            self._check_identity(theirs)
            self.progress = Progress.from_dict(found)
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"the run cannot be continued, its state cannot be read: {error}. Delete the folder to start afresh.",
                received=repr(str(path)),
            ) from error
        if self.progress.history:
            logger.info("continuing in %s after epoch %d", self.folder.parent, len(self.progress.history))

    def _check_identity(self, theirs: dict[str, Any]) -> None:
        changed = _differences(_filled(theirs, self._defaults), self._identity)
        for name, (old, new) in changed.items():
            if not (name in self._growing and isinstance(old, int) and isinstance(new, int) and new > old):
                shown = ", ".join(f"{name}={new!r:.60}, not {old!r:.60}" for name, (old, new) in changed.items())
                raise TrainingError(
                    f"the output folder holds a run with another {', '.join(changed)}; name another folder, or start "
                    "afresh with `--overwrite` (`overwrite=True`).",
                    received=f"{shown:.300}, in {str(self.folder.parent)!r}",
                )

    def save(self, **changes: Any) -> None:
        """Writes the progress.

        Args:
            changes: new values of fields of `progress`.

        Raises:
            DataError: the file cannot be written; the old one is still there.
        """
        progress = replace(self.progress, **changes)
        if self.distribution.is_first:
            text = json.dumps({"identity": self._identity, **asdict(progress)}, indent=1)
            atomic_write(self.folder / STATE_FILE, lambda path: path.write_text(text, encoding="utf-8"))
        self.progress = progress

    def save_weights(self, variables: Sequence[Any], **changes: Any) -> None:
        """Writes the values of variables, then the progress that belongs to them; deletes the older weight file.

        Args:
            variables: variables of Keras, in an order that `load_weights` is given again.
            changes: new values of fields of `progress`.

        Raises:
            DataError: a file cannot be written; the older pair is still there.
        """
        phase, history = changes.get("phase", self.progress.phase), changes.get("history", self.progress.history)
        name = f"weights-{phase}-{len(history)}.npz"
        arrays = {str(index): _value(variable) for index, variable in enumerate(variables)}
        if self.distribution.is_first:
            atomic_write(self.folder / name, lambda path: _save_arrays(path, arrays))
        self.save(weights=name, **changes)
        if self.distribution.is_first:
            for other in [path for path in self.folder.iterdir() if WEIGHTS_NAME.fullmatch(path.name)]:
                if other.name != name:
                    other.unlink(missing_ok=True)

    def load_weights(self, variables: Sequence[Any]) -> None:
        """Assigns the values of the last `save_weights`.

        Args:
            variables: variables of Keras, as they were saved.

        Raises:
            TrainingError: the file is missing, broken, or holds other variables; nothing was changed.
        """
        if self.distribution.is_first:
            arrays = self._read_weights(variables)
        else:
            arrays = [np.zeros_like(_value(variable)) for variable in variables]
        for variable, array in zip(variables, self.distribution.share(arrays), strict=True):
            variable.assign(array)

    def _read_weights(self, variables: Sequence[Any]) -> list[np.ndarray]:
        path = self.folder / str(self.progress.weights)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = [file[str(index)] for index in range(len(file.files))]
        except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"the run cannot be continued, its weights cannot be read: {error}. Delete the folder to start afresh.",
                received=repr(str(path)),
            ) from error
        if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
            raise TrainingError(
                "the run cannot be continued, its weights belong to another network: this package or Keras has "
                "changed. Delete the folder to start afresh.",
                received=f"{str(path)!r} with {len(arrays)} arrays",
            )
        return arrays


def training_variables(model: keras.Model) -> list[Any]:
    """All variables that training changes: weights, random states, and those of the optimizer, which must be built."""
    optimizer: Any = model.optimizer
    return [*model.variables, *optimizer.variables]


class Snapshot:
    """The training variables of a compiled model in memory, so that one compiled model serves several runs.

    Args:
        model: a compiled model; its optimizer is built if it is not.
    """

    def __init__(self, model: keras.Model) -> None:
        optimizer: Any = model.optimizer
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        self._values = [(variable, _value(variable).copy()) for variable in training_variables(model)]

    def restore(self) -> None:
        """Puts all values back."""
        for variable, value in self._values:
            variable.assign(value)


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries with the values of others where they have none."""
    filled = {**defaults, **values}
    both = [name for name in filled if isinstance(values.get(name), dict) and isinstance(defaults.get(name), dict)]
    return filled | {name: _filled(values[name], defaults[name]) for name in both}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The values that differ between nested dictionaries, old and new, by their path, as in "recipe.rate"."""
    found: dict[str, tuple[Any, Any]] = {}
    for name in {**now, **before}:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= _differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found[f"{prefix}{name}"] = (old, new)
    return found


def _value(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # given a name, NumPy would add a suffix to it
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def _check_fields(kind: type, values: Any) -> None:
    names = {field.name for field in fields(kind)}
    _expect(isinstance(values, dict) and set(values) == names, f"there must be the fields {', '.join(sorted(names))}")


def _expect(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _is_count(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
