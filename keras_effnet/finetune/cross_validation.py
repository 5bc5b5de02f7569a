"""Cross-validation: as many runs as there are folds, each of which is scored on the fold that it has not seen.

The best epoch of each run is chosen by images that are held out of its other folds, as in any run, so that the scores
are of images that nothing was learned from and nothing chosen by.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import keras

from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.checks import check_int
from keras_effnet.data.batches import Batches
from keras_effnet.data.sets import load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import TrainingError
from keras_effnet.extras import require
from keras_effnet.finetune.job import FinetuneJob
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.inheritance.scaled_model import load_model
from keras_effnet.messages import say
from keras_effnet.report.folds import HELD_OUT, TEST, write_folds
from keras_effnet.report.text import this_command
from keras_effnet.training.distribution import Distribution
from keras_effnet.training.evaluation import predict_all
from keras_effnet.training.task_evaluation import SCORES, evaluate_outputs
from keras_effnet.versions import installed_versions


class CrossValidation:
    """Runs of fine-tuning over folds of the training images, in one folder, where what is finished is not done again.

    Each run lies in a folder of its own, `fold-1` and so on, with all that a run leaves.

    Args:
        options: options of every run.
        output: folder for the results; made if missing.
        folds: number of folds, at least 2. Default: 5.
        distribution: devices to train on; by default one.
        overwrite: whether to start afresh if the folder holds runs; by default they are continued.

    Raises:
        TrainingError: there are fewer than two folds, several processes, or the options name a fold already.
    """

    def __init__(
        self,
        options: FinetuneOptions,
        output: str | PathLike[str],
        folds: int = 5,
        distribution: Distribution | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        require("train", "training")
        self.folds = check_int(TrainingError, "folds", folds, 2)
        self.options, self.output, self.overwrite = options, Path(output), overwrite
        self.distribution = Distribution() if distribution is None else distribution
        if self.distribution.processes > 1:
            raise TrainingError(
                "folds are trained one after the other, in a single process.",
                received=f"processes={self.distribution.processes}",
            )
        if options.fold is not None:
            raise TrainingError("all folds take their turn; leave `fold` at None.", received=f"fold={options.fold}")

    def run(self) -> dict[str, Any]:
        """Does what is not done yet, and writes folds.json and folds.png.

        Returns:
            The content of folds.json: "folds", a row for each run with its scores on its own fold ("held_out") and on
            the data's own test images, if there are any ("test"); "summary", the mean and the standard deviation of
            these scores over the folds, the latter with folds - 1 degrees of freedom.

        Raises:
            DataError: there are more folds than images of the largest class or than groups; as `FinetuneJob.run`.
            TrainingError: a folder belongs to a run with other options; as `FinetuneJob.run`.
            BuildError, InheritanceError, RegistryError, ScalingError, SpecError, WeightsError: as `make_network`.
        """
        options, seed = self.options, self.options.recipe.seed
        told: dict[str, Any] = {
            "validation": options.validation,
            "task": options.task,
            "targets": options.targets or (),
            "channels": options.channels,
        }
        data = load_data(options.data, data_dir=options.data_dir, seed=seed, **told)
        rows = [self._row(number, data.test) for number in range(1, self.folds + 1)]
        task, names = data.train.task, [name for name in (HELD_OUT, TEST) if name in rows[0]]
        metrics = {
            "command": this_command(),
            "versions": {**installed_versions(), "backend": keras.backend.backend()},
            "data": {"name": data.name, "classes": list(data.train.class_names)},
            "recipe": options.recipe.to_dict(),
            "score": SCORES[task][0],
            "folds": rows,
            "summary": {name: summarize([row[name] for row in rows], SCORES[task]) for name in names},
        }
        write_folds(metrics, self.output)
        return metrics

    def _row(self, number: int, test: Source | None) -> dict[str, Any]:
        """Trains without one fold, and scores the network on it."""
        say(f"fold {number} of {self.folds}")
        options, folder = replace(self.options, fold=(number, self.folds)), self.output / f"fold-{number}"
        found: Any = FinetuneJob(options, folder, self.distribution, overwrite=self.overwrite).run()
        row = {"fold": number, "folder": folder.name, "train": found["data"]["train"]}
        row |= {"validation": found["data"]["validation"], "best_epoch": found["best"]["epoch"]}
        evaluation = found["evaluation"]
        row[HELD_OUT] = {"images": found["data"]["test"], **{name: evaluation[name] for name in SCORES[found["task"]]}}
        if test is not None:
            row[TEST] = self._scores(folder / "model.keras", test)
        return row

    def _scores(self, path: Path, test: Source) -> dict[str, Any]:
        model, recipe = load_model(path), self.options.recipe
        shape: dict[str, Any] = {"resolution": tuple(model.input_shape[1:3]), "channels": self.options.channels}
        shape["resize"] = self.options.resize
        batches = Batches(
            test, batch_size=recipe.batch_size, center_crop=recipe.center_crop, seed=recipe.seed, padded=True, **shape
        )
        thresholds = read_embedded_spec(model).thresholds
        outputs = predict_all(model, batches)
        scores = evaluate_outputs(test.task, outputs, test.labels, test.class_names, thresholds).to_dict()
        return {"images": len(test), **{name: scores[name] for name in SCORES[test.task]}}


def summarize(rows: list[dict[str, Any]], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each score, the latter with one degree of freedom fewer than there are rows.

    Args:
        rows: scores by name, at least two rows.
        names: names of the scores.

    Example:
        >>> summarize([{"accuracy": 0.25, "loss": 1.0}, {"accuracy": 0.75, "loss": 4.0}], ["loss"])["loss"]
        {'mean': 2.5, 'std': 2.1213203435596424}
    """
    columns = {name: [float(row[name]) for row in rows] for name in names}
    return {name: {"mean": statistics.fmean(each), "std": statistics.stdev(each)} for name, each in columns.items()}
