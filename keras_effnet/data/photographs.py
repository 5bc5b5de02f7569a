"""Real images without a download: pieces of the two photographs that scikit-learn ships."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np

from keras_effnet.data.resizing import resize_image
from keras_effnet.extras import import_extra

_FREE_SIDE = 224  # side of the images for a network of any resolution


def photographs(shape: tuple[int | None, ...], pixels: bool, count: int = 16) -> np.ndarray:
    """Pieces of the two photographs that scikit-learn ships, at several sizes.

    Args:
        shape: shape of one image in Keras' image data format; 224 pixels where a side is None.
        pixels: whether values go from 0 to 255; if not, from -1 to 1, as most models of others take them.
        count: number of images, at least 1. The default is enough to see a wrong layer, and few enough for a second.

    Returns:
        float32 array of shape (count, *shape), the same in every call.

    Example:
        >>> photographs((None, 32, 3), pixels=True).shape
        (16, 224, 32, 3)
    """
    first = keras.config.image_data_format() == "channels_first"
    *sides, channels = (*shape[1:], shape[0]) if first else shape
    height, width = (side or _FREE_SIDE for side in sides)
    generator, pieces = np.random.default_rng(0), []
    both = import_extra("sklearn.datasets", "a comparison on photographs").load_sample_images().images
    for number in range(count):
        photograph = both[number % 2]
        side = int(generator.integers(100, min(photograph.shape[:2])))
        top, left = (int(generator.integers(0, extent - side + 1)) for extent in photograph.shape[:2])
        piece = resize_image(photograph[top : top + side, left : left + side], max(height, width))[:height, :width]
        pieces.append(np.resize(np.moveaxis(piece, 2, 0), (int(channels or 3), height, width)))
    made = np.stack(pieces).astype(np.float32)
    made = made if pixels else made / 127.5 - 1
    return made if first else np.moveaxis(made, 1, 3)


def photographs_for(shapes: Iterable[tuple[int | None, ...]], pixels: bool, count: int = 16) -> list[np.ndarray]:
    """Something real for each input of a network: other pieces for each image, and for a vector random numbers.

    Args:
        shapes: shape of each input without the batch: an image's as in `photographs`, or (numbers,) of a vector.
        pixels: as in `photographs`.
        count: as in `photographs`.

    Returns:
        A float32 array for each input, the same in every call; numbers of vectors have mean 0 and variance 1.

    Example:
        >>> left, right, facts = photographs_for([(32, 32, 3), (32, 32, 3), (5,)], pixels=True)
        >>> facts.shape, bool((left == right).all())
        ((16, 5), False)
    """
    found = []
    for place, shape in enumerate(shapes):
        if len(shape) == 3:
            # One more for each input: they begin with another one, so that no two inputs see the same.
            found.append(photographs(shape, pixels, count + place)[place:])
        else:
            size = (count, *(int(side or 1) for side in shape))
            found.append(np.random.default_rng(place).normal(size=size).astype(np.float32))
    return found
