"""Training on images in memory: a schedule of values, and the loop that follows it.

`keras.Model.fit` compiles a step anew for every schedule. A comparison over several draws of labels trains one network
many times over, so that here one compiled step serves all runs: the learning rate is set from outside, and weights are
put back instead of built again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from PIL import Image
from tqdm import tqdm

from keras_effnet.checks import check_int, check_number, check_rate
from keras_effnet.data.images import Images
from keras_effnet.data.rows import batch_rows
from keras_effnet.errors import DataError

EVALUATION_BATCH = 256  # images at once where nothing is learned; the largest that still speeds two cores up


@dataclass(frozen=True)
class Schedule:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with a warm-up and a cosine decay to zero.

    Args:
        steps: updates of the weights, at least 1.
        batch_size: images an update, at least 1.
        rate: the largest learning rate, reached after the warm-up; above 0.
        warmup: share of the steps over which the rate rises from zero, in [0, 1).
        weight_decay: at least 0.
        label_smoothing: share of a label spread over all classes, in [0, 1) (Szegedy et al. 2016, arXiv:1512.00567).
        jitter: strength of the random shift, turn, zoom and slant of each image, in [0, 1); 0 leaves them alone.

    Raises:
        DataError: a value outside its range.
    """

    steps: int
    batch_size: int
    rate: float
    warmup: float = 0.1
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_int(DataError, "steps", self.steps, 1)
        check_int(DataError, "batch_size", self.batch_size, 1)
        check_number(DataError, "rate", self.rate, 0, open_low=True)
        check_number(DataError, "weight_decay", self.weight_decay, 0)
        for name in ("warmup", "label_smoothing", "jitter"):
            check_rate(DataError, name, getattr(self, name))

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = self.warmup * self.steps
        if step < rising:
            return self.rate * (step + 1) / rising if rising >= 1 else self.rate
        return self.rate * (1 + math.cos(math.pi * (step - rising) / (self.steps - rising))) / 2


def compile_for(model: keras.Model, schedule: Schedule) -> None:
    """Compiles `model` for `train`, and makes its BatchNorm statistics follow within tens of steps."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # With Keras' 0.99 they would still be half those of the first weights after 70 steps.
            layer.momentum = 0.9
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule.rate, weight_decay=schedule.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=schedule.label_smoothing),
        metrics=["accuracy"],
        # XLA's depthwise convolution is many times slower on a CPU than TensorFlow's own.
        jit_compile=False,  # pyright: ignore[reportArgumentType] - Keras annotates its default, "auto"
    )


def train(
    model: keras.Model,
    images: Images,
    schedule: Schedule,
    *,
    seed: int,
    progress: tqdm,
    first: int = 0,
    last: int | None = None,
) -> dict[str, float]:
    """Trains a compiled model over the steps [first, last) of a schedule.

    Every step draws its images, their jitter and its dropout from the seed and its own number alone, so that a run
    that was cut goes on as if nothing had happened.

    Args:
        model: as `compile_for` leaves it.
        images: to train on.
        schedule: the steps.
        seed: of the order of images, of their jitter and of dropout.
        progress: a bar that counts steps.
        first: step to start with.
        last: step to stop before; all steps by default.

    Returns:
        The mean "loss" and "accuracy" over these steps.

    Raises:
        DataError: the loss is no longer a number.
    """
    labels = keras.utils.to_categorical(images.labels, len(images.class_names))
    history: list[dict[str, float]] = []
    dropouts = [layer.seed_generator for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    for step in range(first, schedule.steps if last is None else last):
        members, _ = batch_rows(len(images), schedule.batch_size, step, epoch=0, seed=seed, shuffle=True)
        batch = jitter(images.images[members], schedule.jitter, np.random.default_rng((seed, step)))
        for number, generator in enumerate(dropouts):
            # A saved model does not keep these.
            generator.state.assign(np.array([seed * len(dropouts) + number, step], "uint32"))
        model.optimizer.learning_rate = schedule.rate_at(step)
        logs: Any = model.train_on_batch(batch.astype("float32"), labels[members], return_dict=True)
        if not math.isfinite(logs["loss"]):
            raise DataError(f"the loss is no longer a number; lower the learning rate. Received: loss={logs['loss']}")
        history.append({name: float(value) for name, value in logs.items()})
        progress.set_postfix(loss=f"{logs['loss']:.3f}", accuracy=f"{logs['accuracy']:.3f}", refresh=False)
        progress.update()
    return {name: float(np.mean([logs[name] for logs in history])) for name in history[0]}


def evaluate(model: keras.Model, images: Images) -> dict[str, float]:
    """The "loss" and "accuracy" on images that nothing is learned from."""
    labels = keras.utils.to_categorical(images.labels, len(images.class_names))
    pixels = images.images.astype("float32")
    silent: Any = 0  # Keras annotates its default, "auto"
    logs = model.evaluate(pixels, labels, batch_size=EVALUATION_BATCH, verbose=silent, return_dict=True)
    return {name: float(value) for name, value in logs.items()}


def jitter(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Shifts, turns, zooms and slants each image by a random bit, as handwriting varies.

    Args:
        images: uint8 of shape (n, resolution, resolution, 3).
        strength: largest turn and slant in radians and zoom as a share; shifts go up to half this share of the side.
        generator: where the numbers come from.

    Returns:
        An array of the same shape; what comes in from outside is black.
    """
    if strength == 0:
        return images
    middle = images.shape[1] / 2
    warped = np.empty_like(images)
    for number, image in enumerate(images):
        turn, slant, zoom, right, down = generator.uniform(-strength, strength, 5)
        # The inverse map: from a pixel of the result to where it comes from, around the middle.
        scale = 1 + zoom
        a, b = scale * math.cos(turn), scale * (slant - math.sin(turn))
        d, e = scale * math.sin(turn), scale * math.cos(turn)
        c, f = middle * (1 - a - b + right), middle * (1 - d - e + down)
        image = Image.fromarray(image)
        warped[number] = image.transform(
            image.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR
        )
    return warped


def snapshot(model: keras.Model) -> list[tuple[Any, np.ndarray]]:
    """All that training changes: weights, seeds and the optimizer's state, each with its value."""
    model.optimizer.build(model.trainable_variables)
    variables: Iterator[Any] = iter((*model.variables, *model.optimizer.variables))
    return [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in variables]


def restore(state: list[tuple[Any, np.ndarray]]) -> None:
    """Puts a `snapshot` back."""
    for variable, value in state:
        variable.assign(value)


def copy_features(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights but those of the last layer, the classifier, between two models of one architecture."""
    pairs = zip(_weighted(source), _weighted(target), strict=True)
    for theirs, ours in list(pairs)[:-1]:
        ours.set_weights(theirs.get_weights())


def _weighted(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if layer.weights]
