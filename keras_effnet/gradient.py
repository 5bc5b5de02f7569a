"""Gradients by what goes into a network, on every backend of Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_effnet.errors import BuildError


def input_gradient(model: keras.Model, given: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The gradient, by its input, of the sum of those outputs of a network that are chosen.

    Args:
        model: with one input and one output, as in inference.
        given: what goes in.
        chosen: what each output counts, of the output's shape. Rows do not know of each other, so that the gradient of
            the sum holds that of each.

    Returns:
        float32 array of the input's shape.

    Raises:
        BuildError: the backend has no gradients.
    """
    backend = keras.backend.backend()
    x: Any = keras.ops.convert_to_tensor(given)

    def total(scores: Any) -> Any:
        return keras.ops.sum(scores * keras.ops.convert_to_tensor(chosen, dtype=scores.dtype))

    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            score = total(model(x, training=False))
        found = tape.gradient(score, x)
    elif backend == "jax":
        import jax

        state = [[each.value for each in part] for part in (model.trainable_variables, model.non_trainable_variables)]
        found = jax.grad(lambda x: total(model.stateless_call(*state, x, training=False)[0]))(x)
    elif backend == "torch":
        import torch

        x.requires_grad_()
        with torch.enable_grad():
            score = total(model(x, training=False))
        [found] = torch.autograd.grad(score, x)
    else:
        raise BuildError(f"gradients need Keras on TensorFlow, JAX or PyTorch. Received: backend {backend!r}")
    return np.asarray(keras.ops.convert_to_numpy(found), np.float32)
