"""The reader that builds a network that was read from a model, with copies of the layers that have no word."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras

from keras_effnet.builder.layers import KerasLayers
from keras_effnet.ops import Op, Opaque, first_call
from keras_effnet.reading.graph import Graph, call_layer, copy_layer


class Rebuilding(KerasLayers):
    """As `KerasLayers`; what the vocabulary has no word for is copied from the model, and called as there.

    Args:
        graph: the model's graph.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._calls: Counter[str] = Counter()
        self._parts: dict[str, Any] = {}

    def read(self, op: Op, name: str, *inputs: Any) -> Any:
        """Adds the layers of one operation to the graph.

        Raises:
            BuildError: as `KerasLayers.read`.
            InheritanceError: a layer that cannot be copied.
        """
        if not isinstance(first_call(op), Opaque):
            return super().read(op, name, *inputs)
        if name in self._parts:
            return self._parts.pop(name)
        layer = self.graph.layers[name]
        if name not in self.made:
            self.made[name] = copy_layer(layer, self.graph, name)
        call = layer.calls[self._calls[name]]
        self._calls[name] += 1
        made = keras.tree.flatten(call_layer(self.made[name], call, dict(zip(call.tensors, inputs, strict=True))))
        # As `read_model` calls what else a layer makes, right behind it.
        self._parts.update({f"{name}_output_{place}": tensor for place, tensor in enumerate(made[1:], 1)})
        return made[0]
