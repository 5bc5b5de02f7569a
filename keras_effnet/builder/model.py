"""Building: a finished spec becomes a flat keras.Model of stock layers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras

from keras_effnet.builder.build_arguments import (
    IMAGENET_CLASSES,
    check_spec_memory,
    check_weights_arguments,
    image_shape,
)
from keras_effnet.builder.embedded_spec import EMBEDDED_LAYER, EmbeddedSpec, embed_spec
from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.builder.layer_names import names_in_front, numbered_names
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.checks import check_name
from keras_effnet.errors import BuildError
from keras_effnet.network import Network, record_network
from keras_effnet.reading.model_form import alone
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.load import load_source
from keras_effnet.weights.load_target import LoadTarget
from keras_effnet.weights.locate import locate_weights


def build_model(
    spec: BackboneSpec | str,
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_tensor: Any = None,
    input_shape: tuple[int | None, ...] | None = None,
    pooling: str | None = None,
    classes: int = IMAGENET_CLASSES,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    name: str | None = None,
    memory_limit: float | None = None,
    features: Sequence[str] | None = None,
    output_stride: int | None = None,
) -> keras.Model:
    """Builds a spec as it is: a flat functional model of stock Keras layers, whose graph does not depend on `weights`.

    Args:
        spec: a backbone, or the name of a registered one.
        include_top: whether the classifier follows the features.
        weights: None (random values, repeatable with `keras.utils.set_random_seed`), "imagenet" (Keras' own file, for
            the architectures that have one), or the path of a weight file: Keras', timm's (`.safetensors`) or a
            released TensorFlow checkpoint of EfficientNet; `keras_effnet.load_weights` says more.
        input_tensor: Keras tensor to build on; the model then starts where that tensor's graph starts. Layers there
            keep their names and weights: one of the network with the same name gets a number, and files are loaded
            into the network alone.
        input_shape: shape of one image in Keras' image data format: (height, width, channels) with any number of
            channels, None for a side that may vary. By default (resolution, resolution, 3); without the top
            (None, None, 3).
        pooling: how features are pooled without the top: None (a feature map), "avg" or "max" (a vector).
        classes: number of classes of the classifier, at least 1; 1000 with ImageNet weights and top.
        classifier_activation: activation of the class scores; None gives logits. With weights, softmax or None.
        name: name of the model; the spec's by default.
        memory_limit: number of bytes that the model may take; by default the memory that is free. `float("inf")`
            lifts the limit.
        features: names of levels, such as "P3" (the map whose cells lie 2**3 pixels apart), that the model returns in
            place of what `include_top` and `pooling` ask for; nothing is built behind the last of them. None for one
            output at the end. `keras_effnet.feature_extractor` says more.
        output_stride: pixels from one cell of the coarsest map to the next, 8, 16 or 32: strides beyond it become 1,
            and windows behind them are dilated, for the same weights. None for the spec's own strides.

    Returns:
        The model; with `features` its output is a dict of maps, by the names of their levels.

    Raises:
        BuildError: no model can be built from an argument.
        ModelTooLargeError: weights and layers would not fit in memory; nothing was allocated.
        RegistryError: an unknown name.
        WeightsError: the weights are missing, broken or of another architecture.

    Example:
        >>> from keras_effnet import build_model, scale_spec
        >>> model = build_model(scale_spec("mobilenet_v2", phi=-1), classes=10)
        >>> model.output_shape
        (None, 10)
    """
    spec = resolve_backbone(spec)
    if name is not None:
        check_name(BuildError, "name", name)
    include_top = include_top and features is None
    shape = image_shape(spec, include_top, input_tensor, input_shape)
    weights = os.fspath(weights) if isinstance(weights, os.PathLike) else weights
    check_weights_arguments(spec, weights, include_top, classes, classifier_activation, shape)
    ends: Any = {"pooling": pooling, "features": features, "output_stride": output_stride}  # checked there
    embedded = EmbeddedSpec(spec, include_top, classes=classes, **ends)
    # Counted and found before the model is built: what cannot be costs no time.
    first = keras.config.image_data_format() == "channels_first"
    channels = int(shape[0 if first else 2] or 0)
    check_spec_memory(embedded, channels or 1, memory_limit)
    source = None if weights is None else locate_weights(spec, weights, include_top)
    record = partial(
        record_network,
        spec,
        channels=channels,
        size=shape[1:] if first else shape[:2],  # pyright: ignore[reportArgumentType] - image_shape has two sides
        include_top=include_top,
        pooling=pooling,  # pyright: ignore[reportArgumentType] - record_network checks it
        classes=classes,
        classifier_activation=classifier_activation,
        output_stride=output_stride,
    )
    network = record(features=embedded.features)
    # Files hold all of a network: what stands behind the levels is built to be loaded, and dropped.
    whole = network if features is None or source is None else record()
    names = numbered_names(whole, names_in_front(input_tensor))
    layers = KerasLayers(spec.initializer, names)
    with paused_garbage_collection(), deep_recursion():
        pixels = keras.Input(shape) if input_tensor is None else input_tensor
        image = embed_spec(pixels, embedded, names.get(EMBEDDED_LAYER, EMBEDDED_LAYER))
        *maps, end = _with_outputs(whole, [node.name for node in network.outputs]).run(layers, image)
        output = end if embedded.features is None else dict(zip(embedded.features, maps, strict=True))
        inputs = pixels if input_tensor is None else alone(keras.utils.get_source_inputs(input_tensor))
        model = _graph(inputs, output, name=spec.name if name is None else name)
    if source is not None:
        holders = [model] if whole is network else [model, _graph(inputs, end, name=model.name)]
        targets = [
            target for each in holders for target in (LoadTarget.whole(each), LoadTarget.part(each, layers.made))
        ]
        load_source(targets, source, spec=spec)
    return model


def _with_outputs(network: Network, names: list[str]) -> Network:
    """The network with what some nodes make as outputs, before its own."""
    found = {node.name: node for node in network.nodes}
    return replace(network, outputs=(*(found[name] for name in names), *network.outputs[-1:]))


def _graph(inputs: Any, output: Any, name: str) -> keras.Model:
    try:
        return keras.Model(inputs, output, name=name)
    except ValueError as error:
        raise BuildError(
            f"the layers cannot be joined to a model: {error} Blocks build their layer names from their placement, "
            "and each ConvBlock has `names` of its own.",
            received=f"name={name!r}",
        ) from error
