"""Compiling a classifier for training: optimizer, loss, metrics and XLA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_effnet.shifted_depthwise import is_faster_shifted, shift_depthwise
from keras_effnet.training.layerwise import SPARED, LayerwiseAdamW, LayerwiseSGD
from keras_effnet.training.schedules import Schedule
from keras_effnet.vision_tasks import VisionTask

NESTEROV_MOMENTUM = 0.9  # Kornblith et al. 2019 (arXiv:1805.08974), and nearly everyone else


def compile_model(
    model: keras.Model,
    schedule: Schedule,
    *,
    steps: int,
    optimizer: str = "sgd",
    weight_decay: float = 0.0,
    clip: float = 0.0,
    average: float = 0.0,
    accumulate: int = 1,
    label_smoothing: float = 0.0,
    focal: float = 0.0,
    task: VisionTask = "classification",
    shares: Mapping[str, float] | None = None,
) -> None:
    """Compiles a model for what it is to learn: one-hot labels, several labels, or numbers.

    Its weighted metrics are "mean_loss", the mean of the loss but for the focal factor, and of a classifier "accuracy".
    They ignore images of weight 0, as Keras' own mean of the losses does not.

    Args:
        model: the model; which of its layers are trainable is taken as it stands.
        schedule: learning rate of each step.
        steps: number of batches that the schedule covers, at least 1; afterwards the last rate stays.
        optimizer: "sgd" (with Nesterov momentum 0.9) or "adamw".
        weight_decay: decoupled weight decay, at least 0; biases and normalization are spared (He et al. 2019,
            arXiv:1812.01187, section 3.1).
        clip: largest norm of all gradients together, above 0; 0 turns clipping off.
        average: momentum of the moving average of the weights, in [0, 1); 0 turns averaging off.
        accumulate: number of batches that make up an update, at least 1.
        label_smoothing: fraction of each label that is spread over all classes, in [0, 1); not of numbers.
        focal: gamma of the focal loss, at least 0; 0 is cross-entropy. Not of numbers.
        task: what the model learns: "classification", "multilabel" or "regression". Default: "classification".
        shares: share of the learning rate that each layer gets, by its name, above 0; others get all of it. By default
            all layers have one rate.

    Example:
        >>> from functools import partial
        >>> from keras_effnet import build_model
        >>> from keras_effnet.training.schedules import warmup_cosine
        >>> model = build_model("mobilenet_v1", classes=2, input_shape=(32, 32, 3))
        >>> compile_model(model, partial(warmup_cosine, peak=0.1, steps=10), steps=10)
        >>> round(float(model.optimizer.learning_rate), 3)
        0.1
    """
    if is_faster_shifted():
        shift_depthwise(model)
    options: dict[str, Any] = {}
    if clip:
        options["global_clipnorm"] = clip
    if average:
        options |= {"use_ema": True, "ema_momentum": average}
    if accumulate > 1:
        options["gradient_accumulation_steps"] = accumulate
    # Keras counts batches, also where several make up an update.
    rates: Any = RateTable([schedule(step - step % accumulate) for step in range(steps)])
    made = _optimizer(optimizer, weight_decay, _by_variable(model, shares), {"learning_rate": rates, **options})
    loss, metrics = _loss_and_metrics(task, label_smoothing, focal)
    model.compile(
        optimizer=made,
        loss=loss,
        weighted_metrics=metrics,
        jit_compile=uses_xla(),  # pyright: ignore[reportArgumentType] - Keras annotates its default, "auto"
    )


def _loss_and_metrics(task: VisionTask, label_smoothing: float, focal: float) -> tuple[Any, list[Any]]:
    losses, metrics = keras.losses, keras.metrics
    smoothing: dict[str, Any] = {"label_smoothing": label_smoothing}
    name: dict[str, Any] = {"name": "mean_loss"}
    if task == "regression":
        return losses.MeanSquaredError(), [metrics.MeanSquaredError(**name)]
    if task == "multilabel":
        loss: Any = losses.BinaryCrossentropy(**smoothing)
        if focal:
            loss = losses.BinaryFocalCrossentropy(gamma=focal, **smoothing)
        return loss, [metrics.BinaryCrossentropy(**name, **smoothing)]
    loss = losses.CategoricalCrossentropy(**smoothing)
    if focal:  # with alpha at 1, so that gamma 0 is cross-entropy
        loss = losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=focal, **smoothing)
    return loss, [metrics.CategoricalAccuracy(name="accuracy"), metrics.CategoricalCrossentropy(**name, **smoothing)]


def _optimizer(name: str, decay: float, shares: Mapping[str, float], options: dict[str, Any]) -> Any:
    if name == "sgd":
        options |= {"momentum": NESTEROV_MOMENTUM, "nesterov": True}
    if shares:
        return (LayerwiseAdamW if name == "adamw" else LayerwiseSGD)(shares, decay, **options)
    kind: Any = keras.optimizers.AdamW if name == "adamw" else keras.optimizers.SGD
    made = kind(weight_decay=decay, **options)
    made.exclude_from_weight_decay(var_names=list(SPARED))
    return made


def _by_variable(model: keras.Model, shares: Mapping[str, float] | None) -> dict[str, float]:
    """The share of each variable, by its path."""
    if shares is None:
        return {}
    layers = [layer for layer in model.layers if layer.name in shares]
    return {variable.path: shares[layer.name] for layer in layers for variable in layer.trainable_variables}


def set_batchnorm_momentum(model: keras.Model, momentum: float) -> None:
    """Sets the momentum of every BatchNorm layer's moving statistics; call it before compiling.

    Args:
        model: the model.
        momentum: fraction of the old statistics that each step keeps, in [0, 1).
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def uses_xla() -> bool:
    """Whether training steps are compiled by XLA.

    JAX needs it; on a CPU, XLA's depthwise convolutions are many times slower than TensorFlow's own.
    """
    if keras.backend.backend() == "jax":
        return True
    return keras.backend.backend() == "tensorflow" and len(keras.distribution.list_devices("gpu")) > 0


class RateTable(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule tabulated for the optimizer, one learning rate for each batch; past the end the last one stays.

    Args:
        rates: learning rates, at least one.
    """

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        last = len(self.rates) - 1
        table = keras.ops.convert_to_tensor(self.rates, "float32")
        return keras.ops.take(table, keras.ops.minimum(keras.ops.cast(step, "int32"), last))

    def get_config(self) -> dict[str, Any]:
        return {"rates": self.rates}
