"""The form in which a Keras model reads and returns its tensors: one alone, a list, or a dict."""

from __future__ import annotations

from typing import Any, Literal

import keras

from keras_effnet.tensor_names import unique_names

End = Literal["input", "output"]


def alone(tensors: list[Any]) -> Any:
    """One tensor instead of a list of one."""
    return tensors[0] if len(tensors) == 1 else tensors


def structured(tensors: list[Any], model: keras.Model, end: End = "output") -> Any:
    """Tensors in the form in which a model reads or returns its own: one alone, a list, or a dict."""
    own = getattr(model, end) if isinstance(model, keras.Function) else None
    nested = isinstance(own, list | tuple) and not all(isinstance(each, keras.KerasTensor) for each in own)
    return keras.tree.pack_sequence_as(own, tensors) if isinstance(own, dict) or nested else alone(tensors)


def in_form(model: keras.Model, inputs: list[Any], outputs: list[Any]) -> keras.Model:
    """A model of other tensors, of the name of another one, which reads and returns them in the same form.

    Args:
        model: the other model.
        inputs: the new inputs, in the order of the other model's.
        outputs: the new outputs, likewise.
    """
    return keras.Model(structured(inputs, model, "input"), structured(outputs, model), name=model.name)


def names_of_tensors(model: keras.Model, end: End) -> tuple[str, ...]:
    """A name for each input or output of a model, in the model's order.

    Args:
        model: the model.
        end: which of them.

    Returns:
        The keys where the model reads or returns a dict, else the names of the layers; each once, with a number behind
        it where another one has it.

    Example:
        >>> image = keras.Input((4,), name="image")
        >>> scores = keras.layers.Dense(2, name="dense")(image)
        >>> names_of_tensors(keras.Model(image, {"scores": scores, "copy": image}), "output")
        ('copy', 'scores')
    """
    tensors = model.inputs if end == "input" else model.outputs
    own = getattr(model, end) if isinstance(model, keras.Function) else None
    if isinstance(own, dict) and len(own) == len(tensors):
        return tuple(map(str, sorted(own)))  # as Keras orders them
    return unique_names(tensor._keras_history.operation.name for tensor in tensors)


def with_outputs(model: keras.Model, outputs: Any, name: str | None = None) -> keras.Model:
    """A model that reads what another one reads, in the same form, and returns other tensors of its graph.

    A list of one input instead would have Keras warn at every call with an image.

    Args:
        model: the other model.
        outputs: one tensor, or a list or dict of them.
        name: name of the new model; the other one's by default.
    """
    return keras.Model(structured(list(model.inputs), model, "input"), outputs, name=name or model.name)
