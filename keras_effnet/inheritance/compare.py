"""By how much a network differs from the one that it inherited from, measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_effnet.inheritance.maps import FRESH
from keras_effnet.inheritance.pairing import Pairing
from keras_effnet.ops import Dropout
from keras_effnet.reading.graph import finalize
from keras_effnet.reading.model_form import structured, with_outputs
from keras_effnet.trace import Value

_IMAGES = 4
_SIDE = 64  # of random images, in pixels, for models that take images of any size


def measured_difference(
    old: keras.Model,
    new: keras.Model,
    build: Callable[[tuple[int | None, ...]], keras.Model],
    *,
    raw: bool = True,
    channels: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> float:
    """The largest difference of the outputs of two models on random images, as a share of the largest output.

    Args:
        old: the old model.
        new: the new model.
        build: builds the new model for inputs of another shape, with any weights.
        raw: whether the models take pixels from 0 to 255; otherwise the images are of mean 0 and variance 1.
        channels: for each output, the number of the old channel that each new channel comes from, `FRESH` for one that
            is new; None where both have the same.
        seed: seed of the random images.

    Returns:
        The difference, at least 0; infinite if an output is not finite.
    """
    shape = old.input_shape[1:]
    if new.input_shape != old.input_shape:
        new = with_weights(build(shape), new)
    images = _random_images([_SIDE if side is None else side for side in shape], raw, seed)
    before, after = (_listed(compute_once(model, images)) for model in (old, new))
    if channels is not None:
        before = [
            _channels_last(output)[..., rows[rows != FRESH]] for output, rows in zip(before, channels, strict=True)
        ]
        after = [_channels_last(output)[..., rows != FRESH] for output, rows in zip(after, channels, strict=True)]
    return _largest_share(before, after)


def largest_difference(old: keras.Model, new: keras.Model, shapes: Sequence[Any], seed: int = 0) -> float:
    """The largest difference of the outputs of two models on random inputs, as a share of the largest output.

    Args:
        old: a model with any number of inputs and outputs.
        new: a model with the same.
        shapes: shape of each input, without the batch.
        seed: seed of the random inputs, of mean 0 and variance 1.

    Returns:
        The difference, at least 0; infinite if an output is not finite.
    """
    given = [_random_images(list(shape), raw=False, seed=seed + number) for number, shape in enumerate(shapes)]
    before, after = (keras.tree.flatten(compute_once(model, structured(given, model, "input"))) for model in (old, new))
    return _largest_share(before, after)


def _largest_share(before: Sequence[Any], after: Sequence[Any]) -> float:
    shares = [
        np.abs(theirs - ours).max(initial=0) / max(np.abs(theirs).max(initial=0), np.finfo(np.float32).tiny)
        for theirs, ours in zip(map(np.asarray, before), map(np.asarray, after), strict=True)
    ]
    return float(max(shares)) if np.isfinite(shares).all() else float("inf")


def _random_images(shape: list[int], raw: bool, seed: int) -> np.ndarray:
    """A few images of the numbers that a network was made for."""
    generator = np.random.default_rng(seed)
    shape = [_IMAGES, *shape]
    return (generator.uniform(0, 255, shape) if raw else generator.normal(size=shape)).astype("float32")


def compute_once(model: keras.Model, images: Any) -> Any:
    """What a model makes of a few images, without the seconds that TensorFlow takes to compile a graph for them.

    Args:
        model: the model.
        images: the images, as the model takes them, in the structure of its inputs.

    Returns:
        The output as a NumPy array, or a list or dict of them.
    """
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(images)  # layer by layer, JAX would compile a program for each
    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(images, training=False))


def compute_outputs(model: keras.Model, inputs: Sequence[np.ndarray], batch_size: int = 32) -> list[np.ndarray]:
    """The same of any number of images, a batch at a time.

    Args:
        model: the model.
        inputs: an array for each input, in the model's order.
        batch_size: number of images in a batch, at least 1. Default: 32.

    Returns:
        A float32 array for each output, in the model's order.
    """
    parts = []
    for start in range(0, len(inputs[0]), batch_size):
        given = structured([each[start : start + batch_size] for each in inputs], model, "input")
        parts.append([np.asarray(output, np.float32) for output in keras.tree.flatten(compute_once(model, given))])
    return [np.concatenate(rows) for rows in zip(*parts, strict=True)]


def with_weights(model: keras.Model, trained: keras.Model) -> keras.Model:
    """The model, with the weights of another that differs from it in the size of its images alone."""
    model.set_weights(trained.get_weights())
    for layer in model.layers:
        finalize(layer)
    return model


def stage_differences(
    old: keras.Model, new: keras.Model, pairing: Pairing, side: int, seed: int = 0
) -> dict[str, float]:
    """The largest difference of what each stage emits, on random images, as a share of its largest number.

    Args:
        old: the old model.
        new: the new model, for images of the same shape.
        pairing: pairing of the two networks.
        side: side of the images in pixels, if the models take images of any size.
        seed: seed of the random images.

    Returns:
        One number per stage from stem to top, by name, over the channels that come from old ones.
    """
    shape = [side if length is None else length for length in old.input_shape[1:]]
    images = _random_images(shape, pairing.preprocesses, seed)
    stages = range(len(pairing.old.stages) - 1 - (not pairing.old.blocks[-1].nodes))
    outputs = []
    for model, trace in ((old, pairing.old), (new, pairing.new)):
        layers = [model.get_layer(_layer_name(trace.blocks_of(stage)[-1].output)).output for stage in stages]
        outputs.append(compute_once(with_outputs(model, layers), images))
    found: dict[str, float] = {}
    for stage, before, after in zip(stages, *map(_listed, outputs), strict=True):
        ends = (pairing.new.blocks_of(stage)[-1].output, pairing.old.blocks_of(stage)[-1].output)
        rows = pairing.rows(*ends)
        before, after = _channels_last(before), _channels_last(after)
        known = rows != FRESH
        difference = np.abs(after[..., known] - before[..., rows[known]]).max(initial=0)
        found[pairing.stage_name(stage)] = float(difference / max(np.abs(before).max(), np.finfo(np.float32).tiny))
    return found


def _layer_name(value: Value) -> str:
    """The layer that made a value; a dropout without a rate is none."""
    node = value.maker
    while node is not None and isinstance(node.op, Dropout):
        node = node.inputs[0].maker
    return "" if node is None else node.name


def _listed(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def _channels_last(array: np.ndarray) -> np.ndarray:
    first = keras.config.image_data_format() == "channels_first" and array.ndim == 4
    return np.moveaxis(array, 1, -1) if first else array
