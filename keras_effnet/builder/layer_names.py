"""Names of layers: what a user puts in front of a network keeps its names, and the network's own get numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras

from keras_effnet.builder.embedded_spec import EMBEDDED_LAYER
from keras_effnet.errors import BuildError
from keras_effnet.network import Network
from keras_effnet.reading.graph import free_name


def padding_name(name: str) -> str:
    """The name of the layer that pads zeros for another layer.

    Args:
        name: name of the layer that reads the padded image.
    """
    return f"{name}_pad"


def names_in_front(tensor: Any) -> frozenset[str]:
    """Names of the layers that make a Keras tensor.

    Args:
        tensor: the tensor; None for one that no layer makes yet.

    Raises:
        BuildError: two layers have the same name.
    """
    if tensor is None:
        return frozenset()
    try:
        front: Any = keras.Model(keras.utils.get_source_inputs(tensor), tensor, name="front")
    except ValueError as error:
        raise BuildError(
            f"the graph of `input_tensor` is none of a model: {error}", received=f"input_tensor={tensor!r}"
        ) from error
    return frozenset(operation.name for operation in front.operations)


def numbered_names(network: Network, taken: Collection[str]) -> dict[str, str]:
    """The names of a network's layers which have others in a model, as Keras would number them.

    Args:
        network: the network.
        taken: names that other layers of the model have.

    Returns:
        The new name of each layer whose own is taken, by its own.
    """
    if not taken:
        return {}
    names = [EMBEDDED_LAYER, *(node.name for node in network.nodes)]
    own = {each for name in names for each in (name, padding_name(name))}
    return {name: free_name(name, own.union(taken)) for name in own.intersection(taken)}
