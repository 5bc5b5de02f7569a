"""Calls of layers that say `training=...`, as Keras' recipe for transfer learning calls a model inside a model."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import keras

from keras_effnet.errors import InheritanceError

if TYPE_CHECKING:
    from keras_effnet.reading.graph import Graph


def takes_training(operation: Any) -> bool:
    """Whether a layer computes something else while it learns, so that a model hands its own `training` to it.

    Example:
        >>> takes_training(keras.layers.Dropout(0.5)), takes_training(keras.layers.ReLU())
        (True, False)
    """
    return isinstance(operation, keras.Layer) and "training" in inspect.signature(operation.call).parameters


def check_training(graph: Graph, names: Collection[str]) -> None:
    """Raises InheritanceError if a layer is called with `training=True`, which is lost where layers are built anew.

    Without it the layer computes the same, but for calls of the model that do not say whether it trains: `fit`,
    `evaluate` and `predict` do, and Keras hands that to every layer, whatever `training` stands in the graph
    (keras-team/keras#20285). So `training=False` may be lost: it is what such calls mean anyway.

    Args:
        graph: the graph.
        names: names of the layers.
    """
    calls = {name: layer.calls for name, layer in graph.layers.items() if name in names}
    found = [name for name, each in calls.items() if any(call.options.get("training") for call in each)]
    if found:
        raise InheritanceError(
            f"layer {found[0]!r} is called with `training=True`, which a network that is built anew would lose: call "
            "it without.",
            received=f"{graph.model.name!r} with {len(found)} such {'layer' if len(found) == 1 else 'layers'}",
        )
