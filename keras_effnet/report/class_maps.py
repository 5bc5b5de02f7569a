"""Class activation maps: where in an image a network sees a class, on every backend of Keras.

The network is cut at a feature map. The first part is only evaluated; the gradient of the class' score goes through the
second part. HiResCAM (Draelos and Carin 2020, arXiv:2011.08891) multiplies each number of the map with its
own gradient and adds up what the channels of a cell give, where Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391)
takes the mean of a channel's gradient first. Behind the last map, under mean pooling and one layer, both are the same.
Further in front, where small images have maps that are fine enough, Grad-CAM also shows what the network did not use.
How often each of them finds what decides a class was measured: docs/evidence/training.md#where-networks-look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_effnet.errors import DataError
from keras_effnet.gradient import value_and_gradient
from keras_effnet.inheritance.compare import compute_outputs
from keras_effnet.reading.model_form import alone, names_of_tensors
from keras_effnet.report.split_model import SplitModel, check_graph, split_at_map
from keras_effnet.tensor_names import check_arrays

if TYPE_CHECKING:
    from keras_effnet.tensor_names import Arrays

METHOD = "HiResCAM"
IMAGES_AT_ONCE = 8  # only a few images are explained; EfficientNet-B7 takes much memory for each at 600 px


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


def class_maps(
    model: keras.Model,
    images: Arrays,
    classes: np.ndarray,
    *,
    output: str | int | None = None,
    image: str | int | None = None,
) -> ClassMaps:
    """Maps of the parts of each image that speak for a class, by HiResCAM.

    Args:
        model: a functional or Sequential model from images to one score for each class, with a feature map in between.
        images: float array of shape `(n, height, width, channels)`, as the model takes it; for several inputs a list of
            arrays in their order, or a dict by their names.
        classes: int array of shape `(n,)`: the class in question for each image.
        output: name or number of the output whose scores are asked about; None for the only one. Default: None.
        image: name or number of the input that the maps are of; None for the only image. They are those of a feature
            map that was made of it, alone or together with other images; what else the scores depend on stays as it
            is. Default: None.

    Returns:
        A map for each image, of the size of the feature map that `split_at_map` chooses. Each is scaled so that its
        largest value is 1; it is 0 all over where nothing speaks for the class.

    Raises:
        BuildError: the model has no feature map of `LEAST_SIDE` cells a side, several images or outputs of which none
            was chosen, an output that is no score for each class, or is neither functional nor Sequential.
        InheritanceError: models inside the model cannot be unfolded.
        DataError: there is not one array for each input, or not one class for each image, or the model lacks a class.

    Example:
        >>> from keras_effnet import build_model
        >>> model = build_model("mobilenet_v1", classes=3, input_shape=(64, 64, 3))
        >>> found = class_maps(model, np.ones((1, 64, 64, 3), "float32"), np.array([2]))
        >>> found.maps.shape, found.layer
        ((1, 8, 8), 'conv_pw_5_relu')
    """
    check_graph(model)
    given = check_arrays(DataError, "images", images, names_of_tensors(model, "input"))
    split = split_at_map(model, [np.shape(each)[1:] for each in given], output=output, image=image)
    return maps_of_split(split, alone(given), classes)


def maps_of_split(split: SplitModel, images: Arrays, classes: np.ndarray) -> ClassMaps:
    """The same of a model that is split already.

    Args:
        split: the model.
        images: as for `class_maps`.
        classes: as for `class_maps`.

    Raises:
        DataError: as `class_maps`.
    """
    values, slopes = values_and_slopes(split, images, classes)
    found = np.maximum((filled(slopes, split.steps) * values).sum(axis=-1), 0)
    largest = found.max(axis=(1, 2), keepdims=True)
    return ClassMaps(found / np.where(largest > 0, largest, 1), split.layer)


def values_and_slopes(split: SplitModel, images: Arrays, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The feature map of each image, and the gradient of the score of its class.

    Args:
        split: the model.
        images: as for `class_maps`.
        classes: as for `class_maps`.

    Returns:
        Two float32 arrays of shape `(n, rows, columns, channels)`.

    Raises:
        DataError: as `class_maps`.
    """
    given = check_arrays(DataError, "images", images, names_of_tensors(split.features, "input"))
    numbers, count = [len(each) for each in given], int(split.head.outputs[0].shape[1])
    fit = len(set(numbers)) == 1 and np.shape(classes) == (numbers[0],)
    if not fit or not numbers[0] or not 0 <= np.min(classes) <= np.max(classes) < count:
        raise DataError(
            f"there must be an image at least, and for each its class, in 0..{count - 1}.",
            received=f"{', '.join(map(str, numbers))} images, classes={classes!r:.200}",
        )
    chosen = keras.utils.to_categorical(classes, count)
    parts = [slice(first, first + IMAGES_AT_ONCE) for first in range(0, numbers[0], IMAGES_AT_ONCE)]
    found = [_values_and_slopes(split, [each[part] for each in given], chosen[part]) for part in parts]
    values, slopes = (np.concatenate(each) for each in zip(*found, strict=True))
    return values, slopes


def _values_and_slopes(split: SplitModel, given: list[np.ndarray], chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of a few images, whose classes are rows of zeros and ones."""
    [values] = compute_outputs(split.features, given)
    others = [keras.ops.convert_to_tensor(each) for number, each in enumerate(given) if number != split.image]

    # The images do not know of each other, so that the gradient of the sum holds that of each.
    def total(seen: Any) -> Any:
        scores: Any = split.head(alone([seen, *others]), training=False)
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
