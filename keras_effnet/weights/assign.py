"""Puts tensors into a model: the one place that compares, and the one that assigns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import WeightsError
from keras_effnet.weights.load_report import LoadReport, LoadRow
from keras_effnet.weights.tensors import Tensor


def assign_tensors(
    model: keras.Model, tensors: list[Tensor], path: Path, layout: str, partial: bool = False
) -> LoadReport:
    """Compares all tensors with the model's weights, then assigns: all or none, or with `partial` those that fit.

    Args:
        model: a flat model.
        tensors: of a file; the first for a place takes it.
        path: of the file.
        layout: of the file, for the report.
        partial: whether a difference is reported, not raised.

    Returns:
        The report.

    Raises:
        WeightsError: a weight is missing or misshapen, or a tensor is left over. The model is unchanged.
    """
    places: dict[tuple[str, int], Tensor] = {}
    rest = [
        tensor
        for tensor in tensors
        if tensor.layer is None or places.setdefault((tensor.layer, tensor.index), tensor) is not tensor
    ]
    rows, fitting = [], []
    for layer in model.layers:
        for index, variable in enumerate(layer_weights(layer)):
            row, array = _compare(layer, variable, places.pop((layer.name, index), None))
            rows.append(row)
            if array is not None:
                fitting.append((layer, variable, array))
    rows += [_left_over(tensor) for tensor in (*places.values(), *rest) if not _absent(tensor)]
    report = LoadReport(str(path), layout, tuple(rows))
    if report.differences and not partial:
        raise _mismatch(model, report)
    for layer, variable, array in fitting:
        variable.assign(array)
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return report


def layer_weights(layer: Any) -> list[Any]:
    """What a file holds of a layer; not the seed of a Dropout."""
    return [variable for variable in layer.weights if "seed_generator" not in variable.path]


def _compare(layer: Any, variable: Any, tensor: Tensor | None) -> tuple[LoadRow, np.ndarray | None]:
    """The row of one weight, and its new values where they fit."""
    weight, shape = f"{layer.name}/{variable.name}", tuple(variable.shape)
    if tensor is None or tensor.array is None:
        return LoadRow("missing", weight, None if tensor is None else tensor.source, shape, None), None
    if tensor.array.shape != shape:
        return LoadRow("misshapen", weight, tensor.source, shape, tensor.array.shape), None
    return LoadRow("loaded", weight, tensor.source, shape, shape), tensor.array


def _absent(tensor: Tensor) -> bool:
    """Whether neither the model nor the file has it: the spec is another one than the model's."""
    return tensor.layer is not None and tensor.array is None


def _left_over(tensor: Tensor) -> LoadRow:
    shape = None if tensor.array is None else tensor.array.shape
    return LoadRow("unwanted" if tensor.unwanted else "extra", None, tensor.source, None, shape, tensor.unwanted)


def _mismatch(model: keras.Model, report: LoadReport) -> WeightsError:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    return WeightsError(
        f"the weight file is of another architecture than {model.name!r}; nothing was loaded. First difference: "
        f"{report.differences[0]}. In all: {counts}. Build the model that the file was saved from, or load what fits "
        f"with load_weights(model, path, partial=True). Received: {report.path!r}"
    )
