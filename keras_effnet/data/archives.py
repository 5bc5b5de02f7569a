"""Birdsnap and FGVC Aircraft, which tensorflow-datasets lacks, from the archives that their authors published."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from keras_effnet.data.image_files import open_files
from keras_effnet.data.paper import PaperSet, check_sizes
from keras_effnet.data.splits import RawSplits
from keras_effnet.errors import DataError

# Berg et al. 2014, "Birdsnap: Large-scale Fine-grained Visual Categorization of Birds". The archive's readme.txt
# (release 1.1) describes the layout: tab-separated tables with a header, paths such as "Coopers_Hawk/0561.jpg".
BIRDSNAP_ARCHIVE = "http://thomasberg.org/datasets/birdsnap/1.1/birdsnap.tgz"
# Where the archive's script puts the images, and where people move them.
BIRDSNAP_IMAGES = ("download/images", "images")

# Maji et al. 2013, arXiv:1306.5151; the layout of fgvc-aircraft-2013b.
AIRCRAFT_PAGE = "http://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
# Rows of pixels at the bottom of each image that name its photographer; the authors ask to remove them before any use.
AIRCRAFT_BANNER = 20

Listed = list[tuple[Path, str]]  # the path of each image and the name of its class


def read_birdsnap(root: Path, cache: Path, recipe: PaperSet) -> RawSplits:
    """Reads Birdsnap from its unpacked archive, after the script in it has downloaded the images.

    Many of the images are no longer online. The sizes of the lists must be those of the paper's Table 6; missing images
    are treated like unreadable ones: left out, counted and listed.

    Args:
        root: the folder `birdsnap`, or its parent.
        cache: cache folder, see `keras_effnet.data.image_files.open_files`.
        recipe: the set's row of Table 6, with the expected sizes.

    Returns:
        The training and the test split; the class names are the common English names of the birds.

    Raises:
        DataError: the archive is missing or incomplete.
    """
    how = (
        f"Download {BIRDSNAP_ARCHIVE}, unpack it, run its get_birdsnap.py, which downloads the images, and pass the "
        "folder birdsnap, or its parent, as data_dir"
    )
    root = _find(root, "birdsnap", "test_images.txt", how)
    images = next((root / name for name in BIRDSNAP_IMAGES if (root / name).is_dir()), None)
    if images is None:
        raise DataError(
            f"Birdsnap has its lists, but no images in {' or '.join(BIRDSNAP_IMAGES)}. Run get_birdsnap.py.",
            received=repr(str(root)),
        )
    species = {row["id"]: row["common"] for row in _table(root / "species.txt", ("id", "common"))}
    listed = _table(root / "images.txt", ("path", "species_id"))
    test = {row["path"] for row in _table(root / "test_images.txt", ("path",))}
    splits: dict[bool, Listed] = {False: [], True: []}
    for row in listed:
        if row["species_id"] not in species:
            raise DataError(
                "species.txt must list the species of each image; unpack the archive again.",
                received=f"{row} in {str(root / 'images.txt')!r}",
            )
        splits[row["path"] in test].append((images / row["path"], species[row["species_id"]]))
    return _open_splits(splits[False], splits[True], tuple(species.values()), recipe, cache)


def read_aircraft(root: Path, cache: Path, recipe: PaperSet) -> RawSplits:
    """Reads FGVC Aircraft from its unpacked archive; the classes are its variants, such as "Boeing 737-700".

    Args:
        root: the folder `fgvc-aircraft-2013b`, its subfolder `data`, or its parent.
        cache: cache folder, see `keras_effnet.data.image_files.open_files`.
        recipe: the set's row of Table 6, with the expected sizes.

    Returns:
        The training split (the archive's training and validation images together, as in Table 6) and the test split.
        The banner at the bottom of each image is cut off.

    Raises:
        DataError: the archive is missing or incomplete.
    """
    how = (
        f"Download fgvc-aircraft-2013b.tar.gz from {AIRCRAFT_PAGE}, unpack it, and pass the folder "
        "fgvc-aircraft-2013b, or its parent, as data_dir"
    )
    root = _find(root, "fgvc-aircraft-2013b", "data/variants.txt", how) / "data"
    names = tuple(line for line in _lines(root / "variants.txt"))
    train, test = (_aircraft_list(root, f"images_variant_{split}.txt", names) for split in ("trainval", "test"))
    return _open_splits(train, test, names, recipe, cache, AIRCRAFT_BANNER)


def _aircraft_list(root: Path, table: str, names: Sequence[str]) -> Listed:
    rows = []
    for number, line in enumerate(_lines(root / table), 1):
        image, _, variant = line.partition(" ")
        if variant not in names:
            raise DataError(
                "each line must be a number and a variant listed in variants.txt; unpack the archive again.",
                received=f"{line!r} in line {number} of {str(root / table)!r}",
            )
        rows.append((root / "images" / f"{image}.jpg", variant))
    return rows


def _open_splits(
    train: Listed, test: Listed, names: tuple[str, ...], recipe: PaperSet, cache: Path, banner: int = 0
) -> RawSplits:
    check_sizes(recipe, train=len(train), test=len(test), classes=len(names))
    numbers = {name: number for number, name in enumerate(names)}
    opened = [
        open_files([path for path, _ in rows], [numbers[name] for _, name in rows], names, cache, banner=banner)
        for rows in (train, test)
    ]
    if not all(len(source) for source in opened):
        raise DataError(
            f"{recipe.title} has its lists, but no readable images. Unpack the archive again.",
            received=f"{str(train[0][0])!r}, ...",
        )
    return RawSplits(opened[0], test=opened[1])


def _find(root: Path, folder: str, mark: str, how: str) -> Path:
    """The folder of an archive, recognised by the file `mark` in it: `root`, its subfolder `folder`, or its parent."""
    for place in (root, root / folder, root.parent):
        if (place / mark).is_file():
            return place
    raise DataError(f"the archive is missing. {how}.", received=f"{str(root)!r}, which has no {mark}")


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"a list of the archive cannot be read: {error}. Unpack the archive again.", received=repr(str(path))
        ) from error


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a tab-separated table with a header."""
    rows = list(csv.DictReader(_lines(path), delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, 2):
        if any(row.get(column) is None for column in columns):
            raise DataError(
                f"each line must have {', '.join(columns)}; unpack the archive again.",
                received=f"line {number} of {str(path)!r}",
            )
    return rows
