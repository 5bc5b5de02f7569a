"""What a model returns, told by its last layers, whoever built it."""

from __future__ import annotations

from typing import Any

import keras

from keras_effnet.export.export_metadata import Outputs
from keras_effnet.reading.graph import has_graph, read_graph

# Layers, and functions of the same name, that leave the numbers of a trained model as they are.
_PASSING = frozenset(
    ("Reshape", "Flatten", "Squeeze", "Identity", "Cast", "Dropout", "GaussianNoise", "ActivityRegularization")
)


def last_operation(model: keras.Model, place: int = 0) -> Any:
    """The layer, or the function in the graph, that makes the numbers which a model returns.

    Args:
        model: a functional or Sequential model; models inside it are looked into.
        place: number of the output, from 0. Default: 0.

    Returns:
        That of the output; layers behind it that only change the shape, or do nothing, are passed over.

    Raises:
        InheritanceError: the model has no graph.

    Example:
        >>> x = keras.Input((4,))
        >>> scores = keras.layers.Dense(2, name="scores")(x)
        >>> last_operation(keras.Model(x, keras.layers.Reshape((2, 1))(scores))).name
        'scores'
    """
    graph = read_graph(model, has_graph)
    name, call, _ = graph.outputs[place]
    while True:
        layer = graph.layers[name]
        plain = isinstance(layer.operation, keras.layers.Activation) and _activation(layer.operation) == "linear"
        if not layer.calls or not (plain or layer.kind in _PASSING):
            return layer.operation
        name, call, _ = layer.calls[call].tensors[0]


def outputs_of(model: keras.Model, place: int = 0) -> Outputs:
    """What an output of a model without a spec is.

    Args:
        model: a functional or Sequential model.
        place: number of the output, from 0. Default: 0.

    Returns:
        "features" for maps; else "probabilities" behind a softmax, "labels" behind a sigmoid, "logits" behind all else.

    Raises:
        InheritanceError: the model has no graph.

    Example:
        >>> outputs_of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Softmax()]))
        'probabilities'
    """
    if len(model.outputs[place].shape) != 2:
        return "features"
    found: dict[str, Outputs] = {"softmax": "probabilities", "sigmoid": "labels"}
    return found.get(_activation(last_operation(model, place)), "logits")


def _activation(operation: Any) -> str:
    """The name of the activation that a layer ends in; its own where it is one itself."""
    function = getattr(operation, "activation", None)
    return type(operation).__name__.lower() if function is None else getattr(function, "__name__", "")
