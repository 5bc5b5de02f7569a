"""How long networks take in the engines that run them on a device, timed in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import carries_spec, read_embedded_spec
from keras_effnet.checks import check_choice, check_int
from keras_effnet.data.photographs import photographs_for
from keras_effnet.errors import ExportError
from keras_effnet.export.drafting import input_shapes
from keras_effnet.export.engines import open_exported
from keras_effnet.export.exporter import export_files
from keras_effnet.export.formats import ENGINES, FORMATS
from keras_effnet.export.verify import ExportReport
from keras_effnet.inheritance.raw_pixels import raw_spec
from keras_effnet.latency.stage_times import PROFILED, stage_times
from keras_effnet.latency.turns import ROUNDS, time_in_turn
from keras_effnet.network import record_network
from keras_effnet.reading.model_form import alone, structured
from keras_effnet.tables import aligned


@dataclass(frozen=True)
class EngineLatency:
    """The times of one network in one engine.

    Args:
        network: name of the network.
        engine: format of the file that ran, such as "litert-int8"; "keras" for `predict_on_batch`.
        batch: number of images in a call.
        median_ms: median time of a call, in milliseconds.
        low_ms: 10 % quantile of the times, in milliseconds.
        high_ms: 90 % quantile of the times, in milliseconds.
        bytes: size of the file in bytes; None for Keras.
        rounds: number of timed calls, in turn with all others.
        stages: milliseconds of a call by stage, as the engine's profiler tells; None if it was not asked or has none.
    """

    network: str
    engine: str
    batch: int
    median_ms: float
    low_ms: float
    high_ms: float
    bytes: int | None
    rounds: int
    stages: dict[str, float] | None = None

    @property
    def images_per_second(self) -> float:
        """Images a second, by the median."""
        return 1e3 * self.batch / self.median_ms

    def to_dict(self) -> dict[str, Any]:
        """The times as JSON holds them."""
        return {**asdict(self), "images_per_second": self.images_per_second}


def time_engines(
    models: Mapping[str, keras.Model],
    engines: Sequence[str],
    *,
    batches: Sequence[int] = (1,),
    threads: int | None = None,
    stages: bool = False,
    progress: Callable[[str], Any] = lambda text: None,
) -> list[EngineLatency]:
    """Exports models to each engine and times them on pieces of photographs, one call each in turn.

    In turn, so that a machine that slows down slows all of them. What is computed is not asked for here, so that models
    need no training; an int8 file is calibrated on the same pieces. Each image that a model reads is another piece, a
    vector is random numbers.

    Args:
        models: models by name, whoever built them, as `export_model` takes them.
        engines: formats of `export_model`, or "keras".
        batches: numbers of images in a call, each at least 1.
        threads: number of threads of an engine, at least 1; by default as many as there are processors. TensorFlow's
            own setting stays as it is.
        stages: whether to ask the engines' profilers where the time goes: ONNX Runtime and OpenVINO have one. Only for
            models of one image that carry their spec.
        progress: called with what is done next.

    Returns:
        The times, by model, engine and batch.

    Raises:
        ExportError: an unknown engine, a batch below 1, or as `export_model`.

    Example:
        >>> from keras_effnet import build_model, scale_spec
        >>> small = build_model(scale_spec("mobilenet_v1", phi=-6), classes=2)
        >>> [found] = time_engines({"small": small}, ["onnx"])
        >>> found.engine, found.low_ms <= found.median_ms <= found.high_ms
        ('onnx', True)
    """
    for engine in engines:
        check_choice(ExportError, "engine", engine, ENGINES)
    batches = [check_int(ExportError, "batch", batch, 1) for batch in batches]
    calls: dict[tuple[str, str], tuple[Callable[[list[np.ndarray]], Any], int | None]] = {}
    images: dict[str, list[np.ndarray]] = {}
    files = {}
    with TemporaryDirectory() as folder:
        for number, (name, model) in enumerate(models.items()):
            progress(f"exporting {name}")
            images[name] = photographs_for(input_shapes(model), pixels=True, count=max(*batches, 16))
            paths = {
                each: Path(folder) / f"{number}-{each}{FORMATS[each].suffix}" for each in engines if each != "keras"
            }
            files |= {(name, each): path for each, path in paths.items()}
            made = export_to_time(model, paths, images[name])
            for engine, report in zip(paths, made, strict=True):
                calls[name, engine] = open_exported(paths[engine], threads=threads).compute, report.bytes
            if "keras" in engines:
                calls[name, "keras"] = partial(_predict, model), None
        rows = [row for batch in batches for row in _in_turn(calls, images, batch, progress)]
        if stages:
            rows = [_with_stages(row, models[row.network], files, images[row.network], threads) for row in rows]
        return rows


def _predict(model: keras.Model, images: list[np.ndarray]) -> Any:
    return model.predict_on_batch(structured(images, model, "input"))


def _with_stages(
    row: EngineLatency,
    model: keras.Model,
    files: Mapping[tuple[str, str], Path],
    images: list[np.ndarray],
    threads: int | None,
) -> EngineLatency:
    if row.engine not in PROFILED or not carries_spec(model) or len(images) > 1:
        return row
    given = np.ascontiguousarray(images[0][: row.batch], np.float32)
    network = record_network(raw_spec(read_embedded_spec(model).spec))
    path, count = files[row.network, row.engine], threads or os.cpu_count() or 1
    return replace(row, stages=stage_times(path, row.engine, network, given, count))


def export_to_time(
    model: keras.Model, paths: dict[str, Path], images: list[np.ndarray], *, batch: int | None = None
) -> list[ExportReport]:
    """Exports a model of which only the times are asked for: it may have any weights.

    Args:
        model: a model that `export_model` takes.
        paths: where to write each file, by format.
        images: an array for each input to calibrate with and to compare on: pixels of shape (images, height, width,
            channels), or vectors.
        batch: number of images in a call, at least 1; None for any.

    Returns:
        A report for each file.

    Raises:
        DataError, ExportError, InheritanceError: as `export_model`.
    """
    return export_files(
        model,
        paths,
        batch=batch,
        calibration=alone(images),
        images=alone([each[:1] for each in images]),
        tolerance=float("inf"),  # random weights do not survive int8, and need not
        least_calibration=1,
    )


def _in_turn(
    calls: Mapping[tuple[str, str], tuple[Callable[[list[np.ndarray]], Any], int | None]],
    images: Mapping[str, list[np.ndarray]],
    batch: int,
    progress: Callable[[str], Any],
) -> list[EngineLatency]:
    progress(f"timing {len(calls)} networks, batch {batch}")
    given = {name: [each[:batch] for each in arrays] for name, arrays in images.items()}
    times = time_in_turn({key: partial(call, given[key[0]]) for key, (call, _) in calls.items()})
    rows = []
    for (name, engine), found in times.items():
        low, median, high = (float(value) for value in np.quantile(found, (0.1, 0.5, 0.9)))
        rows.append(EngineLatency(name, engine, batch, median, low, high, calls[name, engine][1], ROUNDS))
    return rows


def latency_table(rows: Sequence[EngineLatency]) -> str:
    """A table with one line for each network, engine and batch.

    Args:
        rows: the times, at least one.

    Returns:
        Lines of text.
    """
    cells = [("network", "engine", "batch", "ms a call", "10 % to 90 %", "images/s", "size")]
    for row in rows:
        size = "-" if row.bytes is None else f"{row.bytes / 1e6:.2f} MB"
        spread = f"{row.low_ms:.2f} to {row.high_ms:.2f}"
        numbers = (str(row.batch), f"{row.median_ms:.2f}", spread, f"{row.images_per_second:.1f}", size)
        cells.append((row.network, row.engine, *numbers))
    return "\n".join(aligned(cells, text_column=0)) + "\n"


def stage_table(rows: Sequence[EngineLatency]) -> str:
    """A table with a line for each stage, and a column for each network, engine and batch that was profiled.

    Args:
        rows: the times.

    Returns:
        Lines of text; nothing if no engine was profiled.
    """
    told = [row for row in rows if row.stages]
    if not told:
        return ""
    names = dict.fromkeys(stage for row in told for stage in row.stages or {})
    heads = [f"{row.network}, {row.engine}, {row.batch}" for row in told]
    cells: list[tuple[str, ...]] = [("ms by stage", *heads)]
    for name in names:
        shares = [((row.stages or {}).get(name, 0.0), sum((row.stages or {}).values())) for row in told]
        cells.append((name, *(f"{ms:.2f} ({ms / total:.0%})" for ms, total in shares)))
    return "\n".join(aligned(cells, text_column=0)) + "\n"


def write_latency_plot(rows: Sequence[EngineLatency], path: Path) -> None:
    """Draws a bar for each network, engine and batch, with its 10 % and 90 % quantiles.

    Args:
        rows: the times, at least one.
        path: `.png` file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    labels = [f"{row.network}, {row.engine}, batch {row.batch}" for row in rows]
    each = [row.median_ms / row.batch for row in rows]
    errors = [
        [(row.median_ms - row.low_ms) / row.batch for row in rows],
        [(row.high_ms - row.median_ms) / row.batch for row in rows],
    ]
    bars = axes.barh(range(len(rows)), each, xerr=errors, color="#4c78a8", ecolor="#444444", capsize=2)
    axes.bar_label(bars, [f" {value:.2f}" for value in each], padding=8)
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds an image: median, 10 % and 90 % quantiles")
    axes.margins(x=0.25)  # room for the label of the longest bar
    figure.savefig(path, dpi=120)
