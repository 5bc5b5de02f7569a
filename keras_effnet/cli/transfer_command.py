"""`keras-effnet transfer`: from drawn letters to few labels, against training from scratch."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from keras_effnet.cli.arguments import backbone_argument

DESCRIPTION = """Pre-trains a scaled-down backbone on images of letters that it draws itself, moves it to other
images with few labels a class (by default scikit-learn's handwritten digits), and trains the same network from
scratch on the same labels. Downloads nothing. Interrupted, the same command goes on where it stopped."""

HELP = {
    "backbone": "name of a registered backbone, or a spec file (.json)",
    "phi": "how it is scaled: below 0 is smaller",
    "data": "folder with a sub-folder of images for each class, instead of the digits",
    "resolution": "of all images, in pixels",
    "letters": "images to draw for pre-training",
    "pretrain_epochs": "passes over the letters",
    "epochs": "passes over the labelled images; from scratch twice as many",
    "labels_per_class": "images of each class to learn from",
    "repeats": "draws of labels",
    "seed": "of everything random",
}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    from keras_effnet.transfer.options import TransferOptions

    parser = commands.add_parser(
        "transfer", help="pre-train on letters, move to few labels, compare with scratch", description=DESCRIPTION
    )
    parser.add_argument("--output", default="results/transfer", help="folder for results (default: results/transfer)")
    for field in fields(TransferOptions):
        kind = str if field.default is None else type(field.default)
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(
            flag, type=kind, default=field.default, help=f"{HELP[field.name]} (default: {field.default})"
        )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Runs the job, prints its table and names its files."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its build say nothing to a user
    from keras_effnet.transfer.options import TransferOptions

    values = {field.name: getattr(arguments, field.name) for field in fields(TransferOptions)}
    options = TransferOptions(**{**values, "backbone": backbone_argument(arguments.backbone)})
    from keras_effnet.transfer.job import TransferJob
    from keras_effnet.transfer.report import format_table, write_results

    output = Path(arguments.output)
    metrics = TransferJob(options, output).run()
    write_results(metrics, output)
    files = ", ".join(("model.keras", "history.csv", "metrics.json", "curves.png"))
    sys.stdout.write(f"{format_table(metrics)}\n\nIn {output}: {files}\n")
