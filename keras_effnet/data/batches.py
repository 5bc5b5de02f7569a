"""Batches for `fit`: read in parallel, augmented, and each a function of its number alone."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import get_args

import keras
import numpy as np

from keras_effnet.checks import check_bool, check_choice, check_int, check_number, check_seed
from keras_effnet.data.augment import Augmentation, Augmenter, center_box, random_box
from keras_effnet.data.images import MAX_RESOLUTION
from keras_effnet.data.resizing import resize_image
from keras_effnet.data.rows import BalancedRows, batch_rows
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError
from keras_effnet.resolution import Resize, Resolution, check_resolution, sides_of

THREADS = os.cpu_count() or 1  # decoding and resizing release Python's global lock, so that threads run in parallel
DRAWS = 5  # random numbers for an image: four for its box, and whether it is mirrored

Batch = tuple[np.ndarray, ...]


class Batches(keras.utils.PyDataset):
    """Batches of a source for `fit`, `evaluate` and your own loops.

    A batch is a function of the arguments, `epoch` and its number alone, whichever thread reads it: interrupted
    training continues with exactly the batches that it would have seen.

    Keras announces the end of an epoch by `on_epoch_end`, which `fit` also calls once before the first epoch. Here only
    an epoch that was begun and read to its last batch counts. To be certain, set `epoch` before each epoch.

    A batch is a pair of images and labels, which all of Keras takes, `fit(class_weight=...)` too. With `padded` or
    `class_weights` its third part is the weight of each image. Keras respects weights in `weighted_metrics` but not in
    `metrics`, and divides its `loss` by the number of all rows, including those of weight 0.

    The next batch is read while the current one is being used. Keras' own queue, which `workers` above 1 would enable,
    returns some batches twice and others never: in `fit` on JAX and PyTorch, and under
    `tf.distribute.MirroredStrategy` (Keras 3.15.1).

    Args:
        source: the images.
        resolution: side of the returned images in pixels, or (height, width), each 1..4096.
        batch_size: number of images per batch over all processes, at least 1.
        channels: number of channels: 3 (RGB), 1 (gray: the luma of ITU-R Rec. 601), or that of the source's bands.
            Default: 3.
        seed: seed of the order and of the augmentation, 0 to 4294967295. Default: 0.
        shuffle: True cuts full batches from an endless sequence of shuffles, each of which contains every image once;
            where the source is endless, each shuffle is of images that have not been seen.
            False keeps the order, and the last batch may be smaller. Default: False.
        balanced: whether shuffled batches draw every class equally often, however many images it has; an epoch has as
            many batches as otherwise. Default: False.
        padded: whether a last batch that would be smaller is filled with images of weight 0, so that all batches have
            one shape, and whether batches come with weights at all. Several processes need it. Default: False.
        class_weights: weight of each class, such as `balanced_weights` gives; an image of mixed classes has the mean of
            theirs. None leaves all at 1. Default: None.
        augmentation: random changes of the images; None leaves them as they are. Default: None.
        center_crop: fraction of each side to keep, around the centre, of images that are not cropped at random, in
            (0, 1]. Default: 1.
        resize: how images of other proportions get there: "stretch" changes them; "pad" keeps the whole image, with
            black on two sides; "crop" keeps its middle. Default: "stretch".
        shard: `(rank, processes)`; only the rows of process `rank` are returned. Default: `(0, 1)`, all rows.
        epoch: number of the first epoch, at least 0. Default: 0.

    Attributes:
        failure: the error raised when an image could not be read, or None. Keras on TensorFlow replaces it by an error
            of its own.

    Raises:
        DataError: a value outside its range, or a source without images.

    Example:
        >>> from keras_effnet.data.images import load_digits
        >>> batches = Batches(load_digits(8), resolution=32, batch_size=64)
        >>> images, labels = batches[0]
        >>> len(batches), images.shape, labels.shape
        (29, (64, 32, 32, 3), (64, 10))
    """

    def __init__(
        self,
        source: Source,
        *,
        resolution: Resolution,
        batch_size: int,
        channels: int = 3,
        seed: int = 0,
        shuffle: bool = False,
        balanced: bool = False,
        padded: bool = False,
        class_weights: Sequence[float] | None = None,
        augmentation: Augmentation | None = None,
        center_crop: float = 1.0,
        resize: Resize = "stretch",
        shard: tuple[int, int] = (0, 1),
        epoch: int = 0,
    ) -> None:
        super().__init__()
        resolution = check_resolution(DataError, "resolution", resolution, 1, MAX_RESOLUTION)
        batch_size = check_int(DataError, "batch_size", batch_size, 1)
        seed = check_seed(DataError, seed)
        epoch = check_int(DataError, "epoch", epoch, 0)
        center_crop = check_number(DataError, "center_crop", center_crop, 0, 1, open_low=True)
        check_choice(DataError, "resize", resize, get_args(Resize))
        _check_channels(channels, source)
        _check_shard(shard, batch_size)
        if not len(source):
            raise DataError("batches need at least one image.", received="a source of 0 images")
        self.source, self.resolution, self.batch_size, self.channels = source, resolution, batch_size, channels
        self.seed, self.shuffle, self.augmentation, self.center_crop = seed, shuffle, augmentation, center_crop
        self.resize: Resize = resize
        self.shard, self.epoch, self.padded = shard, epoch, check_bool(DataError, "padded", padded)
        if shard[1] > 1 and not (padded or shuffle):
            raise DataError("several processes need batches of one shape: set `padded=True`.", received=f"{shard=}")
        if check_bool(DataError, "balanced", balanced) and not shuffle:
            raise DataError("only shuffled batches can be balanced: set `shuffle=True`.", received="shuffle=False")
        self._balanced = BalancedRows(source.strata) if balanced else None
        self.class_weights = _check_class_weights(class_weights, len(source.class_names))
        self.failure: DataError | None = None
        self._threads = ThreadPoolExecutor(THREADS)
        self._readers = ThreadPoolExecutor(2)  # so that no thread waits for the last image of a batch
        self._ahead: dict[tuple[int, int], Future[Batch]] = {}
        classes = len(source.class_names)
        self._augmenter = None if augmentation is None else Augmenter(augmentation, resolution, classes)
        self._begun = self._read_to_end = False

    def __len__(self) -> int:
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, step: int) -> Batch:
        """Reads a batch of the current epoch.

        Args:
            step: number of the batch, in `0..len(self) - 1`.

        Returns:
            Images, float32 of shape `(rows, height, width, channels)`, values 0..255; labels, float32 of shape
            `(rows, classes)`: one-hot, 0 and 1 for several labels, or numbers; with `padded` or `class_weights` also
            weights, float32 of shape `(rows,)`, 0 for images that pad the batch.

        Raises:
            DataError: an image can no longer be read. The error is also kept in `failure`.
            IndexError: there is no such batch; this ends a loop over the batches.
        """
        if not 0 <= step < len(self):
            raise IndexError(step)
        wanted = [(self.epoch, number) for number in (step, step + 1) if number < len(self)]
        read = {each: self._ahead.get(each) or self._readers.submit(self._batch, *each) for each in wanted}
        asked = read.pop(wanted[0])
        self._ahead = read
        batch = asked.result()
        if not read:
            self._read_to_end = True
        return batch

    def _batch(self, epoch: int, step: int) -> Batch:
        rows, weights = batch_rows(
            len(self.source), self.batch_size, step,
            epoch=epoch, seed=self.seed, shuffle=self.shuffle, balanced=self._balanced, endless=self.source.endless,
        )  # fmt: skip
        rank, processes = self.shard
        mine = np.split(np.arange(self.batch_size), processes)[rank]
        if not self.padded:
            mine = mine[weights[mine] > 0]
        # Drawn for the whole batch, so that an image is cropped alike for any number of processes.
        draws = np.random.default_rng((self.seed, epoch, step, 1)).random((self.batch_size, DRAWS))
        images = self._read(rows[mine].tolist(), draws[mine].tolist())
        labels = self.source.targets(rows[mine])
        if self._augmenter is not None:
            images, labels = self._augmenter(images, labels, (self.seed, epoch, step * processes + rank))
        weights = weights[mine]
        if self.class_weights is not None:
            return images, labels, weights * (labels @ self.class_weights)
        return (images, labels, weights) if self.padded else (images, labels)

    def on_epoch_begin(self) -> None:
        """Called by Keras."""
        self._begun, self._read_to_end = True, False

    def on_epoch_end(self) -> None:
        """Called by Keras: the next epoch has a different order and different augmentation."""
        if self._begun and self._read_to_end:
            self.epoch += 1
        self._begun = self._read_to_end = False

    def _read(self, rows: list[int], draws: list[list[float]]) -> np.ndarray:
        """Reads images, each given by its number in the source and the random numbers for it."""
        images = np.empty((len(rows), *sides_of(self.resolution), self.channels), np.float32)

        def fill(first: int) -> None:
            for place in range(first, len(rows), THREADS):
                images[place] = self._image(rows[place], draws[place])

        try:
            for _ in self._threads.map(fill, range(THREADS)):
                pass  # fetching the results raises the threads' errors
        except DataError as error:
            self.failure = error
            raise
        return images

    def _image(self, index: int, draws: list[float]) -> np.ndarray:
        augmentation = self.augmentation
        crop = 1.0 if augmentation is None else augmentation.crop
        # Even the smallest crop should have as many pixels as the network sees.
        longer = max(sides_of(self.resolution))
        pixels = self.source.read(index, math.ceil(longer / min(math.sqrt(crop), self.center_crop)))
        height, width = pixels.shape[:2]
        box = None
        if crop < 1:
            box = random_box(height, width, crop, draws[:4])
        elif self.center_crop < 1:
            box = center_box(height, width, self.center_crop)
        gray = self.channels == 1 and self.source.channels == 3
        sized = resize_image(pixels, self.resolution, box, gray=gray, resize=self.resize)
        flipped = augmentation is not None and augmentation.flip and draws[4] < 0.5
        return _mirrored(sized) if flipped else sized


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights with which every class counts as much as any other, whatever its number of images.

    The mean over all images is 1, as of scikit-learn's `class_weight="balanced"`.

    Args:
        labels: int array of shape `(images,)`, each in `0..classes - 1`, at least one.
        classes: number of classes, at least 1; one without an image has weight 0.

    Returns:
        float32 array of shape `(classes,)`.

    Example:
        >>> balanced_weights(np.array([0, 0, 0, 1]), classes=2).round(2)
        array([0.67, 2.  ], dtype=float32)
    """
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    return np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0).astype(np.float32)


def _mirrored(pixels: np.ndarray) -> np.ndarray:
    """An image with left and right exchanged, band by band: NumPy is slow to walk pixels of three bytes backwards."""
    return np.stack([pixels[:, ::-1, band] for band in range(pixels.shape[2])], axis=-1)


def _check_class_weights(weights: Sequence[float] | None, classes: int) -> np.ndarray | None:
    if weights is None:
        return None
    found = np.asarray(weights, np.float32)
    if found.shape != (classes,) or not (np.isfinite(found).all() and found.min() >= 0 and found.max() > 0):
        raise DataError(
            f"`class_weights` must be {classes} numbers, one for each class: at least 0, and one above.",
            received=f"class_weights={weights!r:.200}",
        )
    return found


def _check_channels(channels: int, source: Source) -> None:
    if channels != source.channels and (channels, source.channels) != (1, 3):
        raise DataError(
            "`channels` must be those of the images, or 1 to make RGB gray; load_data(channels=...) reads other bands.",
            received=f"channels={channels!r} for images of {source.channels}",
        )


def _check_shard(shard: tuple[int, int], batch_size: int) -> None:
    rank, processes = shard
    check_int(DataError, "processes", processes, 1)
    check_int(DataError, "rank", rank, 0, processes - 1)
    if batch_size % processes:
        raise DataError(
            f"each of {processes} processes must get equally many rows of a batch; choose a multiple of {processes}.",
            received=f"{batch_size=}",
        )
