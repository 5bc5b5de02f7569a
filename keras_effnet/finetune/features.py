"""Features of a frozen network, computed once.

While only the classifier learns, what reaches it from an image never changes. So it is computed once for each image
(and for each augmented view of it), kept in a file that is named after all that it depends on, and read from there in
every epoch, every later run, and every recipe with the same images and weights.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from keras_effnet.atomic import atomic_write
from keras_effnet.data.batches import Batches
from keras_effnet.data.rows import batch_rows, read_ahead
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError, TrainingError
from keras_effnet.finetune.recipe import Recipe

FEATURE_BATCH = 64  # images at once where nothing is learned; larger ones are no faster on two cores
SAVE_EVERY = 20  # batches between two notes of how far the file is: at most so many are computed again


def split_model(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """A model in two, which share its layers: up to the classifier's dropout, and from there on.

    Args:
        model: one that ends in a classifier: a dense layer, or a convolution where the image is one pixel.

    Returns:
        `(features, head)`; `head(features(x))` is `model(x)`.

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
            f"a model whose classifier learns first must end in one layer with weights. Received: {model.name!r}"
        )
    name = f"{model.name}_features"
    return keras.Model(model.input, before, name=name), keras.Model(before, model.output, name=f"{model.name}_head")


def cached_features(
    features: keras.Model,
    source: Source,
    recipe: Recipe,
    folder: Path,
    *,
    resolution: int,
    channels: int,
    view: int = 0,
) -> np.ndarray:
    """What a frozen network makes of each image; computed where no file has it yet, and then from where it stopped.

    Args:
        features: the network without its classifier.
        source: the images.
        recipe: whose crop and augmentation are used.
        folder: for the files; made if missing.
        resolution: of the images, in pixels.
        channels: of the images.
        view: 0 is the image as it is tested; others are augmented, each in its own way.

    Returns:
        A read-only float32 array `(images, ...)` that lies on disk.

    Raises:
        DataError: an image that cannot be read, or a file that cannot be written.
    """
    batches = Batches(
        source,
        resolution=resolution,
        channels=channels,
        batch_size=FEATURE_BATCH,
        seed=recipe.seed,
        augmentation=recipe.augmentation if view else None,
        center_crop=recipe.center_crop,
        epoch=view,
    )
    shape = (len(source), *features.output_shape[1:])
    path = folder / f"{_key(features, source, recipe, resolution, channels, view)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npy")
        _compute(features, batches, part, shape, view)
        part.replace(path)
    return np.load(path, mmap_mode="r")


def _compute(features: keras.Model, batches: Batches, part: Path, shape: tuple[int, ...], view: int) -> None:
    done_path = part.with_suffix(".json")
    done = json.loads(done_path.read_text()) if done_path.exists() and part.exists() else 0
    rows = _open_rows(part, shape, new=not done)
    title = "features" if not view else f"features of view {view + 1}"
    with tqdm(total=shape[0], initial=min(done * FEATURE_BATCH, shape[0]), desc=title, unit="image") as progress:
        for number, (images, _, _) in enumerate(read_ahead(batches, done), done):
            first = number * FEATURE_BATCH
            last = min(first + FEATURE_BATCH, shape[0])
            rows[first:last] = np.asarray(features.predict_on_batch(images))[: last - first]
            progress.update(last - first)
            if number % SAVE_EVERY == SAVE_EVERY - 1:
                rows.flush()
                atomic_write(done_path, lambda path, text=str(number + 1): path.write_text(text))
    rows.flush()
    done_path.unlink(missing_ok=True)


def _open_rows(part: Path, shape: tuple[int, ...], *, new: bool) -> np.memmap:
    """The file as an array. A new one gets its place on the disk at once: a disk that is full later would kill us."""
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
            f"there is no place for the features: {error}. Free some, or name another output folder. "
            f"Received: {str(part)!r} of {int(np.prod(shape)) * 4:,} bytes"
        ) from error
    return rows


def _key(features: keras.Model, source: Source, recipe: Recipe, resolution: int, channels: int, view: int) -> str:
    """A name for all that the features depend on."""
    found = hashlib.sha256()
    for variable in features.weights:
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
    # Not what things are called, since Keras counts some names up, but how they compute.
    config = [[type(layer).__name__, {**layer.get_config(), "name": None}] for layer in features.layers]
    told = [source.fingerprint(), resolution, channels, recipe.center_crop, keras.backend.backend(), config]
    if view:
        told += [view, recipe.seed, recipe.to_dict()["augmentation"]]
    found.update(json.dumps(told, default=str, sort_keys=True).encode())
    return found.hexdigest()[:32]


class FeatureBatches(keras.utils.PyDataset):
    """Rows of features with their labels, drawn as `Batches` draws images: from the seed, the epoch and the step.

    Args:
        views: for each view an array of features, of the same images; each epoch reads the next view.
        labels: int array, one for each image.
        classes: how many there are.
        batch_size: rows at once.
        seed: of their order.
        shuffle: whether the rows are shuffled; if not, the last batch is filled up with rows of weight 0.
        epoch: to start with.
    """

    def __init__(
        self,
        views: list[np.ndarray],
        labels: np.ndarray,
        classes: int,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = False,
        epoch: int = 0,
    ) -> None:
        super().__init__()
        self.views = views
        self.labels = np.eye(classes, dtype=np.float32)[labels]
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = epoch
        self.failure = None  # as `Batches` have: nothing can fail here

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features = self.views[self.epoch % len(self.views)]
        rows, weights = batch_rows(
            len(self.labels), self.batch_size, step, epoch=self.epoch, seed=self.seed, shuffle=self.shuffle
        )
        return np.asarray(features[rows]), self.labels[rows], weights
