"""`keras-effnet transfer`: from drawn letters to few labels, against training from scratch."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from keras_effnet.atomic import check_writable
from keras_effnet.cli.arguments import backbone_argument
from keras_effnet.cli.printer import print_result

DESCRIPTION = """Pre-trains a scaled-down backbone on letters that it draws itself, fine-tunes it on few labels per
class of other images (by default scikit-learn's handwritten digits), and trains the same network from scratch on the
same labels. Downloads nothing. If interrupted, the same command continues where it stopped."""

HELP = {
    "backbone": "name of a registered backbone, or a spec file (.json)",
    "phi": "how the backbone is scaled; below 0 it shrinks",
    "data": "images to learn: 'digits', a folder with a sub-folder for each class, or whatever finetune takes",
    "resolution": "side of all images in pixels",
    "letters": "number of letters to draw for pre-training",
    "pretrain_epochs": "number of epochs of pre-training",
    "epochs": "number of epochs on the few labelled images; from scratch twice as many",
    "labels_per_class": "number of labelled images per class",
    "repeats": "number of draws of labelled images",
    "seed": "seed of everything random",
}


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's parser."""
    from keras_effnet.finetune.options import DemonstrationOptions

    parser = commands.add_parser(
        "transfer", help="pre-train on letters, fine-tune on few labels, compare with scratch", description=DESCRIPTION
    )
    parser.add_argument("--output", default="results/transfer", help="folder for results (default: results/transfer)")
    parser.add_argument(
        "--overwrite", action="store_true", help="start afresh if the folder holds a run (default: continue it)"
    )
    for field in fields(DemonstrationOptions):
        flag = "--" + field.name.replace("_", "-")
        text = f"{HELP[field.name]} (default: {field.default})"
        parser.add_argument(flag, type=type(field.default), default=field.default, help=text)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Runs the demonstration, prints its table and names its files."""
    from keras_effnet.data.sets import check_data
    from keras_effnet.finetune.options import DemonstrationOptions

    values = {field.name: getattr(arguments, field.name) for field in fields(DemonstrationOptions)}
    options = DemonstrationOptions(**{**values, "backbone": backbone_argument(arguments.backbone)})
    output = Path(arguments.output)
    check_writable(output, folder=True)
    check_data(options.data)
    from keras_effnet.finetune.demonstration import Demonstration
    from keras_effnet.report.draws import format_draws, write_draws

    metrics = Demonstration(options, output, overwrite=arguments.overwrite).run()
    write_draws(metrics, output)
    files = ", ".join(("model.keras", "history.csv", "metrics.json", "curves.png"))
    print_result(f"{format_draws(metrics)}\n\nIn {output}: {files}\n")
