"""Random weights that need not be stored: each tensor follows from its name and shape alone."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from math import prod

import numpy as np

CLASSES = 10  # few, so that logits can be stored

Shapes = Mapping[str, tuple[int, ...]]


def random_tensor(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    """What stands under a name of PyTorch's: kernels by He et al. 2015 (arXiv:1502.01852) times `gain`.

    Statistics and factors differ from fresh ones, so that a misplaced one shows.
    """
    # NumPy promises that this generator, unlike newer ones, gives the same numbers for ever.
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    part = name.rpartition(".")[2]
    if part == "num_batches_tracked":
        return np.array(7)
    if len(shape) > 1:
        return (generator.standard_normal(shape) * gain * (2 / prod(shape[1:])) ** 0.5).astype("float32")
    if part in ("weight", "running_var"):
        return generator.uniform(0.5, 1.5, shape).astype("float32")
    if part == "gamma":  # ConvNeXt's layer scale
        return generator.uniform(0.3, 0.7, shape).astype("float32")
    return (generator.standard_normal(shape) * 0.1).astype("float32")


def random_tensors(shapes: Shapes, gain: float) -> dict[str, np.ndarray]:
    """One tensor for each name."""
    return {name: random_tensor(name, shape, gain) for name, shape in shapes.items()}


def random_images(side: int) -> np.ndarray:
    """Two normalised images, channels last, wider than high; the second is paler, so that they differ on average."""
    generator = np.random.RandomState(1)
    coarse = generator.standard_normal((2, side // 16, side // 16 + 2, 3)).repeat(16, axis=1).repeat(16, axis=2)
    images = coarse + 0.5 * generator.standard_normal(coarse.shape)
    images[1] *= 0.3
    return images.astype("float32")


def digest(shapes: Shapes) -> str:
    """A checksum of names and shapes, in any order, without counts of batches. A convolution 1x1 is a linear layer."""
    lines = sorted(
        f"{name} {shape[:2] if shape[2:] == (1, 1) else shape}"
        for name, shape in shapes.items()
        if not name.endswith("num_batches_tracked")
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
