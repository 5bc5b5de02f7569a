"""The form in which a Keras model reads and returns its tensors: one alone, a list, or a dict."""

from __future__ import annotations

from typing import Any, Literal

import keras


def alone(tensors: list[Any]) -> Any:
    """One tensor instead of a list of one."""
    return tensors[0] if len(tensors) == 1 else tensors


def structured(tensors: list[Any], model: keras.Model, end: Literal["input", "output"] = "output") -> Any:
    """Tensors in the form in which a model reads or returns its own: one alone, a list, or a dict."""
    own = getattr(model, end) if isinstance(model, keras.Function) else None
    return keras.tree.pack_sequence_as(own, tensors) if isinstance(own, dict) else alone(tensors)


def with_outputs(model: keras.Model, outputs: Any, name: str | None = None) -> keras.Model:
    """A model that reads what another one reads, in the same form, and returns other tensors of its graph.

    A list of one input instead would have Keras warn at every call with an image.

    Args:
        model: the other model.
        outputs: one tensor, or a list or dict of them.
        name: name of the new model; the other one's by default.
    """
    return keras.Model(structured(list(model.inputs), model, "input"), outputs, name=name or model.name)
