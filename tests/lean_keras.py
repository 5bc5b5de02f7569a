"""Keras without what only training and saving need, for tests that build many networks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType, MethodType
from typing import Any
from unittest.mock import patch

import numpy as np
from support import without_weights

from keras_effnet.builder.initialization import draw_variance_scaling, paused_garbage_collection

# Types of attributes that hold neither weights nor layers.
PLAIN = (str, int, float, bool, tuple, type(None))

_signature = cache(inspect.signature)


@cache
def _bound_signature(function: Callable[..., Any]) -> inspect.Signature:
    found = _signature(function)
    return found.replace(parameters=list(found.parameters.values())[1:])


def _known_signature(function: Any, **options: Any) -> inspect.Signature:
    """That of a function that was asked for before: Keras asks for two with each layer."""
    if not options and isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        return _signature(function)
    if not options and isinstance(function, MethodType):
        return _bound_signature(function.__func__)
    return inspect.Signature.from_callable(function, **options)


@contextmanager
def lean_layers() -> Iterator[None]:
    """Inside, layers are built in half the time, and can be called, counted and saved in the formats of Keras.

    TensorFlow does not track them, so that it could not export them. NumPy draws kernels, from the distribution that
    the layer asks for.
    """
    import keras
    from keras.src.backend.tensorflow.trackable import KerasAutoTrackable

    set_attribute = keras.Layer.__setattr__
    generator = np.random.default_rng(0)

    def set_plain(layer: keras.Layer, name: str, value: Any) -> None:
        (object.__setattr__ if type(value) in PLAIN else set_attribute)(layer, name, value)

    def draw(self: Any, shape: tuple[int, ...], dtype: Any = None, **_: Any) -> Any:
        return keras.ops.convert_to_tensor(draw_variance_scaling(self, tuple(shape), generator), dtype=dtype)

    with (
        paused_garbage_collection(),
        patch.object(inspect, "signature", _known_signature),
        patch.object(KerasAutoTrackable, "__setattr__", object.__setattr__),
        patch.object(keras.Layer, "__setattr__", set_plain),
        patch.object(keras.initializers.VarianceScaling, "__call__", draw),
    ):
        yield


@contextmanager
def graphs_alone() -> Iterator[None]:
    """Inside, models are built in a third of the time, for tests of names, shapes, settings, wiring and counts.

    The layers check no inputs, have no values, and do nothing on a call but build and give the shape of their output.
    """
    import keras
    from keras.src.ops.node import Node

    def call(layer: keras.Layer, *tensors: Any, **options: Any) -> Any:
        first = tensors[0]
        if not layer.built:
            layer.build([each.shape for each in first] if isinstance(first, list) else first.shape)
        output = layer.compute_output_spec(*tensors, **options)
        Node(operation=layer, call_args=tensors, call_kwargs=options, outputs=output)
        return output

    with lean_layers(), without_weights(), patch.object(keras.Layer, "__call__", call):
        yield
