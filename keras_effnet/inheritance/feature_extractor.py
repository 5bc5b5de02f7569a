"""`feature_extractor`: a network that returns its feature maps, with the weights that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any

import keras

from keras_effnet.builder.embedded_spec import note_images
from keras_effnet.builder.model import build_model
from keras_effnet.errors import BuildError, InheritanceError
from keras_effnet.feature_maps import all_levels, check_there, chosen_levels, graph_levels
from keras_effnet.inheritance.dilated_graph import dilate_model
from keras_effnet.inheritance.embedded_network import EmbeddedNetwork, find_network, known_network
from keras_effnet.reading.graph import finalize, has_graph, unfolded
from keras_effnet.reading.model_form import with_outputs
from keras_effnet.reading.read_model import read_layers, some_images
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec


def feature_extractor(
    model: keras.Model | BackboneSpec | str,
    levels: Sequence[str] | None = None,
    *,
    strides: Sequence[int] | None = None,
    output_stride: int | None = None,
    weights: str | PathLike[str] | None = None,
    **arguments: Any,
) -> keras.Model:
    """Makes a network return its feature maps: one output for each level, for detection and segmentation.

    A level is what the last block of a resolution makes: before a head convolution, before pooling, and before any
    normalisation that belongs to the next block. The cells of level P3 lie 2**3 pixels apart. `feature_levels` gives
    names, strides and channels without building.

    With `output_stride` strides beyond it become 1 and windows behind them are dilated (arXiv:1606.00915, section 3.1):
    the weights stay the same, and at every cell that was there before the map has the same values, except where
    squeeze-and-excitation takes the mean of more cells.

    Args:
        model: a backbone, the name of a registered one, or a functional or Sequential model. Of a model built here, or
            of a registered backbone, the network keeps its weights, layers of your own in front of it go along, and
            what stands behind it, such as the classifier, is left out. It stays as it is. Any other model is read from
            its graph: its own layers, with their weights, return what they make before the resolution changes.
        levels: names of the levels, such as ("P3", "P4", "P5"); None for all that there are.
        strides: in place of `levels`: their strides in pixels, powers of two from 2, before `output_stride`.
        output_stride: pixels from one cell of the coarsest map to the next: 8, 16 or 32. None for the spec's own
            strides, or for those of the model.
        weights: weights for a backbone, as in `build_model`: None, "imagenet" or the path of a file, which holds the
            whole network or this extractor.
        **arguments: more arguments of `build_model`: `input_shape`, `input_tensor` (for a backbone), `name`,
            `memory_limit`.

    Returns:
        A flat functional model of stock layers, uncompiled. Its output is a dict of maps by the names of their levels.
        `grow_model` and `scale_model` take it.

    Raises:
        BuildError: a level that the network does not have, `levels` and `strides`, another `output_stride`, `weights`
            for a model that has its own, or arguments that need a spec for a model without one.
        InheritanceError: the model has no graph, or is cut off before a level.
        RegistryError, ModelTooLargeError, WeightsError: as `build_model`.

    Example:
        >>> from keras_effnet import build_model, scale_spec
        >>> trained = build_model(scale_spec("mobilenet_v2", phi=-3), classes=5)
        >>> extractor = feature_extractor(trained, ("P3", "P5"), input_shape=(64, 96, 3))
        >>> {name: tuple(made.shape) for name, made in extractor.output.items()}
        {'P3': (None, 8, 12, 24), 'P5': (None, 2, 3, 240)}
    """
    names = chosen_levels(levels, strides)
    if not isinstance(model, keras.Model):
        spec = resolve_backbone(model)
        names = all_levels(spec) if names is None else names
        return build_model(spec, weights=weights, features=names, output_stride=output_stride, **arguments)
    if weights is not None:
        raise BuildError("a model has its weights: leave `weights` out.", received=f"weights={weights!r}")
    found = known_network(model)
    if found is None:
        return _from_graph(model, names, output_stride, arguments)
    changes: dict[str, Any] = {"features": names or found.embedded.features or all_levels(found.embedded.spec)}
    changes |= {} if output_stride is None else {"output_stride": output_stride}
    return _with_levels(found, {**found.embedded.ending, "include_top": False, "pooling": None, **changes}, arguments)


def _with_levels(found: EmbeddedNetwork, ending: dict[str, Any], arguments: dict[str, Any]) -> keras.Model:
    """The network of a model with other outputs and the same weights."""
    shape = tuple(arguments.pop("input_shape", None) or found.model.input_shape[1:])
    name = arguments.get("name") or found.model.name
    core = partial(build_model, found.embedded.spec, **ending, **arguments)
    made = replace(found, behind=()).rebuild(core, shape, name)
    trained, layers = found.layers, find_network(made).layers
    missing = [name for name, layer in layers.items() if layer.weights and name not in trained]
    if missing:
        raise InheritanceError(
            f"{found.model.name!r} ends at level {(found.embedded.features or ('',))[-1]}, and has no weights for what "
            "comes behind. Take levels up to there, or a model of the whole network.",
            received=", ".join(ending["features"]),
        )
    for name, layer in layers.items():
        if layer.weights:
            layer.set_weights(trained[name].get_weights())
            finalize(layer)
    note_images(made, resize=found.embedded.resize, bits=found.embedded.bits)
    return made


def _from_graph(
    model: keras.Model, names: tuple[str, ...] | None, output_stride: int | None, arguments: dict[str, Any]
) -> keras.Model:
    """The layers of a model without a spec, with other outputs."""
    name = arguments.pop("name", None) or model.name
    given = {key: value for key, value in arguments.items() if value is not None}
    if given:
        raise BuildError(
            f"{', '.join(map(repr, given))} need the spec of a network, which this model does not carry: leave them "
            "out.",
            received=f"{model.name!r} with {given}",
        )
    model = unfolded(model, has_graph)
    read = read_layers(model)
    found = graph_levels(read.network, some_images(read))
    names = check_there(name, found, names)
    if output_stride is not None:
        return dilate_model(read, output_stride, {each: found[each] for each in names}, name)
    tensors = {node: key for key, node in read.nodes.items()}
    outputs = {each: read.graph.tensors[tensors[found[each]]] for each in names}
    return with_outputs(model, outputs, name)
