"""The eight transfer learning data sets of the EfficientNet paper: Table 6 of Tan and Le 2019, arXiv:1905.11946."""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.errors import DataError


@dataclass(frozen=True)
class PaperSet:
    """One row of Table 6, and the source of its images.

    Args:
        title: name of the set in the table.
        train: number of training images.
        test: number of test images.
        classes: number of classes.
        tfds: name of the set in tensorflow-datasets; None if tensorflow-datasets lacks it. Default: None.
        train_split: the split, or splits joined by "+", that make up the training images in tensorflow-datasets.
            Default: "train".
        test_split: the split of the test images in tensorflow-datasets. Default: "test".
        printed_test: number of test images printed in the table if the set has a different number; else None.
            Default: None.
    """

    title: str
    train: int
    test: int
    classes: int
    tfds: str | None = None
    train_split: str = "train"
    test_split: str = "test"
    printed_test: int | None = None


# Sizes: Table 6. Splits: the pages of these sets at https://www.tensorflow.org/datasets/catalog. The flowers have 1,020
# images each in train and validation, which together are the table's 2,040. Food-101's test images are called
# validation there (its builder reads them from the archive's test.json). The pets have 3,669 test images there and in
# other libraries, which with the 3,680 training images make the published total of 7,349; the table's 3,369 appears to
# be a misprint.
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
    """Raises DataError unless a data set has the sizes of its row, so that results are comparable with the paper's.

    Args:
        recipe: the set's row of Table 6.
        train: number of training images found.
        test: number of test images found.
        classes: number of classes found.

    Example:
        >>> check_sizes(PAPER_SETS["cifar10"], train=50_000, test=10_000, classes=10)
        >>> check_sizes(PAPER_SETS["cifar10"], train=49_999, test=10_000, classes=10)
        Traceback (most recent call last):
            ...
        keras_effnet.errors.DataError: CIFAR-10 must have 50,000 training images (Table 6 of the paper), ...
    """
    what = {"training images": train, "test images": test, "classes": classes}
    for (name, found), wanted in zip(what.items(), (recipe.train, recipe.test, recipe.classes), strict=True):
        if found != wanted:
            raise DataError(
                f"{recipe.title} must have {wanted:,} {name} (Table 6 of the paper), but this copy does not. "
                "Delete it and download it again.",
                received=f"{found:,} {name}",
            )
