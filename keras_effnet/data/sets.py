"""One loader for all data: named sets, folders, tables and tensorflow-datasets."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_effnet.checks import check_choice, check_int, check_number, check_seed
from keras_effnet.data.archives import read_aircraft, read_birdsnap
from keras_effnet.data.channels import with_channels
from keras_effnet.data.csv_tables import read_table
from keras_effnet.data.folders import read_folder
from keras_effnet.data.image_files import NAMES_SHOWN, ImageFiles
from keras_effnet.data.images import Images, load_digits
from keras_effnet.data.near_duplicates import warn_of_near_duplicates
from keras_effnet.data.paper import PAPER_SETS
from keras_effnet.data.scenes import COUNTS, Scenes
from keras_effnet.data.source import Skipped, Source
from keras_effnet.data.splits import RawSplits, at_most, check_fold, fold_out, hold_out
from keras_effnet.data.tfds import read_tfds
from keras_effnet.errors import DataError
from keras_effnet.given_path import given_path
from keras_effnet.vision_tasks import TASKS, VisionTask

logger = logging.getLogger(__name__)

# Independent of the user's seed, so that everybody has the same test images.
DIGITS_TEST_SHARE, DIGITS_TEST_SEED = 0.2, 0
# 40 classes of rendered letters: 100 training images and 25 test images each. 32 pixels lose no detail: the letters
# are drawn with at most 10.
GLYPHS, GLYPHS_TEST, GLYPHS_RESOLUTION = 4_000, 1_000, 32

ARCHIVES = {"birdsnap": read_birdsnap, "aircraft": read_aircraft}
NAMES = ("digits", "glyphs", "scenes", *PAPER_SETS)
TFDS = "tfds:"


@dataclass(frozen=True, eq=False)
class DataSplits:
    """A data set that is ready for training: it always has a validation split.

    Attributes:
        name: name or path by which the user asked for the data.
        train: images to train on.
        validation: images that decisions are based on, such as when to stop.
        test: images to evaluate on once, at the end; None if the set has no such split.
    """

    name: str
    train: Source
    validation: Source
    test: Source | None

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The images of all splits that were left out, with the reasons."""
        splits = (self.train, self.validation, self.test)
        return tuple(dict.fromkeys(each for split in splits if split is not None for each in split.skipped))


def load_data(
    data: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    validation: float = 0.1,
    seed: int = 0,
    labels_per_class: int | None = None,
    task: VisionTask | None = None,
    targets: str | Sequence[str] = (),
    fold: tuple[int, int] | None = None,
    channels: int = 3,
    bits: int | None = None,
    near_duplicates: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> DataSplits:
    """Loads labelled images.

    Args:
        data: "digits" (scikit-learn's), "glyphs" (rendered letters), "scenes" (drawn without end, see `Scenes`), one of
            the paper's eight sets (`PAPER_SETS`), "tfds:NAME" for any image classification set of tensorflow-datasets,
            the path of a folder (see `read_folder`), or the path of a .csv file (see `read_table`).
        data_dir: folder of the named data sets: the data folder of tensorflow-datasets, or an unpacked archive. None
            uses the default of tensorflow-datasets, or the current folder for an archive. Default: None.
        validation: fraction of each class's training images to hold out for validation, in (0, 0.9]; ignored if the
            data has a validation split. Default: 0.1.
        seed: seed of the random choices of `validation`, `labels_per_class` and `fold`, 0 to 4294967295. Default: 0.
        labels_per_class: largest number of training images per class, at least 1; None uses all. Default: None.
        task: what is to be learned of the images in a table: "classification", "multilabel" or "regression"; None for
            what its columns tell (see `read_table`). All other data has classes. Default: None.
        targets: names of the table's columns to learn from, a sequence or a text parted by commas; none for those that
            `read_table` finds. Default: none.
        fold: `(number, folds)` takes one of `folds` parts out of the training images, counted from 1, as the test split
            in place of the data's own; see `fold_out`. Default: None.
        channels: number of channels to read: 3 (RGB), 1 (gray: RGB is read, and made gray in batches), or the number of
            bands of the files. Files of others are left out. Default: 3.
        bits: number of bits that images of 16 bits use, from 8 to 16: the largest value is white. None takes the fewest
            that hold the largest value of all files (8, 10, 12, 14 or 16), and logs it. Default: None.
        near_duplicates: whether to look for images of one split that look like an image of another one, and to name
            them in a warning; reads all images once more. Default: False.
        cache: folder that remembers which files can be read, and that holds packed data sets. None uses `keras_effnet`
            in Keras' own folder, `~/.keras`. Default: None.

    Returns:
        The splits. Files that cannot be read are left out, logged once and listed in `skipped`, with the reasons.

    Raises:
        DataError: there is no such data, or it cannot be trained on.

    Example:
        >>> splits = load_data("digits", labels_per_class=5)
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (50, 143, 359)
    """
    validation = check_number(DataError, "validation", validation, 0, 0.9, open_low=True)
    seed = check_seed(DataError, seed)
    if labels_per_class is not None:
        labels_per_class = check_int(DataError, "labels_per_class", labels_per_class, 1)
    check_fold(DataError, fold)
    check_choice(DataError, "task", task, (None, *TASKS))
    columns = tuple(name.strip() for name in (targets.split(",") if isinstance(targets, str) else targets))
    check_data(data)
    data = os.fspath(data)
    if not is_table(data) and (columns or task not in (None, "classification")):
        raise DataError(
            "several labels, numbers and named columns come from tables: give a .csv file.",
            received=f"{task=}, {targets=} for {data!r}",
        )
    folder = default_cache() if cache is None else Path(cache)
    splits = (
        read_table(given_path(DataError, data), folder, task, columns)
        if is_table(data)
        else _open(data, data_dir, folder)
    )
    splits = with_channels(splits, channels, bits)
    train, held_out, test = splits.train, splits.validation, splits.test
    if fold is not None:
        train, test = fold_out(train, *fold, seed)
    if held_out is None:
        train, held_out = hold_out(train, validation, seed)
    if labels_per_class is not None:
        train = at_most(train, labels_per_class, seed)
    found = DataSplits(data, train, held_out, test)
    _warn_of_leakage(found)
    if near_duplicates:
        warn_of_near_duplicates({"training": found.train, "validation": found.validation, "test": found.test})
    return found


def _warn_of_leakage(splits: DataSplits) -> None:
    """Says which files of one split are in another one too, whatever their names."""
    parts = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    seen: dict[str, dict[str, str]] = {}  # name of a file by the digest of its content, for each split
    for part, source in parts.items():
        if not isinstance(source, ImageFiles):
            continue
        digests = source.digests()
        for earlier, names in seen.items():
            twice = [(number, names[digest]) for number, digest in enumerate(digests) if digest in names]
            if twice:
                shown = ", ".join(f"{source.name_of(number)} = {name}" for number, name in twice[:NAMES_SHOWN])
                logger.warning(
                    "%d %s images are %s images too, by their content: what they say of the network is no test. %s%s",
                    len(twice), part, earlier, shown, ", ..." if len(twice) > NAMES_SHOWN else "",
                )  # fmt: skip
        seen[part] = {digest: source.name_of(number) for number, digest in enumerate(digests) if digest is not None}


def check_data(data: str | os.PathLike[str]) -> None:
    """Finds out whether there can be such data, without reading any of it.

    Args:
        data: name or path of the data, as for `load_data`.

    Raises:
        DataError: no data set has this name, and there is no such folder or file.
    """
    data = os.fspath(data)
    place = given_path(DataError, data)
    if data in NAMES or data.startswith(TFDS) or place.exists():
        return
    if len(place.parts) == 1 and place.suffix.lower() != ".csv":
        near = difflib.get_close_matches(data, NAMES)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Write tfds:NAME for tensorflow-datasets."
        raise DataError(f"data is one of {', '.join(NAMES)}, a folder or a .csv file. {hint}", received=repr(data))
    raise DataError("there is no such folder or file; check the path.", received=repr(data))


def default_cache() -> Path:
    """The default cache folder, next to Keras' own."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras_effnet"


def _open(data: str, data_dir: str | os.PathLike[str] | None, cache: Path) -> RawSplits:
    if data == "digits":
        return _digits()
    if data == "glyphs":
        return _glyphs()
    if data == "scenes":
        return RawSplits(*(Scenes(count, part) for part, count in COUNTS.items()))
    if data in ARCHIVES:
        return ARCHIVES[data](Path(data_dir or "."), cache, PAPER_SETS[data])
    if data in PAPER_SETS:
        recipe = PAPER_SETS[data]
        return read_tfds(str(recipe.tfds), data_dir, cache, recipe)
    if data.startswith(TFDS):
        return read_tfds(data.removeprefix(TFDS), data_dir, cache)
    path = given_path(DataError, data)
    return read_folder(path, cache)


def is_table(data: str | os.PathLike[str]) -> bool:
    """Whether data is the path of a table."""
    return Path(data).suffix.lower() == ".csv"


def _digits() -> RawSplits:
    digits = load_digits(8)  # their own size; batches enlarge them
    train, test = hold_out(digits, DIGITS_TEST_SHARE, DIGITS_TEST_SEED)
    return RawSplits(train, test=test)


def _glyphs() -> RawSplits:
    from keras_effnet.data.glyphs import render_letters

    train, test = (render_letters(GLYPHS, GLYPHS_RESOLUTION, 0), render_letters(GLYPHS_TEST, GLYPHS_RESOLUTION, 1))
    numbers = np.arange(GLYPHS, GLYPHS + GLYPHS_TEST)
    return RawSplits(train, test=Images(test.images, test.labels, test.class_names, numbers))
