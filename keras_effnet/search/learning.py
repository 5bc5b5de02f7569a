"""The loop behind `ProxyTraining`: one candidate, from its checkpoint or its parent, to so many steps."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_effnet.atomic import atomic_write
from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.builder.model import build_model
from keras_effnet.data.batches import Batches
from keras_effnet.data.sets import DataSplits, load_data
from keras_effnet.data.source import Source
from keras_effnet.errors import InheritanceError, SearchError, TrainingError
from keras_effnet.finetune.checkpoint import Checkpoint
from keras_effnet.finetune.phases import Phase, compile_for
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.finetune.training import training_variables
from keras_effnet.finetune.transfer_model import regularized
from keras_effnet.inheritance.grow import grow_model
from keras_effnet.inheritance.raw_pixels import raw_spec
from keras_effnet.inheritance.recalibrate import recalibrate
from keras_effnet.search.proxy_training import ProxyTraining
from keras_effnet.search.task import Task
from keras_effnet.spec import BackboneSpec

SPEC_FILE = "spec.json"
# Statistics are taken anew before a network is measured: after a few dozen steps a moving average lags behind weights
# that still change fast. Wu and Johnson 2021 (arXiv:2105.07576), section 3.
RECALIBRATION_IMAGES = 512
WARMUP = 0.02  # share of the steps: a first rung of a sixteenth of them must not end before the rate has risen
LOOK_EVERY = 10  # steps between two looks at the loss
TEST_BATCH = 250


@functools.lru_cache(maxsize=1)
def load_splits(proxy: ProxyTraining) -> DataSplits:
    """The data of a proxy, kept for the next trial. What is held out does not depend on a trial's seed."""
    return load_data(proxy.data, validation=proxy.validation)


def train_candidate(proxy: ProxyTraining, task: Task) -> float:
    """Does what `ProxyTraining.__call__` says."""
    if task.steps > proxy.horizon:
        raise SearchError(
            "no trial can take more steps than the rate has a course for; raise the proxy's `horizon`. "
            f"Received: steps={task.steps}, horizon={proxy.horizon}"
        )
    keras.utils.clear_session()  # or the graphs of all earlier candidates would stay in memory
    data = load_splits(proxy)
    spec = task.candidate.spec
    model = _network(spec, data, task.seed)
    checkpoint = _checkpoint(task.folder, spec, proxy, task.seed)
    done = checkpoint.state["epoch"]
    if done > task.steps:
        raise TrainingError(
            "what was trained longer says nothing of shorter training: delete the folder, or name another output. "
            f"Received: {str(task.folder)!r} with {done} steps, {task.steps} asked for"
        )
    if not done and task.parent is not None:
        model, share = _inherited(model, task.parent, proxy, task.seed)
        task.note("inherited", share)
    _compile(model, proxy)
    if done:
        checkpoint.load_weights(training_variables(model))
    _train(model, proxy, task, data.train, checkpoint)
    _take_statistics(model, proxy, data.train, spec.resolution)
    metric = _accuracy(model, data.validation, spec.resolution)
    if task.steps == proxy.horizon and data.test is not None:
        task.note("test_accuracy", _accuracy(model, data.test, spec.resolution))
    return metric


def _checkpoint(folder: Path, spec: BackboneSpec, proxy: ProxyTraining, seed: int) -> Checkpoint:
    return Checkpoint(folder, {"spec": spec.to_json(), "seed": seed, "proxy": proxy.to_dict()})


def _network(spec: BackboneSpec, data: DataSplits, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    plain = regularized(raw_spec(spec), 0.0, Recipe(dropout=0.0, drop_path=0.0))
    side = spec.resolution
    return build_model(plain, classes=len(data.train.class_names), input_shape=(side, side, 3))


def _compile(model: keras.Model, proxy: ProxyTraining) -> None:
    plain: dict[str, Any] = {"clip": 0.0, "label_smoothing": 0.0, "batchnorm": "trained"}
    recipe = Recipe(head_epochs=0, epochs=1, rate=proxy.rate, warmup=WARMUP, **plain)
    compile_for(model, Phase("whole", 1, 0, 1), recipe, proxy.horizon)
    optimizer: Any = model.optimizer
    optimizer.build(model.trainable_variables)


def _inherited(model: keras.Model, parent: Path, proxy: ProxyTraining, seed: int) -> tuple[keras.Model, float]:
    """The network with what fits of its parent's weights, and the share of its weights that this was."""
    try:
        spec = BackboneSpec.from_json((parent / SPEC_FILE).read_text())
    except OSError as error:
        raise SearchError(
            "a candidate starts from its parent's weights, and they are not there: name an output folder that all "
            f"hosts share, or search without inheritance. Received: {str(parent)!r}"
        ) from error
    old = _network(spec, load_splits(proxy), seed)
    _compile(old, proxy)
    _checkpoint(parent, spec, proxy, seed).load_weights(training_variables(old))
    shape = model.input_shape[1:]
    try:
        # Where a kernel or a gate has changed no function is kept, and the layers around it stay fresh.
        grown, report = grow_model(
            old, read_embedded_spec(model).spec, exact=False, input_shape=shape, return_report=True
        )
    except InheritanceError:
        return model, 0.0  # blocks of another kind: noted, and trained from random weights
    kinds = {row.layer: row.kind for row in report.layers}
    sizes = {layer.name: layer.count_params() for layer in grown.layers if layer.name in kinds}
    fresh = sum(size for name, size in sizes.items() if kinds[name] == "fresh")
    return grown, 1 - fresh / sum(sizes.values())


def _train(model: keras.Model, proxy: ProxyTraining, task: Task, source: Source, checkpoint: Checkpoint) -> None:
    side = task.candidate.spec.resolution
    batches = Batches(source, resolution=side, batch_size=proxy.batch_size, seed=task.seed, shuffle=True)
    atomic_write(task.folder / SPEC_FILE, lambda path: path.write_text(task.candidate.spec.to_json()))
    for step in range(checkpoint.state["epoch"], task.steps):
        batches.epoch, number = divmod(step, len(batches))
        images, labels, weights = batches[number]
        logs: Any = model.train_on_batch(images, labels, sample_weight=weights, return_dict=True)
        if step % LOOK_EVERY == 0 and not math.isfinite(float(logs["loss"])):
            raise TrainingError(
                f"the loss is no longer a number; lower the proxy's `rate`. Received: loss={logs['loss']} after "
                f"{step + 1} steps, rate={proxy.rate}"
            )
        if (step + 1) % proxy.keep_every == 0 or step + 1 == task.steps:
            history = [*checkpoint.state["history"], {"steps": step + 1, "accuracy": float(logs["accuracy"])}]
            checkpoint.save_weights(training_variables(model), epoch=step + 1, history=history)


def _take_statistics(model: keras.Model, proxy: ProxyTraining, source: Source, side: int) -> None:
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
        batches = Batches(source, resolution=side, batch_size=proxy.batch_size, shuffle=True)
        count = min(len(batches), -(-RECALIBRATION_IMAGES // proxy.batch_size))
        recalibrate(model, (batches[number][0] for number in range(count)))


def _accuracy(model: keras.Model, source: Source, side: int) -> float:
    batches = Batches(source, resolution=side, batch_size=min(TEST_BATCH, len(source)))
    right = count = 0.0
    for number in range(len(batches)):
        images, labels, weights = batches[number]
        found = np.asarray(keras.ops.convert_to_numpy(model.predict_on_batch(images)))
        right += float(((found.argmax(-1) == labels.argmax(-1)) * weights).sum())
        count += float(weights.sum())
    return right / count
