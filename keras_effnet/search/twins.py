"""Copies of a network in which some layers do something else: what scores without training look at.

A twin has the same graph, gone through again with a function that says for each layer what comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_effnet.errors import BuildError

# Layers that neither mix channels nor pixels: a network without them is linear in each of its kernels.
PASSING = (
    layers.Activation,
    layers.BatchNormalization,
    layers.Dropout,
    layers.GaussianNoise,
    layers.LayerNormalization,
    layers.Normalization,
    layers.Rescaling,
    layers.Softmax,
)
WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense, layers.EinsumDense)

Call = Callable[[Any, Any], Any]
"""From a layer of the twin, and what goes into it, to what comes out."""


def make_twin(model: keras.Model, call: Call, weights: Callable[[Any], None], start: Any = None) -> Twin:
    ...
