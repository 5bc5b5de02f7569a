"""What scaling makes of a Keras model's cost, without building anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from keras_effnet.cost import Cost, add_up
from keras_effnet.counting import LayerCost, Shape, count_nodes, layer_cost
from keras_effnet.ops import Op
from keras_effnet.resolution_stages import cut_by_resolution
from keras_effnet.scaling.scaled_network import ScaledNetwork

if TYPE_CHECKING:
    from keras_effnet.counted_model import CountedModel


def cost_of_scaled(counted: CountedModel, scaled: ScaledNetwork, images: Sequence[Shape]) -> Cost:
    """Counts what scaling makes of a Keras model, by the stages that `count_model` would find in it.

    Args:
        counted: the model.
        scaled: its network, scaled.
        images: shape of each input of the scaled network.

    Returns:
        The cost; copies of frozen layers are frozen.

    Raises:
        SpecError: as `estimate_cost`.
    """
    twins = [(block.twins[node].name, node.name) for block in scaled.blocks for node in block.origin.nodes]
    frozen = {name for name, old in twins if old in counted.weights and not counted.weights[old][0]}
    opaque = tuple(dict.fromkeys(name for name, old in twins if old in counted.opaque))

    def count(op: Op, name: str, *inputs: Shape) -> LayerCost:
        cost = layer_cost(op, name, *inputs)
        if name not in frozen:
            return cost
        return cost._replace(trainable_params=0, untrained_params=cost.trainable_params + cost.untrained_params)

    costs = count_nodes(scaled.network, *images, count=count)
    cut = cut_by_resolution(scaled.network, {node: cost.shape for node, cost in costs.items()})
    return replace(add_up(cut.stages, costs, images[0]), opaque=opaque)
