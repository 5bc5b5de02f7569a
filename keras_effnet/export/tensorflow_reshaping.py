"""What moves the cells of an image about, in a TensorFlow graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_effnet.export.interpolation import check_stretched, interpolation_matrices, is_plain
from keras_effnet.ops import Crop, Flatten, Reshaping, Resize, Unflatten, UpSample, ZeroPad


def write_reshaping(op: Reshaping, name: str, x: Any) -> Any:
    """Writes an operation that moves cells about.

    Args:
        op: the operation.
        name: name of its layer.
        x: what it reads: an image with its channels last, or a vector.

    Returns:
        What it makes.

    Raises:
        ExportError: an interpolation for which the size of the image must be known; an image that is cropped or padded
            to a size.
    """
    match op:
        case Flatten():
            if op.cells > 1 and op.channels_first:
                x = tf.transpose(x, (0, 3, 1, 2))
                return tf.reshape(x, (-1, op.cells * x.shape[1]))
            return tf.reshape(x, (-1, op.cells * x.shape[-1]))
        case Unflatten():
            return x[:, None, None, :]
        case ZeroPad():
            return tf.pad(x, ((0, 0), op.rows, op.columns, (0, 0)))
        case Crop():
            (top, bottom), (left, right) = op.rows, op.columns
            return x[:, top : -bottom or None, left : -right or None]
    return _resized(op, name, x)


def _resized(op: UpSample | Resize, name: str, x: Any) -> Any:
    check_stretched(op, name)
    if not is_plain(op):
        with tf.init_scope():  # they are numbers, and no part of the graph
            rows, columns = interpolation_matrices(op, name, tuple(x.shape[1:3]))
        made = tf.tensordot(x, rows.T, ((1,), (0,)))  # the new rows stand last
        return tf.transpose(tf.tensordot(made, columns.T, ((1,), (0,))), (0, 2, 3, 1))
    size: Any = (op.height, op.width) if isinstance(op, Resize) else None
    if isinstance(op, UpSample):
        sides = x.shape[1:3] if None not in x.shape[1:3] else tf.shape(x)[1:3]
        size = (sides[0] * op.rows, sides[1] * op.columns)
    return tf.image.resize(x, size, op.interpolation)
