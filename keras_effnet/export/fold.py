"""Batch normalization folded into the convolution before it, and parallel branches into one convolution.

After training, BatchNorm multiplies each channel by a number and adds another. A convolution right before it can do
both: y = gamma (W x + b - mean) / sqrt(variance + epsilon) + beta is a convolution with the kernel s W and the bias
s (b - mean) + beta, where s = gamma / sqrt(variance + epsilon) (Jacob et al. 2018, arXiv:1712.05877, section 3.2).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, cast

import keras
import numpy as np

from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.export.branches import merge_network, merge_weights
from keras_effnet.export.layer_weights import Weights, factor_and_shift, layers_by_name, read_weights
from keras_effnet.network import Network, Node, RecordedBlock
from keras_effnet.ops import BatchNorm, Conv, Dense, Depthwise
from keras_effnet.reading.graph import alone, finalize
from keras_effnet.reading.read_model import read_model


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """Folds each BatchNorm into the convolution or dense layer before it, and parallel convolutions into one.

    Convolutions that read the same image and are added (the branches of RepVGG and MobileOne) become one, with the
    image itself or its BatchNorm where that is added too. The model computes the same with fewer layers. Fold last: a
    folded model cannot be grown, and should not be trained.

    Args:
        model: a functional or Sequential model, of this package or not, that calls each layer once. It stays as it is.

    Returns:
        A new flat model of stock layers, uncompiled, with the names and weights of the old one's layers. BatchNorm that
        follows something else (the pre-activations of ResNetV2 and DenseNet) stays.

    Raises:
        InheritanceError: the model has no graph, or one that cannot be read (see `read_model`).

    Example:
        >>> from keras_effnet import build_model, fold_batchnorm
        >>> model = build_model("mobilenet_v2", input_shape=(32, 32, 3))
        >>> len(model.layers), len(fold_batchnorm(model).layers)
        (153, 101)
    """
    network, weights = read_folded(model)
    with paused_garbage_collection(), deep_recursion():
        inputs = [
            keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=node.name)
            for node, tensor in zip(network.inputs, model.inputs, strict=True)
        ]
        outputs = network.run(KerasLayers(), *inputs)
        made = keras.Model(alone(inputs), alone(list(outputs)), name=model.name)
    layers = layers_by_name(model)
    for layer in made.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights(layers[layer.name].get_weights())  # with Keras' count of images, if they are weights
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
    network, weights = read_model(model), read_weights(model)
    folded, norms = fold_network(network)
    ops = {node.name: node.op for node in network.nodes}
    for name, norm in norms.items():
        factor, shift = factor_and_shift(cast(BatchNorm, ops[norm]), weights[norm])
        weights[name] = _scaled(ops[name], weights[name], factor, shift)
    merged, merges = merge_network(folded)
    return merged, merge_weights(merges, weights)


def fold_network(network: Network) -> tuple[Network, dict[str, str]]:
    """Leaves out each BatchNorm that can be folded into the operation before it.

    Args:
        network: the network.

    Returns:
        The network without them, whose convolutions in their place have a bias; and the name of the BatchNorm that each
        operation takes in, by the operation's name.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.network import record_network
        >>> folded, norms = fold_network(record_network(resnet50_spec))
        >>> norms["conv1_conv"], any(isinstance(node.op, BatchNorm) for node in folded.nodes)
        ('conv1_bn', False)
    """
    readers = Counter(given for node in network.nodes for given in node.inputs)
    readers.update(network.outputs)
    swapped: dict[Node, Node] = dict(zip(network.inputs, network.inputs, strict=True))
    norms: dict[str, str] = {}
    blocks: dict[RecordedBlock, RecordedBlock] = {}
    for block in network.blocks:
        nodes = []
        for node in block.nodes:
            given = tuple(swapped[each] for each in node.inputs)
            if isinstance(node.op, BatchNorm) and readers[node.inputs[0]] == 1 and _takes_norm(given[0], norms):
                before = given[0]
                before.op = replace(cast(Conv | Depthwise | Dense, before.op), bias=True)
                norms[before.name] = node.name
                swapped[node] = before
                continue
            swapped[node] = Node(node.op, node.name, given, node.channels)
            nodes.append(swapped[node])
        blocks[block] = RecordedBlock(swapped[block.input], nodes, swapped[block.output], block.times)
    stages = tuple(
        replace(stage, blocks=[blocks[block] for block in stage.blocks])  # a copy: the old network stays as it is
        for stage in network.stages
    )
    return Network(network.name, network.inputs, tuple(swapped[node] for node in network.outputs), stages), norms


def _takes_norm(node: Node, norms: dict[str, str]) -> bool:
    """Whether a BatchNorm behind an operation can be folded into it."""
    if not isinstance(node.op, Conv | Depthwise | Dense) or node.name in norms:
        return False
    return isinstance(node.op, Depthwise) or node.op.activation is None


def _scaled(op: Any, weights: list[np.ndarray], factor: np.ndarray, shift: np.ndarray) -> list[np.ndarray]:
    """Kernel and bias of a layer whose outputs are multiplied by a factor and shifted."""
    kernel, bias = weights[0], weights[1] if op.bias else 0.0
    # A depthwise kernel has its outputs on two axes: channels and multiplier.
    per_output = factor.reshape(kernel.shape[-2:]) if isinstance(op, Depthwise) else factor
    return [(kernel * per_output).astype(np.float32), (bias * factor + shift).astype(np.float32)]
