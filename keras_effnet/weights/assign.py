"""Compares the tensors of a file with a model's weights, and assigns them: the only place that does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import WeightsError
from keras_effnet.weights.load_report import LoadReport, LoadRow
from keras_effnet.weights.load_target import LoadTarget
from keras_effnet.weights.tensors import Tensor, check_kind, layer_weights


@dataclass(frozen=True)
class Comparison:
    """The tensors of a file beside the weights that they are for; nothing is assigned yet.

    Args:
        report: what becomes of each tensor and each weight.
        fitting: layers, their weights, and the new values of those.
    """

    report: LoadReport
    fitting: tuple[tuple[Any, Any, np.ndarray], ...]

    def assign(self) -> LoadReport:
        """Gives the weights their new values.

        Returns:
            The report.
        """
        for layer, variable, array in self.fitting:
            variable.assign(array)
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()
        return self.report


def compare_tensors(target: LoadTarget, tensors: list[Tensor], path: Path, layout: str) -> Comparison:
    """Compares all tensors of a file with the weights of a target.

    Args:
        target: the layers that the file is for.
        tensors: tensors of the file; if two claim the same weight, the first gets it.
        path: path of the file, for messages.
        layout: layout of the file for the report: "keras", "timm" or "checkpoint".

    Returns:
        The comparison.

    Raises:
        WeightsError: a tensor holds numbers of another kind than its weight: codes in place of floats, or floats that
            are to become codes.
    """
    places: dict[tuple[str, int], Tensor] = {}
    rest = [
        tensor
        for tensor in tensors
        if tensor.layer is None or places.setdefault((tensor.layer, tensor.index), tensor) is not tensor
    ]
    rows, fitting = [], []
    for name, layer in target.layers.items():
        for index, variable in enumerate(layer_weights(layer)):
            tensor = places.pop((name, index), None)
            if tensor is not None and tensor.array is not None:
                check_kind(tensor.source, tensor.array, variable, path)
            row, array = _compare(layer, variable, tensor)
            rows.append(row)
            if array is not None:
                fitting.append((layer, variable, array))
    rows += [_kept(layer, variable) for layer in target.others for variable in layer_weights(layer)]
    rows += [_left_over(tensor) for tensor in (*places.values(), *rest) if not _absent(tensor)]
    return Comparison(LoadReport(str(path), layout, tuple(rows)), tuple(fitting))


def _compare(layer: Any, variable: Any, tensor: Tensor | None) -> tuple[LoadRow, np.ndarray | None]:
    """The row of one weight, and its new values, or None if they do not fit."""
    weight, shape = f"{layer.name}/{variable.name}", tuple(variable.shape)
    if tensor is None or tensor.array is None:
        return LoadRow("missing", weight, None if tensor is None else tensor.source, shape, None), None
    if tensor.array.shape != shape:
        return LoadRow("misshapen", weight, tensor.source, shape, tensor.array.shape), None
    return LoadRow("loaded", weight, tensor.source, shape, shape), tensor.array


def _kept(layer: Any, variable: Any) -> LoadRow:
    return LoadRow("kept", f"{layer.name}/{variable.name}", None, tuple(variable.shape), None)


def _absent(tensor: Tensor) -> bool:
    """Whether only the spec has this tensor, neither the model nor the file: the spec is not the model's."""
    return tensor.layer is not None and tensor.array is None


def _left_over(tensor: Tensor) -> LoadRow:
    shape = None if tensor.array is None else tensor.array.shape
    return LoadRow("unwanted" if tensor.unwanted else "extra", None, tensor.source, None, shape, tensor.unwanted)


def mismatch(target: LoadTarget, report: LoadReport) -> WeightsError:
    """The error for a file of another architecture.

    Args:
        target: the layers that the file was meant for.
        report: how file and layers differ.
    """
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items() if count)
    what = f"the network in {target.name!r}" if target.others else repr(target.name)
    return WeightsError(
        f"the weight file is of another architecture than {what}; nothing was loaded. First difference: "
        f"{report.differences[0]}. In total: {counts}. Build the model that the file was saved from, or load what fits "
        "with load_weights(model, path, partial=True).",
        received=repr(report.path),
    )
