"""`keras-effnet evaluate MODEL DATA`: measures a trained model on labelled images."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_effnet.atomic import check_writable
from keras_effnet.cli.predictor import (
    Predictor,
    add_model_arguments,
    check_model_arguments,
    class_numbers,
    open_classifier,
    predict_source,
    show,
)
from keras_effnet.errors import DataError
from keras_effnet.extras import require
from keras_effnet.tables import aligned

if TYPE_CHECKING:
    from keras_effnet.data.sets import DataSplits
    from keras_effnet.data.source import Source
    from keras_effnet.training.evaluation import Evaluation

DESCRIPTION = """Prints a trained model's accuracy and cross-entropy on labelled images, one line per class, and the
confusion matrix if it fits on the screen. The classes of model and data are matched by name if the model has class
names, otherwise by order."""

SPLITS = ("train", "validation", "test")
SKIPPED_SHOWN = 10  # --json has them all
MATRIX_SHOWN = 20  # largest number of classes whose confusion matrix fits on a screen


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
    if arguments.output is not None:
        check_writable(arguments.output)
    require("train", "measuring accuracy")
    from keras_effnet.data.sets import check_data, load_data

    check_data(arguments.data)
    classifier = open_classifier(arguments)
    data = load_data(
        arguments.data,
        data_dir=arguments.data_dir,
        validation=arguments.validation,
        seed=arguments.seed,
        channels=classifier.channels,
        bits=classifier.bits,
    )
    split = arguments.split or _default_split(data, arguments)
    names, sources = _choose(data, split)
    matching = class_numbers(classifier, sources[0].class_names)
    import numpy as np

    from keras_effnet.training.evaluation import evaluate_probabilities

    pairs = zip(names, sources, strict=True)
    found = [predict_source(classifier, source, arguments, f"evaluating on {name}") for name, source in pairs]
    labels = matching[np.concatenate([source.labels for source in sources])]
    evaluation = evaluate_probabilities(np.concatenate(found), labels, _names(classifier, sources[0]))
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
    show(as_json if arguments.json else _as_text(evaluation, content, classifier.named), None)


def _default_split(data: DataSplits, arguments: argparse.Namespace) -> str:
    """The images that a model has not learned from."""
    if data.test is not None:
        return "test"
    if not Path(arguments.data).exists():
        return "validation"  # who trains on a data set by name usually holds out the same images
    state = arguments.model.resolve().parent / "checkpoint" / "state.json"
    if not state.is_file():
        return "all"
    try:
        run = json.loads(state.read_text(encoding="utf-8"))["identity"]
        same = Path(run["data"]).resolve() == Path(arguments.data).resolve()
        same = same or run["images"] == [data.train.fingerprint(), data.validation.fingerprint()]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
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


def _as_text(evaluation: Evaluation, content: dict[str, Any], named: bool) -> str:
    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    top5 = "" if evaluation.top5 is None else f", top-5 {evaluation.top5:.4f}"
    where = f"{content['images']:,} images of {content['data']} ({content['split']})"
    head = f"accuracy {evaluation.accuracy:.4f}{top5}, cross-entropy {evaluation.loss:.4f} on {where}"
    lines = [head]
    if content["skipped"]:
        lines.append(f"{len(content['skipped'])} files were left out:")
        lines += [f"  {each['name']} ({each['reason']})" for each in content["skipped"][:SKIPPED_SHOWN]]
    if not named:
        lines.append("the model's file has no class names: its classes are assumed to be the data's, in order")
    cells = [("class", "images", "precision", "recall", "F1")]
    for row in evaluation.per_class:
        cells.append((row.name, f"{row.images:,}", share(row.precision), share(row.recall), share(row.f1)))
    lines += ["", *aligned(cells, text_column=0)]
    if len(evaluation.per_class) <= MATRIX_SHOWN:
        names = [row.name for row in evaluation.per_class]
        matrix = [("true \\ predicted", *names)]
        matrix += [(name, *map(str, row)) for name, row in zip(names, evaluation.confusion, strict=True)]
        lines += ["", *aligned(matrix, text_column=0)]
    return "\n".join(lines) + "\n"
