"""The phases of a recipe: which layers learn when, and at which rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

from keras_effnet.finetune.recipe import Recipe
from keras_effnet.inheritance.embedded_network import find_network
from keras_effnet.trace import trace_network
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.schedules import (
    Schedule,
    average_momentum,
    batchnorm_momentum,
    shifted,
    warmup_constant,
    warmup_cosine,
    warmup_exponential,
)
from keras_effnet.vision_tasks import VisionTask

HEAD = "head"
DECAY_EPOCHS = 2.4  # Tan and Le 2019 (arXiv:1905.11946), section 5.2: "decays by 0.97 every 2.4 epochs"


@dataclass(frozen=True)
class Phase:
    """A number of epochs in which the same layers learn.

    Args:
        name: name of the phase, for people.
        epochs: number of epochs, at least 1.
        first_epoch: number of the phase's first epoch among those that share one schedule of the learning rate.
        all_epochs: number of epochs that share the schedule.
        frozen: names of the layers that do not learn.
    """

    name: str
    epochs: int
    first_epoch: int = 0
    all_epochs: int = 0
    frozen: frozenset[str] = frozenset()


def plan_phases(model: keras.Model, recipe: Recipe) -> list[Phase]:
    """Plans the phases of a recipe.

    Args:
        model: a model with an embedded spec.
        recipe: the recipe.

    Returns:
        The classifier's phase, if it has epochs, then one phase for the whole network, or, if it is unfrozen gradually,
        one for each group of parts from the classifier down.

    Raises:
        BuildError: the model has no embedded spec.
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
    """Names of the layers with weights, by part: stem with what precedes it, each stage, head, classifier."""
    found = find_network(model)
    embedded = found.embedded
    traced = trace_network(embedded.spec, classes=embedded.classes, include_top=embedded.include_top)
    parts: dict[int, list[str]] = {}
    for section in traced.blocks:
        # Preprocessing is not a part of its own.
        part = parts.setdefault(max(section.stage, 0), [])
        part += [found.names[node.name] for node in section.nodes if node.has_weights]
    return [parts[number] for number in sorted(parts)]


def phase_schedule(phase: Phase, recipe: Recipe, steps_per_epoch: int) -> Schedule:
    """The learning rate at each step of a phase, in batches.

    Args:
        phase: the phase.
        recipe: recipe with the rates, the warm-up and the decay.
        steps_per_epoch: number of batches in an epoch, at least 1.

    Example:
        >>> schedule = phase_schedule(Phase("whole", 2, 1, 3), Recipe(rate=1.0, warmup=0.0, decay="cosine"), 2)
        >>> [round(schedule(step), 2) for step in range(4)]
        [0.75, 0.5, 0.25, 0.07]
    """
    peak = recipe.head_rate if phase.name == HEAD else recipe.rate
    shape = {"peak": peak, "steps": phase.all_epochs * steps_per_epoch, "warmup": recipe.warmup}
    schedules: dict[str, Schedule] = {
        "cosine": partial(warmup_cosine, **shape),
        "exponential": partial(warmup_exponential, **shape, every=DECAY_EPOCHS * steps_per_epoch),
        "constant": partial(warmup_constant, **shape),
    }
    return partial(shifted, schedule=schedules[recipe.decay], first=phase.first_epoch * steps_per_epoch)


def rate_shares(model: keras.Model, layer_decay: float) -> dict[str, float]:
    """The share of the learning rate that each layer gets under layer-wise decay.

        share = layer_decay ** (number of parts behind the layer's own)

    Parts are the stem with what precedes it, each stage, the head and the classifier. Bao et al. 2022
    (arXiv:2106.08254) count transformer blocks so, Liu et al. 2022 (arXiv:2201.03545) groups of three blocks.

    Args:
        model: a model with an embedded spec.
        layer_decay: factor from one part to the part before it, in (0, 1].

    Returns:
        The shares of the layers with weights, by their names; 1 for the classifier.

    Raises:
        BuildError: the model has no embedded spec.

    Example:
        >>> from keras_effnet import build_model
        >>> shares = rate_shares(build_model("mobilenet_v1", classes=2, input_shape=(32, 32, 3)), 0.5)
        >>> shares["conv_preds"], shares["conv_pw_13"], shares["conv_pw_12"]
        (1.0, 0.5, 0.5)
    """
    parts = _layers_of_parts(model)
    return {name: layer_decay ** (len(parts) - 1 - number) for number, part in enumerate(parts) for name in part}


def compile_phase(
    model: keras.Model,
    phase: Phase,
    recipe: Recipe,
    steps_per_epoch: int,
    task: VisionTask = "classification",
    schedule: Schedule | None = None,
) -> Schedule:
    """Freezes the layers that do not learn in a phase, and compiles the model for it.

    Args:
        model: the whole network, or its classifier alone for the phase "head".
        phase: the phase.
        recipe: the recipe.
        steps_per_epoch: number of batches in an epoch, at least 1.
        task: what the model learns: "classification", "multilabel" or "regression". Default: "classification".
        schedule: learning rate of each step; by default the recipe's, `phase_schedule`.

    Returns:
        The learning rate at each step of the phase, as the optimizer follows it.
    """
    head = phase.name == HEAD
    for layer in model.layers:
        frozen_statistics = isinstance(layer, keras.layers.BatchNormalization) and recipe.batchnorm != "trained"
        layer.trainable = layer.name not in phase.frozen and (head or not frozen_statistics)
    if recipe.batchnorm == "trained" and not head:
        set_batchnorm_momentum(model, batchnorm_momentum(steps_per_epoch))
    steps = phase.epochs * steps_per_epoch
    average = average_momentum(steps) if isinstance(recipe.average, str) else recipe.average
    if schedule is None:
        schedule = phase_schedule(phase, recipe, steps_per_epoch)
    compile_model(
        model,
        schedule,
        steps=steps,
        optimizer="adamw" if head else recipe.optimizer,
        weight_decay=recipe.weight_decay,
        clip=0.0 if head else recipe.clip,
        average=0.0 if head else average,
        accumulate=1 if head else recipe.accumulate,
        label_smoothing=recipe.label_smoothing,
        focal=recipe.focal,
        task=task,
        shares=None if head or recipe.layer_decay == 1 else rate_shares(model, recipe.layer_decay),
    )
    return schedule
