"""Batch normalization folded into the convolution before it, and parallel branches into one convolution.

After training, BatchNorm multiplies each channel by a number and adds another. A convolution right before it can do
both: y = gamma (W x + b - mean) / sqrt(variance + epsilon) + beta is a convolution with the kernel s W and the bias
s (b - mean) + beta, where s = gamma / sqrt(variance + epsilon) (Jacob et al. 2018, arXiv:1712.05877, section 3.2).
"""

from __future__ import annotations

from typing import Any, cast

import keras
import numpy as np

from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.deployed.branches import merge_network
from keras_effnet.deployed.folded_network import fold_network
from keras_effnet.export.layer_weights import Weights, factor_and_shift, read_weights
from keras_effnet.export.merged_weights import merge_weights
from keras_effnet.export.rebuilding import Rebuilding
from keras_effnet.network import Network
from keras_effnet.ops import BatchNorm, Depthwise, TransposedConv
from keras_effnet.reading.graph import finalize
from keras_effnet.reading.model_form import in_form
from keras_effnet.reading.read_model import ReadModel, read_layers


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """Folds each BatchNorm into the convolution or dense layer before it, and parallel convolutions into one.

    Convolutions that read the same image and are added (the branches of RepVGG and MobileOne) become one, with the
    image itself or its BatchNorm where that is added too. The model computes the same with fewer layers. Fold last: a
    folded model cannot be grown, and should not be trained.

    Args:
        model: a functional or Sequential model, of this package or not. It stays as it is.

    Returns:
        A new flat model of stock layers, uncompiled, with the names and weights of the old one's layers, which reads
        and returns lists and dicts as the old one does. BatchNorm that follows something else (the pre-activations of
        ResNetV2 and DenseNet) stays.

    Raises:
        InheritanceError: the model has no graph, or one that cannot be read (see `read_model`), or a layer that cannot
            be made anew, such as a `Lambda`.

    Example:
        >>> from keras_effnet import build_model, fold_batchnorm
        >>> model = build_model("mobilenet_v2", input_shape=(32, 32, 3))
        >>> len(model.layers), len(fold_batchnorm(model).layers)
        (153, 101)
    """
    read = read_layers(model)
    network, weights = _folded(read)
    with paused_garbage_collection(), deep_recursion():
        inputs = [
            keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=node.name)
            for node, tensor in zip(network.inputs, model.inputs, strict=True)
        ]
        outputs = network.run(Rebuilding(read.graph), *inputs)
        made = in_form(model, inputs, list(outputs))
    for layer in made.layers:
        if isinstance(layer, keras.layers.Normalization):
            # With Keras' count of images, if they are weights.
            layer.set_weights(read.graph.layers[layer.name].operation.get_weights())
            finalize(layer)
        elif layer.weights:
            layer.set_weights(weights[layer.name])
    return made


def read_folded(model: keras.Model) -> tuple[Network, Weights]:
    """Reads a model as `fold_batchnorm` leaves it, without building another one.

    Args:
        model: as in `fold_batchnorm`.

    Returns:
        The recorded network, and the arrays of each layer by the layer's name, as `read_weights` gives them.

    Raises:
        InheritanceError: as `fold_batchnorm`.

    Example:
        >>> from keras_effnet import build_model
        >>> network, weights = read_folded(build_model("mobilenet_v1", input_shape=(32, 32, 3)))
        >>> [array.shape for array in weights["conv1"]]
        [(3, 3, 3, 32), (32,)]
    """
    return _folded(read_layers(model))


def _folded(read: ReadModel) -> tuple[Network, Weights]:
    network, weights = read.network, read_weights(read)
    folded, norms = fold_network(network)
    ops = {node.name: node.op for node in network.nodes}
    for name, norm in norms.items():
        factor, shift = factor_and_shift(cast(BatchNorm, ops[norm]), weights[norm])
        weights[name] = _scaled(ops[name], weights[name], factor, shift)
    merged, merges = merge_network(folded)
    return merged, merge_weights(merges, weights)


def _scaled(op: Any, weights: list[np.ndarray], factor: np.ndarray, shift: np.ndarray) -> list[np.ndarray]:
    """Kernel and bias of a layer whose outputs are multiplied by a factor and shifted."""
    kernel, bias = weights[0], weights[1] if op.bias else 0.0
    per_output = factor
    if isinstance(op, Depthwise):
        # Its outputs stand on two axes: channels and multiplier.
        per_output = factor.reshape(kernel.shape[-2:])
    elif isinstance(op, TransposedConv):
        # Its outputs stand before its inputs.
        per_output = factor[:, None]
    return [(kernel * per_output).astype(np.float32), (bias * factor + shift).astype(np.float32)]
