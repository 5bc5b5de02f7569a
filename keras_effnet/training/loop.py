"""The loop: stretches of `fit`, with a checkpoint after each from which it continues as if nothing had happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import KerasEffnetError, LostProcessError, TrainingError
from keras_effnet.messages import progress_bar, say
from keras_effnet.training.checkpoint import Checkpoint, HistoryRow, Progress, training_variables
from keras_effnet.training.distribution import lost_a_process
from keras_effnet.training.evaluation import evaluate
from keras_effnet.training.schedules import Schedule
from keras_effnet.training.seeding import seed_dropout
from keras_effnet.training.window import Window

LOSS_EVERY = 10  # steps between two looks at the loss: each waits until the device has caught up


def train(
    model: keras.Model,
    batches: Any,
    checkpoint: Checkpoint,
    schedule: Schedule,
    *,
    steps: int,
    every: int,
    phase: str,
    epochs: int | None = None,
    seed: int = 0,
    validation: Any = None,
    patience: int = 0,
    keep: Callable[[], None] | None = None,
) -> None:
    """Trains a compiled model over what is left of a phase.

    A phase is cut into stretches of `every` steps. After each one the model is validated, the checkpoint written, and a
    line said. A step's batch follows from its number, so that a run that was cut ends with the same bits as one that
    was not.

    If the weights are averaged, the averages are validated, kept, and left in the model at the end.

    Args:
        model: a model as `compile_model` leaves it.
        batches: batches to learn from, `Batches` or `FeatureBatches`; step `t` is batch `t % len` of epoch `t // len`.
        checkpoint: checkpoint whose progress says how many steps of this phase are done.
        schedule: learning rate of each step, as the model was compiled with.
        steps: number of steps at the end of the phase, counted from its beginning.
        every: number of steps between two checkpoints, at least 1; the last stretch may be shorter.
        phase: name of the phase, for people.
        epochs: number of stretches of all phases together, for people; None if nobody knows.
        seed: seed of dropout, at least 0.
        validation: batches to validate on after each stretch; by default there is no validation.
        patience: number of stretches without a better validation accuracy after which the phase ends; 0 for never.
        keep: called after validation if the model is better than it ever was in this run.

    Raises:
        DataError: an image cannot be read, or a file cannot be written.
        TrainingError: the loss is no longer a number.
        LostProcessError: another of several processes is gone.
    """
    optimizer: Any = model.optimizer
    optimizer.build(model.trainable_variables)
    done = checkpoint.progress.step
    if done:
        checkpoint.load_weights(training_variables(model))
    else:
        seed_dropout(model, seed, len(checkpoint.progress.history))
    bar: dict[str, Any] = {"total": steps * batches.batch_size, "initial": done * batches.batch_size, "desc": phase}
    silent = not checkpoint.distribution.is_first
    errors = _own_errors(checkpoint, batches, validation)
    started, before = time.perf_counter(), done
    with progress_bar(unit="image", unit_scale=True, disable=silent, **bar) as progress, errors:
        while done < steps and not has_stalled(checkpoint.progress, phase, patience):
            first, done = done, min((done // every + 1) * every, steps)
            stretch = _Stretch(phase, first, steps, batches.batch_size, progress)
            arguments: dict[str, Any] = {"verbose": 0, "shuffle": False, "callbacks": [stretch]}
            logs: Any = model.fit(Window(batches, first, done), **arguments).history
            # `fit` has left averaged weights in the model, if there are any.
            found = {} if validation is None else evaluate(model, validation)
            progress_so_far = checkpoint.progress
            row = HistoryRow(
                phase=phase,
                epoch=len(progress_so_far.history) + 1,
                step=done,
                loss=float(logs["mean_loss"][-1]),
                accuracy=float(logs["accuracy"][-1]) if "accuracy" in logs else None,
                val_loss=found.get("loss"),
                val_accuracy=found.get("accuracy"),
                rate=schedule(done - 1),
                seconds=stretch.seconds,
                images_per_second=(done - first) * batches.batch_size / stretch.seconds,
            )
            best = progress_so_far.best
            if keep is not None and row.is_better(best):
                keep()
                best = row
            _assign(model.trainable_variables, stretch.raw)
            history = (*progress_so_far.history, row)
            checkpoint.save_weights(training_variables(model), step=done, history=history, best=best)
            if not silent:
                left = (time.perf_counter() - started) / (done - before) * (steps - done)
                say(epoch_line(row, best, epochs, left))
        optimizer.finalize_variable_values(model.trainable_variables)


def has_stalled(progress: Progress, phase: str, patience: int) -> bool:
    """Whether a phase has been no better than the best for too long, as its history tells.

    Args:
        progress: what was trained so far.
        phase: name of the phase.
        patience: number of stretches without a better validation accuracy after which it ends; 0 for never.
    """
    best = 0 if progress.best is None else progress.best.epoch
    since = sum(row.phase == phase and row.epoch > best for row in progress.history)
    return 0 < patience <= since


def epoch_line(row: HistoryRow, best: HistoryRow | None, epochs: int | None, left: float) -> str:
    """What is said after a stretch of training.

    Args:
        row: what it came to.
        best: best row so far; None if nothing was validated, or none is kept.
        epochs: number of stretches of all phases together; None if nobody knows.
        left: seconds that the phase will still take.

    Example:
        >>> row = HistoryRow("whole", 3, 90, 0.5, 0.8, 0.6, 0.75, 0.003, 9.0, 100.0)
        >>> epoch_line(row, row, 10, 63)
        'epoch 3 of 10, whole: loss 0.500, accuracy 0.800; validation 0.600, 0.750; best 0.750 in epoch 3; 1:03 left'
    """
    number = f"epoch {row.epoch}" + ("" if epochs is None else f" of {epochs}")
    parts = [f"{number}, {row.phase}: loss {row.loss:.3f}{_after(', accuracy', row.accuracy)}"]
    if row.val_loss is not None:
        parts.append(f"validation {row.val_loss:.3f}{_after(',', row.val_accuracy)}")
    if best is not None:
        score = best.val_loss if best.val_accuracy is None else best.val_accuracy
        parts.append(f"best {score or 0.0:.3f} in epoch {best.epoch}")
    seconds = round(left)
    if seconds:
        hours, minutes = divmod(seconds // 60, 60)
        clock = f"{hours}:{minutes:02}" if hours else f"{minutes}"
        parts.append(f"{clock}:{seconds % 60:02} left")
    return "; ".join(parts)


def _after(words: str, value: float | None) -> str:
    return "" if value is None else f"{words} {value:.3f}"


class _Stretch(keras.callbacks.Callback):
    """Watches one call of `fit`: its progress, its loss, its time, and its weights before they are averaged."""

    def __init__(self, phase: str, first: int, steps: int, batch_size: int, progress: Any) -> None:
        super().__init__()
        self.model: Any  # `fit` sets it
        self.phase, self.steps, self.batch_size, self.progress = phase, steps, batch_size, progress
        self.done, self.seconds = first, 0.0
        self.raw: list[np.ndarray] = []
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done += 1
        if batch % LOSS_EVERY == 0:
            self._check_loss(logs)
        self.progress.update(self.batch_size)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._check_loss(logs)
        self.seconds = time.perf_counter() - self._started
        if self.model.optimizer.use_ema:
            self.raw = [np.array(keras.ops.convert_to_numpy(each)) for each in self.model.trainable_variables]

    def on_train_end(self, logs: Any = None) -> None:
        # On JAX a weight and its average would be one array, which the next step gives away to be overwritten.
        if self.raw:
            averaged = [np.array(keras.ops.convert_to_numpy(each)) for each in self.model.trainable_variables]
            _assign(self.model.trainable_variables, averaged)

    def _check_loss(self, logs: Any) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise TrainingError(
                "the loss is no longer a number; lower the learning rate and start again: what was best before is "
                "kept.",
                received=f"loss={loss} in the phase {self.phase!r}, step {self.done}",
            )
        self.progress.set_postfix(step=f"{self.done}/{self.steps}", loss=f"{loss:.3f}", refresh=False)


@contextmanager
def _own_errors(checkpoint: Checkpoint, batches: Any, validation: Any) -> Iterator[None]:
    """Raises our own errors in place of those that a framework wraps them in."""
    try:
        yield
    except KerasEffnetError:
        raise
    except Exception as error:
        if checkpoint.distribution.processes > 1 and lost_a_process(error):
            raise LostProcessError(
                "another process is gone. What all had done up to the last whole epoch is kept; start all of them "
                "again with the same command.",
                received=f"{error!s:.300}",
            ) from error
        # A framework that reads images in a thread of its own wraps what that raises in an error of its own.
        failure = batches.failure or getattr(validation, "failure", None)
        if failure is None:
            raise
        raise failure from error


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    """Assigns values to variables; without values nothing changes."""
    for variable, value in zip(variables, values, strict=bool(values)):
        variable.assign(value)
