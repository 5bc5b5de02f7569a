"""What a layer is called with, and the operations that it is read as."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import keras
import numpy as np

from keras_effnet.ops import Activation, Flatten, Joining, Op, Rescale, Unflatten
from keras_effnet.reading.opaque_layer import Shape, channel_axis

PREVIOUS = -1
"""In `Step.reads`: what the step before made."""


class Step(NamedTuple):
    """One operation of a layer.

    Args:
        op: the operation.
        suffix: what its name has behind the layer's.
        weights: the layer's weights that are the operation's.
        reads: what it reads: numbers of what the layer reads, `PREVIOUS` for the step before; None for all that the
            layer reads, or the step before if there is one.
    """

    op: Op
    suffix: str = ""
    weights: tuple[Any, ...] = ()
    reads: tuple[int, ...] | None = None


class Given(NamedTuple):
    """What a layer is called with, and makes.

    Args:
        shapes: shapes of the tensors that it reads, with the batch.
        made: shapes of the tensors that it makes.
        arguments: positional and named arguments of the call, flat, if it is a function that is called.
    """

    shapes: Sequence[Shape]
    made: Sequence[Shape]
    arguments: Sequence[Any] = ()


def axis_is_channels(axis: Any, shape: Shape) -> bool:
    """Whether an axis, or a list of one, is the one of the channels."""
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return [each % len(shape) for each in axes] == [channel_axis(shape)]


@lru_cache(256)
def activation_of(function: Any) -> str | None:
    """The name of one of Keras' own activations; None for the identity.

    Raises:
        LookupError: a function of somebody's own.
    """
    if function is None or function is keras.activations.linear:
        return None
    name = keras.activations.serialize(function)
    if not isinstance(name, str) or keras.activations.get(name) is not function:
        raise LookupError
    return name


def joined(op: Joining, shapes: Sequence[Shape]) -> Op | None:
    """An elementwise operation on several tensors; None where they are broadcast in a way that has no word.

    Args:
        op: the operation.
        shapes: shapes of what it reads.
    """
    ranks = {len(shape) for shape in shapes}
    if len(shapes) < 2 or len(ranks) > 1:
        return None
    for sides in zip(*(shape[1:] for shape in shapes), strict=True):
        if len({side for side in sides if side != 1}) > 1:
            return None
    return op


def reshaped(shape: Shape, made: Shape) -> Op | None:
    """A change of shape, as far as there is a word for it.

    Args:
        shape: shape of what is read, with the batch.
        made: shape of what is made, with the batch.
    """
    if shape == made:
        return Activation(None)
    axis, other = channel_axis(shape), channel_axis(made)
    channels, first = shape[axis], axis != len(shape) - 1
    if channels is None or None in shape[1:] or None in made[1:]:
        return None
    cells = math.prod(cast(tuple[int, ...], shape[1:])) // channels
    if len(shape) == 4 and made[1:] == (cells * channels,):
        return Flatten(cells, first and cells > 1)
    ones = len(made) == 4 and math.prod(cast(tuple[int, ...], made[1:])) == made[other]
    return Unflatten() if len(shape) == 2 and ones else None


def rescaled(scale: Any, offset: Any, shape: Shape) -> Op | None:
    """x * scale + offset, if both are one number, or one for each channel.

    Args:
        scale: factor, a number or an array.
        offset: number added, or an array.
        shape: shape of what is read, with the batch.
    """
    channels = shape[-1] if channel_axis(shape) == len(shape) - 1 else None
    numbers = [np.asarray(value, float) for value in (scale, offset)]
    if any(value.shape not in ((), (1,), (channels,)) for value in numbers):
        return None
    if all(value.size == 1 for value in numbers):
        return Rescale(*(value.item() for value in numbers))
    return Rescale(*(tuple(np.broadcast_to(value, (channels or 1,)).tolist()) for value in numbers))
