"""Building: a finished spec becomes a flat keras.Model of stock layers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import keras

from keras_effnet.builder.build_arguments import IMAGENET_CLASSES, check_memory, check_weights_arguments, image_shape
from keras_effnet.builder.embedded_spec import EMBEDDED_LAYER, EmbeddedSpec, embed_spec
from keras_effnet.builder.initialization import deep_recursion, paused_garbage_collection
from keras_effnet.builder.layer_names import names_in_front, numbered_names
from keras_effnet.builder.layers import KerasLayers
from keras_effnet.errors import BuildError
from keras_effnet.network import record_network
from keras_effnet.reading.graph import alone
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
        memory_limit: number of bytes that the weights may take; by default the memory that is free. `float("inf")`
            lifts the limit.

    Returns:
        The model.

    Raises:
        BuildError: no model can be built from an argument.
        ModelTooLargeError: the weights would not fit in memory; nothing was allocated.
        RegistryError: an unknown name.
        WeightsError: the weights are missing, broken or of another architecture.

    Example:
        >>> from keras_effnet import build_model, scale_spec
        >>> model = build_model(scale_spec("mobilenet_v2", phi=-1), classes=10)
        >>> model.output_shape
        (None, 10)
    """
    spec = resolve_backbone(spec)
    shape = image_shape(spec, include_top, input_tensor, input_shape)
    weights = os.fspath(weights) if isinstance(weights, os.PathLike) else weights
    check_weights_arguments(spec, weights, include_top, classes, classifier_activation, shape)
    check_memory(spec, shape, include_top, classes, memory_limit)
    # Found before the model is built: a missing file costs no time.
    source = None if weights is None else locate_weights(spec, weights, include_top)
    first = keras.config.image_data_format() == "channels_first"
    network = record_network(
        spec,
        channels=int(shape[0 if first else 2] or 0),
        size=shape[1:] if first else shape[:2],  # pyright: ignore[reportArgumentType] - picture_shape has two sides
        include_top=include_top,
        pooling=pooling,  # pyright: ignore[reportArgumentType] - record_network checks it
        classes=classes,
        classifier_activation=classifier_activation,
    )
    names = numbered_names(network, names_in_front(input_tensor))
    layers = KerasLayers(spec.initializer, names)
    with paused_garbage_collection(), deep_recursion():
        pixels = keras.Input(shape) if input_tensor is None else input_tensor
        embedded = EmbeddedSpec(spec, include_top, pooling, classes)  # pyright: ignore[reportArgumentType]
        image = embed_spec(pixels, embedded, names.get(EMBEDDED_LAYER, EMBEDDED_LAYER))
        [output] = network.run(layers, image)
        inputs = pixels if input_tensor is None else alone(keras.utils.get_source_inputs(input_tensor))
        model = _graph(inputs, output, name=spec.name if name is None else name)
    if source is not None:
        load_source([LoadTarget.whole(model), LoadTarget.part(model, layers.made)], source, spec=spec)
    return model


def _graph(inputs: Any, output: Any, name: str) -> keras.Model:
    try:
        return keras.Model(inputs, output, name=name)
    except ValueError as error:
        raise BuildError(
            f"the layers cannot be joined to a model: {error} Blocks build their layer names from their placement, "
            "and each ConvBlock has `names` of its own.",
            received=f"name={name!r}",
        ) from error
