"""`export_model`: a Keras model becomes a file for a device, checked before it gets its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_effnet.atomic import as_data_error
from keras_effnet.checks import check_choice, check_int
from keras_effnet.data.photographs import photographs_for
from keras_effnet.errors import ExportError
from keras_effnet.export.draft import Draft
from keras_effnet.export.drafting import check_inputs, draft_model
from keras_effnet.export.engines import open_exported
from keras_effnet.export.formats import FORMATS, ExportFormat
from keras_effnet.export.verify import LEAST_AGREEMENT, ExportReport, compare_outputs
from keras_effnet.extras import import_extra
from keras_effnet.inheritance.compare import compute_once
from keras_effnet.reading.model_form import structured

if TYPE_CHECKING:
    from keras_effnet.tensor_names import Arrays


def export_model(
    model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    batch: int | None = None,
    calibration: Arrays | None = None,
    images: Arrays | None = None,
    labels: np.ndarray | None = None,
    tolerance: float | None = None,
    float_layers: int = 0,
) -> ExportReport:
    """Writes a model as a file for a device, runs the file in its engine, and compares it with the model.

    BatchNorm is folded, dropout left out, and a model of this package takes pixels from 0 to 255 whatever its
    preprocessing was. Class names and the spec travel in the file, which `keras-effnet predict` and `evaluate` take as
    they take a model.

    | format | file | engine |
    |---|---|---|
    | "litert" | .tflite, float32 | LiteRT (formerly TensorFlow Lite) |
    | "litert-float16" | .tflite, half the size: weights in float16 | LiteRT |
    | "litert-dynamic" | .tflite, a quarter: weights in int8, computed in float32 where need be | LiteRT |
    | "litert-int8" | .tflite, a quarter: all in int8, takes uint8 pixels | LiteRT |
    | "onnx" | .onnx | ONNX Runtime and many others |
    | "openvino" | .xml and .bin | OpenVINO |
    | "saved_model" | a folder | TensorFlow |

    Args:
        model: a model, on any backend, or the path of a saved one. It reads images, and vectors beside them if it does,
            and returns any number of outputs; in the file they have the names that they have in the model.
        path: where to write the file.
        format: one of the names above; by default the one that the suffix stands for: .tflite "litert", .onnx "onnx",
            .xml "openvino", none "saved_model".
        batch: number of images in a call, at least 1; None for any number.
        calibration: images whose ranges an int8 network is made for: pixels of shape (images, height, width,
            channels), at least one per class, best some hundred that look like those on the device. For several
            inputs a list of arrays in the model's order, or a dict by their names.
        images: images to compare the file with the model on, likewise; by default the calibration images, else 16
            pieces of two photographs, and random numbers for vectors.
        labels: true class of each of `images`, to report the accuracy of a model with one output; None if unknown.
        tolerance: largest difference of an output, as a share of the largest, that counts as rounding; by default
            0.001 in float32 and 0.05 in float16. A quantized network must name the same class for 9 images in 10.
        float_layers: number of layers of "litert-int8" that stay in float32, at least 0, with those that read them: the
            ones that lose the most as int8 (`explain_int8` lists them). The file then takes float32 pixels.

    Returns:
        How the file compares with the model: agreement, differences, accuracy, size, latency.

    Raises:
        ExportError: the model cannot be written in this format (names the layer), the file does not do what the model
            does, images have the wrong shape or range, or a package is missing. No file is left.
        DataError: the file cannot be written.
        InheritanceError: the model has no graph that can be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from keras_effnet import build_model, export_model, scale_spec
        >>> model = build_model(scale_spec("mobilenet_v2", phi=-6), classes=3)
        >>> with TemporaryDirectory() as folder:
        ...     report = export_model(model, f"{folder}/net.onnx")
        >>> report.engine, report.difference < 1e-4
        ('ONNX Runtime', True)
    """
    path = Path(path)
    kind = _format(format, path)
    [report] = export_files(
        model,
        {kind.name: path},
        batch=batch,
        calibration=calibration,
        images=images,
        labels=labels,
        tolerance=tolerance,
        float_layers=float_layers,
    )
    return report


def export_files(
    model: keras.Model | str | os.PathLike[str],
    paths: dict[str, Path],
    *,
    batch: int | None = None,
    calibration: Arrays | None = None,
    images: Arrays | None = None,
    labels: np.ndarray | None = None,
    tolerance: float | None = None,
    float_layers: int = 0,
    least_calibration: int | None = None,
    progress: Callable[[str], Any] = lambda name: None,
) -> list[ExportReport]:
    """Writes a model in several formats; folds it and runs it only once.

    Args:
        model: as in `export_model`.
        paths: where to write each file, by format.
        batch: as in `export_model`.
        calibration: as in `export_model`.
        images: as in `export_model`.
        labels: as in `export_model`.
        tolerance: as in `export_model`.
        float_layers: as in `export_model`.
        least_calibration: smallest number of images to calibrate with; None for the number of classes.
        progress: called with the name of each format before it is written.

    Returns:
        A report for each file, in the same order. What was written before an error stays.

    Raises:
        DataError, ExportError, InheritanceError: as `export_model`.
    """
    kinds = [_format(name, path) for name, path in paths.items()]
    float_layers = check_int(ExportError, "float_layers", float_layers, 0)
    if float_layers and not any(kind.calibrated for kind in kinds):
        raise ExportError(
            "only an int8 network has layers that stay in float32: add the format 'litert-int8'.",
            received=f"{float_layers=} with {', '.join(paths)}",
        )
    for kind in kinds:
        for module in kind.needs:  # better to learn now than after minutes that one is missing
            import_extra(module, "this format")
    whole, draft = draft_model(
        model,
        batch=batch,
        calibration=calibration,
        calibrated=any(kind.calibrated for kind in kinds),
        least=least_calibration,
        float_layers=float_layers,
    )
    if labels is not None and len(whole.outputs) > 1:
        raise ExportError(
            "`labels` are of a model with one output: leave them out.",
            received=f"{len(labels)} labels for {len(whole.outputs)} outputs",
        )
    seen = draft.calibration if images is None else check_inputs(images, "images", draft.metadata)
    seen = photographs_for([shape[1:] for shape in draft.shapes], draft.metadata.pixels) if seen is None else seen
    expected = _run(whole, seen)
    reports = []
    for kind, path in zip(kinds, paths.values(), strict=True):
        progress(kind.name)
        mine = replace(draft, metadata=replace(draft.metadata, format=kind.name))
        reports.append(_write_checked(mine, kind, path, seen, expected, labels, tolerance))
    return reports


def _write_checked(
    draft: Draft,
    kind: ExportFormat,
    path: Path,
    images: list[np.ndarray],
    expected: list[np.ndarray],
    labels: np.ndarray | None,
    tolerance: float | None,
) -> ExportReport:
    """Writes the file under another name, compares it, and moves it to its place."""
    if path.is_dir() and not (kind.suffix == "" and (path / "saved_model.pb").is_file()):
        raise ExportError("a folder of other things is in the way: choose another name.", received=repr(str(path)))
    with as_data_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            draft_path = Path(folder) / path.name
            kind.write(draft, draft_path)
            report = compare_outputs(open_exported(draft_path), path, images, expected, labels)
            _check_report(report, kind, tolerance)
            files = [each for each in draft_path.parent.rglob("*") if each.is_file()]
            report = replace(report, bytes=sum(each.stat().st_size for each in files))
            if path.is_dir():
                shutil.rmtree(path)
            for each in sorted(draft_path.parent.iterdir(), reverse=True):  # OpenVINO's weights before their network
                os.replace(each, path.parent / each.name)
    return report


def _check_report(report: ExportReport, kind: ExportFormat, tolerance: float | None) -> None:
    allowed = kind.tolerance if tolerance is None else tolerance
    if allowed is not None and not report.difference <= allowed:
        differences = report.differences
        where = f", in output {max(differences, key=differences.__getitem__)!r}" if len(differences) > 1 else ""
        raise ExportError(
            f"the file must compute what the model does, within {allowed:g} of the largest output. No file was left; "
            "raise `tolerance` if such a difference does not matter.",
            received=f"a difference of {report.difference:.3g} on {report.images} images, in {report.engine}{where}",
        )
    if allowed is None and report.agreement is not None and report.agreement < LEAST_AGREEMENT:
        raise ExportError(
            f"a quantized file must name the same class as the model for {LEAST_AGREEMENT:.0%} of the images. No file "
            "was left. Calibrate with more images like those on the device, train the model further, or give it its "
            "form for small devices first (`to_edge`); a `tolerance` of its own takes the place of this rule.",
            received=f"{report.agreement:.1%} of {report.images} images, in {report.engine}",
        )


def _format(name: str | None, path: Path) -> ExportFormat:
    if name is None:
        name = next((each.name for each in FORMATS.values() if each.suffix == path.suffix), None)
    check_choice(ExportError, "format", name, tuple(FORMATS))
    kind = FORMATS[str(name)]
    if path.suffix != kind.suffix:
        wanted = f"end in {kind.suffix}" if kind.suffix else "have no suffix: it becomes a folder"
        raise ExportError(f"the name of a file in format {kind.name!r} must {wanted}.", received=repr(str(path)))
    return kind


def _run(model: keras.Model, images: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model, 32 images at a time."""
    parts = []
    for start in range(0, len(images[0]), 32):
        given = structured([each[start : start + 32] for each in images], model, "input")
        parts.append([np.asarray(output, np.float32) for output in keras.tree.flatten(compute_once(model, given))])
    return [np.concatenate(rows) for rows in zip(*parts, strict=True)]
