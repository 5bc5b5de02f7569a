"""One loader for all data: by name, from a folder, from a table, from tensorflow-datasets."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_effnet.checks import check_int, check_number
from keras_effnet.data.archives import read_aircraft, read_birdsnap
from keras_effnet.data.csv_tables import read_table
from keras_effnet.data.folders import read_folder
from keras_effnet.data.images import Images, load_digits
from keras_effnet.data.paper import PAPER_SETS
from keras_effnet.data.source import Source
from keras_effnet.data.splits import RawSplits, at_most, hold_out
from keras_effnet.data.tfds import read_tfds
from keras_effnet.errors import DataError

# Fixed, whatever the seed, so that a test image is one for everybody.
DIGITS_TEST_SHARE, DIGITS_TEST_SEED = 0.2, 0
# Letters that are drawn: 40 classes of 100 images, and of 25 to test on. At 32 pixels they have more than they show.
GLYPHS, GLYPHS_TEST, GLYPHS_RESOLUTION = 4_000, 1_000, 32

ARCHIVES = {"birdsnap": read_birdsnap, "aircraft": read_aircraft}
NAMES = ("digits", "glyphs", *PAPER_SETS)
TFDS = "tfds:"


@dataclass(frozen=True, eq=False)
class DataSplits:
    """Images, each for one use.

    Attributes:
        name: what the user asked for.
        train: to learn from.
        validation: what choices are made on.
        test: looked at once, at the end; None where a set has no such part.
    """

    name: str
    train: Source
    validation: Source
    test: Source | None

    @property
    def skipped(self) -> tuple[str, ...]:
        """What could not be read, of all parts."""
        parts = (self.train, self.validation, self.test)
        return tuple(dict.fromkeys(name for part in parts if part is not None for name in part.skipped))


def load_data(
    data: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    validation: float = 0.1,
    seed: int = 0,
    labels_per_class: int | None = None,
    cache: Path | None = None,
) -> DataSplits:
    """Loads labelled images.

    Args:
        data: "digits" (scikit-learn's), "glyphs" (drawn letters), one of the paper's eight (`PAPER_SETS`), "tfds:NAME"
            for any image classification set of tensorflow-datasets, a folder (see `read_folder`), or a .csv file (see
            `read_table`).
        data_dir: where data sets lie that are neither embedded nor a path: tensorflow-datasets' own folder, or the one
            with an unpacked archive.
        validation: share of the training images held out to make choices on, of each class, in (0, 1); not used
            where the data has such a part.
        seed: of what is held out, and of what `labels_per_class` leaves.
        labels_per_class: train on so many images of each class at most; None: all.
        cache: folder for what need not be done twice: which files can be read, and packed data sets. None:
            `keras_effnet` in Keras' folder, `~/.keras`.

    Returns:
        The splits. Files that cannot be read are left out, logged once and listed in `skipped`.

    Raises:
        DataError: no such data, or none that can be trained on.

    Example:
        >>> splits = load_data("digits", labels_per_class=5)
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (50, 143, 359)
    """
    check_number(DataError, "validation", validation, 0, 0.9, open_low=True)
    check_int(DataError, "seed", seed, 0)
    if labels_per_class is not None:
        check_int(DataError, "labels_per_class", labels_per_class, 1)
    parts = _open(data, data_dir, default_cache() if cache is None else Path(cache))
    train, held_out = parts.train, parts.validation
    if held_out is None:
        train, held_out = hold_out(train, validation, seed)
    if labels_per_class is not None:
        train = at_most(train, labels_per_class, seed)
    return DataSplits(data, train, held_out, parts.test)


def default_cache() -> Path:
    """The folder for what need not be done twice, next to what Keras itself keeps."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras_effnet"


def _open(data: str, data_dir: str | os.PathLike[str] | None, cache: Path) -> RawSplits:
    if data == "digits":
        return _digits()
    if data == "glyphs":
        return _glyphs()
    if data in ARCHIVES:
        return ARCHIVES[data](Path(data_dir or "."), cache, PAPER_SETS[data])
    if data in PAPER_SETS:
        recipe = PAPER_SETS[data]
        return read_tfds(str(recipe.tfds), data_dir, cache, recipe)
    if data.startswith(TFDS):
        return read_tfds(data.removeprefix(TFDS), data_dir, cache)
    path = Path(data).expanduser()
    if path.suffix.lower() == ".csv":
        return read_table(path, cache)
    if not path.exists() and len(path.parts) == 1:
        near = difflib.get_close_matches(data, NAMES)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Sets of tensorflow-datasets are tfds:NAME."
        raise DataError(f"data is one of {', '.join(NAMES)}, a folder or a .csv file. {hint} Received: {data!r}")
    return read_folder(path, cache)


def _digits() -> RawSplits:
    digits = load_digits(8)  # as they are; they are enlarged as they are used
    train, test = hold_out(digits, DIGITS_TEST_SHARE, DIGITS_TEST_SEED)
    return RawSplits(train, test=test)


def _glyphs() -> RawSplits:
    from keras_effnet.data.glyphs import render_letters

    train, test = (render_letters(GLYPHS, GLYPHS_RESOLUTION, 0), render_letters(GLYPHS_TEST, GLYPHS_RESOLUTION, 1))
    numbers = np.arange(GLYPHS, GLYPHS + GLYPHS_TEST)
    return RawSplits(train, test=Images(test.images, test.labels, test.class_names, numbers))
