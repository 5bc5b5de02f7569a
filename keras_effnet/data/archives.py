"""Birdsnap and FGVC Aircraft, which tensorflow-datasets lacks, from the archives that their authors published."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from keras_effnet.data.image_files import open_files
from keras_effnet.data.paper import PaperSet, check_sizes
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError

# Berg et al. 2014, "Birdsnap: Large-scale Fine-grained Visual Categorization of Birds"; the layout is that of the
# archive's own readme.txt, release 1.1: tab-separated tables with a header, paths such as "Coopers_Hawk/0561.jpg".
BIRDSNAP_ARCHIVE = "http://thomasberg.org/datasets/birdsnap/1.1/birdsnap.tgz"
# Where the archive's script puts the images, and where people move them.
BIRDSNAP_IMAGES = ("download/images", "images")

# Maji et al. 2013, arXiv:1306.5151; the layout is that of fgvc-aircraft-2013b.
AIRCRAFT_PAGE = "http://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
# The lowest rows of each image name its photographer, and the authors ask to remove them before any use.
AIRCRAFT_BANNER = 20

Rows = list[tuple[Path, str]]  # images, each with the name of its class


def read_birdsnap(root: Path, cache: Path, recipe: PaperSet) -> RawSplits:
    """Reads the unpacked archive, after its script has fetched the images.

    Many of them are no longer where the script looks for them. What is listed is compared with the paper's Table 6;
    what is missing is left out, counted and listed as unreadable files are.

    Args:
        root: the folder `birdsnap`, or the one that holds it.
        cache: see `keras_effnet.data.image_files.open_files`.
        recipe: whose sizes the lists must have.

    Returns:
        Images to train on and to test on; the classes are the common English names of the birds.

    Raises:
        DataError: the folder is not there, or not what it should be.
    """
    how = (
        f"Get {BIRDSNAP_ARCHIVE}, unpack it, run its get_birdsnap.py, which fetches the images, and name the folder "
        "birdsnap, or the one that holds it, by data_dir"
    )
    root = _find(root, "birdsnap", "test_images.txt", how)
    images = next((root / name for name in BIRDSNAP_IMAGES if (root / name).is_dir()), None)
    if images is None:
        raise DataError(
            f"Birdsnap's lists are there, but no images in {' or '.join(BIRDSNAP_IMAGES)}. Run get_birdsnap.py. "
            f"Received: {str(root)!r}"
        )
    species = {row["id"]: row["common"] for row in _table(root / "species.txt", ("id", "common"))}
    listed = _table(root / "images.txt", ("path", "species_id"))
    test = {row["path"] for row in _table(root / "test_images.txt", ("path",))}
    parts: dict[bool, Rows] = {False: [], True: []}
    for row in listed:
        if row["species_id"] not in species:
            raise DataError(f"each image must be of a listed species. Received: {row} in {str(root / 'images.txt')!r}")
        parts[row["path"] in test].append((images / row["path"], species[row["species_id"]]))
    return _parts(parts[False], parts[True], tuple(species.values()), recipe, cache)


def read_aircraft(root: Path, cache: Path, recipe: PaperSet) -> RawSplits:
    """Reads the unpacked archive; the classes are its variants, such as "Boeing 737-700".

    Args:
        root: the folder `fgvc-aircraft-2013b`, or its `data`, or the one that holds it.
        cache: see `keras_effnet.data.image_files.open_files`.
        recipe: whose sizes the lists must have.

    Returns:
        Images to train on (the archive's training and validation parts, as in Table 6) and to test on, without the
        banner at their lower edge.

    Raises:
        DataError: the folder is not there, or not what it should be.
    """
    how = (
        f"Get fgvc-aircraft-2013b.tar.gz from {AIRCRAFT_PAGE}, unpack it, and name the folder fgvc-aircraft-2013b, or "
        "the one that holds it, by data_dir"
    )
    root = _find(root, "fgvc-aircraft-2013b", "data/variants.txt", how) / "data"
    names = tuple(line for line in _lines(root / "variants.txt"))
    train, test = (_aircraft_rows(root, f"images_variant_{part}.txt", names) for part in ("trainval", "test"))
    return _parts(train, test, names, recipe, cache, AIRCRAFT_BANNER)


def _aircraft_rows(root: Path, table: str, names: Sequence[str]) -> Rows:
    rows = []
    for number, line in enumerate(_lines(root / table), 1):
        image, _, variant = line.partition(" ")
        if variant not in names:
            raise DataError(
                "each line must be a number and a variant that variants.txt lists; unpack the archive again. "
                f"Received: {line!r} in line {number} of {str(root / table)!r}"
            )
        rows.append((root / "images" / f"{image}.jpg", variant))
    return rows


def _parts(
    train: Rows, test: Rows, names: tuple[str, ...], recipe: PaperSet, cache: Path, banner: int = 0
) -> RawSplits:
    check_sizes(recipe, train=len(train), test=len(test), classes=len(names))
    numbers = {name: number for number, name in enumerate(names)}
    opened = [
        open_files([path for path, _ in rows], [numbers[name] for _, name in rows], names, cache, banner=banner)
        for rows in (train, test)
    ]
    if not all(len(source) for source in opened):
        raise DataError(
            f"{recipe.title} has lists, but no images that can be read. Unpack the archive again. "
            f"Received: {str(train[0][0])!r}, ..."
        )
    return RawSplits(opened[0], test=opened[1])


def _find(root: Path, folder: str, mark: str, how: str) -> Path:
    """The folder of an archive: what was named, or in it, or above it."""
    for place in (root, root / folder, root.parent):
        if (place / mark).is_file():
            return place
    raise DataError(f"the archive is not there. {how}. Received: {str(root)!r}, in which there is no {mark}")


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"a list of the archive cannot be read: {error}. Unpack it again. Received: {str(path)!r}"
        ) from error


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a tab-separated table with a header."""
    rows = list(csv.DictReader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, 2):
        if any(row.get(column) is None for column in columns):
            raise DataError(
                f"each line must have {', '.join(columns)}; unpack the archive again. "
                f"Received: line {number} of {str(path)!r}"
            )
    return rows
