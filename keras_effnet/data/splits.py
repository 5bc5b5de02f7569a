"""What a data set says of its images' use, and how we hold some out where it says nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.errors import DataError


@dataclass(frozen=True, eq=False)
class RawSplits:
    """A data set as it comes.

    Attributes:
        train: images to learn from.
        validation: images to choose by, where the set has such.
        test: images to report on, where the set has such.
    """

    train: Source
    validation: Source | None = None
    test: Source | None = None


def hold_out(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    """RawSplits at random, each class by itself, so that rare classes are on both sides.

    Args:
        source: what to split.
        share: of each class on the second side, in (0, 1); at least one image, if the class has two.
        seed: which images.

    Returns:
        The images that stay and those that are held out, each in their order.

    Raises:
        DataError: no class has two images.

    Example:
        >>> from keras_effnet.data.images import load_digits
        >>> [len(part) for part in hold_out(load_digits(8), 0.1, seed=0)]
        [1618, 179]
    """
    held = np.zeros(len(source), bool)
    generator = np.random.default_rng((seed, 2))
    for label in range(len(source.class_names)):
        members = np.flatnonzero(source.labels == label)
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        held[generator.permutation(members)[: max(count, 0)]] = True
    if not held.any():
        raise DataError(
            "no image can be held out: no class has two. Add images, or give a set with a validation part. "
            f"Received: {len(source)} images of {len(source.class_names)} classes"
        )
    return source.take(np.flatnonzero(~held)), source.take(np.flatnonzero(held))


def at_most(source: Source, labels_per_class: int, seed: int) -> Source:
    """Chooses so many images of each class at random, or all where there are fewer; in their order."""
    chosen = np.zeros(len(source), bool)
    generator = np.random.default_rng((seed, 3))
    for label in range(len(source.class_names)):
        chosen[generator.permutation(np.flatnonzero(source.labels == label))[:labels_per_class]] = True
    return source.take(np.flatnonzero(chosen))
