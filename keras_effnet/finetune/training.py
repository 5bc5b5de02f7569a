"""One phase of training: `fit`, with a note after every epoch from which it goes on as if nothing had happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from keras_effnet.errors import KerasEffnetError, LostProcessError, TrainingError
from keras_effnet.finetune.checkpoint import Checkpoint
from keras_effnet.finetune.distribution import lost_a_process
from keras_effnet.finetune.phases import Phase, phase_rates
from keras_effnet.finetune.recipe import Recipe


def train_phase(
    model: keras.Model,
    phase: Phase,
    recipe: Recipe,
    batches: Any,
    validation: Any,
    checkpoint: Checkpoint,
    keep: Callable[[], None] | None = None,
) -> None:
    """Trains a compiled model over what is left of a phase.

    Args:
        model: compiled for this phase.
        phase: the phase.
        recipe: the recipe.
        batches: to learn from, `Batches` or `FeatureBatches`.
        validation: to choose the best epoch by.
        checkpoint: whose state says how many epochs of this phase are done.
        keep: called when the model is better than it ever was, with its averaged weights if there are any.

    Raises:
        DataError: an image that cannot be read, or a file that cannot be written.
        TrainingError: the loss is no longer a number.
    """
    model.optimizer.build(model.trainable_variables)
    done = checkpoint.state["epoch"]
    if done:
        checkpoint.load_weights(training_variables(model))
    batches.epoch = done  # `fit` reads a batch before the first epoch begins
    rows = len(batches) * batches.batch_size
    bar: dict[str, Any] = {"total": rows * phase.epochs, "initial": rows * done, "desc": phase.name}
    silent = not checkpoint.distribution.is_first
    with tqdm(unit="image", unit_scale=True, disable=silent, **bar) as progress:
        notes = EpochNotes(phase, recipe, batches, checkpoint, progress, keep)
        arguments: dict[str, Any] = {"initial_epoch": done, "epochs": phase.epochs, "verbose": 0, "shuffle": False}
        try:
            model.fit(batches, validation_data=validation, callbacks=[notes], **arguments)
        except KerasEffnetError:
            raise
        except Exception as error:
            if checkpoint.distribution.processes > 1 and lost_a_process(error):
                raise LostProcessError(
                    "another process is gone. What all had done up to the last whole epoch is kept; start all of them "
                    f"again with the same command. Received: {error!s:.300}"
                ) from error
            # A framework that reads images in a thread of its own wraps what that raises in an error of its own.
            failure = batches.failure or validation.failure
            if failure is None:
                raise
            raise failure from error


def training_variables(model: keras.Model) -> list[Any]:
    """All that training changes."""
    return [*model.variables, *model.optimizer.variables]


class EpochNotes(keras.callbacks.Callback):
    """Makes each epoch repeatable, and writes down what it came to."""

    def __init__(
        self,
        phase: Phase,
        recipe: Recipe,
        batches: Any,
        checkpoint: Checkpoint,
        progress: tqdm,
        keep: Callable[[], None] | None,
    ) -> None:
        super().__init__()
        self.model: Any  # `fit` sets it
        self.phase = phase
        self.recipe = recipe
        self.batches = batches
        self.checkpoint = checkpoint
        self.progress = progress
        self.keep = keep
        self.started = 0.0
        self.seconds = 0.0
        self._raw: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.batches.epoch = epoch
        number = len(self.checkpoint.state["history"])
        generators = [layer.seed_generator for layer in self.model.layers if isinstance(layer, keras.layers.Dropout)]
        for index, generator in enumerate(generators):
            # No file keeps these: they follow from the seed and the epoch.
            seed = np.random.default_rng((self.recipe.seed, number, index)).integers(2**32, size=2, dtype=np.uint32)
            generator.state.assign(seed)
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise TrainingError(
                "the loss is no longer a number; lower the learning rate and start again: what was best before is "
                f"kept. Received: loss={loss} in the phase {self.phase.name!r}, batch {batch + 1}"
            )
        self.progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.progress.update(self.batches.batch_size)

    def on_test_begin(self, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self.started
        if self.model.optimizer.use_ema:
            # Tested, and kept where they are the best, are the averages; what is trained is put back afterwards.
            self._raw = [np.array(keras.ops.convert_to_numpy(each)) for each in self.model.trainable_variables]
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
            for each in self.model.trainable_variables:
                # On JAX the two would be one array, which the test gives away to be overwritten.
                each.assign(np.array(keras.ops.convert_to_numpy(each)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        history = self.checkpoint.state["history"]
        steps = len(self.batches)
        rates = phase_rates(self.phase, self.recipe, steps)
        row = {
            "phase": self.phase.name,
            "epoch": len(history) + 1,
            "loss": float(logs["cross_entropy"]),
            "accuracy": float(logs["accuracy"]),
            "val_loss": float(logs["val_cross_entropy"]),
            "val_accuracy": float(logs["val_accuracy"]),
            "rate": rates[len(rates) * (epoch + 1) // self.phase.epochs - 1],
            "seconds": self.seconds,
            "images_per_second": steps * self.batches.batch_size / self.seconds,
        }
        best = self.checkpoint.state["best"]
        if self.keep is not None and is_better(row, best):
            self.keep()
            best = row
        if self._raw:
            for variable, value in zip(self.model.trainable_variables, self._raw, strict=True):
                variable.assign(value)
        variables = training_variables(self.model)
        self.checkpoint.save_weights(variables, epoch=epoch + 1, history=[*history, row], best=best)


def is_better(row: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Whether an epoch is better: more right, or as many with a smaller loss."""
    if best is None:
        return True
    return (row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"])
