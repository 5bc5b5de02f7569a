"""How long each kind of work takes on this machine: calibrated once, kept on disk."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from keras_effnet.extras import import_extra, require
from keras_effnet.json_text import read_json
from keras_effnet.latency.timing import describe_machine, measure_latency
from keras_effnet.latency.work import Work, read_work
from keras_effnet.messages import progress_bar
from keras_effnet.scaling.scale import scale_spec

logger = logging.getLogger(__name__)

# Networks of several families and sizes, with their phi; each takes some 4 s to build and time on 2 cores.
CALIBRATION = (
    ("mobilenet_v1", -6.0),
    ("mobilenet_v1", -1.0),
    ("mobilenet_v2", -3.0),
    ("mobilenet_v2", 0.5),
    ("resnet50", -4.0),
    ("resnet50", -1.0),
    ("efficientnet_b0", -4.0),
    ("efficientnet_b0", 0.0),
)


@dataclass(frozen=True)
class LatencyTable:
    """How long each kind of work takes on a machine.

    Args:
        milliseconds: time for one unit of each kind of work, at least 0.
        machine: what the times depend on, as `describe_machine` returns it.
        error: median relative error of the predictions for the networks used in calibration, at least 0.

    Example:
        >>> table = LatencyTable(Work(call=2, layers=0.01), machine={}, error=0)
        >>> table.estimate(Work(call=1, layers=100))
        3.0
    """

    milliseconds: Work
    machine: Mapping[str, str]
    error: float

    def estimate(self, work: Work) -> float:
        """Predicts the time for one image in milliseconds.

        Args:
            work: kinds of work that the network does, from `read_work`.
        """
        return sum(unit * amount for unit, amount in zip(self.milliseconds, work, strict=True))


def calibrate_latency(*, again: bool = False, cache: Path | None = None, engine: str = "keras") -> LatencyTable:
    """Loads this machine's table from disk, or makes it in about a minute if there is none.

    Args:
        again: whether to measure even if there is a table.
        cache: JSON file with a table for each machine, backend, version, data format and number of threads; by default
            `keras_effnet/latency.json` in the user's cache folder (`XDG_CACHE_HOME`).
        engine: what runs the networks, as in `measure_latency`; each has a table of its own.

    Returns:
        The table. A file that cannot be read or written is logged and otherwise ignored.

    Example:
        >>> table = calibrate_latency()  # doctest: +SKIP
        >>> milliseconds = table.estimate(read_work("efficientnet_b0"))  # doctest: +SKIP
    """
    path = _default_cache() if cache is None else cache
    machine = describe_machine(engine)
    tables = _read_tables(path)
    key = " / ".join(machine.values())
    if key in tables and not again:
        return tables[key]
    tables[key] = _measured_table(machine, engine)
    _write_tables(path, tables)
    return tables[key]


def _write_tables(path: Path, tables: Mapping[str, LatencyTable]) -> None:
    text = json.dumps({name: asdict(table) for name, table in tables.items()}, indent=1)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        # This call still has its table.
        logger.warning("%s cannot be written (%s): the next call calibrates again", path, error)


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_effnet" / "latency.json"


def _read_tables(path: Path) -> dict[str, LatencyTable]:
    try:
        found = read_json(path)
        return {key: _read_table(**table) for key, table in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be read (%s): calibrating again", path, error)
        return {}


def _read_table(milliseconds: Sequence[float], machine: Mapping[str, str], error: float) -> LatencyTable:
    # One number for each kind of work: zip raises if there are more or fewer.
    units = [float(unit) for unit, _ in zip(milliseconds, Work._fields, strict=True)]
    return LatencyTable(Work(*units), dict(machine), float(error))


def _measured_table(machine: Mapping[str, str], engine: str) -> LatencyTable:

    works, times = [], []
    require("train", "a calibration")
    for name, phi in progress_bar(CALIBRATION, desc="calibrating latency", unit="network"):
        spec = scale_spec(name, phi)
        works.append(read_work(spec, deployed=engine != "keras"))
        times.append(measure_latency(spec, engine=engine).median_ms)
    return fit_table(works, times, machine)


def fit_table(works: Sequence[Work], times: Sequence[float], machine: Mapping[str, str]) -> LatencyTable:
    """Finds the time of each kind of work from the times of some networks.

    Args:
        works: the work of each network.
        times: the time of each, in milliseconds, above 0.
        machine: what the times depend on.

    Returns:
        The table whose predictions are nearest to the times, relative to them.
    """
    import numpy as np

    matrix, target = np.asarray(works, float), np.asarray(times)
    # Relative errors count, so each row is divided by its time; columns are scaled so that none is lost to rounding.
    rows = matrix / target[:, None]
    sizes = np.maximum(rows.max(axis=0), 1e-30)
    units = import_extra("scipy.optimize", "a calibration").nnls(rows / sizes, np.ones(len(target)))[0] / sizes
    error = float(np.median(np.abs(matrix @ units / target - 1)))
    return LatencyTable(Work(*map(float, units)), machine, error)
