"""Each option of training and prediction against its absence, on the embedded data.

Command: python benchmarks/options.py [--seeds 5] [--output FOLDER]; --epochs 1 only tries it out, and keeps no results.
Time: about 10 minutes on 2 cores; stopped, the same command with --output goes on.
Result: results/options.json and, by benchmarks/tables.py, a table in docs/evidence/training.md.

One small network (that of docs/transfer.md: MobileNetV1 at phi = -10, 16 px) is pre-trained on drawn letters, and then
learns three tasks, each with several seeds:

* few: scikit-learn's digits, 10 labelled images of each class.
* rare: the digits again, from 60 images of the most frequent class down to 3 of the rarest; which is which changes with
  the seed. Validation and test images are of all classes alike, and what counts is the mean recall of the classes.
* photographs: of which of two photographs a small piece is; pieces to learn from are of their left halves, test pieces
  of their right ones. Here a mirrored image is as good as another, which it is not for digits.

A seed gives both runs of a pair the same labels, first weights and order of images, so that differences are paired.
Their mean stands with the 95 % interval of Student's t: "helps" and "hurts" are said where that leaves zero out, and
among ten comparisons one such word may well be chance. Options were not tuned: they have the values that their papers
or the documentation name. Each training is 80 steps, the network small, the images tiny: elsewhere it may be otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measure import save
from PIL import Image
from scipy.stats import t as student
from sklearn.datasets import load_sample_images

from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.sets import load_data
from keras_effnet.data.source import Source
from keras_effnet.finetune import job as module
from keras_effnet.finetune.demonstration import FEW_LABELS, PRETRAINING, demonstration_spec
from keras_effnet.finetune.job import FinetuneJob
from keras_effnet.finetune.options import DemonstrationOptions, FinetuneOptions
from keras_effnet.inheritance.scaled_model import load_model
from keras_effnet.messages import said_on
from keras_effnet.training.calibration import with_temperature
from keras_effnet.training.evaluation import Mirrored, Predicting, evaluate_probabilities, predict_all

RESOLUTION = 16
PHI, TEACHER_PHI = -10.0, -5.0
MOST, LEAST = 60, 3  # training images of the most frequent and the rarest class
PIECES = {"train": 50, "val": 40, "test": 400}  # of each photograph
PIECE = 40  # side of a piece in pixels of the photograph
BATCH = 25
EPOCHS = {"letters": 8, "few": 20, "rare": 9, "photographs": 20}  # 80 steps each, and 232 of more images on letters


@dataclass(frozen=True)
class Run:
    """A trained network and how it does on the test images.

    Args:
        path: path of the model.
        metrics: its metrics.json.
        test: the test images.
    """

    path: Path
    metrics: dict[str, Any]
    test: Source

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of the test images."""
        return self._predict(load_model(self.path))

    @cached_property
    def mirrored(self) -> np.ndarray:
        """Of the test images and their mirror images, the mean."""
        return self._predict(Mirrored(load_model(self.path)))

    @property
    def scaled(self) -> np.ndarray:
        """With the temperature that the validation images gave."""
        return with_temperature(self.probabilities, self.metrics["calibration"]["temperature"])

    def _predict(self, model: Predicting) -> np.ndarray:
        return predict_all(model, Batches(self.test, resolution=RESOLUTION, batch_size=100, padded=True))

    def accuracy(self, probabilities: np.ndarray) -> float:
        """Fraction of images that are right."""
        return evaluate_probabilities(probabilities, self.test.labels, self.test.class_names).accuracy

    def recall(self, probabilities: np.ndarray) -> float:
        """Mean over the classes of the fraction of their images that is right."""
        scores = evaluate_probabilities(probabilities, self.test.labels, self.test.class_names).per_class
        return float(np.mean([score.recall for score in scores if score.recall is not None]))

    def loss(self, probabilities: np.ndarray) -> float:
        """Cross-entropy."""
        return evaluate_probabilities(probabilities, self.test.labels, self.test.class_names).loss


@dataclass(frozen=True)
class Comparison:
    """An option against its absence.

    Args:
        option: how it is asked for.
        task: name of the task.
        changes: what the option changes in the recipe.
        base: what both runs change in the recipe.
        teacher: whether the network has a teacher.
        metric: what is compared: "accuracy", "mean recall" or "cross-entropy".
        looks: the probabilities with the option, if it is one of prediction.
    """

    option: str
    task: str
    changes: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    teacher: bool = False
    metric: str = "accuracy"
    looks: str = "probabilities"


MEASURES: dict[str, Callable[[Run, np.ndarray], float]] = {
    "accuracy": Run.accuracy, "mean recall": Run.recall, "cross-entropy": Run.loss,
}  # fmt: skip
COMPARISONS = (
    Comparison('class_weights="balanced"', "rare", {"class_weights": "balanced"}, metric="mean recall"),
    Comparison('sampling="balanced"', "rare", {"sampling": "balanced"}, metric="mean recall"),
    Comparison("focal=2", "rare", {"focal": 2.0}, metric="mean recall"),
    Comparison("patience=5", "few", {"patience": 5}, {"decay": "constant"}),
    Comparison('average="auto"', "few", {"average": "auto"}),
    Comparison('average="auto", constant rate', "few", {"average": "auto"}, {"decay": "constant"}),
    Comparison("layer_decay=0.75", "few", {"layer_decay": 0.75}),
    Comparison("--teacher", "few", teacher=True),
    Comparison("--mirror", "few", looks="mirrored"),
    Comparison("--mirror", "photographs", looks="mirrored"),
    Comparison("--temperature", "few", metric="cross-entropy", looks="scaled"),
)


class Bench:
    """Networks and tasks in a folder, where what is finished is not done again.

    Args:
        folder: the folder.
        epochs: number of epochs of every training; None for what `EPOCHS` says.
    """

    def __init__(self, folder: Path, epochs: int | None) -> None:
        self.folder, self.epochs = folder, epochs
        self._runs: dict[str, Run] = {}

    def run(self, task: str, seed: int, changes: dict[str, Any], *, teacher: bool = False) -> Run:
        """Trains the network on a task, from letters."""
        if teacher:
            taught = {"teacher": self._learn(task, seed, TEACHER_PHI, {}).path}
            return self._learn(task, seed, PHI, changes, **taught)
        return self._learn(task, seed, PHI, changes)

    def _learn(self, task: str, seed: int, phi: float, changes: dict[str, Any], **more: Any) -> Run:
        epochs = self.epochs or EPOCHS[task]
        recipe = replace(FEW_LABELS, batch_size=BATCH, epochs=epochs, seed=seed, **changes)
        data, labels = ("digits", 10) if task == "few" else (str(self._data(task, seed)), None)
        options = FinetuneOptions(
            data,
            str(self._pretrained(phi).path),
            "saved",
            resolution=RESOLUTION,
            labels_per_class=labels,
            recipe=recipe,
            **more,
        )
        words = [f"{name}-{value}" for name, value in changes.items()]
        return self._trained("_".join([task, f"phi{phi:g}", f"seed{seed}", *words, *more]), options)

    def _pretrained(self, phi: float) -> Run:
        spec = demonstration_spec(DemonstrationOptions(phi=phi, resolution=RESOLUTION))
        recipe = replace(PRETRAINING, epochs=self.epochs or EPOCHS["letters"], augmentation=Augmentation())
        options = FinetuneOptions("glyphs", spec, "random", resolution=RESOLUTION, recipe=recipe)
        return self._trained(f"letters_phi{phi:g}", options)

    def _trained(self, name: str, options: FinetuneOptions) -> Run:
        if name not in self._runs:
            started = time.perf_counter()
            with Path(os.devnull).open("w") as silence, said_on(silence):
                metrics: Any = FinetuneJob(options, self.folder / name).run()
            test: Any = load_data(options.data, seed=options.recipe.seed).test
            self._runs[name] = Run(self.folder / name / "model.keras", metrics, test)
            seconds = time.perf_counter() - started
            print(f"{seconds:6.1f} s  {metrics['evaluation']['accuracy']:.3f}  {name}", file=sys.stderr)
        return self._runs[name]

    def _data(self, task: str, seed: int) -> Path:
        folder = self.folder / f"{task}-{seed}"
        if not folder.exists():
            part = folder.with_suffix(".part")
            (_write_rare if task == "rare" else _write_photographs)(part, seed)
            part.rename(folder)
        return folder


def _write_rare(folder: Path, seed: int) -> None:
    """Digits as images in folders, of which some classes are rare."""
    data = load_data("digits", seed=seed)
    generator = np.random.default_rng((seed, 17))
    counts = np.geomspace(MOST, LEAST, len(data.train.class_names)).round().astype(int)
    few = dict(enumerate(generator.permutation(counts)))
    for split, source in (("train", data.train), ("val", data.validation), ("test", cast("Source", data.test))):
        for label, name in enumerate(source.class_names):
            members = generator.permutation(np.flatnonzero(source.labels == label))
            for number in members[: few[label]] if split == "train" else members:
                _write(source.read(int(number)), folder / split / name / f"{number}.png")


def _write_photographs(folder: Path, seed: int) -> None:
    """Pieces of two photographs, those of the test from another half than the others."""
    generator = np.random.default_rng((seed, 18))
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        for split, count in PIECES.items():
            half = np.array_split(photograph, 2, axis=1)[split == "test"]
            for number in range(count):
                top, left = (int(generator.integers(0, side - PIECE + 1)) for side in half.shape[:2])
                _write(half[top : top + PIECE, left : left + PIECE], folder / split / name / f"{number}.png")


def _write(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def compare(bench: Bench, comparison: Comparison, seeds: Sequence[int]) -> dict[str, Any]:
    """The option against its absence, seed by seed."""
    with_it, without, shares = [], [], []
    measure = MEASURES[comparison.metric]
    for seed in seeds:
        plain = bench.run(comparison.task, seed, comparison.base)
        changed = bench.run(
            comparison.task, seed, {**comparison.base, **comparison.changes}, teacher=comparison.teacher
        )
        without.append(measure(plain, plain.probabilities))
        with_it.append(measure(changed, getattr(changed, comparison.looks)))
        shares.append(len(changed.metrics["history"]) / len(plain.metrics["history"]))
    differences = np.subtract(with_it, without)
    error = float(np.std(differences, ddof=1)) / len(seeds) ** 0.5
    width = float(student.ppf(0.975, len(seeds) - 1)) * error
    mean = float(np.mean(differences))
    better = -mean if comparison.metric == "cross-entropy" else mean
    verdict = "no difference seen" if abs(mean) <= width else "helps" if better > 0 else "hurts"
    row = {"option": comparison.option, "task": comparison.task, "metric": comparison.metric, "verdict": verdict}
    row |= {"without_mean": float(np.mean(without)), "with_mean": float(np.mean(with_it)), "difference": mean}
    row |= {"low": mean - width, "high": mean + width, "without": without, "with": with_it}
    return {**row, "epochs_share": float(np.mean(shares)), "seeds": len(seeds)}


def main() -> None:
    """Measures, compares and saves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    module.write_report = lambda *_: None  # nothing reads it here
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("KERAS_HOME", folder)  # where it is kept which files can be read
        bench = Bench(arguments.output or Path(folder), arguments.epochs)
        rows = [compare(bench, comparison, range(arguments.seeds)) for comparison in COMPARISONS]
    minutes = (time.perf_counter() - started) / 60
    if arguments.epochs is not None:
        for row in rows:
            print(row)
        return
    command = f"python benchmarks/options.py --seeds {arguments.seeds}"
    save("options", command, rows, minutes=minutes, epochs=EPOCHS)


if __name__ == "__main__":
    main()
