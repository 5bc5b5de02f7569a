"""Learning-rate schedules as plain functions of the step. Loads neither keras nor tensorflow.

A schedule maps a step, counted from 0, to a learning rate. The functions below take the step first and everything else
by name, so that `functools.partial` turns each of them into a schedule. All of them begin with the same linear warm-up
(Goyal et al. 2017, arXiv:1706.02677, section 2.2): with `w = int(warmup * steps)` steps of it,

    rate(t) = peak * (t + 1) / w    for t < w

so that the first step already learns and step `w - 1` reaches the peak. With `w = 0` there is no warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]
"""A function from a step, counted from 0, to a learning rate."""


def warmup_cosine(step: int, *, peak: float, steps: int, warmup: float = 0.0) -> float:
    """Cosine decay to zero after a linear warm-up (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5).

        rate(t) = peak * (1 + cos(pi * (t - w) / (steps - w))) / 2    for w <= t <= steps

    Args:
        step: number of the step, at least 0; past `steps` the rate stays 0.
        peak: largest learning rate, reached at the end of the warm-up.
        steps: length of the whole schedule in steps, at least 1; the rate would be 0 at this step.
        warmup: fraction of the steps over which the rate rises linearly, in [0, 1).

    Returns:
        The learning rate, from 0 to `peak`.

    Example:
        >>> [round(warmup_cosine(step, peak=1.0, steps=4, warmup=0.5), 2) for step in range(6)]
        [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    rising = int(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (1 + math.cos(math.pi * min((step - rising) / (steps - rising), 1.0))) / 2


def warmup_exponential(
    step: int, *, peak: float, steps: int, every: float, factor: float = 0.97, warmup: float = 0.0
) -> float:
    """Exponential decay in equal stages after a linear warm-up.

        rate(t) = peak * factor ** floor((t - w) / every)    for t >= w

    In EfficientNet's training on ImageNet the rate "decays by 0.97 every 2.4 epochs" (Tan and Le 2019,
    arXiv:1905.11946, section 5.2).

    Args:
        step: number of the step, at least 0; the rate keeps falling past `steps`.
        peak: largest learning rate, reached at the end of the warm-up.
        steps: length of the whole schedule in steps, at least 1; only the warm-up depends on it.
        every: length of a stage in steps, above 0; it need not be a whole number.
        factor: factor from one stage to the next, in (0, 1].
        warmup: fraction of the steps over which the rate rises linearly, in [0, 1).

    Returns:
        The learning rate, from 0 to `peak`.

    Example:
        >>> [warmup_exponential(step, peak=1.0, steps=6, every=2, factor=0.5) for step in range(6)]
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    rising = int(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * factor ** ((step - rising) // every)


def warmup_constant(step: int, *, peak: float, steps: int, warmup: float = 0.0) -> float:
    """The peak, after a linear warm-up.

        rate(t) = peak    for t >= w

    Args:
        step: number of the step, at least 0.
        peak: largest learning rate, reached at the end of the warm-up.
        steps: length of the whole schedule in steps, at least 1; only the warm-up depends on it.
        warmup: fraction of the steps over which the rate rises linearly, in [0, 1).

    Returns:
        The learning rate, from 0 to `peak`.

    Example:
        >>> [warmup_constant(step, peak=1.0, steps=4, warmup=0.5) for step in range(4)]
        [0.5, 1.0, 1.0, 1.0]
    """
    rising = int(warmup * steps)
    return peak * (step + 1) / rising if step < rising else peak


def shifted(step: int, *, schedule: Schedule, first: int) -> float:
    """A schedule entered at a later step, for phases that share one schedule.

        rate(t) = schedule(first + t)

    Args:
        step: number of the step within the phase, at least 0.
        schedule: schedule that the phases share.
        first: number of the phase's first step in that schedule, at least 0.

    Returns:
        The learning rate.

    Example:
        >>> shifted(1, schedule=lambda step: 10.0 * step, first=3)
        40.0
    """
    return schedule(first + step)


def ramp(step: int, *, low: float, high: float, steps: int) -> float:
    """An exponential rise, with which a good rate is looked for.

        rate(t) = low * (high / low) ** (t / (steps - 1))

    Args:
        step: number of the step, at least 0; past `steps` the rate keeps rising.
        low: rate of the first step, above 0.
        high: rate of step `steps - 1`, above `low`.
        steps: length of the rise in steps, at least 2.

    Returns:
        The learning rate.

    Example:
        >>> [round(ramp(step, low=0.001, high=1.0, steps=4), 3) for step in range(4)]
        [0.001, 0.01, 0.1, 1.0]
    """
    return low * (high / low) ** (step / (steps - 1))


def batchnorm_momentum(steps_per_epoch: int) -> float:
    """Momentum of BatchNorm's moving statistics (Kornblith et al. 2019, arXiv:1805.08974, appendix).

        momentum = max(1 - 10 / steps_per_epoch, 0.9)

    An epoch then replaces nearly all of them, however short it is; Keras' 0.99 needs hundreds of steps.

    Args:
        steps_per_epoch: steps of an epoch, at least 1.

    Returns:
        The fraction of the old statistics that each step keeps, from 0.9 to below 1.

    Example:
        >>> batchnorm_momentum(1000), batchnorm_momentum(5)
        (0.99, 0.9)
    """
    return max(1 - 10 / steps_per_epoch, 0.9)


# EfficientNet's released training (tensorflow/tpu, models/official/efficientnet/main.py): the defaults of
# `moving_average_decay` and `train_steps`.
IMAGENET_AVERAGE, IMAGENET_STEPS = 0.9999, 218_949


def average_momentum(steps: int) -> float:
    """Momentum of a moving average of the weights that covers the same share of any training.

        momentum = 0.9999 ** (218949 / steps)

    An average with momentum m reaches back over some 1 / (1 - m) steps. EfficientNet's, 0.9999 over 218,949 steps, thus
    covers about a twentieth of its training. By the scaling rule of Busbridge et al. 2023 (arXiv:2307.13813), a
    training of k times fewer steps keeps that share with the k-th power of the momentum.

    Args:
        steps: steps of the training, at least 1.

    Returns:
        The fraction of the old average that each step keeps, from 0 to below 1.

    Example:
        >>> [round(average_momentum(steps), 4) for steps in (10, 100, 1000, 218_949)]
        [0.112, 0.8034, 0.9783, 0.9999]
    """
    return IMAGENET_AVERAGE ** (IMAGENET_STEPS / steps)
