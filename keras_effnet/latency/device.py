"""A device that is not at hand: probe networks to time there, and a prediction from their times."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from keras_effnet.atomic import as_data_error, atomic_write
from keras_effnet.checks import check_choice
from keras_effnet.errors import BudgetError
from keras_effnet.export.formats import FORMATS
from keras_effnet.json_text import read_json
from keras_effnet.latency.table import CALIBRATION, fit_table
from keras_effnet.latency.work import Work, read_work
from keras_effnet.scaling.scale import scale_spec
from keras_effnet.spec import BackboneSpec

SCRIPT = "measure_probes.py"
PROBES = "probes.json"
# What the script can open.
DEVICE_ENGINES = tuple(name for name in FORMATS if name != "saved_model")


def write_probes(
    folder: str | os.PathLike[str], engine: str = "litert", progress: Callable[[str], Any] = lambda text: None
) -> Path:
    """Writes networks to time on a device, with a script that times them and needs only NumPy and the engine.

    Args:
        folder: where to write them; made if it is missing.
        engine: format of their files: "litert", "litert-float16", "litert-dynamic", "litert-int8", "onnx", "openvino".
        progress: called with what is done next.

    Returns:
        The script. `python measure_probes.py --output phone.json` on the device writes what `fit_to_budget` reads.

    Raises:
        BudgetError: another engine.
        DataError: the folder cannot be written.
        ExportError: what writes the engine's files is not installed.
    """
    check_choice(BudgetError, "engine", engine, DEVICE_ENGINES)
    from keras_effnet.builder.model import build_model
    from keras_effnet.data.photographs import photographs
    from keras_effnet.latency.engine_latency import export_to_time

    folder, suffix = Path(folder), FORMATS[engine].suffix
    probes = []
    with as_data_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for number, (name, phi) in enumerate(CALIBRATION):
            spec = scale_spec(name, phi)
            progress(f"{name}, phi = {phi:g}")
            model = build_model(spec)
            images = photographs(model.input_shape[1:], pixels=True, count=4)
            path = folder / f"{number}-{name}{suffix}"
            export_to_time(model, {engine: path}, [images], batch=1)
            work = read_work(spec, deployed=True)._asdict()
            probes.append({"network": f"{name}, phi = {phi:g}", "file": path.name, "work": work})
        content = json.dumps({"format": engine, "probes": probes}, indent=1) + "\n"
        atomic_write(folder / PROBES, lambda path: path.write_text(content, encoding="utf-8"))
        atomic_write(folder / SCRIPT, partial(shutil.copyfile, Path(__file__).with_name(SCRIPT)))
    return folder / SCRIPT


def read_device(path: str | os.PathLike[str]) -> Callable[[BackboneSpec, int, int], float]:
    """Reads what the script wrote on a device.

    Args:
        path: the file.

    Returns:
        A function that foretells the milliseconds of a spec for one image, given also the number of channels and of
        classes.

    Raises:
        BudgetError: the file cannot be read, is no such file, or was never measured.
    """
    try:
        content = read_json(Path(path))
        works = [Work(**probe["work"]) for probe in content["probes"]]
        times = [float(probe["median_ms"]) for probe in content["probes"]]
        machine = {str(key): str(value) for key, value in content["machine"].items()}
        if len(times) < len(Work._fields) or not all(0 < value < float("inf") for value in times):
            raise ValueError("times above 0 of at least as many networks as there are kinds of work")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BudgetError(
            f"the device's file must be what `{SCRIPT}` wrote on the device ({error!r}): make it again with "
            "`keras-effnet calibrate`.",
            received=repr(os.fspath(path)),
        ) from error
    table = fit_table(works, times, machine)

    def foretell(spec: BackboneSpec, channels: int = 3, classes: int = 1000) -> float:
        return table.estimate(read_work(spec, channels, classes, deployed=True))

    return foretell
