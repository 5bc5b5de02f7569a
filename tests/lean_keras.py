"""Keras without what only training and saving need, for tests that build many networks."""

from __future__ import annotations

import gc
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

# Types of attributes that hold neither weights nor layers.
PLAIN = (str, int, float, bool, tuple, type(None))

_signature = cache(inspect.signature)
_argument_names = cache(inspect.getfullargspec)


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


def make_keras_lean() -> None:
    """Lets Keras build layers in less time, for all tests of the process; does nothing before Keras is imported.

    TensorFlow no longer tracks what layers hold, which only its own SavedModels of Keras models need; Keras asks for
    the signature of a function once, and makes the optimizer's variables before it traces a step, which it otherwise
    traces twice.
    """
    layer_module = sys.modules.get("keras.src.layers.layer")
    if layer_module is None or hasattr(layer_module.inspect, "lean"):
        return
    # A million objects of the frameworks stay for good; each layer adds hundreds, and few are ever garbage.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    operation_module = sys.modules["keras.src.ops.operation"]
    known = {"signature": _known_signature, "getfullargspec": _argument_names, "lean": True}
    lean_inspect = SimpleNamespace(**{**vars(inspect), **known})
    layer_module.inspect = operation_module.inspect = lean_inspect  # pyright: ignore[reportAttributeAccessIssue]
    # TensorFlow asks of each value whether it keeps a protocol, and Python 3.11 then lists the protocol's members.
    for name in ("_get_protocol_attrs", "_is_callable_members_only"):
        if hasattr(typing, name):
            setattr(typing, name, cache(getattr(typing, name)))
    stack = sys.modules.get("tensorflow.python.util.tf_stack")
    if stack is not None:  # TensorFlow notes with each operation where in Python it was made
        anywhere = stack.extract_stack()
        stack.extract_stack = lambda stacklevel=1: anywhere  # pyright: ignore[reportAttributeAccessIssue]
    trackable = sys.modules.get("keras.src.backend.tensorflow.trackable")
    if trackable is not None:
        trackable.KerasAutoTrackable.__setattr__ = object.__setattr__
    trainer = sys.modules.get("keras.src.backend.tensorflow.trainer")
    if trainer is not None:
        make = trainer.TensorFlowTrainer.make_train_function

        def make_once(model: Any, force: bool = False) -> None:
            if model.optimizer is not None and model.built and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            make(model, force)

        trainer.TensorFlowTrainer.make_train_function = make_once
    layer_class: Any = layer_module.Layer
    set_attribute = layer_class.__setattr__

    def set_plain(layer: Any, name: str, value: Any) -> None:
        (object.__setattr__ if type(value) in PLAIN else set_attribute)(layer, name, value)

    layer_class.__setattr__ = set_plain


@contextmanager
def lean_layers() -> Iterator[None]:
    """Inside, NumPy draws kernels, from the distribution that the layer asks for, and nobody looks for garbage."""
    import keras

    from keras_effnet.builder.initialization import draw_variance_scaling, paused_garbage_collection

    generator = np.random.default_rng(0)

    def draw(self: Any, shape: tuple[int, ...], dtype: Any = None, **_: Any) -> Any:
        return keras.ops.convert_to_tensor(draw_variance_scaling(self, tuple(shape), generator), dtype=dtype)

    with paused_garbage_collection(), patch.object(keras.initializers.VarianceScaling, "__call__", draw):
        yield


@contextmanager
def graphs_alone() -> Iterator[None]:
    """Inside, models are built in a third of the time, for tests of names, shapes, settings, wiring and counts.

    The layers check no inputs, have no values, and do nothing on a call but build and give the shape of their output.
    """
    import keras
    from keras.src.ops.node import Node
    from support import without_weights

    def call(layer: keras.Layer, *tensors: Any, **options: Any) -> Any:
        first = tensors[0]
        if not layer.built:
            layer.build([each.shape for each in first] if isinstance(first, list) else first.shape)
        output = layer.compute_output_spec(*tensors, **options)
        Node(operation=layer, call_args=tensors, call_kwargs=options, outputs=output)
        return output

    with lean_layers(), without_weights(), patch.object(keras.Layer, "__call__", call):
        yield
