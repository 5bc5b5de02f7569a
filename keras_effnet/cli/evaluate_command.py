"""`keras-effnet evaluate MODEL DATA`: measures a trained model on labelled images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import check_writable
from keras_effnet.checks import check_number, check_seed
from keras_effnet.cli.evaluation_text import as_text
from keras_effnet.cli.model_arguments import add_model_arguments, check_model_arguments, open_classifier
from keras_effnet.cli.predictor import Predictor, class_numbers, predict_source, show
from keras_effnet.errors import DataError
from keras_effnet.extras import require
from keras_effnet.given_path import given_path
from keras_effnet.json_text import read_json

if TYPE_CHECKING:
    import numpy as np

    from keras_effnet.data.sets import DataSplits
    from keras_effnet.data.source import Source

DESCRIPTION = """Prints a trained model's scores on labelled images, one line per class, label or number, and the
confusion matrix of classes if it fits on the screen. The classes of model and data are matched by name if the model has
class names, otherwise by order."""

SPLITS = ("train", "validation", "test")


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Adds the parser of this command."""
    parser = commands.add_parser("evaluate", help="measure a trained model on labelled images", description=DESCRIPTION)
    add_model_arguments(parser)
    parser.add_argument(
        "data",
        metavar="DATA",
        help="a folder, a CSV file, 'digits', one of the paper's sets or 'tfds:NAME', as for finetune",
    )
    parser.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="images to evaluate on (default: test; without one the validation images if the model was trained "
        "on this data, else all)",
    )
    parser.add_argument(
        "--targets",
        metavar="COLUMNS",
        help="columns of a table with what is to be told, parted by commas (default: those with a usual name; for "
        "numbers those with the model's names)",
    )
    group = parser.add_argument_group("held-out images", "Use the same values as in training.")
    group.add_argument("--data-dir", metavar="FOLDER", help="folder of a named set, where it is also downloaded to")
    group.add_argument(
        "--validation",
        type=float,
        default=0.1,
        help="fraction held out for validation if the data has no validation split (default: 0.1)",
    )
    group.add_argument("--seed", type=int, default=0, help="seed of the choice of held-out images (default: 0)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write all numbers to this .json file")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Prints the scores, and writes them to a file if asked to."""
    check_model_arguments(arguments)
    check_number(DataError, "validation", arguments.validation, 0, 0.9, open_low=True)
    check_seed(DataError, arguments.seed)
    if arguments.output is not None:
        check_writable(arguments.output)
    require("train", "measuring accuracy")
    from keras_effnet.cli.labelled_data import load_labelled
    from keras_effnet.data.sets import check_data

    check_data(arguments.data)
    classifier = open_classifier(arguments)
    options = {"data_dir": arguments.data_dir, "validation": arguments.validation, "seed": arguments.seed}
    data = load_labelled(classifier, arguments.data, arguments.targets, **options)
    split = arguments.split or _default_split(data, arguments)
    names, sources = _choose(data, split)
    matching = class_numbers(classifier, sources[0].class_names)
    import numpy as np

    pairs = zip(names, sources, strict=True)
    found = [predict_source(classifier, source, arguments, f"evaluating on {name}") for name, source in pairs]
    labels = np.concatenate([source.labels for source in sources])
    evaluation = _evaluate(classifier, np.concatenate(found), labels, matching, sources[0])
    content = {
        "model": str(arguments.model),
        "data": arguments.data,
        "split": "+".join(names),
        "images": len(labels),
        "skipped": [each._asdict() for each in data.skipped],
        **evaluation.to_dict(),
    }
    as_json = json.dumps(content, indent=2) + "\n"
    if arguments.output is not None:
        show(as_json, arguments.output)
    show(as_json if arguments.json else as_text(evaluation, content, classifier), None)


def _evaluate(
    classifier: Predictor, outputs: np.ndarray, labels: np.ndarray, matching: np.ndarray, source: Source
) -> Any:
    """The scores of a model's outputs for the labels of data, whose classes may come in another order."""
    from keras_effnet.cli.labelled_data import labels_for
    from keras_effnet.training.task_evaluation import evaluate_outputs

    task, names = classifier.task, _names(classifier, source)
    if task == "regression":
        outputs, names = outputs[:, matching], source.class_names
    else:
        labels = labels_for(classifier, labels, matching)
    return evaluate_outputs(task, outputs, labels, names, classifier.thresholds)


def _default_split(data: DataSplits, arguments: argparse.Namespace) -> str:
    """The images that a model has not learned from."""
    if data.test is not None:
        return "test"
    if not given_path(DataError, arguments.data).exists():
        return "validation"  # who trains on a data set by name usually holds out the same images
    state = arguments.model.resolve().parent / "checkpoint" / "state.json"
    if not state.is_file():
        return "all"
    try:
        run = read_json(state)["identity"]
        same = Path(run["data"]).resolve() == Path(arguments.data).resolve()
        same = same or run["images"] == [data.train.fingerprint(), data.validation.fingerprint()]
    except (OSError, ValueError, LookupError, TypeError):
        same = True  # nobody knows: the held-out images are the safe answer
    return "validation" if same else "all"


def _choose(data: DataSplits, split: str) -> tuple[list[str], list[Source]]:
    """The names of the requested splits, and their images."""
    sources = {"train": data.train, "validation": data.validation, "test": data.test}
    wanted = list(SPLITS) if split == "all" else [split]
    found = {name: source for name in wanted if (source := sources[name]) is not None}
    if not found:
        raise DataError(
            "this data has no test split; choose another one with `--split`.",
            received=f"--split={split} for {data.name!r}",
        )
    return list(found), list(found.values())


def _names(classifier: Predictor, source: Source) -> tuple[str, ...]:
    return classifier.class_names if classifier.named else source.class_names
