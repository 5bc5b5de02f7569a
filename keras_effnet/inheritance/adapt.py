"""A stem that takes images of other channels than it was trained on.

| `stem` | each new channel gets | what stays |
|---|---|---|
| "sum" | the sum of all old kernels, divided by the new channels | images whose channels are equal (gray ones) |
| "mean" | their mean | the size of the kernels |
| "repeat" | the old kernels in turn, times old over new channels | images that repeat their channels |
| "fresh" | random numbers | nothing |

Kernels are compared as they meet pixels: what the model itself does to pixels, channel by channel, is part of them. The
constant part of it goes into the normalisation (or the bias) behind the stem's convolution. Where the means of channels
differ (EfficientNet's) this cannot hold for windows that reach over the border: the zeros around a normalised image
stand for another color than gray, and one channel cannot tell that from gray.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.pairing import Read
from keras_effnet.ops import BatchNorm, Conv, Rescale, Standardize
from keras_effnet.trace import Trace, TracedNode

Stem = Literal["sum", "mean", "repeat", "fresh"]

# keras.config.epsilon(), which Keras' Normalization puts under the standard deviation.
_SMALLEST_STD = 1e-7
# A hundred times float32's.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Pixels:
    """What becomes of a pixel p before the stem: gain * p + shift, for each channel."""

    gain: np.ndarray
    shift: np.ndarray


class AdaptedStem:
    """The old network's weights, with a stem for images of other channels.

    Args:
        trace: trace of the old network, with its own channels.
        read: function from the name of a layer to its weights in the old network.
        channels: number of channels of the new images.
        stem: rule for the new kernels: "sum", "mean" or "repeat".

    Raises:
        InheritanceError: a layer that reads the image is no plain convolution, or nothing behind one can take up a
            constant.
    """

    def __init__(self, trace: Trace, read: Read, channels: int, stem: Stem) -> None:
        self.read = read
        self.stem = stem
        self.channels = channels
        self.old_channels = trace.input.channels
        self.pixels = trace.blocks[0].nodes
        self.statistics = {node.name for node in self.pixels if node.has_weights}
        # Plain convolutions: `reads_image` allows nothing else.
        self.convs: dict[str, Any] = {node.name: node for node in reads_image(trace)}
        self.constants = {node.name: self._constant_of(node) for node in self.convs.values()}
        self.norms = self._norms_behind(trace)
        self.names = {*self.statistics, *self.convs, *self.norms}

    def _norms_behind(self, trace: Trace) -> dict[str, str]:
        """From the normalisations that take up the constant of a convolution to the convolution."""
        found = {}
        for name, node in self.convs.items():
            if node.op.bias or not self.constants[name].any():
                continue
            behind = [each for each in trace.nodes if node.output in each.inputs]
            if not all(isinstance(each.op, BatchNorm) for each in behind):
                raise InheritanceError(
                    "what the model subtracts from pixels can only stay the same with a bias or a batch normalisation "
                    "behind the stem's convolution: use stem='fresh'.",
                    received=f"{name!r}, which has neither",
                )
            found |= {each.name: name for each in behind}
        return found

    @property
    def keeps_border(self) -> bool:
        """Whether the zeros around an image stand for what they stood for before."""
        return all(node.op.padding == "valid" or not self.constants[name].any() for name, node in self.convs.items())

    def __call__(self, name: str) -> list[np.ndarray]:
        """The weights of a layer, as a network for the new images would have them."""
        arrays = self.read(name)
        if name in self.statistics:
            mean, variance, *count = arrays
            return [self._statistics(mean), self._statistics(variance), *count]
        if name in self.convs:
            kernel, dtype = self._kernel(self.convs[name]), arrays[0].dtype
            return [kernel.astype(dtype), *((bias + self.constants[name]).astype(dtype) for bias in arrays[1:])]
        if name in self.norms:
            gamma, beta, mean, variance = arrays
            return [gamma, beta, (mean - self.constants[self.norms[name]]).astype(mean.dtype), variance]
        return arrays

    def _statistics(self, old: np.ndarray) -> np.ndarray:
        """Of the new channels of a Normalization layer."""
        old = old.reshape(-1)
        if self.stem == "repeat":
            return np.resize(old, self.channels)
        return np.full(self.channels, old.mean(), old.dtype)

    def _gains(self, adapted: bool) -> Pixels:
        """What the old or the new network does to pixels."""
        channels = self.channels if adapted else self.old_channels
        gain, shift = np.ones(channels), np.zeros(channels)
        for node in self.pixels:
            if isinstance(node.op, Rescale):
                scale, offset = np.asarray(node.op.scale), np.asarray(node.op.offset)
                gain, shift = gain * scale, shift * scale + offset
            elif isinstance(node.op, Standardize):
                mean, variance = self._mean_and_variance(node.name, node.op, channels, adapted)
                std = np.maximum(np.sqrt(variance), _SMALLEST_STD)
                gain, shift = gain / std, (shift - mean) / std
        return Pixels(gain, shift)

    def _mean_and_variance(
        self, name: str, op: Standardize, channels: int, adapted: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        if op.mean is None or op.variance is None:
            both = self(name) if adapted else self.read(name)
            return both[0].reshape(-1).astype(float), both[1].reshape(-1).astype(float)
        # Constants of the spec: as keras_effnet.network has them for images of any channels.
        mean, variance = (
            [fmean(numbers)] * channels if len(numbers) != channels else numbers for numbers in (op.mean, op.variance)
        )
        return np.array(mean, float), np.array(variance, float)

    def _kernel(self, conv: TracedNode) -> np.ndarray:
        """The adapted kernel, in float64."""
        old, new = self._gains(adapted=False), self._gains(adapted=True)
        kernel = self.read(conv.name)[0].astype(float) * old.gain[:, None]
        if self.stem == "repeat":
            turns = np.arange(self.channels) % self.old_channels
            kernel = kernel[:, :, turns] * (self.old_channels / self.channels)
        else:
            kernel = np.repeat(kernel.sum(axis=2, keepdims=True), self.channels, axis=2)
            kernel /= self.channels if self.stem == "sum" else self.old_channels
        return kernel / new.gain[:, None]

    def _constant_of(self, conv: TracedNode) -> np.ndarray:
        """What the new kernel lacks for each channel that it makes, where the window lies inside the image."""
        factor = self.channels / self.old_channels if self.stem == "mean" else 1.0
        old, new = self._gains(adapted=False), self._gains(adapted=True)
        before = factor * np.einsum("hwio,i->o", self.read(conv.name)[0].astype(float), old.shift)
        after = np.einsum("hwio,i->o", self._kernel(conv), new.shift)
        # Rounding of equal statistics is no constant.
        return np.where(np.abs(before - after) > _ROUNDING * np.abs(before).max(initial=1.0), before - after, 0)


def reads_image(trace: Trace) -> list[TracedNode]:
    """The convolutions that read the image, behind what the model does to pixels.

    Raises:
        InheritanceError: a layer of another kind reads it.
    """
    found = [node for node in per_image_channel(trace) if node.mixes]
    for node in per_image_channel(trace):
        if not isinstance(node.op, Conv) or node.op.groups != 1:
            raise InheritanceError(
                "images of other channels need a stem that begins with plain convolutions; use stem='fresh'.",
                received=f"a {type(node.op).__name__}, {node.name!r}",
            )
    return found


def per_image_channel(trace: Trace) -> list[TracedNode]:
    """Layers with weights for each channel of the image, but for what the model does to pixels."""
    axes = {run.axis for run in trace.input.resolved}
    return [
        node
        for section in trace.blocks[1:]
        for node in section.nodes
        if node.has_weights and any(run.axis in axes for value in node.inputs for run in value.resolved)
    ]
