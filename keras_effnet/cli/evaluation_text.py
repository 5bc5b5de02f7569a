"""A model's scores as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_effnet.tables import aligned

if TYPE_CHECKING:
    from keras_effnet.cli.predictor import Predictor

SKIPPED_SHOWN = 10  # --json has them all
MATRIX_SHOWN = 20  # largest number of classes whose confusion matrix fits on a screen
# The columns of each task's table: their titles, and the fields of a class' scores.
COLUMNS = {
    "classification": {"precision": "precision", "recall": "recall", "F1": "f1"},
    "multilabel": {
        "average precision": "average_precision",
        "threshold": "threshold",
        "precision": "precision",
        "recall": "recall",
        "F1": "f1",
    },
    "regression": {"mean absolute error": "mae", "root mean square": "rmse", "R2": "r2", "deviation": "deviation"},
}
FIRST = {"classification": "class", "multilabel": "label", "regression": "number"}


def as_text(evaluation: Any, content: dict[str, Any], classifier: Predictor) -> str:
    """The scores: a line for all, one for each class, label or number, and the confusion matrix of a few classes.

    Args:
        evaluation: the scores, of the classifier's task.
        content: the scores and the number and origin of the images, as the JSON file holds them.
        classifier: the model.
    """
    where = f"{content['images']:,} images of {content['data']} ({content['split']})"
    lines = [f"{_headline(evaluation)} on {where}"]
    if content["skipped"]:
        lines.append(f"{len(content['skipped'])} files were left out:")
        lines += [f"  {each['name']} ({each['reason']})" for each in content["skipped"][:SKIPPED_SHOWN]]
    if not classifier.named:
        lines.append("the model's file has no class names: its classes are assumed to be the data's, in order")
    task = classifier.task
    counted = task != "regression"
    cells = [(FIRST[task], *(["images"] if counted else []), *COLUMNS[task])]
    for row in evaluation.per_class:
        scores = [_shown(getattr(row, field), task) for field in COLUMNS[task].values()]
        cells.append((row.name, *([f"{row.images:,}"] if counted else []), *scores))
    lines += ["", *aligned(cells, text_column=0)]
    if task == "classification" and len(evaluation.per_class) <= MATRIX_SHOWN:
        names = [row.name for row in evaluation.per_class]
        matrix = [("true \\ predicted", *names)]
        matrix += [(name, *map(str, row)) for name, row in zip(names, evaluation.confusion, strict=True)]
        lines += ["", *aligned(matrix, text_column=0)]
    return "\n".join(lines) + "\n"


def _headline(evaluation: Any) -> str:
    if not hasattr(evaluation, "accuracy"):
        return evaluation.headline
    top5 = "" if evaluation.top5 is None else f", top-5 {evaluation.top5:.4f}"
    return f"accuracy {evaluation.accuracy:.4f}{top5}, cross-entropy {evaluation.loss:.4f}"


def _shown(value: float | None, task: str) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if task == "regression" else f"{value:.3f}"
