"""The training behind `ProxyTraining`: a candidate, from its checkpoint or its parent, to a number of steps."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Protocol

import keras

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.builder.model import build_model
from keras_effnet.data.batches import Batches
from keras_effnet.data.sets import DataSplits, load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import InheritanceError, SearchError, TrainingError
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.transfer_model import regularized
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.raw_pixels import raw_spec
from keras_effnet.inheritance.recalibrate import recalibrate
from keras_effnet.search.task import Task
from keras_effnet.spec import BackboneSpec
from keras_effnet.training.checkpoint import Checkpoint, training_variables
from keras_effnet.training.compilation import compile_model, set_batchnorm_momentum
from keras_effnet.training.evaluation import evaluate
from keras_effnet.training.loop import train
from keras_effnet.training.schedules import Schedule, batchnorm_momentum, warmup_cosine

SPEC_FILE = "spec.json"
# Statistics are computed anew before a network is measured: after a few dozen steps a moving average lags behind
# weights that still change fast. Wu and Johnson 2021 (arXiv:2105.07576), section 3.
RECALIBRATION_IMAGES = 512
WARMUP = 0.02  # fraction of the steps: a first rung of a sixteenth of them must not end before the rate has risen
WEIGHT_DECAY = 1e-5  # Tan and Le 2019 (arXiv:1905.11946), section 5.2
TEST_BATCH = 250  # images per batch where nothing is learned


class ShortTraining(Protocol):
    """The settings of a short training: what `search.proxy_training.ProxyTraining` holds."""

    @property
    def data(self) -> str: ...

    @property
    def horizon(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def rate(self) -> float: ...

    @property
    def validation(self) -> float: ...

    @property
    def keep_every(self) -> int: ...

    def to_dict(self) -> dict[str, Any]: ...


@functools.lru_cache(maxsize=1)
def load_splits(proxy: ShortTraining) -> DataSplits:
    """The data of a proxy training, kept for the next trial. What is held out does not depend on a trial's seed."""
    return load_data(proxy.data, validation=proxy.validation)


def train_candidate(proxy: ShortTraining, task: Task) -> float:
    """Does what `ProxyTraining.__call__` says."""
    if task.steps > proxy.horizon:
        raise SearchError(
            "a trial cannot take more steps than the learning-rate schedule has; raise the proxy's `horizon`.",
            received=f"steps={task.steps}, horizon={proxy.horizon}",
        )
    keras.utils.clear_session()  # or the graphs of all earlier candidates would stay in memory
    data = load_splits(proxy)
    spec = task.candidate.spec
    model = _network(spec, data, task.seed)
    checkpoint = _checkpoint(task.folder, spec, proxy, task.seed)
    done = checkpoint.progress.step
    if done > task.steps:
        raise TrainingError(
            "a network that was trained for longer cannot stand for shorter training: delete the folder, or name "
            "another output.",
            received=f"{str(task.folder)!r} with {done} steps, {task.steps} asked for",
        )
    if not done and task.parent is not None:
        model, share = _inherited(model, task.parent, proxy, task.seed)
        task.note("inherited", share)
    schedule = _compile(model, proxy)
    atomic_write(task.folder / SPEC_FILE, lambda path: path.write_text(spec.to_json()))
    batches = _batches(data.train, spec.resolution, proxy.batch_size, seed=task.seed, shuffle=True)
    train(model, batches, checkpoint, schedule, steps=task.steps, every=proxy.keep_every, phase="proxy", seed=task.seed)
    _take_statistics(model, proxy, data.train, spec.resolution)
    if task.steps == proxy.horizon and data.test is not None:
        task.note("test_accuracy", _accuracy(model, data.test, spec.resolution))
    return _accuracy(model, data.validation, spec.resolution)


def _checkpoint(folder: Path, spec: BackboneSpec, proxy: ShortTraining, seed: int) -> Checkpoint:
    return Checkpoint(folder, {"spec": spec.to_json(), "seed": seed, "proxy": proxy.to_dict()})


def _network(spec: BackboneSpec, data: DataSplits, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    plain = regularized(raw_spec(spec), 0.0, Recipe(dropout=0.0, drop_path=0.0))
    side = spec.resolution
    return build_model(plain, classes=len(data.train.class_names), input_shape=(side, side, 3))


def _compile(model: keras.Model, proxy: ShortTraining) -> Schedule:
    set_batchnorm_momentum(model, batchnorm_momentum(proxy.horizon))
    schedule = functools.partial(warmup_cosine, peak=proxy.rate, steps=proxy.horizon, warmup=WARMUP)
    compile_model(model, schedule, steps=proxy.horizon, weight_decay=WEIGHT_DECAY)
    return schedule


def _inherited(model: keras.Model, parent: Path, proxy: ShortTraining, seed: int) -> tuple[keras.Model, float]:
    """The network with whatever fits of its parent's weights, and the share of its weights that this is."""
    try:
        spec = BackboneSpec.from_json((parent / SPEC_FILE).read_text())
    except OSError as error:
        raise SearchError(
            "a candidate starts from its parent's weights, and they are not there: name an output folder that all "
            "hosts share, or search without inheritance.",
            received=repr(str(parent)),
        ) from error
    old = _network(spec, load_splits(proxy), seed)
    _compile(old, proxy)
    optimizer: Any = old.optimizer
    optimizer.build(old.trainable_variables)
    _checkpoint(parent, spec, proxy, seed).load_weights(training_variables(old))
    shape = model.input_shape[1:]
    try:
        # Where a kernel or a gate has changed, no function is kept, and the layers around it stay fresh.
        grown, report = grow_model(
            old, read_embedded_spec(model).spec, exact=False, input_shape=shape, return_report=True
        )
    except InheritanceError:
        return model, 0.0  # blocks of another kind: noted, and trained from random weights
    kinds = {row.layer: row.kind for row in report.layers}
    sizes = {layer.name: layer.count_params() for layer in grown.layers if layer.name in kinds}
    fresh = sum(size for name, size in sizes.items() if kinds[name] == "fresh")
    return grown, 1 - fresh / sum(sizes.values())


def _batches(source: Source, side: int, batch_size: int, **options: Any) -> Batches:
    return Batches(source, resolution=side, batch_size=batch_size, **options)


def _take_statistics(model: keras.Model, proxy: ShortTraining, source: Source, side: int) -> None:
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        batches = _batches(source, side, proxy.batch_size, shuffle=True)
        count = min(len(batches), -(-RECALIBRATION_IMAGES // proxy.batch_size))
        recalibrate(model, (batches[number][0] for number in range(count)))


def _accuracy(model: keras.Model, source: Source, side: int) -> float:
    return evaluate(model, _batches(source, side, min(TEST_BATCH, len(source))))["accuracy"]
