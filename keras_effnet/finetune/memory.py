"""An estimate of the memory that training takes, made before it starts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil

from keras_effnet.cost import estimate_cost
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

FLOAT_BYTES = 4
# Copies of each weight: itself, its gradient, the optimizer's state (SGD 1, AdamW 2). A moving average is one more.
COPIES = {"sgd": 3, "adamw": 4}
# Values kept for the backward pass for each output of a convolution (what `activations` counts): normalization and
# activation keep a copy each, and gradients need two at a time. Measured: docs/finetune.md.
KEPT_PER_ACTIVATION = 4.0
RUNTIME_BYTES = 1.2e9  # TensorFlow 2.21 with Keras before any model (0.7 GB), and the buffers of its threads
SHARE_OF_FREE = 0.8  # the rest is left for images read ahead and for other programs


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory that training takes.

    Args:
        fixed: bytes that do not depend on the batch: weights, gradients, optimizer state, libraries.
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
    spec: BackboneSpec, recipe: Recipe, *, resolution: int, channels: int, classes: int
) -> MemoryEstimate:
    """Estimates the memory that training the whole network takes.

    Args:
        spec: the backbone as it is built.
        recipe: recipe with the optimizer, the precision and the batch size.
        resolution: side of the images in pixels.
        channels: number of channels of the images.
        classes: number of classes.

    Returns:
        The estimate, which errs on the high side: six measured runs took 56 to 97 % of theirs (docs/finetune.md).
    """
    cost = estimate_cost(spec, resolution=resolution, channels=channels, classes=classes)
    copies = COPIES[recipe.optimizer] + bool(recipe.average)
    width = FLOAT_BYTES / 2 if recipe.precision == "mixed_bfloat16" else FLOAT_BYTES
    pixels = FLOAT_BYTES * resolution * resolution * channels
    return MemoryEstimate(
        fixed=RUNTIME_BYTES + FLOAT_BYTES * copies * cost.params,
        per_image=KEPT_PER_ACTIVATION * width * cost.activations + pixels,
        batch_size=recipe.batch_size,
        free=float(psutil.virtual_memory().available),
    )


def warn_of_memory(estimate: MemoryEstimate) -> None:
    """Logs an estimate, as a warning if it does not fit."""
    logger.log(logging.INFO if estimate.fits else logging.WARNING, "training takes %s", estimate)
