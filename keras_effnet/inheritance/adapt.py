"""A stem that takes pictures of other channels than it was trained on.

| `stem` | each new channel gets | what stays |
|---|---|---|
| "sum" | the sum of all old kernels, divided by the new channels | pictures whose channels are equal (gray ones) |
| "mean" | their mean | the size of the kernels |
| "repeat" | the old kernels in turn, times old over new channels | pictures that repeat their channels |
| "fresh" | random numbers | nothing |

Kernels are compared as they meet pixels: what the model itself does to pixels, channel by channel, is part of them. The
constant part of it goes into the normalisation (or the bias) behind the stem's convolution. Where the means of channels
differ (EfficientNet's) this cannot hold for windows that reach over the border: the zeros around a normalised picture
stand for another color than gray, and one channel cannot tell that from gray.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from keras_effnet.errors import InheritanceError
from keras_effnet.inheritance.pairing import Read
from keras_effnet.trace import Node, Trace

Stem = Literal["sum", "mean", "repeat", "fresh"]

# keras.config.epsilon(), which Keras' Normalization puts under the standard deviation.
_SMALLEST_STD = 1e-7


@dataclass(frozen=True)
class Pixels:
    """What becomes of a pixel p before the stem: gain * p + shift, for each channel."""

    gain: np.ndarray
    shift: np.ndarray


class AdaptedStem:
    """The old network's weights, with a stem for pictures of other channels.

    Args:
        trace: the old network, with its own channels.
        read: gives its weights.
        channels: of the new pictures.
        stem: how the kernels follow: "sum", "mean" or "repeat".

    Raises:
        InheritanceError: the first layer that reads the picture is no plain convolution.
    """

    def __init__(self, trace: Trace, read: Read, channels: int, stem: Stem) -> None:
        self.read = read
        self.stem = stem
        self.channels = channels
        self.old_channels = trace.input.channels
        self.pixels = trace.sections[0].nodes
        nodes = trace.nodes
        self.conv = next(node for node in nodes if node.mixes or node.verb == "depthwise")
        if self.conv.verb != "conv" or self.conv.options["groups"] != 1:
            raise InheritanceError(
                "pictures of other channels need a stem that begins with a plain convolution; use stem='fresh'. "
                f"Received: {self.conv.verb} {self.conv.name!r}"
            )
        behind = next((node for node in nodes if self.conv.output in node.inputs), None)
        self.norm = behind if behind is not None and behind.verb == "norm" and behind.options["batch"] else None
        self.names = {self.conv.name, *(node.name for node in self.pixels if node.has_weights)}
        self._constant = self._made_constant()
        if self._constant.any() and not self.conv.options["bias"] and self.norm is not None:
            self.names.add(self.norm.name)

    @property
    def keeps_border(self) -> bool:
        """Whether the zeros around a picture stand for what they stood for before."""
        return self.conv.options["padding"] == "valid" or not self._constant.any()

    def __call__(self, name: str) -> list[np.ndarray]:
        """The weights of a layer, as a network for the new pictures would have them."""
        arrays = self.read(name)
        if name == self.conv.name:
            bias = [arrays[1] + self._constant] if self.conv.options["bias"] else []
            return [self._kernel().astype(arrays[0].dtype), *(array.astype(arrays[0].dtype) for array in bias)]
        if name in self.names and self.norm is not None and name == self.norm.name:
            gamma, beta, mean, variance = arrays
            return [gamma, beta, (mean - self._constant).astype(mean.dtype), variance]
        if name in self.names:
            mean, variance, *count = arrays
            return [self._statistics(mean), self._statistics(variance), *count]
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
            if node.verb == "rescale":
                gain, shift = gain * node.options["scale"], shift * node.options["scale"] + node.options["offset"]
            else:
                mean, variance = self._mean_and_variance(node, channels, adapted)
                std = np.maximum(np.sqrt(variance), _SMALLEST_STD)
                gain, shift = gain / std, (shift - mean) / std
        return Pixels(gain, shift)

    def _mean_and_variance(self, node: Node, channels: int, adapted: bool) -> tuple[np.ndarray, np.ndarray]:
        if node.has_weights:
            both = self(node.name) if adapted else self.read(node.name)
            return both[0].reshape(-1).astype(float), both[1].reshape(-1).astype(float)
        both = [node.options[name] for name in ("mean", "variance")]
        # Constants of the spec: as keras_effnet.network has them for pictures of any channels.
        mean, variance = ([fmean(numbers)] * channels if len(numbers) != channels else numbers for numbers in both)
        return np.array(mean, float), np.array(variance, float)

    def _kernel(self) -> np.ndarray:
        """The adapted kernel, in float64."""
        old, new = self._gains(adapted=False), self._gains(adapted=True)
        kernel = self.read(self.conv.name)[0].astype(float) * old.gain[:, None]
        if self.stem == "repeat":
            turns = np.arange(self.channels) % self.old_channels
            kernel = kernel[:, :, turns] * (self.old_channels / self.channels)
        else:
            kernel = np.repeat(kernel.sum(axis=2, keepdims=True), self.channels, axis=2)
            kernel /= self.channels if self.stem == "sum" else self.old_channels
        return kernel / new.gain[:, None]

    def _made_constant(self) -> np.ndarray:
        """What the new kernel lacks for each channel that it makes, where the window lies inside the picture."""
        factor = self.channels / self.old_channels if self.stem == "mean" else 1.0
        old, new = self._gains(adapted=False), self._gains(adapted=True)
        before = factor * np.einsum("hwio,i->o", self.read(self.conv.name)[0].astype(float), old.shift)
        after = np.einsum("hwio,i->o", self._kernel(), new.shift)
        lacking = before - after
        # Rounding of equal statistics is no constant.
        return np.where(np.abs(lacking) > 1e-6 * np.abs(before).max(initial=1.0), lacking, 0)
