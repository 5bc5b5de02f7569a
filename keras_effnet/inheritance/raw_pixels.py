"""Pixels as they are: preprocessing moves from the caller into the model, so that nobody can forget or repeat it.

What `preprocess_input` does in each mode is from keras/src/applications/imagenet_utils.py, `_preprocess_numpy_input`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import note_like
from keras_effnet.builder.model import build_model
from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.embedded_network import find_network, known_spec
from keras_effnet.spec import BackboneSpec, Preprocessing
from keras_effnet.weights.tensors import layer_weights

_TORCH_STD = (0.229, 0.224, 0.225)
IN_MODEL = {
    "tf": Preprocessing(scale=1 / 127.5, offset=-1.0),
    "torch": Preprocessing(
        scale=1 / 255, mean=(0.485, 0.456, 0.406), variance=tuple(deviation**2 for deviation in _TORCH_STD)
    ),
    # Of RGB here; the mode itself turns the channels round first, which the stem's kernel does instead.
    "caffe": Preprocessing(mean=(123.68, 116.779, 103.939), variance=(1.0, 1.0, 1.0)),
}


def raw_spec(spec: BackboneSpec) -> BackboneSpec:
    """The spec of a network that takes pixels from 0 to 255 and does the rest itself."""
    mode = spec.preprocessing.mode
    return spec if mode == "none" else replace(spec, preprocessing=IN_MODEL[mode])


def take_raw_pixels(model: keras.Model) -> keras.Model:
    """A model that computes from pixels what the given one computes from preprocessed ones.

    Args:
        model: a model that carries its spec or is a registered backbone, for images of three channels; layers behind
            the network go along.

    Returns:
        The same model if it takes pixels already, else a new one with the same weights.

    Raises:
        BuildError: the model carries no spec, and is no registered backbone.
        InheritanceError: the model is not what its spec says, or has layers in front of its network, which may
            preprocess pixels or not.
    """
    known = known_spec(model).spec
    if raw_spec(known) == known:
        return model
    found = find_network(model)
    embedded, spec = found.embedded, raw_spec(known)
    if found.front:
        raise InheritanceError(
            f"the network of {model.name!r} expects pixels in mode {embedded.spec.preprocessing.mode!r}; the layers "
            "in front of it may or may not preprocess them. Cut them off, or let the network preprocess by itself.",
            received=f"{', '.join(map(repr, found.front))} in front of the network",
        )
    build = partial(
        build_model,
        spec,
        classifier_activation=found.activation,
        name=model.name,
        **embedded.ending,
    )
    raw = found.rebuild(build, tuple(found.model.inputs[0].shape[1:]), model.name)
    weighted = [layer for layer in raw.layers if layer_weights(layer) and layer.name in found.names]
    for layer in weighted:
        layer.set_weights(found.read(layer.name))
    if embedded.spec.preprocessing.mode == "caffe":
        stem = weighted[0]
        kernel, *others = stem.get_weights()
        stem.set_weights([np.ascontiguousarray(kernel[:, :, ::-1]), *others])
    note_like(raw, embedded)
    return raw
