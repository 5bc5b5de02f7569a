"""`keras-effnet predict MODEL IMAGES...`: classifies images with a trained model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_effnet.atomic import check_writable
from keras_effnet.checks import check_int
from keras_effnet.cli.prediction_text import FORMATS, Predictions
from keras_effnet.cli.predictor import add_model_arguments, check_model_arguments, open_classifier, predict_source, show
from keras_effnet.errors import DataError
from keras_effnet.messages import say

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
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the most probable classes of each image."""
    check_int(DataError, "top", arguments.top, 1)
    check_model_arguments(arguments)
    if arguments.output is not None:
        check_writable(arguments.output)
    import numpy as np

    from keras_effnet.data.image_files import ImageFiles, find_readable
    from keras_effnet.data.sets import default_cache

    paths = _files(arguments.images)
    readable = find_readable(paths, default_cache())
    skipped = [str(path) for path, is_fine in zip(paths, readable, strict=True) if not is_fine]
    for name in skipped:
        say(f"keras-effnet predict: left out, not a readable image: {name}")
    kept = [path for path, is_fine in zip(paths, readable, strict=True) if is_fine]
    if not kept:
        raise DataError(
            "there must be at least one readable image.",
            received=f"{', '.join(map(str, arguments.images))}, in which {len(paths)} files were found",
        )
    classifier = open_classifier(arguments)
    source = ImageFiles(kept, np.zeros(len(kept)), classifier.class_names)  # the labels are unknown, and unused
    outputs = predict_source(classifier, source, arguments, "predicting")
    names, thresholds = classifier.class_names, classifier.thresholds
    images = [str(path) for path in kept]
    found = Predictions(classifier.task, names, thresholds, images, outputs, skipped, arguments.top)
    show(FORMATS[arguments.format](found), arguments.output)


def _files(given: Sequence[Path]) -> list[Path]:
    """The given files, and all files in the given folders that are not hidden."""
    from keras_effnet.data.folders import visible_files

    found = [file for path in given for file in (visible_files(path) if path.is_dir() else [path])]
    return list(dict.fromkeys(found))
