"""Initial weights, drawn by NumPy.

Keras' initializers work through the backend, which on JAX compiles a program for each new shape: tens of seconds for
EfficientNet-B7 (docs/evidence/benchmarks.md). NumPy needs a fraction of one. The distributions are Keras' own, and
the finished layers name Keras' own initializers, so that a saved model needs nothing of this package. The stream of
numbers differs from the backend's; `keras.utils.set_random_seed` makes it repeatable.
"""

from __future__ import annotations

import gc
import math
import random
import sys
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import initializers

from keras_effnet.builder.process_setting import ProcessSetting

# keras.initializers.VarianceScaling cuts its normal distribution at two standard deviations.
_CUT = 2.0
_QUANTILES = 1 << 16

# More layers in a row than fit in memory.
_DEEPEST_GRAPH = 100_000

# The attributes under which Keras' layers keep initializers.
_ATTRIBUTES = (
    "kernel_initializer",
    "depthwise_initializer",
    "bias_initializer",
    "beta_initializer",
    "gamma_initializer",
    "moving_mean_initializer",
    "moving_variance_initializer",
)


class Initialization:
    """Draws the initial weights of one model, as its layers are called for the first time."""

    def __init__(self) -> None:
        # Python's generator is where Keras' own unseeded initializers take their seeds from, too.
        self.generator = np.random.default_rng(random.getrandbits(64))

    def build(self, layer: keras.layers.Layer, x: Any) -> Any:
        """Calls `layer` on `x` for the first time, with NumPy standing in for the initializers it names."""
        # Past Keras' own __setattr__, which looks for weights to track, and takes longer than drawing them.
        attributes = layer.__dict__
        stock = {name: attributes[name] for name in _ATTRIBUTES if attributes.get(name) is not None}
        attributes.update({name: _DrawnByNumPy(value, self.generator) for name, value in stock.items()})
        y = layer(x)
        attributes.update(stock)
        return y


class _DrawnByNumPy(initializers.Initializer):
    """Draws what `stock` would draw, or lets it draw if this module does not know how.

    Args:
        stock: Keras initializer to draw for.
        generator: source of the random numbers.
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
        elif isinstance(self.stock, initializers.Constant):
            values = np.full(shape, self.stock.value, np.float32)
        elif isinstance(self.stock, initializers.VarianceScaling) and len(shape) > 1:
            values = draw_variance_scaling(self.stock, shape, self.generator)
        else:
            return self.stock(shape, dtype=dtype, **options)
        return keras.ops.convert_to_tensor(values, dtype=dtype)


def draw_variance_scaling(stock: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Values from the distribution of a `keras.initializers.VarianceScaling`.

    Args:
        stock: the initializer; only its `scale`, `mode` and `distribution` are read.
        shape: shape of a kernel: window sides, input channels, output channels.
        generator: source of the random numbers.

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
    """The middles of 65,536 equally likely slices of the cut normal distribution, with a variance of 1.

    Keras divides by the standard deviation that the cut leaves, so that the variance is what was asked for; so do we.
    """
    edges = np.linspace(-_CUT, _CUT, _QUANTILES + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    cumulative = np.concatenate([[0.0], np.cumsum(np.exp(-(middles**2) / 2))])
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    quantiles = np.interp(shares * cumulative[-1], cumulative, edges)
    return (quantiles / quantiles.std()).astype(np.float32)


def _pause_collection() -> bool:
    enabled = gc.isenabled()
    gc.disable()
    return enabled


def _resume_collection(enabled: bool) -> None:
    if enabled:
        gc.enable()


def _raise_recursion_limit() -> int:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEEPEST_GRAPH))
    return limit


paused_garbage_collection = ProcessSetting(_pause_collection, _resume_collection)
"""Keeps Python from searching the growing model for garbage over and over while it is built: there is none yet."""

deep_recursion = ProcessSetting(_raise_recursion_limit, sys.setrecursionlimit)
"""Lets Keras sort deep graphs: it calls itself once for each layer, and Python stops at 1,000 (EfficientNet-L2)."""
