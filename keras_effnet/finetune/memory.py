"""How much memory training takes, before it starts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil

from keras_effnet.cost import estimate_cost
from keras_effnet.finetune.recipe import Recipe
from keras_effnet.spec import BackboneSpec

logger = logging.getLogger(__name__)

FLOAT_BYTES = 4
# A weight, its gradient, and what the optimizer keeps of it: SGD one momentum, AdamW two; a moving average is one more.
COPIES = {"sgd": 3, "adamw": 4}
# Kept for the way back, times what the convolutions put out (that is what `activations` counts): normalisation and
# activation keep a copy each, and gradients pass through two of them at a time. Measured: docs/finetune.md.
KEPT_PER_ACTIVATION = 4.0
RUNTIME_BYTES = 1.2e9  # TensorFlow 2.21 with Keras, before any model: 0.7 GB; its threads' buffers on top
SHARE_OF_FREE = 0.8  # the rest is for the images that wait, and for other programs


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that training takes.

    Args:
        fixed: whatever the batch: weights, gradients, the optimizer's state, the libraries.
        per_image: for each image of a batch.
        batch_size: asked for.
        free: on this machine now.
    """

    fixed: float
    per_image: float
    batch_size: int
    free: float

    @property
    def total(self) -> float:
        return self.fixed + self.per_image * self.batch_size

    @property
    def suggested(self) -> int:
        """The largest power of two that fits, from 1 to 1024."""
        room = (SHARE_OF_FREE * self.free - self.fixed) / self.per_image
        return next((2**power for power in range(10, 0, -1) if 2**power <= room), 1)

    @property
    def fits(self) -> bool:
        return self.total <= SHARE_OF_FREE * self.free

    def __str__(self) -> str:
        text = f"about {self.total / 1e9:.1f} GB at {self.batch_size} images a batch, {self.free / 1e9:.1f} GB are free"
        if self.fits:
            return f"{text}; up to {self.suggested} images a batch would fit"
        return f"{text}: a batch of {self.suggested} fits (--batch-size {self.suggested})"


def estimate_memory(
    spec: BackboneSpec, recipe: Recipe, *, resolution: int, channels: int, classes: int
) -> MemoryEstimate:
    """What training the whole network takes.

    Args:
        spec: the backbone as it is built.
        recipe: whose optimizer, precision and batch count.
        resolution: of the images, in pixels.
        channels: of the images.
        classes: of the classifier.

    Returns:
        The estimate, which is meant not to be too low: of six runs measured each took 56 to 97 % of it
        (docs/finetune.md).
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
    """Says what training will take; as a warning where that is more than there is."""
    logger.log(logging.INFO if estimate.fits else logging.WARNING, "training takes %s", estimate)
