"""How augmentation chooses, repeats and draws in each framework: the little that Keras' layers leave to it.

TensorFlow is used where it is installed, whichever backend Keras uses, so that the same seed gives the same images on
all of them. Where it is not, the backend itself does the work, and the same seed gives the same images on that backend.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

logger = logging.getLogger(__name__)

# Only one thread runs an augmenter's Python at a time: its draws count on, and keras-cv changes a global of its own.
# What was traced runs in all of them.
_PYTHON = threading.Lock()

Run = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class ArrayFlow(Protocol):
    """What a framework must do for augmentation. A seed is an array of two integers of 32 bits."""

    def compiled(self, function: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Run:
        """`function` of images, labels and a seed, as a function of NumPy arrays that several threads may call."""
        ...

    def fold_in(self, seed: Any, data: Any) -> Any:
        """A new seed derived from `seed` and the integer `data`."""
        ...

    def uniform(self, seed: Any, shape: Any, low: Any, high: Any, dtype: Any) -> Any:
        """Random numbers of `[low, high)`."""
        ...

    def choose(self, index: Any, branches: Sequence[Callable[[], Any]]) -> Any:
        """The value of one of `branches`, and only that one is computed."""
        ...

    def each(self, function: Callable[[Any, Any], Any], images: Any) -> Any:
        """`function` of each image and its place in the batch."""
        ...

    def clip(self, images: Any) -> Any:
        """Images within 0..255."""
        ...

    def histogram(self, values: Any, length: int) -> Any:
        """The number of each of `0..length - 1` among `values`."""
        ...


class TensorFlowFlow:
    """Traced as a function of TensorFlow, and run on the CPU."""

    def __init__(self) -> None:
        import tensorflow as tf

        self._tf = tf

    def leave_gpu(self) -> None:
        """Leaves the GPU to Keras' backend: TensorFlow would otherwise take the memory that the backend needs."""
        try:
            self._tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            logger.warning("TensorFlow has already reserved GPU memory, which augmentation does not need")

    def compiled(self, function: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Run:
        tf = self._tf

        def on_cpu(*batch: Any) -> tuple[Any, Any]:
            with tf.device("/CPU:0"):  # operations on single small images are too little work for a GPU
                return function(*batch)

        traced = tf.function(on_cpu)

        def run(*batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            tensors = [tf.constant(array) for array in batch]
            with _PYTHON:
                concrete = traced.get_concrete_function(*tensors)
            images, labels = concrete(*tensors)
            return images.numpy(), labels.numpy()

        return run

    def fold_in(self, seed: Any, data: Any) -> Any:
        return self._tf.random.fold_in(seed, data)

    def uniform(self, seed: Any, shape: Any, low: Any, high: Any, dtype: Any) -> Any:
        return self._tf.random.stateless_uniform(shape, seed, low, high, dtype)

    def choose(self, index: Any, branches: Sequence[Callable[[], Any]]) -> Any:
        return self._tf.switch_case(index, list(branches))

    def each(self, function: Callable[[Any, Any], Any], images: Any) -> Any:
        tf = self._tf
        places, shape = tf.range(images.shape[0]), images.shape[1:]

        def with_shape(pair: tuple[Any, Any]) -> Any:
            return tf.ensure_shape(function(*pair), shape)

        return tf.map_fn(with_shape, (images, places), fn_output_signature=tf.float32)

    def clip(self, images: Any) -> Any:
        return self._tf.clip_by_value(images, 0.0, 255.0)

    def histogram(self, values: Any, length: int) -> Any:
        tf = self._tf
        return tf.math.bincount(tf.cast(tf.reshape(values, [-1]), "int32"), minlength=length, maxlength=length)


class JaxFlow:
    """Compiled by JAX for the CPU."""

    def __init__(self) -> None:
        import jax

        self._jax = jax

    def compiled(self, function: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Run:
        jax = self._jax
        traced = jax.jit(function)
        known: dict[Any, Any] = {}

        def run(*batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            shapes = tuple(array.shape for array in batch)
            with jax.default_device(jax.devices("cpu")[0]):
                with _PYTHON:
                    if shapes not in known:
                        known[shapes] = traced.lower(*batch).compile()
                images, labels = known[shapes](*batch)
            return np.asarray(images), np.asarray(labels)

        return run

    def fold_in(self, seed: Any, data: Any) -> Any:
        # Taken as bits: places count from -1.
        return self._jax.random.fold_in(seed.astype("uint32"), self._jax.numpy.asarray(data, "int32").view("uint32"))

    def uniform(self, seed: Any, shape: Any, low: Any, high: Any, dtype: Any) -> Any:
        draw = self._jax.random.randint if np.dtype(dtype).kind == "i" else self._jax.random.uniform
        return draw(seed, shape, minval=low, maxval=high, dtype=dtype)

    def choose(self, index: Any, branches: Sequence[Callable[[], Any]]) -> Any:
        return self._jax.lax.switch(index, list(branches))

    def each(self, function: Callable[[Any, Any], Any], images: Any) -> Any:
        places = self._jax.numpy.arange(images.shape[0])
        return self._jax.lax.map(lambda pair: function(*pair), (images, places))

    def clip(self, images: Any) -> Any:
        return self._jax.numpy.clip(images, 0.0, 255.0)

    def histogram(self, values: Any, length: int) -> Any:
        return self._jax.numpy.bincount(values.reshape(-1).astype("int32"), length=length)


class TorchFlow:
    """Run by PyTorch, operation by operation, on the CPU."""

    def __init__(self) -> None:
        import torch

        self._torch = torch

    def compiled(self, function: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Run:
        import keras

        def run(*batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            images, labels, seed = batch
            with _PYTHON, self._torch.no_grad(), keras.device("cpu"):
                changed = function(self._torch.tensor(images), self._torch.tensor(labels), seed)
            return changed[0].numpy(), changed[1].numpy()

        return run

    def fold_in(self, seed: Any, data: Any) -> Any:
        # Taken as bits: places count from -1, and SeedSequence takes no negative number.
        words = np.asarray([*seed, data], np.int64).astype(np.uint32)
        return np.random.SeedSequence([int(word) for word in words]).generate_state(2).astype(np.int64)

    def uniform(self, seed: Any, shape: Any, low: Any, high: Any, dtype: Any) -> Any:
        drawn = np.random.Generator(np.random.Philox([int(word) for word in seed])).random(shape) * (high - low) + low
        return self._torch.tensor(drawn).to(getattr(self._torch, np.dtype(dtype).name))

    def choose(self, index: Any, branches: Sequence[Callable[[], Any]]) -> Any:
        return branches[int(index)]()

    def each(self, function: Callable[[Any, Any], Any], images: Any) -> Any:
        return self._torch.stack([function(image, place) for place, image in enumerate(images)])

    def clip(self, images: Any) -> Any:
        return self._torch.clip(images, 0.0, 255.0)

    def histogram(self, values: Any, length: int) -> Any:
        return self._torch.bincount(values.reshape(-1).long(), minlength=length)
