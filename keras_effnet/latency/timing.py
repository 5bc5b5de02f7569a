"""Timing a network on this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_effnet.checks import check_int
from keras_effnet.errors import BudgetError
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec

WARM_UP_CALLS = 3
MIN_CALLS = 15
MIN_SECONDS = 0.5


@dataclass(frozen=True)
class Latency:
    """A measurement.

    Args:
        median_ms: milliseconds for one call, the median.
        low_ms: the 10 % quantile.
        high_ms: the 90 % quantile.
        calls: timed, after the warm-up.
        warm_up: calls before them.
        batch: images in a call.
        machine: backend, versions, processor and threads.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    calls: int
    warm_up: int
    batch: int
    machine: Mapping[str, str]


def measure_latency(spec: BackboneSpec | str, *, batch: int = 1, channels: int = 3, classes: int = 1000) -> Latency:
    """Builds a network and times `predict_on_batch`, the compiled call, on random pixels.

    Args:
        spec: a backbone or the name of a registered one.
        batch: images in a call, at least 1.
        channels: of the image.
        classes: of the classifier.

    Returns:
        The median over at least 15 calls and half a second, after a warm-up of 3.

    Raises:
        BudgetError: `batch` is not an integer of at least 1.
        BuildError, RegistryError, SpecError: as `build_model`.

    Example:
        >>> from keras_effnet import scale_spec
        >>> found = measure_latency(scale_spec("mobilenet_v1", -6), classes=10)
        >>> found.low_ms <= found.median_ms <= found.high_ms, found.calls >= 15
        (True, True)
    """
    import numpy as np

    from keras_effnet.builder.model import build_model

    check_int(BudgetError, "batch", batch, 1)
    spec = resolve_backbone(spec)
    side = spec.resolution
    model = build_model(spec, input_shape=(side, side, channels), classes=classes)
    pixels = np.random.default_rng(0).uniform(0, 255, (batch, *model.input_shape[1:])).astype("float32")
    for _ in range(WARM_UP_CALLS):
        model.predict_on_batch(pixels)
    times: list[float] = []
    while len(times) < MIN_CALLS or sum(times) < MIN_SECONDS:
        started = time.perf_counter()
        model.predict_on_batch(pixels)
        times.append(time.perf_counter() - started)
    low, median, high = (float(value) * 1e3 for value in np.quantile(times, (0.1, 0.5, 0.9)))
    return Latency(median, low, high, len(times), WARM_UP_CALLS, batch, describe_machine())


def describe_machine() -> dict[str, str]:
    """What a time depends on: backend and its version, processor, threads.

    Returns:
        A word for each.

    Example:
        >>> describe_machine()["backend"] in ("tensorflow", "jax", "torch")
        True
    """
    import keras

    backend = keras.backend.backend()
    versions = {"keras": keras.__version__, "python": platform.python_version()}
    threads = os.cpu_count() or 1
    if backend == "tensorflow":
        import tensorflow as tf

        versions["tensorflow"] = tf.__version__
        threads = tf.config.threading.get_intra_op_parallelism_threads() or threads
    elif backend == "torch":
        import torch

        versions["torch"] = torch.__version__
        threads = torch.get_num_threads()
    elif backend == "jax":
        import jax

        versions["jax"] = jax.__version__
    devices = ", ".join(keras.distribution.list_devices()) if backend != "torch" else "torch"
    return {
        "backend": backend,
        **versions,
        "processor": _processor(),
        "threads": str(threads),
        "devices": devices,
        "float": keras.config.dtype_policy().name,
    }


def _processor() -> str:
    """The processor's model, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
