"""First values of weights, made by NumPy.

Keras' initialisers work through the backend, which on JAX compiles a program for each new shape: tens of seconds for
EfficientNet-B7 (measured in `docs/benchmarks.md`). NumPy needs a fraction of one. The distributions are Keras' own, and
the finished layers name Keras' own initialisers, so that a saved model needs nothing of this package. The stream of
numbers differs from the backend's; `keras.utils.set_random_seed` makes it repeatable.
"""

from __future__ import annotations

import gc
import math
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from statistics import NormalDist
from typing import Any

import keras
import numpy as np
from keras import initializers

# keras.initializers.VarianceScaling cuts its normal distribution at two standard deviations, and divides by the
# standard deviation that is left, so that the variance is what was asked for.
_CUT = 2.0
_STD_AFTER_CUT = 0.87962566103423978
_QUANTILES = 1 << 16

# More layers in a row than fit in memory.
_DEEPEST_GRAPH = 100_000

# The attributes under which Keras' layers keep initialisers.
_ATTRIBUTES = (
    "kernel_initializer",
    "depthwise_initializer",
    "bias_initializer",
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
)


class FirstValues:
    """The first values of one model's weights: builds its layers."""

    def __init__(self) -> None:
        # Python's generator is where Keras' own unseeded initialisers take their seeds from, too.
        self.generator = np.random.default_rng(random.getrandbits(64))

    def build(self, layer: keras.layers.Layer, x: Any) -> Any:
        """Calls `layer` on `x` for the first time, with NumPy standing in for the initialisers it names."""
        stock = {name: value for name in _ATTRIBUTES if (value := getattr(layer, name, None)) is not None}
        for name, value in stock.items():
            setattr(layer, name, _StandIn(value, self.generator))
        y = layer(x)
        for name, value in stock.items():
            setattr(layer, name, value)
        return y


class _StandIn(initializers.Initializer):
    """Draws what `stock` would draw; hands over to it where this module does not know how.

    Args:
        stock: a Keras initialiser.
        generator: where the numbers come from.
    """

    def __init__(self, stock: Any, generator: np.random.Generator) -> None:
        self.stock = stock
        self.generator = generator

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **options: Any) -> Any:
        shape = tuple(shape)
        if isinstance(self.stock, initializers.Zeros):
            values = np.zeros(shape, np.float32)
        elif isinstance(self.stock, initializers.Ones):
            values = np.ones(shape, np.float32)
        elif isinstance(self.stock, initializers.VarianceScaling) and len(shape) > 1:
            values = draw_variance_scaling(self.stock, shape, self.generator)
        else:
            return self.stock(shape, dtype=dtype, **options)
        return keras.ops.convert_to_tensor(values, dtype=dtype)


def draw_variance_scaling(stock: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Values from the distribution of a `keras.initializers.VarianceScaling`.

    Args:
        stock: the initialiser: its `scale`, `mode` and `distribution` count.
        shape: of a kernel: window sizes, input channels, output channels.
        generator: where the numbers come from.

    Returns:
        A float32 array of `shape`.
    """
    window = math.prod(shape[:-2])
    fan_in, fan_out = window * shape[-2], window * shape[-1]
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[stock.mode]
    std = math.sqrt(stock.scale / max(1.0, fan))
    if stock.distribution == "uniform":
        values = generator.random(shape, dtype=np.float32)
        values -= np.float32(0.5)
        values *= np.float32(2 * math.sqrt(3) * std)
        return values
    if stock.distribution == "untruncated_normal":
        return generator.standard_normal(shape, dtype=np.float32) * np.float32(std)
    # One of 65,536 equally likely values: twice as fast as drawing normal numbers until all are within the cut.
    numbers = generator.integers(0, _QUANTILES, shape, dtype=np.uint16)
    return (_cut_normal_quantiles() * np.float32(std))[numbers]


@cache
def _cut_normal_quantiles() -> np.ndarray:
    """The middles of 65,536 equally likely slices of the cut normal distribution, with a variance of 1."""
    normal = NormalDist()
    low = normal.cdf(-_CUT)
    step = (1 - 2 * low) / _QUANTILES
    lower = np.array([normal.inv_cdf(low + (number + 0.5) * step) for number in range(_QUANTILES // 2)])
    return (np.concatenate([lower, -lower[::-1]]) / _STD_AFTER_CUT).astype(np.float32)


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Keeps Python from searching the growing model for garbage over and over while it is built: there is none yet."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Lets Keras sort deep graphs: it calls itself once for each layer, and Python stops at 1,000 (EfficientNet-L2)."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST_GRAPH))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
