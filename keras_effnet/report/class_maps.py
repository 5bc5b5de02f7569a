"""Class activation maps: where in an image a network sees a class, on every backend of Keras.

The network is cut at a feature map. The first part is only evaluated; the gradient of the class' score goes through the
second part. HiResCAM (Draelos and Carin 2020, arXiv:2011.08891) multiplies each number of the map with its
own gradient and adds up what the channels of a cell give, where Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391)
takes the mean of a channel's gradient first. Behind the last map, under mean pooling and one layer, both are the same.
Further in front, where small images have maps that are fine enough, Grad-CAM also shows what the network did not use.
How often each of them finds what decides a class was measured: docs/evidence/training.md#where-networks-look.
"""

from __future__ import annotations

from collections import Counter
from itertools import dropwhile
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_effnet.errors import BuildError, DataError
from keras_effnet.gradient import value_and_gradient
from keras_effnet.inheritance.compare import compute_once
from keras_effnet.reading.graph import read_graph, unfolded
from keras_effnet.reading.model_form import with_outputs

METHOD = "HiResCAM"
IMAGES_AT_ONCE = 8  # only a few images are explained; EfficientNet-B7 takes much memory for each at 600 px
CELLS = 7 * 7  # of the last map of nearly all networks at 224 px, which is what maps of classes were shown on
LEAST_SIDE = 4  # cells: of fewer, each one covers more than a quarter of a side, and a map says nothing of a place
# Layers, and functions of the same name, whose cells lie elsewhere than those of what they read.
_MOVING = ("ZeroPadding2D", "Cropping2D", "Pad", "Slice", "GetItem")


class SplitModel(NamedTuple):
    """A model in two parts, cut at a feature map.

    Args:
        features: from images to the map.
        head: from the map to a score for each class.
        layer: name of the layer that makes the map.
        cells: rows and columns of the map.
        steps: rows and columns from one cell that the second part reads to the next: 2 where it begins with
            convolutions of 1 x 1 and stride 2, as the stages of ResNet do; else 1.
    """

    features: keras.Model
    head: keras.Model
    layer: str
    cells: tuple[int, int]
    steps: tuple[int, int] = (1, 1)


class ClassMaps(NamedTuple):
    """Maps of classes, and what they were taken from.

    Args:
        maps: float32 array of shape `(n, rows, columns)`, values from 0 to 1.
        layer: name of the layer whose map was weighed.
    """

    maps: np.ndarray
    layer: str

    @property
    def cells(self) -> str:
        """Rows and columns as text: "8 x 8"."""
        return " x ".join(map(str, self.maps.shape[1:]))


def class_maps(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> ClassMaps:
    """Maps of the parts of each image that speak for a class, by HiResCAM.

    Args:
        model: a functional or Sequential model from images to one score for each class, with a feature map in between.
        images: float array of shape `(n, height, width, channels)`, as the model takes it.
        classes: int array of shape `(n,)`: the class in question for each image.

    Returns:
        A map for each image, of the size of the feature map that `split_at_map` chooses. Each is scaled so that its
        largest value is 1; it is 0 all over where nothing speaks for the class.

    Raises:
        BuildError: the model has no feature map of `LEAST_SIDE` cells a side, several inputs or outputs, or is neither
            functional nor Sequential.
        InheritanceError: models inside the model cannot be unfolded.
        DataError: there is not one class for each image, or the model lacks a class.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=3, input_shape=(64, 64, 3))
        >>> found = class_maps(model, np.ones((1, 64, 64, 3), "float32"), np.array([2]))
        >>> found.maps.shape, found.layer
        ((1, 8, 8), 'conv_pw_5_relu')
    """
    return maps_of_split(split_at_map(model, np.shape(images)[1:3]), images, classes)


def maps_of_split(split: SplitModel, images: np.ndarray, classes: np.ndarray) -> ClassMaps:
    """The same of a model that is split already.

    Args:
        split: the model.
        images: as for `class_maps`.
        classes: as for `class_maps`.

    Raises:
        DataError: as `class_maps`.
    """
    count = int(split.head.output_shape[-1])
    if np.shape(classes) != (len(images),) or not len(images) or not 0 <= np.min(classes) <= np.max(classes) < count:
        raise DataError(
            f"there must be an image at least, and for each its class, in 0..{count - 1}.",
            received=f"{len(images)} images, classes={classes!r:.200}",
        )
    values, slopes = values_and_slopes(split, images, classes)
    found = np.maximum((filled(slopes, split.steps) * values).sum(axis=-1), 0)
    largest = found.max(axis=(1, 2), keepdims=True)
    return ClassMaps(found / np.where(largest > 0, largest, 1), split.layer)


def values_and_slopes(split: SplitModel, images: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The feature map of each image, and the gradient of the score of its class.

    Args:
        split: the model.
        images: float array of shape `(n, height, width, channels)`.
        classes: int array of shape `(n,)`.

    Returns:
        Two float32 arrays of shape `(n, rows, columns, channels)`.
    """
    parts = [images[first : first + IMAGES_AT_ONCE] for first in range(0, len(images), IMAGES_AT_ONCE)]
    values = np.concatenate([np.asarray(compute_once(split.features, part), np.float32) for part in parts])
    chosen = keras.utils.to_categorical(classes, int(split.head.output_shape[-1]))

    # The images do not know of each other, so that the gradient of the sum holds that of each.
    def total(given: Any) -> Any:
        scores: Any = split.head(given, training=False)
        return keras.ops.sum(scores * keras.ops.convert_to_tensor(chosen, dtype=scores.dtype))

    return values, value_and_gradient(total, values)[1]


def filled(slopes: np.ndarray, steps: tuple[int, int]) -> np.ndarray:
    """Gradients in which cells that nothing reads have that of the cell which is read in their place.

    What lies in a skipped cell was seen all the same, by the windows in front, and counts through its neighbours. With
    gradients of 0 there, a map would be single dots, away from what they are about.

    Args:
        slopes: array of shape `(n, rows, columns, channels)`.
        steps: rows and columns from one cell that is read to the next.

    Example:
        >>> filled(np.array([1.0, 0, 2, 0, 3]).reshape(1, 1, 5, 1), (1, 2)).ravel()
        array([1., 1., 2., 2., 3.])
    """
    rows, columns = (np.arange(size) // step * step for size, step in zip(slopes.shape[1:3], steps, strict=True))
    return slopes[:, rows][:, :, columns]


def split_at_map(
    model: keras.Model,
    sides: tuple[int, ...] | None = None,
    *,
    least_cells: int = CELLS,
    least_side: int = LEAST_SIDE,
) -> SplitModel:
    """A model in two, cut at its last feature map that is fine enough; the second part gives scores before any softmax.

    Args:
        model: functional or Sequential.
        sides: height and width of the images in pixels, for a model that leaves them open; None otherwise.
        least_cells: number of cells that are fine enough, at least 1. If no map has so many, the finest is taken, and
            of several the last. Default: 49.
        least_side: number of rows, and of columns, that a map has at least. Default: 4.

    Returns:
        Both parts, which share the model's weights, but for a copy of those of a layer that ends in a softmax, and of
        all if there are models inside the model.

    Raises:
        BuildError: the model is neither functional nor Sequential, has several inputs or outputs, or no layer behind
            its first convolution with such a map that all ways through the model pass.
    """
    maps = []
    if getattr(model, "outputs", None):
        _check_one_image(model)
        model = unfolded(model, lambda layer: isinstance(layer, keras.Model))
        maps = _maps(model, sides)
    fine = [each for each in reversed(maps) if min(each.cells) >= least_side]
    scores = _scores(model) if fine else None
    # Behind the first that is fine enough, and of two that are equally coarse, comes the one further in front.
    for each in sorted(fine, key=lambda each: -min(each.cells[0] * each.cells[1], least_cells)):
        try:
            head = keras.Model(each.output, scores)
        except ValueError:  # a shortcut passes this map by
            continue
        return SplitModel(with_outputs(model, each.output), head, each.layer, each.cells, _steps(head))
    seen = [" x ".join(map(str, each.cells)) for each in maps]
    raise BuildError(
        f"a model must be functional and have a feature map of {least_side} x {least_side} cells at least, for what a "
        "class depends on to have a place; larger images have larger maps.",
        received=f"{model.name!r} with maps of {', '.join(dict.fromkeys(seen)) or 'no size at all'}",
    )


class _Map(NamedTuple):
    """A feature map in a graph: the tensor, the layer that makes it, and its rows and columns."""

    output: Any
    layer: str
    cells: tuple[int, int]


def _maps(model: keras.Model, sides: tuple[int, ...] | None) -> list[_Map]:
    """The feature maps behind the first convolution, in order: what is before it is the image itself."""
    # Functions in the graph are operations, but no layers; a layer that is called again makes no map of its own.
    graph = read_graph(model)
    calls = Counter(name for name, _ in graph.order)
    names = [name for name, _ in graph.order if calls[name] == 1]
    behind = dropwhile(lambda name: not _is_convolution(graph.layers[name].operation), names)
    made = [(name, graph.layers[name].calls[0].made) for name in behind if graph.layers[name].kind not in _MOVING]
    found = [(name, graph.tensors[tensors[0]]) for name, tensors in made if len(tensors) == 1]
    found = [(name, tensor) for name, tensor in found if len(tensor.shape) == 4]
    shapes = [tensor.shape for _, tensor in found]
    if sides is not None and any(None in shape[1:] for shape in shapes):
        whole = with_outputs(model, [tensor for _, tensor in found])
        shapes = whole.compute_output_shape((1, *sides, model.inputs[0].shape[-1]))
    return [
        _Map(tensor, name, (shape[1] or 1, shape[2] or 1)) for (name, tensor), shape in zip(found, shapes, strict=True)
    ]


def _steps(head: keras.Model) -> tuple[int, int]:
    """Rows and columns from one cell that any layer reads to the next; those with windows read all."""
    graph = read_graph(head)
    calls = [(graph.layers[name].operation, graph.layers[name].calls[call]) for name, call in graph.order]
    steps = [_strides(operation) for operation, call in calls if graph.inputs[0] in call.tensors]
    return min(step[0] for step in steps), min(step[1] for step in steps)


def _strides(operation: Any) -> tuple[int, int]:
    """The strides of a convolution or a pooling of 1 x 1; 1 of everything else."""
    window = getattr(operation, "kernel_size", getattr(operation, "pool_size", None))
    return tuple(operation.strides) if window == (1, 1) else (1, 1)


def _is_convolution(operation: Any) -> bool:
    return any(len(weight.shape) == 4 for weight in getattr(operation, "weights", ()))


def _check_one_image(model: keras.Model) -> None:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BuildError(
            "a model must read one image and return one score for each class, for an image to have a map: build one of "
            "the output in question, `keras.Model(model.inputs, model.outputs[0])`.",
            received=f"{model.name!r} with {len(model.inputs)} inputs and {len(model.outputs)} outputs",
        )
    if keras.config.image_data_format() != "channels_last":
        raise BuildError(
            'maps are made of models whose channels come last: `keras.config.set_image_data_format("channels_last")`.',
            received=f"image_data_format={keras.config.image_data_format()!r}",
        )


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
