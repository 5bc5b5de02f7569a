"""Checks of what `build_model` is given, before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import psutil

from keras_effnet.builder.embedded_spec import EmbeddedSpec
from keras_effnet.checks import check_int, plain
from keras_effnet.cost import FLOAT32_BYTES, Cost, count_network
from keras_effnet.counting import Shape
from keras_effnet.errors import BuildError, ModelTooLargeError
from keras_effnet.network import Network, record_network
from keras_effnet.spec import BackboneSpec

IMAGENET_CLASSES = 1000
# What Keras and TensorFlow keep of a layer besides its numbers: 35 to 76 kB on networks of 100 and 400 thin blocks, by
# the growth of the process while they were built.
LAYER_BYTES = 60_000

InputShape = tuple[int | None, ...]


def image_shape(spec: BackboneSpec, include_top: bool, input_tensor: Any, input_shape: Any) -> InputShape:
    """The shape of one image in Keras' image data format, with its number of channels known.

    Raises:
        BuildError: the shape has not three entries, a side is below the total stride, the channels are unknown, or
            `input_tensor` is not a Keras tensor of `input_shape`.
    """
    first = keras.config.image_data_format() == "channels_first"
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise BuildError(
                "`input_tensor` must be a Keras tensor, such as keras.Input((224, 224, 3)) or a layer's output.",
                received=f"input_tensor={input_tensor!r}",
            )
        found = tuple(input_tensor.shape[1:])
        if input_shape is not None and tuple(input_shape) != found:
            raise BuildError(
                "`input_shape` must be that of `input_tensor`, or be left out.",
                received=f"input_shape={input_shape!r}, input_tensor.shape={input_tensor.shape}",
            )
        input_shape = found
    if input_shape is None:
        side = spec.resolution if include_top else None
        input_shape = (3, side, side) if first else (side, side, 3)
    layout = "(channels, height, width)" if first else "(height, width, channels)"
    input_shape = plain(input_shape)
    if not isinstance(input_shape, tuple) or len(input_shape) != 3:
        raise BuildError(f"`input_shape` must be {layout} of one image.", received=f"input_shape={input_shape!r}")
    shape = input_shape
    channels, sides = (shape[0], shape[1:]) if first else (shape[2], shape[:2])
    check_int(BuildError, "channels of input_shape", channels, 1)
    for side in sides:
        if side is not None:
            # Smaller images would leave the last stage without a single cell.
            check_int(BuildError, "sides of input_shape", side, spec.total_stride)
    return shape


def check_weights_arguments(
    spec: BackboneSpec,
    weights: Any,
    include_top: bool,
    classes: int,
    classifier_activation: str | Callable[..., Any] | None,
    shape: InputShape,
) -> None:
    """Keras' own rules for pretrained weights.

    Raises:
        BuildError: `classes`, the shape or the activation clash with the weights, or `weights` is not a word.
    """
    if weights is None:
        return
    if not isinstance(weights, str):
        weights = getattr(weights, "__fspath__", lambda: None)()
    if not isinstance(weights, str):
        raise BuildError("`weights` must be None, 'imagenet' or the path of a file.", received=f"weights={weights!r}")
    if include_top and keras.activations.get(classifier_activation) not in (
        keras.activations.softmax,
        keras.activations.linear,
    ):
        raise BuildError(
            "with weights, `classifier_activation` must be 'softmax' or None.",
            received=f"classifier_activation={classifier_activation!r}",
        )
    if weights != "imagenet":
        return
    if include_top and classes != IMAGENET_CLASSES:
        raise BuildError(
            f"ImageNet's classifier has {IMAGENET_CLASSES} classes: use classes={IMAGENET_CLASSES}, or "
            "include_top=False and a classifier of your own.",
            received=f"classes={classes!r}",
        )
    first = keras.config.image_data_format() == "channels_first"
    channels, sides = (shape[0], shape[1:]) if first else (shape[2], shape[:2])
    if channels != 3:
        raise BuildError("ImageNet weights take images of 3 channels.", received=f"input_shape={shape!r}")
    if include_top and sides != (spec.resolution, spec.resolution):
        raise BuildError(
            f"with top and ImageNet weights images must be {spec.resolution} x {spec.resolution} px, or use "
            "include_top=False.",
            received=f"input_shape={shape!r}",
        )


def check_spec_memory(embedded: EmbeddedSpec, channels: int, memory_limit: float | None) -> None:
    """Refuses a spec's network as `check_memory` does: its weights and layers do not depend on the size of images."""
    side = embedded.spec.resolution
    network = record_network(embedded.spec, channels=channels, size=(side, side), fold=True, **embedded.ending)
    cost = count_network(network, Shape(side, side, channels))
    check_memory(embedded.spec.name, network, cost, memory_limit)


def check_memory(name: str, network: Network, cost: Cost, memory_limit: float | None) -> None:
    """Refuses a model that would not fit, from its count, before anything is allocated.

    Args:
        name: name of the model.
        network: what will be built.
        cost: its cost.
        memory_limit: number of bytes that its weights and layers may take; None for the memory that is free.

    Raises:
        ModelTooLargeError: its float32 weights and its layers take more.
    """
    layers = sum(len(block.nodes) * block.times for block in network.blocks)
    limit = psutil.virtual_memory().available if memory_limit is None else memory_limit
    if cost.weight_bytes + LAYER_BYTES * layers > limit:
        raise ModelTooLargeError(
            f"{name!r} would have about {cost.params:,} parameters, {cost.weight_bytes / 1e9:,.1f} GB as "
            f"float32 ({FLOAT32_BYTES} bytes each), and {layers:,} layers, {LAYER_BYTES * layers / 1e9:,.1f} GB of "
            f"their own, but may take {limit / 1e9:,.1f} GB. Choose a smaller phi, or go on with "
            "memory_limit=float('inf').",
            received=f"memory_limit={memory_limit!r}",
        )
