"""What a weight file is loaded into: a whole model, or the network in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_effnet.builder.embedded_spec import carries_spec
from keras_effnet.errors import BuildError, InheritanceError
from keras_effnet.inheritance.embedded_network import find_network


@dataclass(frozen=True)
class LoadTarget:
    """The layers that a weight file is loaded into.

    Args:
        name: name of the model.
        layers: the layers in the order of the model: a network's by the names that its spec gives them, a whole
            model's by their own.
        others: the model's other layers with weights, which the file does not touch.
    """

    name: str
    layers: Mapping[str, Any]
    others: tuple[Any, ...] = ()

    @classmethod
    def whole(cls, model: keras.Model) -> LoadTarget:
        """All layers of a model."""
        return cls(model.name, {layer.name: layer for layer in model.layers})

    @classmethod
    def part(cls, model: keras.Model, layers: Mapping[str, Any], outer: keras.Model | None = None) -> LoadTarget:
        """Some layers of a model.

        Args:
            model: the model.
            layers: the layers, in any order, by the names that their spec gives them.
            outer: the model that the model stands in; None for none.
        """
        whole = model if outer is None else outer
        names = {id(layer): name for name, layer in layers.items()}
        ordered = {names[id(layer)]: layer for layer in _flat(model) if id(layer) in names}
        others = tuple(layer for layer in _flat(whole) if layer.weights and id(layer) not in names)
        return cls(whole.name, ordered, others)


def network_in(model: keras.Model) -> LoadTarget | None:
    """The network of the one spec that a model carries, or that it is recognised as, wherever it stands in the model;
    None if there is none.

    Args:
        model: any model.
    """
    holder = model
    while inside := [each for each in holder.layers if isinstance(each, keras.Model) and carries_spec(each)]:
        holder = inside[0]
    try:
        found = find_network(holder)
    except (BuildError, InheritanceError):
        return None
    return LoadTarget.part(holder, found.layers, model)


def _flat(model: keras.Model) -> list[Any]:
    """The layers of a model, with those of models in it in their place."""
    parts = [_flat(layer) if isinstance(layer, keras.Model) else [layer] for layer in model.layers]
    return [layer for part in parts for layer in part]
