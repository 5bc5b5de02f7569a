"""Images of one split that look like an image of another one: re-encoded, resized, or the next frame of a film.

They are found by a difference hash (Krawetz 2013, "Kind of Like That", hackerfactor.com/blog): whether each pixel of a
thumbnail is brighter than its left neighbour. It is ten lines of NumPy; the library `imagehash` would bring SciPy and
PyWavelets for hashes that are not used here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_effnet.data.image_files import NAMES_SHOWN, THREADS
from keras_effnet.data.resizing import resize_image
from keras_effnet.data.source import Source
from keras_effnet.messages import progress_bar

logger = logging.getLogger(__name__)

SIDE = 16  # of the thumbnail: 256 comparisons
# The most comparisons in which near-duplicates differ: a tenth. Measured (docs/data.md): copies of photographs at a
# third of the size and as JPEG of quality 50 differ in fewer, distinct pieces of photographs in more.
MOST_DIFFERENT = 26
ROWS = 4096  # images compared with all others at once: 64 MB for 4,096 others


def warn_of_near_duplicates(splits: Mapping[str, Source | None]) -> None:
    """Logs which images of a split look like an image of an earlier one, a warning for each pair of splits.

    Args:
        splits: the images of each split by its name; None if there are none.

    Raises:
        DataError: an image can no longer be read.
    """
    seen: dict[str, tuple[Source, np.ndarray]] = {}
    for part, source in splits.items():
        if source is None:
            continue
        hashes = difference_hashes(source, f"comparing {part} images")
        for earlier, (others, their_hashes) in seen.items():
            pairs = near_duplicates(hashes, their_hashes)
            if pairs:
                shown = ", ".join(f"{source.name_of(a)} = {others.name_of(b)}" for a, b in pairs[:NAMES_SHOWN])
                logger.warning(
                    "%d %s images look like %s images: if they show the same, what they say of the network is no test. "
                    "%s%s", len(pairs), part, earlier, shown, ", ..." if len(pairs) > NAMES_SHOWN else "",
                )  # fmt: skip
        seen[part] = source, hashes


def difference_hashes(source: Source, title: str = "comparing images") -> np.ndarray:
    """The difference hash of each image.

    Args:
        source: the images.
        title: label of the progress bar.

    Returns:
        bool array of shape `(images, 256)`.

    Raises:
        DataError: an image can no longer be read.
    """

    def hash_of(index: int) -> np.ndarray:
        small = resize_image(source.read(index, SIDE + 1), (SIDE, SIDE + 1), gray=source.channels == 3).mean(axis=2)
        return (small[:, 1:] > small[:, :-1]).reshape(-1)

    with ThreadPoolExecutor(THREADS) as threads, progress_bar(total=len(source), desc=title, unit="image") as progress:
        found = np.zeros((len(source), SIDE * SIDE), bool)
        for index, bits in enumerate(threads.map(hash_of, range(len(source)))):
            found[index] = bits
            progress.update()
    return found


def near_duplicates(hashes: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of images whose hashes are nearly equal; each image with the nearest other one.

    Images with hardly a difference in them, such as of one colour, are no duplicates of each other.

    Args:
        hashes: bool array of shape `(images, bits)`.
        others: bool array of shape `(other images, bits)`.

    Returns:
        Pairs of numbers: of an image, and of the other image.

    Example:
        >>> one = np.arange(256) % 2 == 0
        >>> near_duplicates(np.array([one, ~one]), np.array([~one]))
        [(1, 0)]
    """
    pairs: list[tuple[int, int]] = []
    theirs = np.where(others, 1, -1).astype(np.float32)
    for first in range(0, len(hashes) if len(others) else 0, ROWS):
        part = hashes[first : first + ROWS]
        alike = np.where(part, 1, -1).astype(np.float32) @ theirs.T  # the bits that agree, less those that do not
        nearest = alike.argmax(axis=1)
        different = (hashes.shape[1] - alike[np.arange(len(part)), nearest]) / 2
        # Of two images of so few brighter (or darker) pixels the hashes could not differ in more.
        set_bits = part.sum(axis=1)
        detailed = np.minimum(set_bits, part.shape[1] - set_bits) > MOST_DIFFERENT
        near = (different <= MOST_DIFFERENT) & detailed
        pairs += [(int(first + row), int(nearest[row])) for row in np.flatnonzero(near)]
    return pairs
