"""The weights of a model by layer, and what normalization does to a channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_effnet.network import Node
from keras_effnet.ops import BatchNorm, GroupNorm, LayerNorm, Rescale, Reuse, Standardize
from keras_effnet.weights.tensors import arrays_of

if TYPE_CHECKING:
    from keras_effnet.reading.read_model import ReadModel

Weights = dict[str, list[np.ndarray]]


def read_weights(read: ReadModel) -> Weights:
    """All weights of a model that was read, by the name of the node in its network.

    Args:
        read: the model.

    Returns:
        The arrays of each node's own weights, in Keras' order; for a `Standardize` mean and variance, whether they are
        weights or not.
    """

    def arrays(node: Node, variables: Sequence[Any]) -> list[np.ndarray]:
        if isinstance(node.op, Standardize):
            layer = read.graph.layers[read.sources[node].layer].operation
            return [array.ravel() for array in arrays_of((layer.mean, layer.variance))]
        return arrays_of(variables)

    first = (node for node in read.network.nodes if not isinstance(node.op, Reuse))
    return {node.name: arrays(node, read.sources[node].weights) for node in first}


def batch_norm(op: BatchNorm, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Gamma, beta, mean and variance of a BatchNorm, also where it trains none of the first two.

    Args:
        op: its operation.
        weights: its weights, as `read_weights` gives them.
    """
    *trained, mean, variance = weights
    gamma = trained.pop(0) if op.scale else np.ones_like(mean)
    return [gamma, trained[0] if op.center else np.zeros_like(mean), mean, variance]


def gamma_and_beta(
    op: LayerNorm | GroupNorm, weights: Sequence[np.ndarray]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The factor and the shift of each channel of a normalization; None for what it does not train.

    Args:
        op: its operation.
        weights: its weights, as `read_weights` gives them.
    """
    trained = list(weights)
    gamma = trained.pop(0) if op.scale else None
    return gamma, trained[0] if op.center else None


def slopes(weights: Sequence[np.ndarray]) -> np.ndarray:
    """The slopes of a PReLU with the channels on the last axis, wherever Keras has them.

    Args:
        weights: its weights, as `read_weights` gives them.
    """
    import keras

    first = keras.config.image_data_format() == "channels_first" and weights[0].ndim == 3
    return np.moveaxis(weights[0], 0, -1) if first else weights[0]


def factor_and_shift(
    op: BatchNorm | Rescale | Standardize, weights: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that a trained layer multiplies each channel by and adds.

    Args:
        op: its operation.
        weights: its weights, as `read_weights` gives them.

    Returns:
        The factors and the shifts, float64: one of each per channel, or one for all.

    Example:
        >>> factor_and_shift(Rescale(2.0, -1.0), [])
        (array([2.]), array([-1.]))
    """
    match op:
        case Rescale():
            return np.atleast_1d(op.scale), np.atleast_1d(op.offset)
        case BatchNorm():
            gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in batch_norm(op, weights))
            factor = gamma / np.sqrt(variance + op.epsilon)
            return factor, beta - mean * factor
    import keras

    mean, variance = (np.asarray(weight, np.float64) for weight in weights)
    factor = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())  # as keras.layers.Normalization does
    return factor, -mean * factor
