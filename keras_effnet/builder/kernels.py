"""First values of kernels, drawn by NumPy.

Keras' initialisers draw through the backend, which on JAX compiles one program for each new shape: 25 s for
EfficientNet-B7, of which 23 s go away when NumPy draws (the numbers of this machine: `docs/benchmarks.md`). The
distributions are Keras' own, and the finished layers name Keras' own initialisers, so that saved models need nothing
of this package. The stream differs from the backend's; `keras.utils.set_random_seed` makes it repeatable.
"""

from __future__ import annotations

import math
import random
from typing import Any

import keras
import numpy as np

from keras_effnet.spec import Initializer

# Standard deviation of a normal distribution cut at two of its deviations: keras.initializers.VarianceScaling.
_TRUNCATED_STD = 0.87962566103423978


class _Drawn(keras.initializers.Initializer):
    """Stands in for a VarianceScaling while a layer is built.

    Args:
        stock: the initialiser that the finished layer names.
        generator: where the numbers come from.
    """

    def __init__(self, stock: Any, generator: np.random.Generator) -> None:
        self.stock = stock
        self.generator = generator

    def __call__(self, shape: tuple[int, ...], dtype: Any = None, **_: Any) -> Any:
        values = draw_variance_scaling(self.stock, tuple(shape), self.generator)
        return keras.ops.convert_to_tensor(values, dtype=dtype)


class DrawnKernels:
    """The kernels of one model.

    Args:
        initializer: the spec's.
    """

    def __init__(self, initializer: Initializer) -> None:
        # Python's generator is what Keras' unseeded initialisers take their seeds from too.
        generator = np.random.default_rng(random.getrandbits(64))
        if initializer == "fan_out":
            # keras.applications.efficientnet: CONV_KERNEL_INITIALIZER and DENSE_KERNEL_INITIALIZER.
            conv = keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")
            dense = keras.initializers.VarianceScaling(1 / 3, mode="fan_out", distribution="uniform")
        else:
            conv = dense = keras.initializers.GlorotUniform()
        self.conv = _Drawn(conv, generator)
        self.dense = _Drawn(dense, generator)

    def draw(self, layer: Any, x: Any) -> Any:
        """Builds `layer` on `x`, then puts the stock initialiser back where a `_Drawn` stood in."""
        y = layer(x)
        for attribute in ("kernel_initializer", "depthwise_initializer"):
            drawn = getattr(layer, attribute, None)
            if isinstance(drawn, _Drawn):
                setattr(layer, attribute, drawn.stock)
        return y


def draw_variance_scaling(stock: Any, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Values from the distribution of a `keras.initializers.VarianceScaling`, as float32.

    Args:
        stock: the initialiser: its scale, mode and distribution ("uniform" or "truncated_normal") count.
        shape: of a kernel: window sizes, input channels, output channels.
        generator: where the numbers come from.

    Returns:
        An array of `shape`.
    """
    window = math.prod(shape[:-2])
    fans = {"fan_in": window * shape[-2], "fan_out": window * shape[-1]}
    fans["fan_avg"] = (fans["fan_in"] + fans["fan_out"]) / 2
    variance = stock.scale / max(1.0, fans[stock.mode])
    if stock.distribution == "uniform":
        limit = np.float32(math.sqrt(3 * variance))
        values = generator.random(shape, dtype=np.float32)
        values *= 2 * limit
        values -= limit
        return values
    values = generator.standard_normal(shape, dtype=np.float32)
    flat = values.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2)
    while outside.size:
        flat[outside] = generator.standard_normal(outside.size, dtype=np.float32)
        outside = outside[np.abs(flat[outside]) > 2]
    values *= np.float32(math.sqrt(variance) / _TRUNCATED_STD)
    return values
