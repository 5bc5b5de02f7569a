"""The weights of branches that were merged into convolutions."""

from __future__ import annotations

import numpy as np

from keras_effnet.deployed.branches import MergedBranch
from keras_effnet.export.layer_weights import Weights, factor_and_shift
from keras_effnet.ops import Conv, Depthwise


def merge_weights(merges: list[MergedBranch], weights: Weights) -> Weights:
    """Adds the weights of merged branches to those of the convolutions that took them in.

    Args:
        merges: what was merged, from `merge_network`.
        weights: the arrays of each layer, by name, as `read_weights` gives them.

    Returns:
        The arrays of the layers that are left; those of the layers that took in nothing are the same ones.
    """
    found = dict(weights)
    for merge in merges:
        kernel, *bias = (np.asarray(array, np.float64) for array in found[merge.into])
        total = kernel.copy()
        added, shift = _kernel_of(merge, found.pop(merge.branch) if merge.branch is not None else [])
        row, column = merge.place
        total[row : row + added.shape[0], column : column + added.shape[1]] += added
        found[merge.into] = [total, (bias[0] if bias else 0.0) + shift]
    for name in {merge.into for merge in merges} & found.keys():
        found[name] = [array.astype(np.float32) for array in found[name]]
    return found


def _kernel_of(merge: MergedBranch, weights: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A branch's kernel, in the shape that the convolution's has, and its bias."""
    shift = np.zeros(merge.channels)
    if isinstance(merge.branch_op, Conv | Depthwise):
        return np.asarray(weights[0], np.float64), np.asarray(weights[1], np.float64) if len(weights) > 1 else shift
    factor = np.ones(merge.channels)
    if merge.branch_op is not None:
        factor, shift = factor_and_shift(merge.branch_op, weights)
    if isinstance(merge.op, Depthwise):
        return factor[None, None, :, None], shift
    # One factor where the input channel is the output channel.
    inside = merge.channels // merge.op.groups
    kernel, outputs = np.zeros((1, 1, inside, merge.channels)), np.arange(merge.channels)
    kernel[0, 0, outputs % inside, outputs] = factor
    return kernel, shift
