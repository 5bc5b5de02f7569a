"""`keras-effnet finetune`: a backbone of any size learns the classes of a folder of images."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from keras_effnet.cli.arguments import backbone_argument

DESCRIPTION = """Moves a backbone of any size, with its weights, to the classes of other images: first the classifier
on features that are computed once, then the whole network. Interrupted, killed or out of power, the same command goes
on where it stopped. Leaves model.keras (the best), metrics.json, history.csv, curves.png, TensorBoard logs and a page
to read, report.html."""

OPTIONS_HELP = {
    "backbone": "name of a registered backbone, a spec file (.json), or a model built here (.keras)",
    "weights": "'imagenet', a weight file, 'random', or 'saved': those of the .keras file",
    "phi": "how the backbone is scaled: below 0 is smaller",
    "resolution": "of the images, in pixels; by default the scaled backbone's",
    "channels": "of the images: 3, or 1 for gray",
    "data_dir": "where a named set lies, or is downloaded to",
    "validation": "share of the training images to choose the best epoch by",
    "labels_per_class": "training images of each class; by default all",
    "deterministic": "the same bits in every run",
}
RECIPE_HELP = {
    "head_epochs": "passes with only the classifier learning",
    "head_rate": "largest learning rate of these",
    "epochs": "passes with the whole network learning",
    "rate": "largest learning rate of these",
    "batch_size": "images an update",
    "optimizer": "of the whole network",
    "decay": "of the rate",
    "warmup": "share of the steps over which the rate rises",
    "weight_decay": "decoupled",
    "clip": "largest norm of all gradients; 0: none",
    "label_smoothing": "share of a label spread over all classes",
    "average": "momentum of a moving average of the weights; 0: none",
    "batchnorm": "statistics while the whole network learns",
    "unfreeze": "all at once, or stage by stage",
    "precision": "that the whole network learns in",
    "accumulate": "batches an update is made from",
    "views": "of each image while the classifier learns",
    "dropout": "before the classifier; by default 0.2 at phi = 0 to 0.5 at phi = 7",
    "drop_path": "of the last block; by default the backbone's",
    "center_crop": "share of the side that is tested on",
    "seed": "of everything random",
}
AUGMENTATION_HELP = {
    "crop": "smallest share of the area that a random crop keeps; 1: none",
    "flip": "left and right, at random; by default for all but digits and glyphs",
    "operations": "of RandAugment",
    "magnitude": "of RandAugment, from 0 to 10",
    "mixup": "alpha of MixUp; 0: none",
    "cutmix": "alpha of CutMix; 0: none",
    "engine": "library of these three",
}
SIGNS = ("digits", "glyphs")  # sets that mean something else mirrored


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's own parser."""
    from keras_effnet.data.augment import Augmentation
    from keras_effnet.finetune.options import FinetuneOptions
    from keras_effnet.finetune.recipe import Recipe

    parser = commands.add_parser(
        "finetune", help="move a backbone and its weights to the classes of other images", description=DESCRIPTION
    )
    parser.add_argument(
        "data",
        help="a folder with a sub-folder for each class, a CSV of paths and labels, 'digits', 'glyphs', a set of the "
        "paper (cifar10, food101, ...), or 'tfds:NAME'",
    )
    parser.add_argument("--output", default="results/finetune", help="folder for results (default: results/finetune)")
    parser.add_argument("--recipe", help="JSON file of a recipe; the options below change it")
    group = parser.add_argument_group("several devices or hosts (docs/finetune.md)")
    group.add_argument("--devices", type=int, default=1, help="of this machine, on TensorFlow (default: 1)")
    group.add_argument("--address", help="HOST:PORT of the first of several processes, on JAX")
    group.add_argument("--processes", type=int, default=1, help="how many there are (default: 1)")
    group.add_argument("--rank", type=int, default=0, help="of this one, from 0 (default: 0)")
    _add_fields(parser.add_argument_group("network and images"), FinetuneOptions, OPTIONS_HELP)
    _add_fields(parser.add_argument_group("recipe"), Recipe, RECIPE_HELP)
    title = "augmentation (by default it grows with phi)"
    _add_fields(parser.add_argument_group(title), Augmentation, AUGMENTATION_HELP)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Runs the job, prints its scores and names its files."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its build say nothing to a user
    options = read_options(arguments)
    from keras_effnet.errors import LostProcessError
    from keras_effnet.finetune.job import FinetuneJob
    from keras_effnet.report.write import format_table
    from keras_effnet.training.distribution import Distribution

    output = Path(arguments.output)
    distribution = Distribution(arguments.devices, arguments.address, arguments.processes, arguments.rank)
    try:
        metrics = FinetuneJob(options, output, distribution).run()
    except LostProcessError as error:
        sys.stderr.write(f"keras-effnet finetune: {error}\n")
        sys.stderr.flush()
        # An orderly end would wait a minute for the process that is gone, and then abort.
        os._exit(1)
    if metrics is None:
        return
    sys.stdout.write(f"{format_table(metrics)}\n\nIn {output}: {', '.join(sorted(_files(output)))}\n")


def read_options(arguments: argparse.Namespace) -> Any:
    """The options of a command line.

    Raises:
        RecipeError, SpecError, TrainingError: a file that cannot be read, or a value outside its range.
    """
    from keras_effnet.data.augment import Augmentation, augmentation_for
    from keras_effnet.finetune.options import FinetuneOptions
    from keras_effnet.finetune.recipe import Recipe, read_recipe

    asked = _given(arguments, FinetuneOptions, OPTIONS_HELP)
    if "backbone" in asked and not asked["backbone"].endswith(".keras"):
        asked["backbone"] = backbone_argument(asked["backbone"])
    if arguments.recipe is None:
        augmentation = replace(augmentation_for(asked.get("phi", 0.0)), flip=arguments.data not in SIGNS)
        recipe = Recipe(augmentation=augmentation)
    else:
        recipe = read_recipe(arguments.recipe)
    augmentation = replace(recipe.augmentation, **_given(arguments, Augmentation, AUGMENTATION_HELP))
    recipe = replace(recipe, augmentation=augmentation, **_given(arguments, Recipe, RECIPE_HELP))
    return FinetuneOptions(data=arguments.data, recipe=recipe, **asked)


def _add_fields(group: Any, kind: type, helps: dict[str, str]) -> None:
    """An option for each field; its default is told here and set by the class, so that a recipe file can set it too."""
    from typing import get_type_hints

    hints = get_type_hints(kind)
    for item in fields(kind):
        if item.name not in helps:
            continue
        flag, told = "--" + item.name.replace("_", "-"), f" (default: {item.default})"
        hint, extra = hints[item.name], {}
        if hint is bool:
            extra = {"action": argparse.BooleanOptionalAction}
        elif isinstance(item.default, str) and get_args(hint) and isinstance(get_args(hint)[0], str):
            extra = {"choices": get_args(hint)}
        else:
            kinds = [each for each in (hint, *get_args(hint)) if each in (int, float, str)]
            extra = {"type": kinds[-1]}
        text = helps[item.name] + ("" if "by default" in helps[item.name] else told)
        group.add_argument(flag, default=argparse.SUPPRESS, help=text, **extra)


def _given(arguments: argparse.Namespace, kind: type, helps: dict[str, str]) -> dict[str, Any]:
    return {
        item.name: getattr(arguments, item.name)
        for item in fields(kind)
        if item.name in helps and hasattr(arguments, item.name)
    }


def _files(output: Path) -> list[str]:
    return [entry.name for entry in output.iterdir() if not entry.name.startswith(("checkpoint", "features"))]
