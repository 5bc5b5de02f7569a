"""A run of fine-tuning in one folder, which can be stopped at any moment and started again."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import keras
import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.embedded_spec import name_classes, note_images, read_embedded_spec
from keras_effnet.data.batches import Batches, balanced_weights
from keras_effnet.data.rows import BalancedRows
from keras_effnet.data.sets import DataSplits, load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import TrainingError
from keras_effnet.extras import require
from keras_effnet.finetune.describe import base_of, describe_data, describe_network, describe_recipe
from keras_effnet.finetune.features import FeatureBatches, cached_features, split_model
from keras_effnet.finetune.memory import estimate_memory, warn_of_memory
from keras_effnet.finetune.options import FinetuneOptions
from keras_effnet.finetune.phases import HEAD, Phase, compile_phase, plan_phases
from keras_effnet.finetune.rate_finder import FoundRate, find_rate
from keras_effnet.finetune.recipe import RANDOM
from keras_effnet.finetune.scoring import check_task, score_outputs
from keras_effnet.finetune.teacher import TaughtBatches, Teacher
from keras_effnet.finetune.transfer_model import Unit, make_network, without_unit
from keras_effnet.inheritance.recalibrate import recalibrate
from keras_effnet.inheritance.scaled_model import load_model
from keras_effnet.report.text import this_command
from keras_effnet.report.write import write_report
from keras_effnet.resolution import Resolution
from keras_effnet.training.checkpoint import Checkpoint
from keras_effnet.training.distribution import Distribution
from keras_effnet.training.evaluation import predict_all
from keras_effnet.training.loop import has_stalled, train
from keras_effnet.training.precision import set_precision
from keras_effnet.training.seeding import set_determinism
from keras_effnet.versions import installed_versions
from keras_effnet.vision_tasks import VisionTask

logger = logging.getLogger(__name__)

HEAD_BATCH = 256  # rows of features per batch; they are small
RECALIBRATION_IMAGES = 1024  # Wu and Johnson 2021 (arXiv:2105.07576), section 3: a thousand are enough


class FinetuneJob:
    """A run of fine-tuning in one folder, where what is finished is not done again.

    Args:
        options: options of the run.
        output: folder for the results; made if missing.
        distribution: devices and processes to train on; by default one device.
        overwrite: whether to start afresh if the folder holds a run; by default that is continued, if its options are
            the same, or ask for fewer epochs of the whole network.
    """

    def __init__(
        self,
        options: FinetuneOptions,
        output: str | PathLike[str],
        distribution: Distribution | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        require("train", "training")
        self.options = options
        self.overwrite = overwrite
        self.distribution = Distribution() if distribution is None else distribution
        self.recipe = options.recipe
        self.output = output = Path(output)
        self.model_path = output / "model.keras"
        self._teacher: Teacher | None = None
        # Processes on one disk must not write each other's files.
        self._features = output / ("features" if self.distribution.is_first else f"features-{self.distribution.rank}")

    def run(self) -> dict[str, Any] | None:
        """Does what is not done yet, and writes the results.

        Returns:
            The metrics, as metrics.json holds them; None in all processes but the first.

        Raises:
            DataError: images cannot be trained on, or the folder cannot be written.
            TrainingError: the folder belongs to a run with other options, its checkpoint cannot be read, or the loss is
                no longer a number.
            BuildError, InheritanceError, RegistryError, ScalingError, SpecError, WeightsError: as `make_network`.
        """
        data, recipe = self._load(), self.recipe
        identity = {**self.options.identity(), "images": [data.train.fingerprint(), data.validation.fingerprint()]}
        # Phases that are unfrozen one by one are cut anew where there are more epochs.
        growing = ("recipe.epochs",) if recipe.unfreeze == "whole" else ()
        options_of_run: dict[str, Any] = {"growing": growing, "overwrite": self.overwrite}
        options_of_run["defaults"] = FinetuneOptions().identity()
        checkpoint = Checkpoint(self.output / "checkpoint", identity, self.distribution, **options_of_run)
        unit = Unit.of(data.train)
        model = self._network(data, unit)
        phases = plan_phases(model, recipe)
        self._reopen(phases, data, checkpoint)
        if checkpoint.progress.phase < len(phases):
            self._train(model, phases, data if unit is None else unit.learned(data), checkpoint)
        metrics = self._finish(data, checkpoint) if self.distribution.is_first else None
        self.distribution.wait("the results are written")
        return metrics

    def find_rate(self) -> FoundRate:
        """Looks for a learning rate of the whole network, where a run with these options would start to train it.

        The classifier learns first, if the recipe says so. Nothing of that is kept but its features, which a run in the
        same folder then finds.

        Returns:
            The losses that were met at all rates, and the suggestion.

        Raises:
            TrainingError: there are several devices or processes, or the whole network has no epochs.
            DataError, BuildError, InheritanceError, RegistryError, ScalingError, SpecError, WeightsError: as `run`.
        """
        where, recipe = self.distribution, self.recipe
        if where.devices > 1 or where.processes > 1:
            raise TrainingError(
                "a rate is looked for on one device of one process.",
                received=f"devices={where.devices}, processes={where.processes}",
            )
        if not recipe.epochs:
            raise TrainingError("a rate is of the whole network, which must have epochs.", received="epochs=0")
        data = self._load()
        unit = Unit.of(data.train)
        model = self._network(data, unit)
        data = data if unit is None else unit.learned(data)
        with TemporaryDirectory() as folder:
            self._begin(model, plan_phases(model, recipe), data, Checkpoint(Path(folder), {}))
        return find_rate(self._learner(model), self._learned(data), recipe, self.task)

    def _load(self) -> DataSplits:
        options, recipe = self.options, self.recipe
        if keras.config.image_data_format() != "channels_last":
            raise TrainingError(
                "images are read with channels last: call keras.config.set_image_data_format('channels_last') first.",
                received=f"image_data_format={keras.config.image_data_format()!r}",
            )
        set_determinism(options.deterministic)
        self.distribution.start()
        data = load_data(
            options.data,
            data_dir=options.data_dir,
            validation=options.validation,
            seed=recipe.seed,
            labels_per_class=options.labels_per_class,
            task=options.task,
            targets=options.targets or (),
            fold=options.fold,
            channels=options.channels,
            near_duplicates=options.near_duplicates and self.distribution.is_first,
        )
        self.task: VisionTask = data.train.task
        check_task(self.task, options)
        return data

    def _network(self, data: DataSplits, unit: Unit | None) -> keras.Model:
        options = self.options
        if options.weights == RANDOM:
            logger.warning("the network starts from random weights, as asked for: nothing is transferred")
            if self.recipe.head_epochs or self.recipe.batchnorm == "frozen":
                logger.warning(
                    "a classifier learns nothing on random features, and frozen statistics are none of these images: "
                    "set head_epochs=0 and batchnorm='trained', as the default recipe for random weights does"
                )
        model = make_network(
            options.backbone,
            options.weights,
            class_names=data.train.class_names,
            phi=options.phi,
            resolution=options.resolution,
            channels=options.channels,
            recipe=self.recipe,
            task=self.task,
            unit=unit,
        )
        self._base = base_of(options.backbone)  # here, as its file may be another one when the run ends
        spec, classes = read_embedded_spec(model).spec, len(data.train.class_names)
        height, width = model.input_shape[1:3]
        self.resolution: Resolution = height if height == width else (height, width)
        note_images(model, resize=options.resize, bits=data.train.bits)
        shape: dict[str, Any] = {"resolution": self.resolution, "channels": options.channels, "classes": classes}
        warn_of_memory(estimate_memory(spec, self.recipe, **shape))
        return model

    def _reopen(self, phases: list[Phase], data: DataSplits, checkpoint: Checkpoint) -> None:
        """Goes back into the last phase if it has more epochs than were done."""
        done = checkpoint.progress
        if done.phase != len(phases) or not done.step:
            return
        epoch = len(self._batches(data.train, shuffle=True, shard=self.distribution.shard))
        stalled = has_stalled(done, phases[-1].name, self.recipe.patience)
        if done.step < phases[-1].epochs * epoch and not stalled:
            checkpoint.save(phase=len(phases) - 1)

    def _train(self, model: keras.Model, phases: list[Phase], data: DataSplits, checkpoint: Checkpoint) -> None:
        self._begin(model, phases, data, checkpoint)
        if phases[0].name == HEAD and checkpoint.progress.phase == 0:
            row = checkpoint.progress.history[-1]
            if row.is_better(checkpoint.progress.best):
                if self.distribution.is_first:
                    self._save(model)
                checkpoint.save(best=row)
            checkpoint.save_weights(model.variables, phase=1, step=0)
        with self.distribution.scope():
            learner = self._learner(model)
            for number in range(checkpoint.progress.phase, len(phases)):
                # Every phase starts from a file, so that a run that was cut continues with the same bits.
                if number and checkpoint.progress.step == 0:
                    checkpoint.load_weights(learner.variables)
                self._train_network(learner, model, phases[number], data, checkpoint)
                if number + 1 < len(phases):
                    checkpoint.save_weights(learner.variables, phase=number + 1, step=0)
                else:  # with the optimizer's variables, in case that more epochs are asked for
                    checkpoint.save(phase=number + 1)

    def _begin(self, model: keras.Model, phases: list[Phase], data: DataSplits, checkpoint: Checkpoint) -> None:
        """Does what comes before the whole network learns."""
        if self.options.teacher is not None:  # before anything is trained: it may be of other classes
            self._teacher = Teacher(str(self.options.teacher), data.train.class_names)
        if checkpoint.progress.phase:
            return
        if self.recipe.batchnorm == "recalibrated":
            self._recalibrate(model, data.train)
        if phases[0].name == HEAD:
            # One device is enough: features are computed once, and the classifier alone is quick to train.
            self._train_head(model, phases[0], data, checkpoint)

    def _learner(self, model: keras.Model) -> keras.Model:
        """A twin that learns, on all devices and in the recipe's precision; the model itself is what is saved."""
        weights = model.get_weights()
        learner = cast(keras.Model, keras.models.clone_model(without_unit(model)))
        learner.set_weights(weights)
        set_precision(learner, self.recipe.precision)
        return learner

    def _train_head(self, model: keras.Model, phase: Phase, data: DataSplits, checkpoint: Checkpoint) -> None:
        features, head = split_model(without_unit(model))
        # Without mixing: the features of mixed images would need mixed labels, which are not kept.
        augmentation = replace(self.recipe.augmentation, mixup=0.0, cutmix=0.0)
        recipe = replace(self.recipe, augmentation=augmentation)
        shape = self._image_options()
        views = [
            cached_features(features, data.train, recipe, self._features, view=view, **shape)
            for view in range(recipe.views)
        ]
        held_out = [cached_features(features, data.validation, recipe, self._features, **shape)]
        rows = min(HEAD_BATCH, len(data.train))
        weights = self._class_weights(data.train)
        balanced = BalancedRows(data.train.strata) if recipe.sampling == "balanced" else None
        options: dict[str, Any] = {"batch_size": rows, "seed": recipe.seed, "class_weights": weights}
        options |= {"shuffle": True, "balanced": balanced}
        batches = FeatureBatches(views, data.train.targets(slice(None)), **options)
        validation = FeatureBatches(held_out, data.validation.targets(slice(None)), batch_size=HEAD_BATCH)
        self._train_phase(head, phase, batches, validation, checkpoint)

    def _train_network(
        self, learner: keras.Model, model: keras.Model, phase: Phase, data: DataSplits, checkpoint: Checkpoint
    ) -> None:
        validation = self._batches(data.validation, center_crop=self.recipe.center_crop, shard=self.distribution.shard)

        def keep() -> None:
            if self.distribution.is_first:
                weights = learner.get_weights()
                with self.distribution.alone():
                    model.set_weights(weights)
                    self._save(model)

        self._train_phase(learner, phase, self._learned(data), validation, checkpoint, keep=keep)

    def _learned(self, data: DataSplits) -> Batches | TaughtBatches:
        """Batches that the whole network learns from."""
        recipe = self.recipe
        options: dict[str, Any] = {"shuffle": True, "balanced": recipe.sampling == "balanced"}
        options |= {"augmentation": recipe.augmentation, "class_weights": self._class_weights(data.train)}
        batches = self._batches(data.train, shard=self.distribution.shard, **options)
        if self._teacher is None:
            return batches
        return TaughtBatches(batches, self._teacher, recipe.teacher_share)

    def _train_phase(
        self, learner: keras.Model, phase: Phase, batches: Any, validation: Any, checkpoint: Checkpoint, **options: Any
    ) -> None:
        epoch = len(batches)
        schedule = compile_phase(learner, phase, self.recipe, epoch, self.task)
        stretches: dict[str, Any] = {"steps": phase.epochs * epoch, "every": epoch, "phase": phase.name}
        stretches["epochs"] = self.recipe.head_epochs + self.recipe.epochs
        options |= {"validation": validation, "seed": self.recipe.seed}
        if phase.name != HEAD:  # of the classifier's epochs the last one is kept
            options["patience"] = self.recipe.patience
        train(learner, batches, checkpoint, schedule, **stretches, **options)

    def _class_weights(self, source: Source) -> np.ndarray | None:
        if self.recipe.class_weights == "equal":
            return None
        return balanced_weights(source.labels, len(source.class_names))

    def _recalibrate(self, model: keras.Model, source: Source) -> None:
        batches = self._batches(source, shuffle=True)
        count = min(len(batches), -(-RECALIBRATION_IMAGES // self.recipe.batch_size))
        recalibrate(model, (batches[number][0] for number in range(count)))

    def _batches(self, source: Source, **options: Any) -> Batches:
        """Batches of images as the network takes them."""
        size = self.recipe.batch_size
        return Batches(source, seed=self.recipe.seed, padded=True, batch_size=size, **self._image_options(), **options)

    def _image_options(self) -> dict[str, Any]:
        options = self.options
        return {"resolution": self.resolution, "channels": options.channels, "resize": options.resize}

    def _save(self, model: keras.Model) -> None:
        """Writes the model for use: in float32, without an optimizer."""
        atomic_write(self.model_path, lambda path: model.save(path, include_optimizer=False))

    def _finish(self, data: DataSplits, checkpoint: Checkpoint) -> dict[str, Any]:
        progress = checkpoint.progress
        if progress.best is None:
            raise TrainingError(
                "the run cannot be continued, its state names no best epoch. Delete the folder to start afresh.",
                received=repr(str(checkpoint.folder)),
            )
        model = load_model(self.model_path)
        split, source = ("validation", data.validation) if data.test is None else ("test", data.test)
        batches = self._batches(source, center_crop=self.recipe.center_crop)
        outputs = predict_all(model, batches)
        held_out = outputs
        if source is not data.validation:
            held_out = predict_all(model, self._batches(data.validation, center_crop=self.recipe.center_crop))
        scores = score_outputs(outputs, source, (held_out, data.validation), split)
        if self.task == "multilabel":
            thresholds = [row["threshold"] for row in scores["evaluation"]["per_class"]]
            name_classes(model, source.class_names, self.task, thresholds)
            self._save(model)
        shown: dict[str, Any] = {"augmentation": self.recipe.augmentation, "shard": self.distribution.shard}
        training = self._batches(data.train, shuffle=True, **shown)
        metrics = {
            "command": this_command(),
            "versions": {**installed_versions(), "backend": keras.backend.backend()},
            "data": describe_data(data),
            "model": describe_network(model, self._base, self.options, self.model_path),
            "recipe": self.recipe.to_dict(),
            "realised": describe_recipe(model, self.options, len(training)),
            "history": [asdict(row) for row in progress.history],
            "best": asdict(progress.best),
            **scores,
        }
        seen = training if self.recipe.epochs else None  # the classifier alone learns from features
        write_report(metrics, model, source, outputs, batches, self.output, seen)
        return metrics
