"""Everything random in training, as a function of the seed.

The order of images and their augmentation follow from the seed, the epoch and the step (`data.rows`, `data.batches`).
What is left is seeded here: first weights, and dropout, the states of whose generators a checkpoint holds.
"""

from __future__ import annotations

import os
import random

import keras
import numpy as np


def seed_weights(seed: int) -> None:
    """Makes the first weights of the networks that are built next a function of a seed.

    All of them come from Python's generator: ours (`builder.initialization`), and the seeds of Keras' initializers and
    dropout. `keras.utils.set_random_seed` sets it to the same state, but also has TensorFlow forget every function that
    it has optimized, so that the next step of each network takes seconds again.

    Args:
        seed: a whole number, at least 0.

    Example:
        >>> from keras_effnet import build_model
        >>> sums = []
        >>> for seed in (1, 1, 2):
        ...     seed_weights(seed)
        ...     model = build_model("mobilenet_v1", classes=2, input_shape=(32, 32, 3))
        ...     sums.append(float(abs(model.get_weights()[0]).sum()))
        >>> sums[0] == sums[1], sums[0] == sums[2]
        (True, False)
    """
    random.seed(seed)


def seed_dropout(model: keras.Model, *seed: int) -> None:
    """Sets the random generator of every dropout layer of a model, each to a state of its own.

    Args:
        model: a model whose layers are layers, not models.
        seed: whole numbers, at least 0; the states are a function of them and of the layers' order.
    """
    generators = [layer.seed_generator for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    for index, generator in enumerate(generators):
        state = np.random.default_rng((*seed, index)).integers(2**32, size=2, dtype=np.uint32)
        generator.state.assign(state)


def set_determinism(deterministic: bool) -> None:
    """Makes every operation give the same bits in every run, where the backend has a choice.

    Args:
        deterministic: whether to; False changes nothing, and does not undo an earlier True.
    """
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    elif deterministic and keras.backend.backend() == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by PyTorch's notes on reproducibility
        torch.use_deterministic_algorithms(True)
