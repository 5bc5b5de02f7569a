"""Features of a frozen network, computed once.

While only the classifier learns, an image's features never change. They are computed once for each image (and for each
augmented view of it) and kept in a file that is named after everything they depend on. Every epoch, every later run,
and every recipe with the same images and weights reads them from there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.data.batches import Batches
from keras_effnet.data.rows import BalancedRows, batch_rows
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError, TrainingError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.json_text import read_json
from keras_effnet.messages import progress_bar
from keras_effnet.resolution import Resize, Resolution

logger = logging.getLogger(__name__)

FEATURE_BATCH = 64  # images per batch where nothing is learned; larger batches are no faster on two cores
SAVE_EVERY = 20  # batches between two notes of the progress: at most so many are computed again


def split_model(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Splits a model before its classifier's dropout into two models, which share its layers.

    Args:
        model: a model that ends in a classifier: a dense layer, or a convolution on a map of one pixel.

    Returns:
        `(features, head)`; `head(features(x))` equals `model(x)`.

    Raises:
        TrainingError: no layer near the end has weights, or more than one path leads there.

    Example:
        >>> from keras_effnet import build_model
        >>> features, head = split_model(build_model("mobilenet_v2", classes=2, input_shape=(32, 32, 3)))
        >>> features.output_shape, head.count_params()
        ((None, 1280), 2562)
    """
    tail = len(model.layers) - 1
    while tail > 0 and not model.layers[tail].weights:
        tail -= 1
    first = model.layers[tail]
    before = first.input
    producer = before._keras_history.operation if not isinstance(before, list) else None
    if isinstance(producer, keras.layers.Dropout):
        first, before = producer, producer.input
    if tail == 0 or isinstance(before, list):
        raise TrainingError(
            "a model must end in one layer with weights for its classifier to learn first.", received=repr(model.name)
        )
    name = f"{model.name}_features"
    return keras.Model(model.input, before, name=name), keras.Model(before, model.output, name=f"{model.name}_head")


def cached_features(
    features: keras.Model,
    source: Source,
    recipe: Recipe,
    folder: Path,
    *,
    resolution: Resolution,
    channels: int,
    resize: Resize = "stretch",
    view: int = 0,
) -> np.ndarray:
    """The features of all images, read from their file or computed; an interrupted computation is continued.

    Args:
        features: the network without its classifier.
        source: the images.
        recipe: recipe with the crop, the augmentation and the seed.
        folder: folder of the files; made if missing.
        resolution: side of the images in pixels, or (height, width).
        channels: number of channels of the images.
        resize: how images of other proportions get there, as in `Batches`. Default: "stretch".
        view: number of the view, at least 0: 0 is the image as it is validated, each other one is augmented anew.

    Returns:
        A read-only float32 array on disk, of shape `(images, *features.output_shape[1:])`.

    Raises:
        DataError: an image cannot be read, or a file cannot be written.
    """
    batches = Batches(
        source,
        resolution=resolution,
        channels=channels,
        resize=resize,
        batch_size=FEATURE_BATCH,
        padded=True,
        seed=recipe.seed,
        augmentation=recipe.augmentation if view else None,
        center_crop=recipe.center_crop,
        epoch=view,
    )
    shape = (len(source), *features.output_shape[1:])
    images = [resolution, channels, *([] if resize == "stretch" else [resize])]
    path = folder / f"{_key(features, source, recipe, images, view)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        _compute(features, batches, part, shape, view)
        part.replace(path)
    return np.load(path, mmap_mode="r")


def _compute(features: keras.Model, batches: Batches, part: Path, shape: tuple[int, ...], view: int) -> None:
    done_path = part.with_suffix(".json")
    done = _batches_done(done_path, len(batches)) if part.exists() else 0
    rows = _open_rows(part, shape, new=not done)
    title = "features" if not view else f"features of view {view + 1}"
    with progress_bar(
        total=shape[0], initial=min(done * FEATURE_BATCH, shape[0]), desc=title, unit="image"
    ) as progress:
        for number in range(done, len(batches)):
            first = number * FEATURE_BATCH
            last = min(first + FEATURE_BATCH, shape[0])
            rows[first:last] = np.asarray(features.predict_on_batch(batches[number][0]))[: last - first]
            progress.update(last - first)
            if number % SAVE_EVERY == SAVE_EVERY - 1:
                rows.flush()
                atomic_write(done_path, lambda path, text=str(number + 1): path.write_text(text))
    rows.flush()
    done_path.unlink(missing_ok=True)


def _batches_done(path: Path, batches: int) -> int:
    """The progress that a note holds; a note that cannot be read costs a computation, and is logged."""
    if not path.exists():
        return 0
    try:
        done = read_json(path)
    except (OSError, ValueError):
        done = None
    if not isinstance(done, int) or not 0 <= done <= batches:
        logger.warning("features are computed again, since the note of their progress cannot be read: %s", path)
        return 0
    return done


def _open_rows(part: Path, shape: tuple[int, ...], *, new: bool) -> np.memmap:
    """Maps the file to an array. A new file gets its disk space at once: a disk that fills later would kill us."""
    try:
        rows = np.lib.format.open_memmap(
            part, mode="w+" if new else "r+", dtype=np.float32, shape=shape if new else None
        )
        if new and hasattr(os, "posix_fallocate"):
            with part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"there is no space for the features: {error}. Free some, or name another output folder.",
            received=f"{str(part)!r} of {int(np.prod(shape)) * 4:,} bytes",
        ) from error
    return rows


def _key(features: keras.Model, source: Source, recipe: Recipe, images: list[Any], view: int) -> str:
    """A name for everything that the features depend on."""
    found = hashlib.sha256()
    for variable in features.weights:
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    # Without the layers' names, some of which Keras numbers anew in each process.
    config = [[type(layer).__name__, {**layer.get_config(), "name": None}] for layer in features.layers]
    told = [source.fingerprint(), *images, recipe.center_crop, keras.backend.backend(), config]
    if view:
        told += [view, recipe.seed, recipe.to_dict()["augmentation"]]
    found.update(json.dumps(told, default=str, sort_keys=True).encode())
    return found.hexdigest()[:32]


class FeatureBatches(keras.utils.PyDataset):
    """Batches of features and labels, drawn as `Batches` draws images: by the seed, the epoch and the step.

    Args:
        views: arrays of features, one for each view of the same images; each epoch reads the next view.
        targets: float32 array of shape `(images, classes)`, as `Source.targets` gives it.
        batch_size: number of rows per batch, at least 1.
        seed: seed of the order, at least 0.
        shuffle: whether rows are shuffled; if not, the last batch is filled up with rows of weight 0.
        balanced: rows of which every class comes equally often, in place of shuffled ones; None for these.
        class_weights: float32 array with the weight of each class; None leaves all at 1. Default: None.
        epoch: number of the first epoch.
    """

    def __init__(
        self,
        views: list[np.ndarray],
        targets: np.ndarray,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        balanced: BalancedRows | None = None,
        class_weights: np.ndarray | None = None,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self.views = views
        self.targets = targets
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self._balanced = balanced
        self.class_weights = class_weights
        self.epoch = epoch
        self.failure = None  # as in `Batches`; nothing can fail here

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features = self.views[self.epoch % len(self.views)]
        rows, weights = batch_rows(
            len(self.targets), self.batch_size, step,
            epoch=self.epoch, seed=self.seed, shuffle=self.shuffle, balanced=self._balanced,
        )  # fmt: skip
        labels = self.targets[rows]
        if self.class_weights is not None:
            weights = weights * (labels @ self.class_weights)
        return np.asarray(features[rows]), labels, weights
