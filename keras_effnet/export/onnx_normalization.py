"""Normalizations as ONNX nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_effnet.export.layer_weights import batch_norm, gamma_and_beta
from keras_effnet.export.onnx_writer import OnnxValue, OnnxWriter
from keras_effnet.normalization import SHORTEST
from keras_effnet.ops import BatchNorm, GroupNorm, LayerNorm, RMSNorm, UnitNorm

Normalization = BatchNorm | LayerNorm | GroupNorm | RMSNorm | UnitNorm


def write_norm(
    writer: OnnxWriter, op: Normalization, weights: Sequence[np.ndarray], name: str, x: OnnxValue
) -> OnnxValue:
    """Writes a normalization.

    Args:
        writer: what it is written with.
        op: the operation.
        weights: its weights, as `read_weights` gives them.
        name: name of its layer.
        x: what it reads.

    Returns:
        What it makes.
    """
    match op:
        case BatchNorm():
            arrays = enumerate(batch_norm(op, weights))
            values = [writer.constant(f"{name}_{index}", each) for index, each in arrays]
            return writer.node("BatchNormalization", name, x, *values, epsilon=op.epsilon)
        case LayerNorm():
            return _layer_norm(writer, op, weights, name, x)
        case GroupNorm():
            return _group_norm(writer, op, weights, name, x)
        case RMSNorm():
            made = _over_root_mean_square(writer, op.epsilon, f"{name}_normal", x)
            return writer.node("Mul", name, made, writer.per_channel(name, weights[0], x))
    length = writer.node("ReduceL2", f"{name}_length", x, axes=[1])
    least = writer.constant(f"{name}_shortest", SHORTEST)
    return writer.node("Div", name, x, writer.node("Max", f"{name}_divisor", length, least))


def _layer_norm(writer: OnnxWriter, op: LayerNorm, weights: Sequence[np.ndarray], name: str, x: OnnxValue) -> OnnxValue:
    gamma, beta = gamma_and_beta(op, weights)
    if gamma is None:
        # ONNX' own node needs factors.
        centred = writer.node("Sub", f"{name}_centred", x, writer.node("ReduceMean", f"{name}_mean", x, axes=[1]))
        made = _over_root_mean_square(writer, op.epsilon, f"{name}_normal" if op.center else name, centred)
        return _shifted(writer, name, made, beta)
    arrays = [writer.constant(f"{name}_gamma", gamma)]
    if beta is not None:
        arrays.append(writer.constant(f"{name}_beta", beta))
    if not x.sides:
        return writer.node("LayerNormalization", name, x, *arrays, axis=-1, epsilon=op.epsilon)
    last = writer.node("Transpose", f"{name}_last", x, perm=[0, 2, 3, 1])
    made = writer.node("LayerNormalization", f"{name}_normal", last, *arrays, axis=-1, epsilon=op.epsilon)
    return writer.node("Transpose", name, made, perm=[0, 3, 1, 2])


def _group_norm(writer: OnnxWriter, op: GroupNorm, weights: Sequence[np.ndarray], name: str, x: OnnxValue) -> OnnxValue:
    """Each group as one channel of an image of its own: instance normalization."""
    gamma, beta = gamma_and_beta(op, weights)
    ones, zeros = np.ones(op.groups), np.zeros(op.groups)
    plain = [writer.constant(f"{name}_ones", ones), writer.constant(f"{name}_zeros", zeros)]
    groups = writer.constant(f"{name}_groups", [0, op.groups, -1], np.int64)
    rows = writer.node("Reshape", f"{name}_rows", x, groups)
    made = writer.node("InstanceNormalization", f"{name}_normal", rows, *plain, epsilon=op.epsilon)
    back = writer.node("Reshape", f"{name}_back", made, writer.node("Shape", f"{name}_shape", x))
    if gamma is not None:
        back = writer.node("Mul", f"{name}_scaled", back, writer.per_channel(f"{name}_gamma", gamma, x))
    return _shifted(writer, name, back, beta)


def _shifted(writer: OnnxWriter, name: str, x: OnnxValue, beta: np.ndarray | None) -> OnnxValue:
    return x if beta is None else writer.node("Add", name, x, writer.per_channel(f"{name}_beta", beta, x))


def _over_root_mean_square(writer: OnnxWriter, epsilon: float, name: str, x: OnnxValue) -> OnnxValue:
    """x / sqrt(mean of x^2 over the channels + epsilon)."""
    square = writer.node("Mul", f"{name}_square", x, x)
    mean = writer.node("ReduceMean", f"{name}_mean_square", square, axes=[1])
    raised = writer.node("Add", f"{name}_raised", mean, writer.constant(f"{name}_epsilon", epsilon))
    return writer.node("Div", name, x, writer.node("Sqrt", f"{name}_root", raised))
