"""A layer of a Keras model as operations of the vocabulary."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from keras_effnet.errors import InheritanceError
from keras_effnet.ops import Activation, Depthwise, Op
from keras_effnet.reading.opaque_layer import opaque
from keras_effnet.reading.read_function import read_function
from keras_effnet.reading.steps import Given, Step, activation_of
from keras_effnet.reading.stock_layers import APPLICATIONS, READERS

_RECURRENT = layers.RNN | layers.Bidirectional | layers.TimeDistributed


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
    if isinstance(layer, _RECURRENT):
        raise _unread(layer, "is recurrent")
    if max(map(len, (*given.shapes, *given.made))) > 4:
        raise _unread(layer, "works on volumes or videos")
    found = _read_stock(layer, given) if isinstance(layer, layers.Layer) else read_function(layer, given)
    if isinstance(found, list):
        return found
    weights = tuple(getattr(layer, "weights", ()))
    if found is None:
        return [Step(opaque(layer, given.shapes, given.made[0]), weights=weights)]
    steps = [Step(found, weights=weights)]
    if isinstance(found, Depthwise) and layer.activation is not keras.activations.linear:
        steps.append(Step(Activation(activation_of(layer.activation)), "_activation"))
    return steps


def _read_stock(layer: Any, given: Given) -> Op | list[Step] | None:
    kind = type(layer)
    read = READERS.get(kind)
    if read is None and kind.__module__.split(".")[0] == "keras":
        read = APPLICATIONS.get(kind.__name__)
    # A quantised layer has codes in place of its kernel, whatever its class; one of another data format, other axes.
    # PyTorch takes long to say that a layer has no such attribute.
    foreign = vars(layer).get("data_format") not in (None, keras.config.image_data_format())
    return None if read is None or foreign or layer.quantization_mode else read(layer, given)


def _unread(layer: Any, reason: str) -> InheritanceError:
    return InheritanceError(
        f"layer {layer.name!r} {reason}: networks of images and vectors can be read. Give the part of the model that "
        "reads images.",
        received=f"{layer.name!r}, a {type(layer).__name__}",
    )
