"""What a finished run is worth: scores of its outputs, by the task."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_effnet.data.source import Source
from keras_effnet.errors import TrainingError
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.training.calibration import calibrate
from keras_effnet.training.multilabel import choose_thresholds
from keras_effnet.training.task_evaluation import evaluate_outputs
from keras_effnet.vision_tasks import VisionTask


def check_task(task: VisionTask, options: FinetuneOptions) -> None:
    """Checks that a run's options make sense for what is to be learned.

    Args:
        task: what the images are labelled with.
        options: options of the run.

    Raises:
        TrainingError: an option needs classes.
    """
    recipe = options.recipe
    needs = {
        "class_weights='balanced'": (recipe.class_weights != "equal", ("classification",)),
        "sampling='balanced'": (recipe.sampling != "uniform", ("classification", "multilabel")),
        f"focal={recipe.focal}": (recipe.focal > 0, ("classification", "multilabel")),
        f"teacher={options.teacher!r}": (options.teacher is not None, ("classification", "multilabel")),
        f"labels_per_class={options.labels_per_class}": (
            options.labels_per_class is not None,
            ("classification", "multilabel"),
        ),
    }
    for name, (asked, tasks) in needs.items():
        if asked and task not in tasks:
            raise TrainingError(
                f"this option is for the task {' or '.join(map(repr, tasks))}; leave it out.",
                received=f"{name} for the task {task!r}",
            )


def score_outputs(
    outputs: np.ndarray, source: Source, held_out: tuple[np.ndarray, Source], split: str
) -> dict[str, Any]:
    """The scores of a model's outputs.

    Args:
        outputs: outputs for each image of the source, of shape `(images, outputs)`.
        source: the images.
        held_out: outputs for the validation images, and these, to fit temperature or thresholds on.
        split: name of the source's split.

    Returns:
        "task" and "evaluation", and "calibration" of a classifier, as JSON holds them.
    """
    fitted, validation = held_out
    told: dict[str, Any] = {"task": source.task}
    thresholds = choose_thresholds(fitted, validation.labels) if source.task == "multilabel" else None
    evaluation = evaluate_outputs(source.task, outputs, source.labels, source.class_names, thresholds)
    if source.task == "classification":
        told["calibration"] = calibrate(outputs, source.labels, (fitted, validation.labels)).to_dict()
    return {**told, "evaluation": {"split": split, "headline": evaluation.headline, **evaluation.to_dict()}}
