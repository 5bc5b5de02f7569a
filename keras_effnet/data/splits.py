"""The splits that a data set comes with, and how images are held out where a split is missing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from keras_effnet.checks import check_int
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError, KerasEffnetError
from keras_effnet.extras import import_extra


@dataclass(frozen=True, eq=False)
class RawSplits:
    """The splits of a data set as it comes; `keras_effnet.data.sets.load_data` fills in a missing validation split.

    Attributes:
        train: training images.
        validation: validation images, or None if the set has no such split.
        test: test images, or None if the set has no such split.
    """

    train: Source
    validation: Source | None = None
    test: Source | None = None


def hold_out(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    """Splits images at random, stratified by class, so that rare classes are on both sides; no group is torn apart.

    Images with several labels are stratified by the rarest one that they have.

    Args:
        source: the images to split.
        share: fraction of each class to hold out, in (0, 1); at least one image of each class that has two.
        seed: seed of the random choice, at least 0.

    Returns:
        The remaining images and the held-out ones, both in their original order.

    Raises:
        DataError: no class has two images, or there is a single group.

    Example:
        >>> from keras_effnet.data.images import load_digits
        >>> [len(part) for part in hold_out(load_digits(8), 0.1, seed=0)]
        [1618, 179]
    """
    if source.groups is not None:
        return _hold_out_groups(source, share, seed)
    held = np.zeros(len(source), bool)
    generator = np.random.default_rng((seed, 2))
    strata = source.strata
    for stratum in range(len(source.class_names) + 1):
        members = np.flatnonzero(strata == stratum)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held[generator.permutation(members)[: max(count, 0)]] = True
    if not held.any():
        raise DataError(
            "no image can be held out, because no class has two. Add images, or provide a validation split.",
            received=f"{len(source)} images of {len(source.class_names)} classes",
        )
    return source.take(np.flatnonzero(~held)), source.take(np.flatnonzero(held))


def _hold_out_groups(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    groups = len(set(source.groups or ()))
    if groups < 2:
        raise DataError(
            "images are held out group by group: there must be at least two groups, or a validation split.",
            received=f"{groups} group of {len(source)} images",
        )
    selection = import_extra("sklearn.model_selection", "holding out groups")
    folds = selection.StratifiedGroupKFold(min(max(round(1 / share), 2), groups), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        kept, held = next(folds.split(np.zeros(len(source)), source.strata, source.groups))
    return source.take(kept), source.take(held)


def check_fold(error: type[KerasEffnetError], fold: tuple[int, int] | None) -> None:
    """Raises `error` unless a fold is `(number, folds)`, at least two folds counted from 1, or None."""
    if fold is None:
        return
    if not isinstance(fold, tuple) or len(fold) != 2:
        raise error("`fold` is the number of a fold, from 1, and how many there are.", received=f"fold={fold!r}")
    check_int(error, "folds", fold[1], 2)
    check_int(error, "fold", fold[0], 1, fold[1])


def fold_out(source: Source, number: int, folds: int, seed: int) -> tuple[Source, Source]:
    """Takes one fold out of all images: each image is in one of them, and each class in all, as evenly as can be.

    No group is torn apart. The folds are those of scikit-learn's `StratifiedKFold` and `StratifiedGroupKFold`.

    Args:
        source: the images to split.
        number: number of the fold, from 1 to `folds`.
        folds: number of folds, at least 2.
        seed: seed of the random choice, at least 0; the same for all folds.

    Returns:
        The remaining images and those of the fold, both in their original order.

    Raises:
        DataError: there are more folds than groups, or than images of the largest class.

    Example:
        >>> from keras_effnet.data.images import load_digits
        >>> [len(part) for part in fold_out(load_digits(8), 1, 3, seed=0)]
        [1198, 599]
    """
    selection = import_extra("sklearn.model_selection", "splitting images into folds")
    largest = int(np.bincount(source.strata).max())
    most = largest if source.groups is None else min(largest, len(set(source.groups)))
    if folds > most:
        what = "images of the largest class" if most == largest else "groups"
        raise DataError(
            f"there can be no more folds than {what}: {most}.", received=f"folds={folds} of {len(source)} images"
        )
    kind = selection.StratifiedKFold if source.groups is None else selection.StratifiedGroupKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer images than folds
        parts = list(
            kind(folds, shuffle=True, random_state=seed).split(np.zeros(len(source)), source.strata, source.groups)
        )
    kept, held = parts[number - 1]
    return source.take(kept), source.take(held)


def at_most(source: Source, labels_per_class: int, seed: int) -> Source:
    """Chooses images at random, at most `labels_per_class` of each class, and keeps their order.

    Args:
        source: the images.
        labels_per_class: largest number of images of each class; of images with several labels, of those whose rarest
            label is the same.
        seed: seed of the random choice, at least 0.

    Raises:
        DataError: the images have numbers in place of classes.
    """
    if source.task == "regression":
        raise DataError("images with numbers have no classes to choose from.", received=f"{labels_per_class=}")
    strata = source.strata
    chosen = np.zeros(len(source), bool)
    generator = np.random.default_rng((seed, 3))
    for stratum in range(len(source.class_names) + 1):
        chosen[generator.permutation(np.flatnonzero(strata == stratum))[:labels_per_class]] = True
    return source.take(np.flatnonzero(chosen))
