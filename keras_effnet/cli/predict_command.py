"""`keras-effnet predict MODEL IMAGES...`: classifies images with a trained model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import check_writable
from keras_effnet.checks import check_int
from keras_effnet.cli.explained_images import check_explained, write_explained
from keras_effnet.cli.model_arguments import add_model_arguments, check_model_arguments, open_classifier
from keras_effnet.cli.prediction_text import FORMATS, Predictions
from keras_effnet.cli.predictor import predict_source, show
from keras_effnet.errors import DataError
from keras_effnet.messages import say

if TYPE_CHECKING:
    from keras_effnet.data.image_files import ImageFiles
    from keras_effnet.data.source import Skipped

DESCRIPTION = """Prints the most probable classes of each image, the labels that it has, or its numbers. Files that
cannot be read are listed on standard error and left out; the command fails only if no image can be read. Results go to
standard output, progress to standard error."""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the parser of this command."""
    parser = commands.add_parser("predict", help="classify images with a trained model", description=DESCRIPTION)
    add_model_arguments(parser)
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        type=Path,
        help="image files, and folders, which are searched recursively",
    )
    parser.add_argument("--top", type=int, default=5, metavar="K", help="number of classes per image (default: 5)")
    parser.add_argument("--format", choices=sorted(FORMATS), default="table", help="output format (default: table)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results to this file instead")
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FOLDER",
        help="also write each image there, under a map of what speaks for its most probable class (default: no)",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the most probable classes of each image."""
    check_int(DataError, "top", arguments.top, 1)
    check_model_arguments(arguments)
    if arguments.output is not None:
        check_writable(arguments.output)
    if arguments.explain is not None:
        check_explained(arguments)
    source = _readable(arguments.images)
    _check_some(source, arguments.images)
    classifier = open_classifier(arguments)
    from keras_effnet.data.channels import common_bits

    fitting = source.with_channels(classifier.channels, common_bits([source], classifier.bits))
    _say_skipped(fitting.skipped[len(source.skipped) :])
    _check_some(fitting, arguments.images)
    outputs = predict_source(classifier, fitting, arguments, "predicting")
    names, thresholds = classifier.class_names, classifier.thresholds
    if arguments.explain is not None:
        write_explained(classifier, fitting, outputs, arguments)
    images = [str(path) for path in fitting.paths]
    found = Predictions(classifier.task, names, thresholds, images, outputs, fitting.skipped, arguments.top)
    show(FORMATS[arguments.format](found), arguments.output)


def _readable(given: Sequence[Path]) -> ImageFiles:
    """The images among the given files and in the given folders."""
    import numpy as np

    from keras_effnet.data.image_files import ImageFiles, check_files
    from keras_effnet.data.sets import default_cache
    from keras_effnet.data.source import Skipped

    paths = _files(given)
    checked = dict(zip(paths, check_files(paths, default_cache()), strict=True))
    skipped = tuple(Skipped(str(path), each.reason) for path, each in checked.items() if each.reason)
    _say_skipped(skipped)
    fine = {path: each for path, each in checked.items() if not each.reason}
    labels = np.zeros(len(fine), np.int32)  # they are unknown, and unused
    return ImageFiles(list(fine), labels, ("unknown",), skipped, checked=list(fine.values()))


def _say_skipped(skipped: Sequence[Skipped]) -> None:
    for each in skipped:
        say(f"keras-effnet predict: left out {each}")


def _check_some(source: ImageFiles, given: Sequence[Path]) -> None:
    if not len(source):
        raise DataError(
            "there must be at least one readable image.",
            received=f"{', '.join(map(str, given))}, in which {len(source.skipped)} files were found",
        )


def _files(given: Sequence[Path]) -> list[Path]:
    """The given files, and all files in the given folders that are not hidden."""
    from keras_effnet.data.folders import visible_files

    found = [file for path in given for file in (visible_files(path) if path.is_dir() else [path])]
    return list(dict.fromkeys(found))
