"""timm itself with random weights, for the tests that have it and for `scripts/golden_timm_weights.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import timm  # pyright: ignore[reportMissingImports]
import torch
from random_tensors import CLASSES, random_images, random_tensors

# The smallest last: only sums of many branches need them.
GAINS = tuple(number / 20 for number in (*range(8, 30), *range(1, 8)))


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    """Of a state dict's tensors."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def unbuilt(name: str) -> Any:
    """A model on the meta device, where tensors have shapes and no values."""
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, num_classes=CLASSES)


def contrast(logits: np.ndarray) -> float:
    """How far the images' logits are apart, as a share of the largest."""
    return float(np.abs(logits[0] - logits[1]).max() / np.abs(logits).max())


def random_logits(name: str, side: int) -> tuple[float, np.ndarray]:
    """(gain, logits) of an architecture with random weights of a gain at which images are told apart.

    Below some gain signals die between the biases, above another they explode.
    """
    model = timm.create_model(name, pretrained=False, num_classes=CLASSES).eval()
    x = torch.from_numpy(random_images(side)).permute(0, 3, 1, 2)
    for gain in GAINS:
        tensors = random_tensors(shapes_of(model), gain)
        model.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
        with torch.no_grad():
            logits = model(x).numpy()
        if contrast(logits) > 0.15 and np.abs(logits).max() < 1e4:
            return gain, logits
    raise ValueError(f"no gain suits {name}")
