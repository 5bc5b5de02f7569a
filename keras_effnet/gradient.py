"""Gradients on every Keras backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import BuildError


def value_and_gradient(function: Callable[[Any], Any], given: np.ndarray) -> tuple[float, np.ndarray]:
    """Evaluates a scalar function and its gradient with respect to its input.

    Args:
        function: maps a tensor to a scalar tensor, using `keras.ops` only; it must not change any variable.
        given: the input, an array of any shape.

    Returns:
        The value, and the gradient: a float32 array of the shape of `given`.

    Raises:
        BuildError: the backend does not compute gradients.

    Example:
        >>> value_and_gradient(lambda x: keras.ops.sum(x * x), np.array([1.0, 3.0], "float32"))
        (10.0, array([2., 6.], dtype=float32))
    """
    backend = keras.backend.backend()
    x: Any = keras.ops.convert_to_tensor(given)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        slope = tape.gradient(value, x)
    elif backend == "jax":
        import jax

        value, slope = jax.value_and_grad(function)(x)
    elif backend == "torch":
        import torch

        x.requires_grad_()
        with torch.enable_grad():
            value = function(x)
        [slope] = torch.autograd.grad(value, x)
    else:
        raise BuildError("gradients need Keras on TensorFlow, JAX or PyTorch.", received=f"backend {backend!r}")
    # NumPy has no bfloat16.
    found: Any = keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))
    return float(found), np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(slope, "float32")))
