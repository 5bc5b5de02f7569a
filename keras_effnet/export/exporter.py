"""`export_model`: a Keras model becomes a file for a device, checked before it gets its name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_effnet.atomic import as_data_error
from keras_effnet.builder.embedded_spec import EmbeddedSpec, carries_spec, read_embedded_spec
from keras_effnet.checks import check_choice, check_int
from keras_effnet.data.photographs import photographs
from keras_effnet.errors import ExportError
from keras_effnet.export.engines import import_engine, open_exported
from keras_effnet.export.export_metadata import ExportMetadata, Outputs
from keras_effnet.export.fold import read_folded
from keras_effnet.export.formats import FORMATS, Draft, ExportFormat
from keras_effnet.export.verify import LEAST_AGREEMENT, ExportReport, compare_outputs
from keras_effnet.inheritance.raw_pixels import take_raw_pixels
from keras_effnet.inheritance.scaled_model import load_model


def export_model(
    model: keras.Model | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    batch: int | None = None,
    calibration: np.ndarray | None = None,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    tolerance: float | None = None,
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
        model: a model, on any backend, or the path of a saved one. It reads one image.
        path: where to write the file.
        format: one of the names above; by default the one that the suffix stands for: .tflite "litert", .onnx "onnx",
            .xml "openvino", none "saved_model".
        batch: number of images in a call, at least 1; None for any number.
        calibration: images whose ranges an int8 network is made for: pixels of shape (images, height, width,
            channels), at least one per class, best some hundred that look like those on the device.
        images: images to compare the file with the model on, likewise; by default the calibration images, else 16
            pieces of two photographs.
        labels: true class of each of `images`, to report the accuracy; None if unknown.
        tolerance: largest difference of an output, as a share of the largest, that counts as rounding; by default
            0.001 in float32 and 0.05 in float16. A quantized network must name the same class for 9 images in 10.

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
    )
    return report


def export_files(
    model: keras.Model | str | os.PathLike[str],
    paths: dict[str, Path],
    *,
    batch: int | None = None,
    calibration: np.ndarray | None = None,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    tolerance: float | None = None,
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
        least_calibration: smallest number of images to calibrate with; None for the number of classes.
        progress: called with the name of each format before it is written.

    Returns:
        A report for each file, in the same order. What was written before an error stays.

    Raises:
        DataError, ExportError, InheritanceError: as `export_model`.
    """
    kinds = [_format(name, path) for name, path in paths.items()]
    batch = None if batch is None else check_int(ExportError, "batch", batch, 1)
    for kind in kinds:
        for module in kind.needs:  # better to learn now than after minutes that one is missing
            import_engine(module)
    whole = load_model(model) if isinstance(model, str | os.PathLike) else model
    pixels = carries_spec(whole)
    whole = take_raw_pixels(whole) if pixels else whole
    shape = _image_shape(whole)
    metadata = _metadata(whole, shape, pixels)
    classes = whole.output_shape[-1] if metadata.outputs != "features" else 1
    if calibration is not None or any(kind.calibrated for kind in kinds):
        calibration = _checked(calibration, "calibration", shape, pixels, least_calibration or classes)
    seen = calibration if images is None else _checked(images, "images", shape, pixels)
    seen = photographs(shape, pixels) if seen is None else seen
    draft = Draft(
        *read_folded(whole),
        ((None, *shape),),
        keras.config.image_data_format() == "channels_first",
        batch,
        metadata,
        calibration,
    )
    expected = np.concatenate([_run(whole, seen[start : start + 32]) for start in range(0, len(seen), 32)])
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
    images: np.ndarray,
    expected: np.ndarray,
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
        raise ExportError(
            f"the file must compute what the model does, within {allowed:g} of the largest output. No file was left; "
            "raise `tolerance` if such a difference does not matter.",
            received=f"a difference of {report.difference:.3g} on {report.images} images, in {report.engine}",
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


def _image_shape(model: keras.Model) -> tuple[int | None, ...]:
    """Shape of the one image that a model reads."""
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or len(model.outputs) != 1:
        raise ExportError(
            "the model must read one image, of shape (height, width, channels), and return one output.",
            received=f"{model.name!r} with inputs {shapes} and {len(model.outputs)} outputs",
        )
    return shapes[0][1:]


def _outputs(model: keras.Model, embedded: EmbeddedSpec | None) -> Outputs:
    """What a model returns."""
    if len(model.output_shape) != 2 or (embedded is not None and not embedded.include_top):
        return "features"
    last = getattr(model.layers[-1], "activation", None)
    return "probabilities" if last is keras.activations.softmax else "logits"


def _metadata(model: keras.Model, shape: tuple[int | None, ...], pixels: bool) -> ExportMetadata:
    embedded = read_embedded_spec(model) if pixels else None
    first = keras.config.image_data_format() == "channels_first"
    height, channels = (shape[1], shape[0]) if first else (shape[0], shape[2])
    return ExportMetadata(
        model.name,
        "",
        height,
        int(channels or 0),
        pixels,
        _outputs(model, embedded),
        None if embedded is None else embedded.class_names,
        None if embedded is None else json.loads(embedded.spec.to_json()),
    )


def _checked(given: Any, name: str, shape: tuple[int | None, ...], pixels: bool, least: int = 1) -> np.ndarray:
    """Images as float32.

    Raises:
        ExportError: they are missing, too few, or of another shape or range.
    """
    if given is None:
        raise ExportError(
            f"an int8 network is made for the ranges of real images: give some hundred as `{name}`, with at least one "
            "of each class.",
            received=f"{name}=None",
        )
    found = np.asarray(given, np.float32)
    fits = found.ndim == 4 and all(side in (None, own) for side, own in zip(shape, found.shape[1:], strict=True))
    if not fits or len(found) < least:
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ExportError(
            f"`{name}` must be at least {least} images of shape ({wanted}).",
            received=f"an array of shape {found.shape}",
        )
    if not np.isfinite(found).all() or (pixels and (found.min() < 0 or not 1 < found.max() <= 255)):
        rule = "pixels from 0 to 255, as the model takes them" if pixels else "finite numbers"
        raise ExportError(f"`{name}` must be {rule}.", received=f"values from {found.min()} to {found.max()}")
    return found


def _run(model: keras.Model, images: np.ndarray) -> np.ndarray:
    if keras.backend.backend() == "jax":
        # Layer by layer, JAX would compile a program for each.
        return np.asarray(model.predict_on_batch(images), np.float32)
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)), np.float32)
