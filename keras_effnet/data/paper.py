"""The eight data sets that EfficientNet was moved to: Table 6 of Tan and Le 2019, arXiv:1905.11946."""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.errors import DataError


@dataclass(frozen=True)
class PaperSet:
    """One row of Table 6, and where its images come from.

    Args:
        title: as the table has it.
        train: images to train on.
        test: images to test on.
        classes: of them.
        tfds: its name in tensorflow-datasets; None: it has it not.
        train_split: what there makes up the training images.
        test_split: what there makes up those to test on.
        printed_test: what the table prints for `test`, where that is not what the set has.
    """

    title: str
    train: int
    test: int
    classes: int
    tfds: str | None = None
    train_split: str = "train"
    test_split: str = "test"
    printed_test: int | None = None


# Sizes: Table 6. Splits: the pages of these sets at https://www.tensorflow.org/datasets/catalog. Of the flowers, train
# and validation are 1,020 each; the table's 2,040 are both. Food-101's test images are called validation there (its
# builder reads them from the archive's test.json). Of the pets, the set itself has 3,669 to test on, there and in other
# libraries, and with 3,680 to train on that makes its 7,349; the table's 3,369 looks like a slip.
PAPER_SETS: dict[str, PaperSet] = {
    "cifar10": PaperSet("CIFAR-10", 50_000, 10_000, 10, "cifar10"),
    "cifar100": PaperSet("CIFAR-100", 50_000, 10_000, 100, "cifar100"),
    "birdsnap": PaperSet("Birdsnap", 47_386, 2_443, 500),
    "stanford_cars": PaperSet("Stanford Cars", 8_144, 8_041, 196, "cars196"),
    "oxford_flowers102": PaperSet("Flowers", 2_040, 6_149, 102, "oxford_flowers102", "train+validation"),
    "aircraft": PaperSet("FGVC Aircraft", 6_667, 3_333, 100),
    "oxford_iiit_pet": PaperSet("Oxford-IIIT Pets", 3_680, 3_669, 37, "oxford_iiit_pet", printed_test=3_369),
    "food101": PaperSet("Food-101", 75_750, 25_250, 101, "food101", test_split="validation"),
}


def check_sizes(recipe: PaperSet, *, train: int, test: int, classes: int) -> None:
    """Raises DataError unless a data set has the sizes of its row, so that results can be compared with the paper's.

    Args:
        recipe: the row.
        train: images to train on that were found.
        test: images to test on that were found.
        classes: that were found.

    Example:
        >>> check_sizes(PAPER_SETS["cifar10"], train=50_000, test=10_000, classes=10)
        >>> check_sizes(PAPER_SETS["cifar10"], train=49_999, test=10_000, classes=10)
        Traceback (most recent call last):
            ...
        keras_effnet.errors.DataError: CIFAR-10 must have 50,000 images to train on (Table 6 of the paper), ...
    """
    what = {"images to train on": train, "images to test on": test, "classes": classes}
    for (name, found), wanted in zip(what.items(), (recipe.train, recipe.test, recipe.classes), strict=True):
        if found != wanted:
            raise DataError(
                f"{recipe.title} must have {wanted:,} {name} (Table 6 of the paper), but this copy has another number. "
                f"Delete it, and fetch it again. Received: {found:,} {name}"
            )
