"""Where training runs: one device, several of one machine, or several processes on one or many hosts.

Several devices of one TensorFlow host use `tf.distribute.MirroredStrategy`. Several processes use `keras.distribution`
on the JAX backend, each with its share of every batch. (`MultiWorkerMirroredStrategy` fails in Keras 3's `fit`.) The
first of several processes writes the files, and sends the others what they need of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_effnet.checks import check_int, store_plain
from keras_effnet.errors import TrainingError


@dataclass(frozen=True)
class Distribution:
    """Where training runs.

    Args:
        devices: number of this host's devices that share each batch, at least 1: TensorFlow's GPUs, or its logical
            CPUs if there are none.
        address: "host:port" of the first process, which the others can reach; None for a single process.
        processes: number of processes on all hosts together, at least 1.
        rank: number of this process, from 0 to `processes - 1`.

    Raises:
        TrainingError: a value is out of range, or the backend cannot do it.
    """

    devices: int = 1
    address: str | None = None
    processes: int = 1
    rank: int = 0

    def __post_init__(self) -> None:
        store_plain(self)
        check_int(TrainingError, "devices", self.devices, 1)
        check_int(TrainingError, "processes", self.processes, 1)
        check_int(TrainingError, "rank", self.rank, 0, self.processes - 1)
        if (self.processes > 1) != (self.address is not None):
            raise TrainingError(
                "several processes need the address of the first one, and a single process needs none.",
                received=f"processes={self.processes}, address={self.address!r}",
            )
        backend = keras.backend.backend()
        if self.processes > 1 and (backend != "jax" or self.devices > 1):
            raise TrainingError(
                "several processes train on the JAX backend, one device each: set KERAS_BACKEND=jax.",
                received=f"processes={self.processes}, devices={self.devices} on {backend}",
            )
        if self.devices > 1 and backend != "tensorflow":
            raise TrainingError(
                "several devices of one process train on the TensorFlow backend; on JAX start one process for each.",
                received=f"devices={self.devices} on {backend}",
            )

    @property
    def shard(self) -> tuple[int, int]:
        """The part of each batch that this process reads: `(rank, processes)`."""
        return self.rank, self.processes

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def start(self) -> None:
        """Finds the devices and joins the other processes, waiting until all are there. Call it before any computation.

        Raises:
            TrainingError: there are too few devices, or the processes cannot reach each other.
        """
        if self.devices > 1:
            _tensorflow_devices(self.devices)
        if self.address is None:
            return
        import jax

        # JAX needs it to connect processes on CPUs.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        try:
            keras.distribution.initialize(self.address, self.processes, self.rank)
        except RuntimeError as error:
            raise TrainingError(
                f"the processes cannot reach each other: {error}. Start all of them with the same address, and each "
                "with a rank of its own.",
                received=f"address={self.address!r}, rank={self.rank}",
            ) from error

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which models are made and trained on all devices and processes."""
        if self.processes > 1:
            return keras.distribution.DataParallel(devices=_one_each(), auto_shard_dataset=False).scope()
        if self.devices > 1:
            import tensorflow

            return tensorflow.distribute.MirroredStrategy(_tensorflow_devices(self.devices)).scope()
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Context in which this process computes by itself, even inside `scope`."""
        distribution = keras.distribution.distribution() if self.processes > 1 else None
        if distribution is not None:
            keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            if distribution is not None:
                keras.distribution.set_distribution(distribution)

    def share(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Returns the first process's arrays in all processes; theirs must have the same shapes and types."""
        if self.processes == 1:
            return arrays
        from jax.experimental import multihost_utils

        return [np.asarray(multihost_utils.broadcast_one_to_all(array)) for array in arrays]

    def share_text(self, text: str) -> str:
        """Returns the first process's text in all processes."""
        if self.processes == 1:
            return text
        content = np.frombuffer(text.encode(), np.uint8)
        size = int(self.share([np.array(len(content), np.int32)])[0])
        if not self.is_first:
            content = np.zeros(size, np.uint8)
        return self.share([content])[0].tobytes().decode()

    def wait(self, name: str) -> None:
        """Waits until all processes have called it with the same name."""
        if self.processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(name)


def _one_each() -> list[Any]:
    """The first device of each process."""
    import jax

    devices = jax.devices()
    return [next(device for device in devices if device.process_index == rank) for rank in range(jax.process_count())]


def _tensorflow_devices(count: int) -> list[str]:
    import tensorflow

    kinds = {kind: tensorflow.config.list_physical_devices(kind) for kind in ("GPU", "CPU")}
    kind = "GPU" if kinds["GPU"] else "CPU"
    if kind == "CPU":
        with contextlib.suppress(RuntimeError):  # already split; the count below tells whether into enough
            logical = [tensorflow.config.LogicalDeviceConfiguration()] * count
            tensorflow.config.set_logical_device_configuration(kinds["CPU"][0], logical)
    found = tensorflow.config.list_logical_devices(kind)
    if len(found) < count:
        raise TrainingError(
            f"`devices` must be at most what this machine has, {len(found)} of kind {kind}.",
            received=f"devices={count}",
        )
    return [f"{kind}:{number}" for number in range(count)]


def lost_a_process(error: BaseException) -> bool:
    """Whether a backend's error means that another process is gone."""
    text = str(error).lower()
    return any(sign in text for sign in ("gloo", "connection closed by peer", "connection reset", "coordination"))
