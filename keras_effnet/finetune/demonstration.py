"""The demonstration: does pre-training on drawn letters help where there are few labels?

A scaled backbone is pre-trained on letters, then fine-tuned on few labels per class of other images; the same network
is trained from scratch on the same labels. Several draws of labels give the difference a spread. The comparison favours
the network from scratch: it takes twice the steps, and its best held-out score counts, not its last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.model import build_model
from keras_effnet.cost import estimate_cost
from keras_effnet.data.augment import Augmentation
from keras_effnet.data.batches import Batches
from keras_effnet.data.glyphs import render_letters
from keras_effnet.data.sets import DataSplits, load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import DataError
from keras_effnet.extras import require
from keras_effnet.finetune.options import DemonstrationOptions
from keras_effnet.finetune.phases import Phase, compile_phase
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import make_network
from keras_effnet.registry import resolve_backbone
from keras_effnet.report.draws import LETTERS, SCRATCH, TRANSFERRED, phase_name
from keras_effnet.scaling import limit_stride, scale_spec
from keras_effnet.scaling.scale import resolve_coefficients
from keras_effnet.spec import BackboneSpec, Preprocessing
from keras_effnet.training.checkpoint import Checkpoint, Snapshot
from keras_effnet.training.loop import train
from keras_effnet.training.schedules import Schedule
from keras_effnet.training.seeding import seed_weights
from keras_effnet.versions import installed_versions

# The values below were found by trial on the embedded data, for two cores and a few minutes: docs/evidence/transfer.md.
PRETRAINING = Recipe(
    head_epochs=0, optimizer="adamw", rate=4e-3, batch_size=128, weight_decay=0.02, clip=0.0, batchnorm="trained",
    drop_path=0.0,  # a few minutes are too short for a network to grow robust to missing branches
)  # fmt: skip
FEW_LABELS = replace(PRETRAINING, batch_size=50, augmentation=Augmentation(crop=0.7))
RECIPES = {TRANSFERRED: FEW_LABELS, SCRATCH: replace(FEW_LABELS, rate=1e-2)}
EPOCHS = {TRANSFERRED: 1, SCRATCH: 2}  # in units of the option `epochs`
CHECKS = 4  # validations of each run on few labels
HELD_OUT_LETTERS = 1_000
VALIDATION_BATCH = 250  # images per batch where nothing is learned
HELD_OUT = 0.5  # fraction of the images that a network is scored on: the more, the smaller the error of its score


class Demonstration:
    """A run of the demonstration in one folder, where what is finished is not done again.

    Args:
        options: options of the run.
        output: folder for the results; made if missing.
        overwrite: whether to start afresh if the folder holds a run; by default that is continued.
    """

    def __init__(self, options: DemonstrationOptions, output: str | PathLike[str], *, overwrite: bool = False) -> None:
        require("train", "training")
        self.options = options
        self.output = Path(output)
        self.overwrite = overwrite
        self.spec = demonstration_spec(options)

    def run(self) -> dict[str, Any]:
        """Does what is not done yet.

        Returns:
            The metrics, as `write_draws` takes them.

        Raises:
            DataError: images cannot be trained on, a class has too few of them, or the folder cannot be written.
            TrainingError: the folder belongs to a run with other options, its checkpoint cannot be read, or the loss is
                no longer a number.
        """
        draws = [self._draw(number) for number in range(self.options.repeats)]
        identity = {
            **self.options.to_dict(),
            "images": [draws[0].train.fingerprint(), draws[0].validation.fingerprint()],
        }
        checkpoint = Checkpoint(self.output / "checkpoint", identity, overwrite=self.overwrite)
        if checkpoint.progress.phase == 0:
            self._pretrain(checkpoint)
        runs = [(number, kind) for number in range(len(draws)) for kind in RECIPES]
        self._train_few(draws, runs[checkpoint.progress.phase - 1 :], checkpoint)
        return self._metrics(draws[0], checkpoint)

    def _draw(self, number: int) -> DataSplits:
        options = self.options
        seed, count = options.seed + number, options.labels_per_class
        splits = load_data(options.data, validation=HELD_OUT, seed=seed, labels_per_class=count)
        counts = np.bincount(splits.train.labels, minlength=len(splits.train.class_names))
        if counts.min() < count:
            raise DataError(
                f"each class must have `labels_per_class` images besides the {HELD_OUT:.0%} that are held out. Lower "
                "labels_per_class or add images.",
                received=(
                    f"labels_per_class={count}, of which "
                    f"{splits.train.class_names[counts.argmin()]!r} has {counts.min()}"
                ),
            )
        return splits

    def _pretrain(self, checkpoint: Checkpoint) -> None:
        options = self.options
        letters, held_out = (
            render_letters(count, options.resolution, options.seed + number)
            for number, count in enumerate((options.letters, HELD_OUT_LETTERS))
        )
        seed_weights(options.seed)
        model = build_model(self.spec, classes=len(letters.class_names))
        learner = Learner(model, PRETRAINING, options.pretrain_epochs, LETTERS, letters)
        learner.train(letters, held_out, checkpoint, LETTERS, options.seed, checks=options.pretrain_epochs)
        self._save(model, self._pretrained)
        checkpoint.save(phase=1, step=0)

    def _train_few(self, draws: list[DataSplits], runs: Sequence[tuple[int, str]], checkpoint: Checkpoint) -> None:
        learners: dict[str, Learner] = {}
        for number, kind in runs:
            draw, seed, name = draws[number], self.options.seed + number, phase_name(kind, number + 1)
            network = self._network(kind, draw, seed)
            if kind not in learners:
                epochs = self.options.epochs * EPOCHS[kind]
                learners[kind] = Learner(network, RECIPES[kind], epochs, name, draw.train)
            learner = learners[kind]
            learner.restart(network.get_weights())
            learner.train(draw.train, draw.validation, checkpoint, name, seed, checks=CHECKS)
            if (number, kind) == (0, TRANSFERRED):
                self._save(learner.model, self.output / "model.keras")
            checkpoint.save(phase=checkpoint.progress.phase + 1, step=0)

    def _network(self, kind: str, draw: DataSplits, seed: int) -> keras.Model:
        start: tuple[BackboneSpec | str, str] = (self.spec, "random")
        if kind == TRANSFERRED:
            start = (str(self._pretrained), "saved")
        recipe, names = replace(RECIPES[kind], seed=seed), draw.train.class_names
        return make_network(*start, class_names=names, resolution=self.options.resolution, recipe=recipe)

    @property
    def _pretrained(self) -> Path:
        return self.output / "checkpoint" / "letters.keras"

    @staticmethod
    def _save(model: keras.Model, path: Path) -> None:
        """Writes a copy for use: what is compiled with our own learning rates loads with this package alone."""
        copy = cast(keras.Model, type(model).from_config(model.get_config()))  # a clone would be compiled, too
        copy.set_weights(model.get_weights())
        atomic_write(path, lambda part: copy.save(part, include_optimizer=False))

    def _metrics(self, draw: DataSplits, checkpoint: Checkpoint) -> dict[str, Any]:
        names = draw.train.class_names
        cost = estimate_cost(self.spec, classes=len(names))
        return {
            "options": self.options.to_dict(),
            "versions": {**installed_versions(), "backend": keras.backend.backend()},
            "network": {"params": cost.params, "macs": cost.macs, "flops": cost.flops},
            "images": {
                "labelled": len(draw.train),
                "held_out": len(draw.validation),
                "classes": list(names),
                "skipped": [each._asdict() for each in draw.skipped],
            },
            "history": [asdict(row) for row in checkpoint.progress.history],
        }


class Learner:
    """A network compiled once, which serves any number of runs over the same number of steps.

    Args:
        model: the network.
        recipe: how it is trained.
        epochs: number of epochs of a run, at least 1.
        name: name of its first run.
        source: images of its first run; those of the others must be as many.
    """

    def __init__(self, model: keras.Model, recipe: Recipe, epochs: int, name: str, source: Source) -> None:
        self.model, self.recipe = model, recipe
        epoch = -(-len(source) // recipe.batch_size)
        self.steps = epochs * epoch
        self.schedule: Schedule = compile_phase(model, Phase(name, epochs, 0, epochs), recipe, epoch)
        self._start = Snapshot(model)

    def restart(self, weights: list[np.ndarray]) -> None:
        """Forgets the last run, and starts from weights."""
        self._start.restore()
        self.model.set_weights(weights)

    def train(
        self, source: Source, held_out: Source, checkpoint: Checkpoint, name: str, seed: int, *, checks: int
    ) -> None:
        """Trains over all steps, or what is left of them, and validates `checks` times on the way."""
        side, recipe = self.model.input_shape[1], self.recipe
        shape: dict[str, Any] = {"resolution": side, "batch_size": recipe.batch_size}
        batches = Batches(source, seed=seed, shuffle=True, padded=True, augmentation=recipe.augmentation, **shape)
        validation = Batches(held_out, resolution=side, batch_size=min(len(held_out), VALIDATION_BATCH), padded=True)
        stretches: dict[str, Any] = {"steps": self.steps, "every": max(1, self.steps // checks), "phase": name}
        train(self.model, batches, checkpoint, self.schedule, seed=seed, validation=validation, **stretches)


def demonstration_spec(options: DemonstrationOptions) -> BackboneSpec:
    """The demonstration's backbone: scaled in depth and width, for small images, with preprocessing inside.

    Args:
        options: options with the backbone, phi and the resolution.

    Raises:
        RegistryError, ScalingError: as `scale_spec`.

    Example:
        >>> spec = demonstration_spec(DemonstrationOptions(phi=-10))
        >>> spec.resolution, spec.total_stride
        (16, 4)
    """
    base = resolve_backbone(options.backbone)
    scaled = scale_spec(base, coefficients=replace(resolve_coefficients(options.phi, None, None), resolution=1.0))
    # A quarter of the side leaves a last feature map of 4 x 4, which pooling can still average over.
    fitted = limit_stride(scaled, max(1, options.resolution // 4))
    pixels = Preprocessing(scale=1 / 127.5, offset=-1.0)
    return replace(fitted, resolution=options.resolution, preprocessing=pixels, drop_path=0.0)
