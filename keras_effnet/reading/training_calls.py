"""Calls of layers that say `training=...`, as Keras' recipe for transfer learning calls a model inside a model."""

from __future__ import annotations

from collections.abc import Collection

from keras_effnet.errors import InheritanceError
from keras_effnet.reading.graph import Graph


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
