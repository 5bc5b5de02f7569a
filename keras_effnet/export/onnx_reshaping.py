"""What moves the cells of an image about, as ONNX nodes."""

from __future__ import annotations

import numpy as np

from keras_effnet.export.interpolation import check_stretched, interpolation_matrices, is_plain, resized_sides
from keras_effnet.export.onnx_writer import OnnxValue, OnnxWriter
from keras_effnet.ops import Crop, Flatten, Reshaping, Resize, Unflatten, UpSample, ZeroPad


def write_reshaping(writer: OnnxWriter, op: Reshaping, name: str, x: OnnxValue) -> OnnxValue:
    """Writes an operation that moves cells about.

    Args:
        writer: what it is written with.
        op: the operation.
        name: name of its layer.
        x: what it reads.

    Returns:
        What it makes.

    Raises:
        ExportError: an interpolation for which the size of the image must be known; an image that is cropped or padded
            to a size.
    """
    match op:
        case Flatten():
            if op.cells > 1 and not op.channels_first:
                x = writer.node("Transpose", f"{name}_channels_last", x, perm=[0, 2, 3, 1])
            return flatten(writer, name, x)
        case Unflatten():
            axes = writer.constant(f"{name}_axes", [2, 3], np.int64)
            return writer.node("Unsqueeze", name, x, axes)._replace(sides=(1, 1))
        case ZeroPad():
            (top, bottom), (left, right) = op.rows, op.columns
            pads = writer.constant(f"{name}_pads", [0, 0, top, left, 0, 0, bottom, right], np.int64)
            return writer.node("Pad", name, x, pads)._replace(sides=_grown(x, op.rows, op.columns, 1))
        case Crop():
            starts = writer.constant(f"{name}_starts", [op.rows[0], op.columns[0]], np.int64)
            # From the end, as the size may be unknown; the largest number stands for all.
            ends = [-cut[1] if cut[1] else np.iinfo(np.int64).max for cut in (op.rows, op.columns)]
            axes = writer.constant(f"{name}_axes", [2, 3], np.int64)
            made = writer.node("Slice", name, x, starts, writer.constant(f"{name}_ends", ends, np.int64), axes)
            return made._replace(sides=_grown(x, op.rows, op.columns, -1))
    return _resized(writer, op, name, x)


def flatten(writer: OnnxWriter, name: str, x: OnnxValue) -> OnnxValue:
    """Writes an image as a vector, the cells of each channel together."""
    return writer.node("Flatten", name, x, axis=1)._replace(sides=())


def _grown(x: OnnxValue, rows: tuple[int, int], columns: tuple[int, int], sign: int) -> tuple[int | None, ...]:
    return tuple(side and side + sign * sum(more) for side, more in zip(x.sides, (rows, columns), strict=True))


def _resized(writer: OnnxWriter, op: UpSample | Resize, name: str, x: OnnxValue) -> OnnxValue:
    check_stretched(op, name)
    sides = resized_sides(op, x.sides)
    if not is_plain(op):
        rows, columns = interpolation_matrices(op, name, x.sides)
        made = writer.node("MatMul", f"{name}_rows", x, writer.constant(f"{name}_columns", columns.T))
        made = writer.node("MatMul", name, writer.constant(f"{name}_matrix", rows), made)
        return made._replace(sides=sides)
    options = {"coordinate_transformation_mode": "half_pixel", "mode": "linear"}
    if op.interpolation == "nearest":
        # Keras takes the cell in which the middle of the new one lies.
        options = {**options, "mode": "nearest", "nearest_mode": "round_prefer_ceil"}
    if isinstance(op, UpSample):
        scales = writer.constant(f"{name}_scales", [1, 1, op.rows, op.columns])
        made = writer.node("Resize", name, x, "", scales, **options)
    else:
        images = writer.node("Shape", f"{name}_images", x, end=2)
        size = writer.constant(f"{name}_size", [op.height, op.width], np.int64)
        whole = writer.node("Concat", f"{name}_shape", images, size, axis=0)
        made = writer.node("Resize", name, x, "", "", whole, **options)
    return made._replace(sides=sides)
