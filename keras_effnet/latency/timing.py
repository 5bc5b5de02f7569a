"""Timing a network on this machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_effnet.checks import check_choice, check_int, is_keras_model
from keras_effnet.errors import BudgetError
from keras_effnet.export.formats import ENGINES
from keras_effnet.extras import import_extra
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Latency:
    """The times that one network took.

    Args:
        median_ms: median time of a call, in milliseconds.
        low_ms: 10 % quantile of the times, in milliseconds.
        high_ms: 90 % quantile of the times, in milliseconds.
        calls: number of timed calls.
        warm_up: number of calls before them, which were not timed.
        batch: number of images in a call.
        machine: what the times depend on, as `describe_machine` returns it.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    calls: int
    warm_up: int
    batch: int
    machine: Mapping[str, str]


def measure_latency(
    spec: BackboneSpec | str | keras.Model,
    *,
    batch: int = 1,
    channels: int = 3,
    classes: int = 1000,
    engine: str = "keras",
) -> Latency:
    """Builds a network and times it: `predict_on_batch`, the compiled call, on random pixels, or an exported file.

    Args:
        spec: a backbone, the name of a registered one, or a model of one input, which has its own channels and classes.
        batch: number of images in a call, at least 1.
        channels: channels of the image, at least 1.
        classes: number of classes, at least 1.
        engine: what runs the network: "keras", or a format of `export_model`, such as "litert-int8".

    Returns:
        Median and quantiles over at least 15 calls and half a second, after 3 calls to warm up.

    Raises:
        BudgetError: `batch` is not an integer of at least 1, the engine is unknown, Keras is set to "channels_first",
            which TensorFlow cannot run on a CPU, or a model has several inputs or images of any size.
        BuildError, RegistryError, SpecError: as in `build_model`.
        ExportError: the engine is not installed, or its format cannot hold the network.

    Example:
        >>> from keras_effnet import scale_spec
        >>> found = measure_latency(scale_spec("mobilenet_v1", -6), classes=10)
        >>> found.low_ms <= found.median_ms <= found.high_ms, found.calls >= 15
        (True, True)
    """
    check_choice(BudgetError, "engine", engine, ENGINES)
    batch = check_int(BudgetError, "batch", batch, 1)
    import_extra("keras", "measuring latency")
    import numpy as np

    from keras_effnet.latency.measure_probes import WARM_UP_CALLS, timed

    model: Any = spec if is_keras_model(spec) else _built(spec, channels, classes)
    if len(model.inputs) != 1 or None in model.input_shape[1:]:
        raise BudgetError(
            "a model is timed on images of its own size: it must have one input, all sides of which are known.",
            received=f"{model.name!r}, {model.input_shape}",
        )
    if engine != "keras":
        from keras_effnet.latency.engine_latency import time_engines
        from keras_effnet.latency.turns import WARM_UP_ROUNDS

        [row] = time_engines({model.name: model}, [engine], batches=[batch])
        machine = describe_machine(engine)
        return Latency(row.median_ms, row.low_ms, row.high_ms, row.rounds, WARM_UP_ROUNDS, batch, machine)
    pixels = np.random.default_rng(0).uniform(0, 255, (batch, *model.input_shape[1:])).astype("float32")
    times = timed(lambda: model.predict_on_batch(pixels))
    low, median, high = (float(value) for value in np.quantile(times, (0.1, 0.5, 0.9)))
    return Latency(median, low, high, len(times), WARM_UP_CALLS, batch, describe_machine())


def _built(spec: Any, channels: int, classes: int) -> Any:
    """The model of a spec, for images in Keras' own format."""
    import keras

    from keras_effnet import build_model

    spec = resolve_backbone(spec)
    side = spec.resolution
    if keras.config.image_data_format() == "channels_last":
        shape = (side, side, channels)
    else:
        _check_channels_first()
        shape = (channels, side, side)
    return build_model(spec, input_shape=shape, classes=classes)


def _check_channels_first() -> None:
    import keras

    if keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu"):
        raise BudgetError(
            "TensorFlow runs channels-first convolutions only on a GPU; choose another backend, or call "
            "keras.config.set_image_data_format('channels_last').",
            received="image_data_format='channels_first' on a CPU",
        )


def describe_machine(engine: str = "keras") -> dict[str, str]:
    """Describes what a time depends on: backend, versions, processor, threads, devices, precision and data format.

    Args:
        engine: what runs the network, as in `measure_latency`; named if it is not Keras.

    Returns:
        A text for each, by name.

    Example:
        >>> describe_machine()["backend"] in ("tensorflow", "jax", "torch")
        True
    """
    from keras_effnet.latency.measure_probes import processor

    keras = import_extra("keras", "measuring latency")
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
        "processor": processor(),
        "threads": str(threads),
        "devices": devices,
        "float": keras.config.dtype_policy().name,
        "data format": keras.config.image_data_format(),
        **({} if engine == "keras" else {"engine": engine}),
    }
