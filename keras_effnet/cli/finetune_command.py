"""`keras-effnet finetune`: fine-tunes a backbone of any size on other images."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from keras_effnet.atomic import check_writable
from keras_effnet.checks import check_int
from keras_effnet.cli.arguments import backbone_argument, check_model_file, resolution_value
from keras_effnet.cli.printer import print_result
from keras_effnet.errors import TrainingError, WeightsError
from keras_effnet.given_path import given_path
from keras_effnet.messages import say

DESCRIPTION = """Fine-tunes a backbone of any size, with its weights, on other images: first the classifier, on features
that are computed once, then the whole network. If it is interrupted or killed, the same command continues where it
stopped. Leaves model.keras (the best epoch), metrics.json, history.csv, curves.png, TensorBoard logs and a page to
read, report.html."""

OPTIONS_HELP = {
    "backbone": "name of a registered backbone, a spec file (.json), or a model built here (.keras)",
    "weights": "weights to start from: 'imagenet', a weight file, 'random', or 'saved' (those of the .keras file)",
    "phi": "how the backbone is scaled; below 0 it shrinks",
    "resolution": "side of the images in pixels, or HEIGHTxWIDTH such as 96x160; by default the scaled backbone's",
    "resize": "how images of other proportions get there: stretched, whole with black beside them, or their middle",
    "channels": "channels of the images: 3, 1 for gray, or the number of bands of the files",
    "data_dir": "folder that a named data set is in, or is downloaded to",
    "validation": "fraction of the training images that the best epoch is chosen by",
    "labels_per_class": "number of training images per class; by default all",
    "task": "what to learn from a table: classes, several labels or numbers (default: what its columns tell)",
    "targets": "the table's columns to learn from, parted by commas (default: those with a usual name)",
    "near_duplicates": "name images of one split that look like one of another",
    "teacher": "a trained model of the same classes (.keras) whose answers are learned too (default: none)",
    "deterministic": "give the same bits in every run",
}
RECIPE_HELP = {
    "head_epochs": "number of epochs in which only the classifier learns (default: 30; with random weights 0)",
    "head_rate": "largest learning rate of the classifier's epochs",
    "epochs": "number of epochs in which the whole network learns",
    "rate": "largest learning rate of the whole network's epochs",
    "batch_size": "number of images per batch",
    "optimizer": "optimizer of the whole network",
    "decay": "decay of the learning rate",
    "warmup": "fraction of the steps over which the learning rate rises",
    "weight_decay": "decoupled weight decay",
    "clip": "largest norm of all gradients together; 0 turns clipping off",
    "label_smoothing": "fraction of each label that is spread over all classes",
    "class_weights": "count every image alike, or every class",
    "sampling": "show every image equally often, or every class",
    "focal": "gamma of the focal loss; 0 is cross-entropy",
    "patience": "end a phase after so many epochs without a better validation accuracy; 0 trains all",
    "teacher_share": "share of the teacher's answers in the labels",
    "layer_decay": "factor of the learning rate from one stage to the one before it, above 0; 1 gives all the same",
    "average": "momentum of a moving average of the weights, or 'auto' by the number of steps; 0 turns it off",
    "batchnorm": "BatchNorm statistics while the whole network learns (default: frozen; with random weights trained)",
    "unfreeze": "unfreeze the network at once, or stage by stage",
    "precision": "precision in which the whole network learns",
    "accumulate": "number of batches per update",
    "views": "number of views of each image while the classifier learns",
    "dropout": "dropout rate before the classifier; by default 0.2 at phi = 0 to 0.5 at phi = 7",
    "drop_path": "drop-path rate of the last block; by default the backbone's",
    "center_crop": "fraction of each side that is kept in validation and test",
    "seed": "seed of everything random",
}
AUGMENTATION_HELP = {
    "crop": "smallest fraction of the area that a random crop keeps; 1 turns cropping off",
    "flip": "mirror half of the images; by default for all data but digits and glyphs",
    "operations": "number of RandAugment operations per image",
    "magnitude": "strength of RandAugment, from 0 to 10",
    "mixup": "alpha of MixUp; 0 turns it off",
    "cutmix": "alpha of CutMix; 0 turns it off",
    "engine": "library that computes RandAugment",
}
# What others call an option.
ALIASES = {
    "backbone": ("--model",),
    "rate": ("--lr", "--learning-rate"),
    "resolution": ("--size", "--image-size"),
}
SIGNS = ("digits", "glyphs")  # data sets whose images change their meaning when mirrored


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the command's parser."""
    from keras_effnet.data.augment import Augmentation, augmentation_for
    from keras_effnet.finetune.options import FinetuneOptions
    from keras_effnet.finetune.recipe import Recipe

    parser = commands.add_parser(
        "finetune", help="move a backbone and its weights to the classes of other images", description=DESCRIPTION
    )
    parser.add_argument(
        "data",
        help="a folder with a sub-folder for each class, a CSV of paths and labels, 'digits', 'glyphs', "
        "'scenes', a set of the paper (cifar10, food101, ...), or 'tfds:NAME'",
    )
    parser.add_argument("--output", default="results/finetune", help="folder for results (default: results/finetune)")
    parser.add_argument(
        "--overwrite", action="store_true", help="start afresh if the folder holds a run (default: continue it)"
    )
    turns = parser.add_mutually_exclusive_group()
    turns.add_argument(
        "--folds",
        type=int,
        help="cross-validation: train so many times, each time without another part of the training images, and score "
        "the network on that part; leaves folds.json and folds.png (default: train once, on all)",
    )
    turns.add_argument(
        "--find-rate",
        action="store_true",
        help="only look for a good --rate: try 100 steps at rates from 1e-7 to 10, suggest one, and leave "
        "learning_rate.json and learning_rate.png (default: train)",
    )
    parser.add_argument("--recipe", help="JSON file of a recipe; the options below change it")
    group = parser.add_argument_group("several devices or hosts (docs/finetune.md)")
    group.add_argument(
        "--devices", type=int, default=1, help="devices of this machine to use, on TensorFlow (default: 1)"
    )
    group.add_argument("--address", help="HOST:PORT of the first of several processes, on JAX")
    group.add_argument("--processes", type=int, default=1, help="processes on all hosts together (default: 1)")
    group.add_argument("--rank", type=int, default=0, help="number of this process, from 0 (default: 0)")
    _add_fields(parser.add_argument_group("network and images"), FinetuneOptions, OPTIONS_HELP)
    _add_fields(parser.add_argument_group("recipe"), Recipe, RECIPE_HELP)
    title = "augmentation (its defaults grow with phi; shown are those at phi = 0)"
    _add_fields(parser.add_argument_group(title), Augmentation, AUGMENTATION_HELP, augmentation_for(0.0))
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Runs the job, prints its scores and names its files."""
    options = read_options(arguments)
    if arguments.folds is not None:
        check_int(TrainingError, "folds", arguments.folds, 2)
    check_writable(Path(arguments.output), folder=True)
    _check_files(options)
    from keras_effnet.errors import LostProcessError
    from keras_effnet.training.distribution import Distribution

    output = Path(arguments.output)
    distribution = Distribution(arguments.devices, arguments.address, arguments.processes, arguments.rank)
    try:
        table = _do(arguments, options, distribution)
    except LostProcessError as error:
        say(f"keras-effnet finetune: {error}")
        # An orderly exit would wait a minute for the lost process, and then abort.
        os._exit(1)
    if table:
        print_result(f"{table}\n\nIn {output}: {', '.join(sorted(_files(output)))}\n")


def _do(arguments: argparse.Namespace, options: Any, distribution: Any) -> str:
    """Does what was asked for, and returns its table; nothing in all processes but the first."""
    output, overwrite = Path(arguments.output), arguments.overwrite
    if arguments.folds is not None:
        from keras_effnet.finetune.cross_validation import CrossValidation
        from keras_effnet.report.folds import format_folds

        return format_folds(CrossValidation(options, output, arguments.folds, distribution, overwrite=overwrite).run())
    from keras_effnet.finetune.job import FinetuneJob

    job = FinetuneJob(options, output, distribution, overwrite=overwrite)
    if arguments.find_rate:
        from keras_effnet.report.learning_rate import format_rate, write_rate

        found = job.find_rate()
        write_rate(found, output)
        return format_rate(found)
    from keras_effnet.report.write import format_table

    metrics = job.run()
    return "" if metrics is None else format_table(metrics)


def _check_files(options: Any) -> None:
    """Checks that the data, the backbone and its weights are there.

    Raises:
        DataError, WeightsError: one of them is not.
    """
    from keras_effnet.data.sets import check_data
    from keras_effnet.weights.hub import PREFIX

    check_data(options.data)
    if isinstance(options.backbone, str) and options.backbone.endswith(".keras"):
        check_model_file(Path(options.backbone))
    if options.teacher is not None:
        check_model_file(Path(options.teacher))
    named = options.weights in ("imagenet", "saved", "random") or str(options.weights).startswith(PREFIX)
    if not named and not given_path(WeightsError, options.weights).is_file():
        raise WeightsError(
            "weights are 'imagenet', 'saved', 'random', or the path of a weight file; there is no such file.",
            received=repr(options.weights),
        )


def read_options(arguments: argparse.Namespace) -> Any:
    """The options of a command line.

    Raises:
        RecipeError, SpecError, TrainingError: a file cannot be read, or a value is out of range.
    """
    from keras_effnet.data.augment import Augmentation, augmentation_for
    from keras_effnet.finetune.options import FinetuneOptions
    from keras_effnet.finetune.recipe import Recipe, default_recipe, read_recipe

    asked = _given(arguments, FinetuneOptions, OPTIONS_HELP)
    if "backbone" in asked and not asked["backbone"].endswith(".keras"):
        asked["backbone"] = backbone_argument(asked["backbone"])
    if arguments.recipe is None:
        augmentation = replace(augmentation_for(asked.get("phi", 0.0)), flip=arguments.data not in SIGNS)
        recipe = replace(default_recipe(asked.get("weights", "")), augmentation=augmentation)
    else:
        recipe = read_recipe(arguments.recipe)
    augmentation = replace(recipe.augmentation, **_given(arguments, Augmentation, AUGMENTATION_HELP))
    recipe = replace(recipe, augmentation=augmentation, **_given(arguments, Recipe, RECIPE_HELP))
    return FinetuneOptions(data=arguments.data, recipe=recipe, **asked)


def _add_fields(group: Any, kind: type, helps: dict[str, str], defaults: Any = None) -> None:
    """Adds an option for each field. Its default is only shown: the class or `defaults` sets it, or a recipe file."""
    from typing import get_type_hints

    hints = get_type_hints(kind)
    for item in fields(kind):
        if item.name not in helps:
            continue
        default = item.default if defaults is None else getattr(defaults, item.name)
        flag, told = "--" + item.name.replace("_", "-"), f" (default: {default})"
        hint, extra = hints[item.name], {}
        if hint is bool:
            extra = {"action": argparse.BooleanOptionalAction}
        elif item.name == "resolution":
            extra = {"type": resolution_value}
        else:
            extra = _values(hint)
        text = helps[item.name] + ("" if "default" in helps[item.name] else told)
        group.add_argument(flag, *ALIASES.get(item.name, ()), default=argparse.SUPPRESS, help=text, **extra)


def _values(hint: Any) -> dict[str, Any]:
    """What argparse is told of the values that an option takes."""
    kinds = [each for each in (hint, *get_args(hint)) if each in (int, float, str)]
    words = [word for part in (hint, *get_args(hint)) for word in get_args(part) if isinstance(word, str)]
    if words and kinds:  # a word stands for a number, as "auto" does
        return {"type": _number_or(words)}
    return {"choices": words} if words else {"type": kinds[-1]}


def _number_or(words: Collection[str]) -> Callable[[str], float | str]:
    def number(text: str) -> float | str:
        return text if text in words else float(text)

    return number


def _given(arguments: argparse.Namespace, kind: type, helps: dict[str, str]) -> dict[str, Any]:
    return {
        item.name: getattr(arguments, item.name)
        for item in fields(kind)
        if item.name in helps and hasattr(arguments, item.name)
    }


def _files(output: Path) -> list[str]:
    return [entry.name for entry in output.iterdir() if not entry.name.startswith(("checkpoint", "features"))]
