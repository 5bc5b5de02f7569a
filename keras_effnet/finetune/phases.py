"""What learns when: the phases of a recipe, and the model compiled for one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.finetune.recipe import Recipe, batchnorm_momentum, rate_at
from keras_effnet.trace import trace_network

HEAD = "head"
NESTEROV_MOMENTUM = 0.9  # Kornblith et al. 2019 (arXiv:1805.08974), as nearly everybody


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs in which the same layers learn.

    Args:
        name: for people.
        epochs: how many, at least 1.
        first_epoch: number of its first epoch among those that share one course of the learning rate.
        all_epochs: how many share it.
        frozen: names of the layers that do not learn.
    """

    name: str
    epochs: int
    first_epoch: int = 0
    all_epochs: int = 0
    frozen: frozenset[str] = frozenset()


def plan_phases(model: keras.Model, recipe: Recipe) -> list[Phase]:
    """The phases of a recipe for a model with a tag.

    Raises:
        BuildError: the model carries no tag.
    """
    phases = [Phase(HEAD, recipe.head_epochs, 0, recipe.head_epochs)] if recipe.head_epochs else []
    if not recipe.epochs:
        return phases
    if recipe.unfreeze == "whole":
        return [*phases, Phase("whole", recipe.epochs, 0, recipe.epochs)]
    parts = _layers_of_parts(model)
    count = min(recipe.epochs, len(parts))
    groups = np.array_split(np.arange(len(parts)), count)
    epochs = [len(share) for share in np.array_split(np.arange(recipe.epochs), count)]
    first = 0
    for group, share in zip(reversed(groups), epochs, strict=True):
        frozen = frozenset(name for part in parts[: group[0]] for name in part)
        name = "whole" if group[0] == 0 else f"from part {group[0]}"
        phases.append(Phase(name, share, first, recipe.epochs, frozen))
        first += share
    return phases


def _layers_of_parts(model: keras.Model) -> list[list[str]]:
    """Names of the layers with weights: of what comes before the stem, the stem, each stage, head and classifier."""
    tag = read_embedded_spec(model)
    axis = 1 if keras.config.image_data_format() == "channels_first" else -1
    traced = trace_network(tag.spec, channels=model.input_shape[axis], classes=tag.classes)
    parts: dict[int, list[str]] = {}
    for section in traced.blocks:
        # What only rescales the images is no part of its own.
        part = parts.setdefault(max(section.stage, 0), [])
        part += [node.name for node in section.nodes if node.has_weights]
    return [parts[number] for number in sorted(parts)]


def compile_for(model: keras.Model, phase: Phase, recipe: Recipe, steps_per_epoch: int) -> None:
    """Compiles a model for one phase: what is frozen, the optimizer, and its rate at every step.

    Args:
        model: the whole network, or for the phase "head" its head.
        phase: the phase.
        recipe: the recipe.
        steps_per_epoch: batches an epoch.
    """
    head = phase.name == HEAD
    for layer in model.layers:
        layer.trainable = layer.name not in phase.frozen
        if isinstance(layer, keras.layers.BatchNormalization) and not head:
            if recipe.batchnorm == "trained":
                layer.momentum = batchnorm_momentum(steps_per_epoch)
            else:
                layer.trainable = False
    smoothing: dict[str, Any] = {"label_smoothing": recipe.label_smoothing}
    model.compile(
        optimizer=_optimizer(phase, recipe, steps_per_epoch),
        loss=keras.losses.CategoricalCrossentropy(**smoothing),
        # Keras' own mean of the losses counts rows of weight 0 as well.
        weighted_metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            keras.metrics.CategoricalCrossentropy(name="cross_entropy", **smoothing),
        ],
        jit_compile=uses_xla(),  # pyright: ignore[reportArgumentType] - Keras annotates its default, "auto"
    )


def uses_xla() -> bool:
    """Whether to compile steps by XLA: JAX needs it; on a CPU depthwise convolutions are many times slower with it."""
    if keras.backend.backend() == "jax":
        return True
    return keras.backend.backend() == "tensorflow" and len(keras.distribution.list_devices("gpu")) > 0


class RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate for each update, looked up; past the last one the last one's.

    Args:
        rates: one for each update.
    """

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        last = len(self.rates) - 1
        table = keras.ops.convert_to_tensor(self.rates, "float32")
        return keras.ops.take(table, keras.ops.minimum(keras.ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates}


def phase_rates(phase: Phase, recipe: Recipe, steps_per_epoch: int) -> list[float]:
    """The learning rate of each update of a phase."""
    largest = recipe.head_rate if phase.name == HEAD else recipe.rate
    first, steps = phase.first_epoch * steps_per_epoch, phase.all_epochs * steps_per_epoch
    batches = range(first, first + phase.epochs * steps_per_epoch, 1 if phase.name == HEAD else recipe.accumulate)
    return [rate_at(recipe, largest, step, steps, steps_per_epoch) for step in batches]


def _optimizer(phase: Phase, recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    head = phase.name == HEAD
    options: dict[str, Any] = {"weight_decay": recipe.weight_decay}
    if recipe.clip and not head:
        options["global_clipnorm"] = recipe.clip
    if recipe.average and not head:
        options |= {"use_ema": True, "ema_momentum": recipe.average}
    if recipe.accumulate > 1 and not head:
        options["gradient_accumulation_steps"] = recipe.accumulate
    rates: Any = RateTable(phase_rates(phase, recipe, steps_per_epoch))
    if head or recipe.optimizer == "adamw":
        optimizer: Any = keras.optimizers.AdamW(rates, **options)
    else:
        optimizer = keras.optimizers.SGD(rates, momentum=NESTEROV_MOMENTUM, nesterov=True, **options)
    # Of normalisation and biases nothing is to be made small (He et al. 2019, arXiv:1812.01187, section 3.1).
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
