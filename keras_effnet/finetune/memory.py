"""An estimate of the memory that a network takes on this machine, made before it runs or trains."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil

from keras_effnet.cost import FLOAT32_BYTES, estimate_cost
from keras_effnet.counting import Shape
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.network import record_network
from keras_effnet.peak import find_peak
from keras_effnet.resolution import Resolution, sides_of
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

# Copies of each weight: itself, its gradient, the optimizer's state (SGD 1, AdamW 2). A moving average is one more.
COPIES = {"sgd": 3, "adamw": 4}
# TensorFlow 2.21 with Keras before any model (0.8 GB), and the buffers of its threads; a training step's graph takes
# more than a prediction's. Measured: docs/evidence/training.md.
RUNTIME_BYTES = {"prediction": 0.92e9, "training": 1.2e9}
SHARE_OF_FREE = 0.8  # the rest is left for images read ahead and for other programs


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory that a network takes.

    Args:
        fixed: bytes that do not depend on the batch: weights and libraries, gradients and optimizer state in training.
        per_image: bytes for each image of a batch.
        batch_size: number of images per batch.
        free: bytes that are free on this machine now.
    """

    fixed: float
    per_image: float
    batch_size: int
    free: float

    @property
    def total(self) -> float:
        """Bytes in all."""
        return self.fixed + self.per_image * self.batch_size

    @property
    def suggested(self) -> int:
        """The largest batch size that fits: a power of two from 1 to 1024."""
        room = (SHARE_OF_FREE * self.free - self.fixed) / self.per_image
        return next((2**power for power in range(10, 0, -1) if 2**power <= room), 1)

    @property
    def fits(self) -> bool:
        """Whether the total leaves enough memory free."""
        return self.total <= SHARE_OF_FREE * self.free

    def __str__(self) -> str:
        text = f"about {self.total / 1e9:.1f} GB at {self.batch_size} images a batch, {self.free / 1e9:.1f} GB are free"
        if self.fits:
            return f"{text}; up to {self.suggested} images a batch would fit"
        return f"{text}: a batch of {self.suggested} fits (--batch-size {self.suggested})"


def estimate_memory(
    spec: BackboneSpec,
    recipe: Recipe | None = None,
    *,
    resolution: Resolution,
    channels: int,
    classes: int,
    batch_size: int | None = None,
) -> MemoryEstimate:
    """Estimates the memory of a process that trains the whole network, or only runs it.

    Args:
        spec: the backbone as it is built.
        recipe: recipe with the optimizer, the precision, the mode of BatchNorm and the batch size; None if it only
            runs.
        resolution: side of the images in pixels, or (height, width).
        channels: number of channels of the images.
        classes: number of classes.
        batch_size: number of images per batch, at least 1; by default the recipe's, or 32 (Keras' own) without one.

    Returns:
        The estimate: within 25 % of what was measured on TensorFlow (docs/evidence/training.md).

    Example:
        >>> from keras_effnet.applications import efficientnet_b0_spec
        >>> shape = {"resolution": 224, "channels": 3, "classes": 10}
        >>> runs, learns = (estimate_memory(efficientnet_b0_spec, recipe, **shape) for recipe in (None, Recipe()))
        >>> runs.per_image < learns.per_image
        True
    """
    cost = estimate_cost(spec, resolution=resolution, channels=channels, classes=classes)
    size, width = sides_of(resolution), FLOAT32_BYTES
    network = record_network(spec, channels=channels, size=size, classes=classes)
    if recipe is None:
        copies, kind, peak = 1, "prediction", find_peak(network, Shape(*size, channels))
    else:
        copies, kind = COPIES[recipe.optimizer] + bool(recipe.average), "training"
        learns = recipe.batchnorm == "trained"
        peak = find_peak(network, Shape(*size, channels), training=True, norms_learn=learns)
        batch_size = batch_size or recipe.batch_size
        if recipe.precision == "mixed_bfloat16":
            width //= 2
    return MemoryEstimate(
        fixed=RUNTIME_BYTES[kind] + FLOAT32_BYTES * copies * cost.params,
        per_image=width * peak.values,
        batch_size=batch_size or 32,
        free=float(psutil.virtual_memory().available),
    )


def warn_of_memory(estimate: MemoryEstimate) -> None:
    """Logs an estimate, as a warning if it does not fit."""
    logger.log(logging.INFO if estimate.fits else logging.WARNING, "training takes %s", estimate)
