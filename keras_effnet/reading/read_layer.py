"""A layer of a Keras model as operations of the vocabulary."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from keras_effnet.errors import InheritanceError
from keras_effnet.ops import Activation, Depthwise
from keras_effnet.reading.opaque_layer import opaque
from keras_effnet.reading.read_function import read_function
from keras_effnet.reading.steps import Given, Step, activation_of
from keras_effnet.reading.stock_layers import APPLICATIONS, READERS


def read_layer(layer: Any, given: Given) -> list[Step]:
    """What a layer does, as operations in a row.

    Args:
        layer: a layer or another operation of a Keras model, built.
        given: what it is called with.

    Returns:
        The operations: several for a separable convolution, and for an activation that the operation before has no
        field for. A layer that the vocabulary has no word for is one `Opaque`.

    Raises:
        InheritanceError: a recurrent layer, or one for volumes.

    Example:
        >>> shape = (None, 8, 8, 3)
        >>> read_layer(keras.layers.ReLU(6, name="cut"), Given([shape], [shape]))[0].op
        Activation(activation='relu6')
    """
    if isinstance(layer, layers.RNN | layers.Bidirectional | layers.TimeDistributed):
        raise _unread(layer, "is recurrent")
    if any(len(shape) > 4 for shape in (*given.shapes, *given.made)):
        raise _unread(layer, "works on volumes or videos")
    # A quantised layer has codes in place of its kernel, whatever its class; one of another data format, other axes.
    foreign = getattr(layer, "data_format", None) not in (None, keras.config.image_data_format())
    if getattr(layer, "quantization_mode", None) or foreign:
        found = None
    elif isinstance(layer, layers.Layer):
        read = READERS.get(type(layer)) or APPLICATIONS.get(type(layer).__name__) if _stock(layer) else None
        found = None if read is None else read(layer, given)
    else:
        found = read_function(layer, given)
    weights = tuple(getattr(layer, "weights", ()))
    if found is None:
        return [Step(opaque(layer, given.shapes, given.made[0]), weights=weights)]
    if isinstance(found, list):
        return found
    steps = [Step(found, weights=weights)]
    if isinstance(found, Depthwise) and layer.activation is not keras.activations.linear:
        steps.append(Step(Activation(activation_of(layer.activation)), "_activation"))
    return steps


def _stock(layer: Any) -> bool:
    return type(layer).__module__.split(".")[0] == "keras"


def _unread(layer: Any, reason: str) -> InheritanceError:
    return InheritanceError(
        f"layer {layer.name!r} {reason}: networks of images and vectors can be read. Give the part of the model that "
        "reads images.",
        received=f"{layer.name!r}, a {type(layer).__name__}",
    )
