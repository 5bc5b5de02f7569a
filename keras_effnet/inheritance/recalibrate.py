"""BatchNorm statistics taken anew, for a network whose channels, blocks or images are no longer those it learned on.

Each image passes once, and each BatchNorm normalises by the batch at hand, as in training. The statistics are then
those of all batches together, not the tail that a moving average remembers: mean = E[batch mean], variance = E[batch
variance + batch mean^2] - mean^2 ("PreciseBN": Wu and Johnson 2021, arXiv:2105.07576, section 3). That this is most of
what a network with fewer channels lacks at first was seen by Yu and Huang (arXiv:1903.05134, "post-statistics").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import DataError, InheritanceError

# What random layers call their strength: Dropout and its kin, GaussianNoise.
_STRENGTHS = ("rate", "stddev")


def recalibrate(model: keras.Model, batches: Iterable[Any]) -> int:
    """Takes the moving statistics of every BatchNorm layer anew, frozen layers too; changes nothing else.

    Dropout and drop-path are off meanwhile. Nothing is learned, and no labels are needed. A thousand images like
    those that the model will see are enough, in batches like those that it is trained on (Wu and Johnson, section 3).

    Args:
        model: a model with BatchNorm layers; layers may be models themselves.
        batches: images as the model takes them, (n, ...) an array; or tuples that begin with them, such as
            (images, labels). Of an endless iterator, cut a piece (`itertools.islice`).

    Returns:
        The number of images that the statistics come from.

    Raises:
        DataError: no batch at all, one of a wrong shape, or images that lead to no finite statistics.
        InheritanceError: the model has no BatchNorm layer, or a random layer that cannot be switched off.
            After any error, and after an interruption, the model is as it was.

    Example:
        >>> import numpy as np
        >>> from keras_effnet import build_model, recalibrate, scale_model
        >>> small = scale_model(build_model("mobilenet_v1", classes=2, input_shape=(32, 32, 3)), phi=-4)
        >>> recalibrate(small, [np.zeros((8, 32, 32, 3)), np.ones((4, 32, 32, 3))])
        12
    """
    layers = list(_layers(model))
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms or not isinstance(model.input_shape, tuple):
        raise InheritanceError(
            "there must be BatchNorm statistics to take, of a model with one input.",
            received=f"{model.name!r} with {len(norms)} BatchNormalization layers and inputs {model.input_shape}",
        )
    variables: list[Any] = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    count = 0
    means, squares = ([np.zeros(tuple(variable.shape)) for variable in variables[::2]] for _ in range(2))
    with _measuring(layers):
        # A model of its own: it is compiled without touching how the given one is.
        measure = _BatchStatistics(model, variables)
        for batch in batches:
            images = _images(batch, model.input_shape)
            found = [np.asarray(array, float) for array in measure.predict_on_batch(images)]
            count += len(images)
            for mean, square, batch_mean, variance in zip(means, squares, found[::2], found[1::2], strict=True):
                mean += (batch_mean - mean) * (len(images) / count)
                square += (variance + batch_mean**2 - square) * (len(images) / count)
    if not count:
        raise DataError("statistics need images: give at least one batch.", received="batches with none")
    values = [
        statistic
        for mean, square in zip(means, squares, strict=True)
        for statistic in (mean, np.maximum(square - mean**2, 0))
    ]
    if not all(np.isfinite(value).all() for value in values):
        raise DataError(
            "images must lead to finite statistics; look for values that are not finite, in images and weights.",
            received=f"{count} images that do not",
        )
    _assign(variables, values)
    return count


class _BatchStatistics(keras.Model):
    """From images to the statistics that each BatchNorm layer finds in them; writes into no variable.

    Args:
        model: as `_measuring` leaves it.
        statistics: the mean and the variance of each of its BatchNorm layers.
    """

    def __init__(self, model: keras.Model, statistics: list[Any]) -> None:
        super().__init__(name="batch_statistics")
        self.model = model
        self.statistics = statistics
        # XLA's depthwise convolution is many times slower on a CPU than TensorFlow's own; JAX is slow without XLA.
        jit: Any = keras.backend.backend() == "jax"
        self.compile(jit_compile=jit)

    def call(self, images: Any) -> list[Any]:
        # Zeros, so that statistics which are not finite leave no trace in the new ones.
        fresh = [(variable, keras.ops.zeros_like(variable.value)) for variable in self.statistics]
        values = [(variable, variable.value) for variable in self.model.variables]
        with keras.StatelessScope([*values, *fresh]) as scope:
            self.model(images, training=True)
        return [scope.get_current_value(variable) for variable in self.statistics]


@contextmanager
def _measuring(layers: list[Any]) -> Iterator[None]:
    """BatchNorm keeps the statistics of the last batch alone, and nothing is random; then all is as it was."""
    changed: list[tuple[Any, str, Any]] = []
    try:
        for layer in layers:
            for name, value in _settings(layer).items():
                changed.append((layer, name, getattr(layer, name)))
                setattr(layer, name, value)
        yield
    finally:
        for layer, name, value in changed:
            setattr(layer, name, value)


def _settings(layer: Any) -> dict[str, Any]:
    """What a layer must be set to while statistics are taken."""
    if isinstance(layer, keras.layers.BatchNormalization):
        # A frozen one would normalise by the old statistics.
        return {"momentum": 0.0} if layer.trainable else {"momentum": 0.0, "trainable": True}
    if not any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values()):
        return {}
    strengths = {name: 0.0 for name in _STRENGTHS if hasattr(layer, name)}
    if not strengths:
        raise InheritanceError(
            "statistics are taken without randomness, and this layer cannot be switched off: take those of the model "
            "without it.",
            received=f"{layer.name!r}, a {type(layer).__name__}",
        )
    return strengths


def _layers(model: Any) -> Iterator[Any]:
    """All layers, those of models inside the model too."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _images(batch: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """The images of a batch, checked against the model's input."""
    images = batch[0] if isinstance(batch, tuple | list) and batch else batch
    array: Any = keras.ops.convert_to_numpy(images) if keras.ops.is_tensor(images) else np.asarray(images)
    pairs = zip(shape, array.shape, strict=False)
    fits = array.ndim == len(shape) and all(side in (None, found) for side, found in pairs)
    if not fits or not len(array) or array.dtype.kind not in "biuf":
        raise DataError(
            f"a batch must be an array of numbers of shape {shape}, or a tuple that begins with one.",
            received=f"{type(images).__name__} of {array.dtype}, shape {array.shape}",
        )
    return array


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    """All of them or, where something comes in between, none."""
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    try:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except BaseException:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        raise
