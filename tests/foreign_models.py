"""Models that carry no spec, as people build them: small, with random weights."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np

layers = keras.layers
SIDE, CLASSES = 32, 3


def _settled(model: keras.Model) -> keras.Model:
    """With statistics and biases that are not those of the start."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        path = str(weight.path)
        if path.endswith(("gamma", "moving_variance", "scale")):
            weight.assign(generator.uniform(0.6, 1.4, weight.shape))
        elif path.endswith(("beta", "bias", "moving_mean", "alpha")):
            weight.assign(generator.normal(0, 0.2, weight.shape))
    return model


def sequential() -> keras.Model:
    """The CNN of ten lines that tutorials begin with."""
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(16, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ],
        name="ten_lines",
    )


def mobilenet() -> keras.Model:
    """A stock network, which wants its pixels preprocessed."""
    return keras.applications.MobileNet(
        alpha=0.25, weights=None, input_shape=(SIDE, SIDE, 3), classes=CLASSES, name="stock"
    )


def two_ways() -> keras.Model:
    """Functions in the graph, a shared layer, two ways that are pooled each by itself, and a nested model."""
    pixels: Any = keras.Input((SIDE, SIDE, 3))
    shared = layers.Conv2D(8, 3, padding="same", name="shared")
    x = layers.Conv2D(8, 5, strides=2, padding="same")(pixels / 127.5 - 1)
    x = keras.ops.silu(layers.BatchNormalization(scale=False)(x))
    wide = layers.LeakyReLU(0.1)(shared(shared(x)))
    deep = layers.SeparableConv2D(8, 3, padding="same", dilation_rate=2)(x)
    deep = layers.PReLU(shared_axes=(1, 2))(layers.GroupNormalization(4)(deep))
    deep = layers.UpSampling2D(2, interpolation="bilinear")(layers.AveragePooling2D(2)(deep))
    both = [layers.GlobalAveragePooling2D()(wide), layers.GlobalMaxPooling2D()(layers.Average()([deep, x, x]))]
    head = keras.Sequential([keras.Input((16,)), layers.Dense(CLASSES)], name="head")
    return keras.Model(pixels, keras.ops.softmax(head(layers.Concatenate()(both))), name="two_ways")


def u_net() -> keras.Model:
    """Skips, transposed convolutions and cropping, which gives a map."""
    pixels = keras.Input((SIDE, SIDE, 3))
    skip = layers.Conv2D(6, 3, padding="same", activation="relu")(pixels)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(skip)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Add()([layers.BatchNormalization()(x), skip])
    x = layers.Cropping2D(1)(layers.ZeroPadding2D(1)(x))
    return keras.Model(pixels, layers.Conv2D(2, 1, activation="sigmoid")(layers.Concatenate()([x, pixels])), name="u")


MAKE = {each.__name__: each for each in (sequential, mobilenet, two_ways, u_net)}
CLASSIFIERS = ("sequential", "mobilenet", "two_ways")


@cache
def foreign_model(name: str) -> Any:
    """One of these models; no test changes it."""
    keras.utils.set_random_seed(0)
    return _settled(MAKE[name]())
