"""Models that other people would bring: of keras.applications, and written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers
from support import import_file

MISSING = import_file(Path(__file__).parents[1] / "benchmarks" / "peer_counts.py").MISSING


def _application(name: str, side: int) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        backend = keras.backend.backend()
        if name in MISSING.get(backend, ()):
            pytest.skip(f"Keras does not build {name} under {backend}")
        base: Any = getattr(keras.applications, name)(
            weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3)
        )
        return keras.Model(base.inputs, layers.Dense(3, name="scores")(base.output), name=name.lower())

    return make


def u_net() -> keras.Model:
    """Skips from the way down to the way up, by concatenation; the mask has the size of the image."""
    image = x = keras.Input((32, 32, 3), name="image")
    skips = []
    for width in (8, 16):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.BatchNormalization()(layers.Conv2D(32, 3, padding="same")(x))
    x = layers.LeakyReLU(0.1)(x)
    for width, skip in zip((16, 8), reversed(skips), strict=True):
        x = layers.UpSampling2D(interpolation="bilinear")(x) if width == 16 else layers.Conv2DTranspose(8, 2, 2)(x)
        x = layers.Concatenate()([x, skip])
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    return keras.Model(image, layers.Conv2D(2, 1, name="mask")(x), name="u_net")


def two_inputs() -> keras.Model:
    """Two images through one shared tower, and a vector beside them; two outputs."""
    left, right = keras.Input((24, 24, 3), name="left"), keras.Input((24, 24, 3), name="right")
    facts = keras.Input((5,), name="facts")
    image = x = keras.Input((24, 24, 3))
    x = layers.SeparableConv2D(8, 3, padding="same", name="first")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="slope")(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(16, (1, 5), dilation_rate=2, padding="same", name="wide")(x))
    tower = keras.Model(image, x, name="tower")
    apart = layers.Subtract()([tower(left), tower(right)])
    both = layers.Concatenate()(
        [keras.ops.multiply(keras.ops.abs(apart), 2.0), layers.Dense(8, activation="tanh")(facts)]
    )
    hidden = keras.ops.silu(layers.Dense(16, name="hidden")(both))
    outputs = [layers.Dense(2, name="same")(hidden), layers.Dense(1, activation="sigmoid", name="sure")(hidden)]
    return keras.Model([left, right, facts], outputs, name="two_inputs")


def ten_lines() -> keras.Model:
    """What a tutorial writes."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="ten_lines",
    )


MODELS: dict[str, Callable[[], keras.Model]] = {
    "vgg16": _application("VGG16", 48),
    "vgg19": _application("VGG19", 48),
    "xception": _application("Xception", 96),
    "inception_v3": _application("InceptionV3", 96),
    "inception_resnet_v2": _application("InceptionResNetV2", 96),
    "nasnet_mobile": _application("NASNetMobile", 96),
    "u_net": u_net,
    "two_inputs": two_inputs,
    "ten_lines": ten_lines,
}
"""By name; those of keras.applications are large."""

SMALL = ("u_net", "two_inputs", "ten_lines")
NOT_DEEPER = ("inception_v3",)
"""Those whose repeated units have no skip, so that a new one cannot start as the identity."""
