"""Looking for a learning rate: a network is trained for a moment at rates that rise from too small to too large.

Smith 2017 (arXiv:1506.01186, section 3.3) calls it a range test, and raises the rate in equal steps; fastai's `lr_find`
raises it by equal factors, as here, so that all orders of magnitude are looked at alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_effnet.finetune.phases import Phase, compile_phase
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.messages import progress_bar
from keras_effnet.training.schedules import ramp
from keras_effnet.training.seeding import seed_dropout
from keras_effnet.training.window import Window
from keras_effnet.vision_tasks import VisionTask

# fastai's `lr_find`: the first and the last rate, the number of steps, how many times the least loss ends the search,
# and the share of the rate of the least loss that it suggests (`SuggestionMethod.Minimum`).
LOW, HIGH, STEPS, STOP, SHARE = 1e-7, 10.0, 100, 4.0, 0.1
# Steps to each side that a loss is averaged with. fastai averages over the past alone, which moves the curve to the
# right; with 100 steps over eight orders of magnitude, these are 0.4 of one.
SIDE = 5


@dataclass(frozen=True)
class FoundRate:
    """What a search for a learning rate came to.

    Args:
        rates: the rates that were tried, rising.
        losses: loss of the step at each of them.
        smoothed: mean of each loss and its neighbours, five on each side.
        least: rate at which the smoothed loss is least.
        suggestion: a tenth of `least`, to two digits; None if the loss rose from the beginning.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    least: float
    suggestion: float | None

    def to_dict(self) -> dict[str, Any]:
        """The search as JSON holds it."""
        return asdict(self)


def find_rate(
    model: keras.Model, batches: Any, recipe: Recipe, task: VisionTask = "classification", *, steps: int = STEPS
) -> FoundRate:
    """Trains a network at rising rates, and sees where its loss is least before it grows.

    The search ends early where the loss is four times as large as it was at best, or no longer a number.

    Args:
        model: the whole network, which is compiled here and left as the largest rate has spoiled it.
        batches: batches to learn from, as `train` takes them.
        recipe: recipe with all but the rate.
        task: what the model learns: "classification", "multilabel" or "regression". Default: "classification".
        steps: number of rates, at least 20.

    Returns:
        The losses and the suggestion.

    Raises:
        DataError: an image cannot be read.
    """
    every, epoch = recipe.accumulate, len(batches)
    rise = partial(ramp, low=LOW, high=HIGH, steps=steps)
    epochs = math.ceil(steps * every / epoch)
    phase, plain = Phase("rates", epochs, 0, epochs), replace(recipe, average=0.0)
    compile_phase(model, phase, plain, epoch, task, schedule=lambda step: rise(step // every))
    seed_dropout(model, recipe.seed, 0)
    window = Window(batches, 0, steps * every)
    losses: list[float] = []
    for number in progress_bar(range(steps), desc="rising rates", unit="step"):
        losses.append(float(np.mean([_loss(model, window[number * every + part]) for part in range(every)])))
        if not math.isfinite(losses[-1]) or has_diverged(losses):
            break
    return judge([rise(number) for number in range(len(losses))], losses)


def _loss(model: keras.Model, batch: tuple[np.ndarray, ...]) -> float:
    """The loss of a batch before the step that is made on it."""
    model.reset_metrics()  # which are means since then
    found: Any = model.train_on_batch(*batch, return_dict=True)
    return float(found["loss"])


def has_diverged(losses: list[float]) -> bool:
    """Whether the last losses are four times the least, each a mean of five.

    Args:
        losses: the losses so far.

    Example:
        >>> has_diverged([1.0] * 9), has_diverged([1.0] * 9 + [9.0] * 3)
        (False, True)
    """
    means = np.convolve(losses, np.full(SIDE, 1 / SIDE), "valid") if len(losses) > SIDE else np.ones(1)
    return bool(means[-1] > STOP * means.min())


def judge(rates: list[float], losses: list[float]) -> FoundRate:
    """Suggests a rate: a tenth of the one at which the smoothed loss is least.

    Args:
        rates: the rates that were tried, rising.
        losses: loss of the step at each of them; from the first that is no number on they are left out.

    Example:
        >>> rates = [10 ** (number / 10 - 4) for number in range(40)]
        >>> losses = [1 + abs(math.log10(rate) + 1) for rate in rates]
        >>> judge(rates, losses).suggestion
        0.01
    """
    wrong = np.flatnonzero(~np.isfinite(losses))
    count = int(wrong[0]) if len(wrong) else len(losses)
    found = np.asarray(losses[:count])
    smoothed = [float(found[max(0, place - SIDE) : place + SIDE + 1].mean()) for place in range(count)]
    place = int(np.argmin(smoothed)) if count else 0
    return FoundRate(
        rates=tuple(rates[:count]),
        losses=tuple(map(float, found)),
        smoothed=tuple(smoothed),
        least=rates[place],
        suggestion=float(f"{SHARE * rates[place]:.2g}") if place else None,
    )
