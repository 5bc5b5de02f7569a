"""Grad-CAM: where a network looks (Selvaraju et al. 2017, arXiv:1610.02391, section 3) on every backend of Keras.

The network is cut at its last feature map. The first part is only evaluated; the gradient goes through the second part,
which is small: pooling and the classifier.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import BuildError, DataError
from keras_effnet.gradient import value_and_gradient
from keras_effnet.reading.graph import read_graph, unfolded
from keras_effnet.reading.model_form import with_outputs

IMAGES_AT_ONCE = 8  # only a few images are explained; EfficientNet-B7 takes much memory for each at 600 px


def grad_cam(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Maps of the parts of each image that speak for a class.

    Args:
        model: a functional or Sequential model from images to one score for each class, with a feature map in between.
        images: float array of shape `(n, height, width, channels)`, as the model takes it.
        classes: int array of shape `(n,)`: the class in question for each image.

    Returns:
        float32 array of shape `(n, rows, columns)`, of the feature map's size. Each map is scaled so that its largest
        value is 1; it is 0 all over where nothing speaks for the class.

    Raises:
        BuildError: the model has no feature map, several inputs or outputs, or is neither functional nor Sequential.
        InheritanceError: models inside the model cannot be unfolded.
        DataError: there is not one class for each image, or the model lacks a class.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=3, input_shape=(64, 64, 3))
        >>> grad_cam(model, np.ones((1, 64, 64, 3), "float32"), np.array([2])).shape
        (1, 2, 2)
    """
    features, head = split_at_last_map(model)
    count = int(head.output_shape[-1])
    if np.shape(classes) != (len(images),) or not len(images) or not 0 <= np.min(classes) <= np.max(classes) < count:
        raise DataError(
            f"there must be an image at least, and for each its class, in 0..{count - 1}.",
            received=f"{len(images)} images, classes={classes!r:.200}",
        )
    silent: Any = 0  # Keras annotates its default, "auto"
    maps = np.asarray(features.predict(images, batch_size=IMAGES_AT_ONCE, verbose=silent), np.float32)
    chosen = keras.utils.to_categorical(classes, count)

    # The images do not know of each other, so that the gradient of the sum holds that of each.
    def total(given: Any) -> Any:
        scores: Any = head(given, training=False)
        return keras.ops.sum(scores * keras.ops.convert_to_tensor(chosen, dtype=scores.dtype))

    _, slopes = value_and_gradient(total, maps)
    # Equations 1 and 2: a channel's weight is its mean gradient; of the weighted sum what is positive counts.
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    found = np.maximum((weights * maps).sum(axis=-1), 0)
    largest = found.max(axis=(1, 2), keepdims=True)
    return found / np.where(largest > 0, largest, 1)


def split_at_last_map(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A model in two, cut at its last feature map; the second part gives scores before any softmax.

    Args:
        model: functional or Sequential.

    Returns:
        `(features, head)`, which share the model's weights, but for a copy of those of a layer that ends in a softmax,
        and of all if there are models inside the model.

    Raises:
        BuildError: the model is neither functional nor Sequential, has several inputs or outputs, or no layer with a
            feature map of more than one pixel that all ways through the model pass.
    """
    outputs = []
    if getattr(model, "outputs", None):
        _check_one_image(model)
        model = unfolded(model, lambda layer: isinstance(layer, keras.Model))
        # Functions in the graph are operations, but no layers; a layer that is called again makes no map of its own.
        graph = read_graph(model)
        calls = Counter(name for name, _ in graph.order)
        outputs = [graph.layers[name].operation.output for name, _ in graph.order if calls[name] == 1]
    for output in filter(_is_map, reversed(outputs)):
        try:
            head = keras.Model(output, _scores(model))
        except ValueError:  # a shortcut passes this map by
            continue
        return with_outputs(model, output), head
    raise BuildError(
        "a model must be functional and have a feature map of more than one pixel, for what a class depends on to have "
        "a place.",
        received=(
            f"{model.name!r} with outputs of shapes {[getattr(output, 'shape', None) for output in outputs[-3:]]}"
        ),
    )


def _check_one_image(model: keras.Model) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BuildError(
            "a model must read one image and return one score for each class, for an image to have a map: build one of "
            "the output in question, `keras.Model(model.inputs, model.outputs[0])`.",
            received=f"{model.name!r} with {len(model.inputs)} inputs and {len(model.outputs)} outputs",
        )


def _is_map(output: Any) -> bool:
    shape = getattr(output, "shape", ())
    return len(shape) == 4 and shape[1] != 1 and shape[2] != 1


def _scores(model: keras.Model) -> Any:
    """The scores of the classes before their activation: the paper's y^c."""
    graph = read_graph(model)
    last = graph.layers[graph.outputs[0][0]].operation
    if isinstance(last, keras.layers.Activation) or type(last).__name__ == "Softmax":  # a layer or a function
        return last.input
    if not isinstance(last, keras.layers.Dense):
        return model.output
    # A layer of its own, so that the model stays as it is.
    linear = keras.layers.Dense.from_config({**last.get_config(), "activation": "linear", "name": "scores"})
    scores = linear(last.input)
    linear.set_weights(last.get_weights())
    return scores
