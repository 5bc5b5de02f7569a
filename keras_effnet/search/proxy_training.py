"""Judging a candidate by short training, the proxy of full training.

MnasNet trained its candidates for 5 epochs of the full data set (Tan et al. 2019, arXiv:1807.11626, section 5). Here
the data embedded in the package is enough, and takes seconds.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.builder.model import build_model
from keras_effnet.checks import check_int, check_number, store_plain
from keras_effnet.data.batches import Batches
from keras_effnet.data.sets import DataSplits, load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import InheritanceError, SearchError, TrainingError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import regularized
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.raw_pixels import raw_spec
from keras_effnet.inheritance.recalibrate import recalibrate
from keras_effnet.search.candidates import Record
from keras_effnet.search.task import Task
from keras_effnet.spec import BackboneSpec
from keras_effnet.training.checkpoint import Checkpoint, training_variables
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.evaluation import evaluate
from keras_effnet.training.loop import train
from keras_effnet.training.schedules import Schedule, batchnorm_momentum, warmup_cosine
from keras_effnet.training.seeding import seed_weights

SPEC_FILE = "spec.json"
# Statistics are computed anew before a network is measured: after a few dozen steps a moving average lags behind
# weights that still change fast. Wu and Johnson 2021 (arXiv:2105.07576), section 3.
RECALIBRATION_IMAGES = 512
WARMUP = 0.02  # fraction of the steps: a first rung of a sixteenth of them must not end before the rate has risen
WEIGHT_DECAY = 1e-5  # Tan and Le 2019 (arXiv:1905.11946), section 5.2
TEST_BATCH = 250  # images per batch where nothing is learned


@dataclass(frozen=True)
class ProxyTraining(Record):
    """Short training from scratch, scored by the accuracy on held-out images.

    SGD with Nesterov momentum, a learning rate that falls to zero along a cosine over `horizon` steps, no dropout, no
    drop-path and no augmentation: over so few steps nothing overfits. A trial on a lower rung ends within the schedule.

    Args:
        data: images, as `load_data` takes them.
        horizon: number of steps of the longest training, at least 1.
        batch_size: number of images per step, at least 1.
        rate: largest learning rate, above 0.
        validation: fraction of the training images to validate on, in (0, 0.9]; unused if the data holds some out.
        keep_every: number of steps between two checkpoints, at least 1.

    Raises:
        SearchError: a value is out of range.

    Example:
        >>> ProxyTraining.from_dict(ProxyTraining(horizon=100).to_dict())
        ProxyTraining(data='glyphs', horizon=100, batch_size=32, rate=0.1, validation=0.25, keep_every=120)
    """

    kind: ClassVar[str] = "proxy"

    data: str = "glyphs"
    horizon: int = 960
    batch_size: int = 32
    rate: float = 0.1
    validation: float = 0.25
    keep_every: int = 120

    def __post_init__(self) -> None:
        store_plain(self)
        for name in ("horizon", "batch_size", "keep_every"):
            check_int(SearchError, name, getattr(self, name), 1)
        check_number(SearchError, "rate", self.rate, 0, open_low=True)
        check_number(SearchError, "validation", self.validation, 0, 0.9, open_low=True)

    def __call__(self, task: Task) -> float:
        """Trains a candidate. Notes "test_accuracy" after a whole training if the data has test images.

        Args:
            task: the candidate, the steps that it has at the end, and its folder.

        Returns:
            The accuracy on the validation images, from 0 to 1.

        Raises:
            SearchError: the task asks for more steps than `horizon`, or its parent's weights are not there.
            TrainingError: the loss is no longer a number.
        """
        if task.steps > self.horizon:
            raise SearchError(
                "a trial cannot take more steps than the learning-rate schedule has; raise the proxy's `horizon`.",
                received=f"steps={task.steps}, horizon={self.horizon}",
            )
        keras.utils.clear_session()  # or the graphs of all earlier candidates would stay in memory
        data = load_splits(self.data, self.validation)
        spec = task.candidate.spec
        model = _network(spec, data, task.seed)
        checkpoint = _checkpoint(task.folder, spec, self, task.seed)
        done = checkpoint.progress.step
        if done > task.steps:
            raise TrainingError(
                "a network that was trained for longer cannot stand for shorter training: delete the folder, or name "
                "another output.",
                received=f"{str(task.folder)!r} with {done} steps, {task.steps} asked for",
            )
        if not done and task.parent is not None:
            model, share = _inherited(model, task.parent, self, task.seed)
            task.note("inherited", share)
        schedule = _compile(model, self)
        atomic_write(task.folder / SPEC_FILE, lambda path: path.write_text(spec.to_json()))
        sizes: dict[str, Any] = {"resolution": spec.resolution, "batch_size": self.batch_size, "shuffle": True}
        sizes["padded"] = True
        course: dict[str, Any] = {"steps": task.steps, "every": self.keep_every, "phase": "proxy", "seed": task.seed}
        train(model, Batches(data.train, **sizes, seed=task.seed), checkpoint, schedule, **course)
        if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
            batches = Batches(data.train, **sizes)
            count = min(len(batches), -(-RECALIBRATION_IMAGES // self.batch_size))
            recalibrate(model, (batches[number] for number in range(count)))
        if task.steps == self.horizon and data.test is not None:
            task.note("test_accuracy", _accuracy(model, data.test))
        return _accuracy(model, data.validation)

    @property
    def classes(self) -> int:
        """Number of classes of the data, which is loaded for it."""
        return len(load_splits(self.data, self.validation).train.class_names)

    @property
    def validation_images(self) -> int:
        """Number of images that the accuracy is measured on; the data is loaded for it."""
        return len(load_splits(self.data, self.validation).validation)


@functools.lru_cache(maxsize=1)
def load_splits(data: str, validation: float) -> DataSplits:
    """The data of a proxy training, kept for the next trial. What is held out does not depend on a trial's seed."""
    splits = load_data(data, validation=validation)
    if splits.train.task != "classification":
        raise SearchError(
            "a search compares classifiers by their accuracy: give images with one class each.",
            received=f"{data!r}, labelled for the task {splits.train.task!r}",
        )
    return splits


def _checkpoint(folder: Path, spec: BackboneSpec, proxy: ProxyTraining, seed: int) -> Checkpoint:
    return Checkpoint(folder, {"spec": spec.to_json(), "seed": seed, "proxy": proxy.to_dict()})


def _network(spec: BackboneSpec, data: DataSplits, seed: int) -> keras.Model:
    seed_weights(seed)
    plain = regularized(raw_spec(spec), 0.0, Recipe(dropout=0.0, drop_path=0.0))
    side = spec.resolution
    return build_model(plain, classes=len(data.train.class_names), input_shape=(side, side, 3))


def _compile(model: keras.Model, proxy: ProxyTraining) -> Schedule:
    set_batchnorm_momentum(model, batchnorm_momentum(proxy.horizon))
    schedule = functools.partial(warmup_cosine, peak=proxy.rate, steps=proxy.horizon, warmup=WARMUP)
    compile_model(model, schedule, steps=proxy.horizon, weight_decay=WEIGHT_DECAY)
    return schedule


def _inherited(model: keras.Model, parent: Path, proxy: ProxyTraining, seed: int) -> tuple[keras.Model, float]:
    """The network with whatever fits of its parent's weights, and the share of its weights that this is."""
    try:
        spec = BackboneSpec.from_json((parent / SPEC_FILE).read_text())
    except OSError as error:
        raise SearchError(
            "a candidate starts from its parent's weights, and they are not there: name an output folder that all "
            "hosts share, or search without inheritance.",
            received=repr(str(parent)),
        ) from error
    old = _network(spec, load_splits(proxy.data, proxy.validation), seed)
    _compile(old, proxy)
    optimizer: Any = old.optimizer
    optimizer.build(old.trainable_variables)
    _checkpoint(parent, spec, proxy, seed).load_weights(training_variables(old))
    target, options = read_embedded_spec(model).spec, {"exact": False, "input_shape": model.input_shape[1:]}
    try:
        # Where a kernel or a gate has changed, no function is kept, and the layers around it stay fresh.
        grown, report = grow_model(old, target, return_report=True, **options)
    except InheritanceError:
        return model, 0.0  # blocks of another kind: noted, and trained from random weights
    fresh = {row.layer: row.kind == "fresh" for row in report.layers}
    sizes = {layer.name: layer.count_params() for layer in grown.layers if layer.name in fresh}
    return grown, 1 - sum(size * fresh[name] for name, size in sizes.items()) / sum(sizes.values())


def _accuracy(model: keras.Model, source: Source) -> float:
    sizes = {"resolution": model.input_shape[-2], "batch_size": min(TEST_BATCH, len(source))}
    batches = Batches(source, **sizes, padded=True)
    return evaluate(model, batches)["accuracy"]
