"""Compares the tensors of a file with a model's weights, and assigns them: the only place that does."""

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
    """Compares all tensors with the model's weights, then assigns all or none, or with `partial` those that fit.

    Args:
        model: a model without nested models.
        tensors: tensors of the file; if two claim the same weight, the first gets it.
        path: path of the file, for messages.
        layout: layout of the file for the report: "keras", "timm" or "checkpoint".
        partial: True assigns what fits and reports differences; False raises an error. Default: False.

    Returns:
        The report on every tensor and weight.

    Raises:
        WeightsError: `partial` is False, and a weight is missing from the file, a shape differs or a tensor is left
            over. The model is unchanged.
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
    """The weights of a layer that files store: all but the generator state of Dropout layers."""
    return [variable for variable in layer.weights if "seed_generator" not in variable.path]


def _compare(layer: Any, variable: Any, tensor: Tensor | None) -> tuple[LoadRow, np.ndarray | None]:
    """The row of one weight, and its new values, or None if they do not fit."""
    weight, shape = f"{layer.name}/{variable.name}", tuple(variable.shape)
    if tensor is None or tensor.array is None:
        return LoadRow("missing", weight, None if tensor is None else tensor.source, shape, None), None
    if tensor.array.shape != shape:
        return LoadRow("misshapen", weight, tensor.source, shape, tensor.array.shape), None
    return LoadRow("loaded", weight, tensor.source, shape, shape), tensor.array


def _absent(tensor: Tensor) -> bool:
    """Whether only the spec has this tensor, neither the model nor the file: the spec is not the model's."""
    return tensor.layer is not None and tensor.array is None


def _left_over(tensor: Tensor) -> LoadRow:
    shape = None if tensor.array is None else tensor.array.shape
    return LoadRow("unwanted" if tensor.unwanted else "extra", None, tensor.source, None, shape, tensor.unwanted)


def _mismatch(model: keras.Model, report: LoadReport) -> WeightsError:
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    return WeightsError(
        f"the weight file is of another architecture than {model.name!r}; nothing was loaded. First difference: "
        f"{report.differences[0]}. In total: {counts}. Build the model that the file was saved from, or load what fits "
        "with load_weights(model, path, partial=True).",
        received=repr(report.path),
    )
