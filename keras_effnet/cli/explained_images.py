"""`keras-effnet predict --explain FOLDER`: each image under a map of what speaks for its most probable class."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import atomic_write, check_writable
from keras_effnet.cli.predictor import Predictor, batches_of
from keras_effnet.errors import BuildError
from keras_effnet.messages import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from keras_effnet.data.image_files import ImageFiles


def check_explained(arguments: argparse.Namespace) -> None:
    """Finds out, as far as that goes without opening the model, whether images can be explained.

    Args:
        arguments: the parsed arguments of `predict`, with the folder in `explain`.

    Raises:
        BuildError: the model is an exported file, which has no gradients.
        DataError: the folder cannot be written.
    """
    from keras_effnet.export.engines import is_exported

    check_writable(arguments.explain, folder=True)
    if is_exported(arguments.model):
        raise BuildError(
            "an exported file has no gradients: name the .keras file that it was made of, or leave `--explain` out.",
            received=repr(str(arguments.model)),
        )


def write_explained(
    classifier: Predictor, source: ImageFiles, outputs: np.ndarray, arguments: argparse.Namespace
) -> None:
    """Writes a PNG file for each image, with a progress bar on standard error.

    Args:
        classifier: the model.
        source: the images.
        outputs: what it says of them, of shape `(images, classes)`.
        arguments: the parsed arguments of `predict`, with the folder in `explain`.

    Raises:
        BuildError: the model returns numbers, or has no feature map that is fine enough.
        DataError: a file cannot be written, or an image can no longer be read.
    """
    from keras_effnet.report.class_maps import maps_of_split
    from keras_effnet.report.explained_prediction import OVERLAY_SIDE
    from keras_effnet.report.split_model import split_at_map
    from keras_effnet.report.thumbnails import overlay_tile
    from keras_effnet.resolution import sides_of

    if classifier.task == "regression":
        raise BuildError(
            "numbers have no map: `--explain` is for classes and labels.", received=repr(str(arguments.model))
        )
    model: Any = classifier.model
    split = split_at_map(model, [(*sides_of(classifier.resolution), classifier.channels)])
    batches = batches_of(classifier, source, arguments, padded=False)
    files = iter(file_names(source.paths))
    numbers = outputs.argmax(axis=1)
    for step in progress_bar(range(len(batches)), desc="explaining", unit="batch"):
        images = batches[step][0]
        first = step * batches.batch_size
        maps = maps_of_split(split, images, numbers[first : first + len(images)]).maps
        for image, heat in zip(images, maps, strict=True):
            overlay = overlay_tile(image, heat, OVERLAY_SIDE)
            atomic_write(arguments.explain / next(files), overlay.save)


def file_names(paths: Iterable[Path]) -> list[str]:
    """A name for the PNG file of each image: its own, and a number behind it where another one has it.

    Example:
        >>> file_names([Path("a/cat.jpg"), Path("b/cat.jpg"), Path("b/dog.png")])
        ['cat.png', 'cat_1.png', 'dog.png']
    """
    found: dict[str, None] = {}
    for path in paths:
        numbered = (f"{path.stem}_{number}" if number else path.stem for number in itertools.count())
        found[next(name for name in numbered if name not in found)] = None
    return [f"{name}.png" for name in found]
