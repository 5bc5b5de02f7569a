"""A network that is about to be written. Importing this loads neither keras nor an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_effnet.export.export_metadata import ExportMetadata
from keras_effnet.network import Network

if TYPE_CHECKING:
    import numpy as np

    from keras_effnet.export.layer_weights import Weights


@dataclass(frozen=True, eq=False)
class Draft:
    """A network that is about to be written.

    Args:
        network: the recorded network, folded.
        weights: arrays of each layer.
        shapes: shape of each input with the batch, as Keras gives it.
        channels_first: whether its images have their channels first.
        batch: number of images in a call; None for any.
        metadata: what the file says about itself.
        calibration: images whose ranges a quantized network is made for, an array for each input, float32; None without
            quantization.
        float_layers: number of layers of an int8 network that stay in float32, with those that read them: the ones
            that lose the most.
    """

    network: Network
    weights: Weights
    shapes: tuple[tuple[int | None, ...], ...]
    channels_first: bool
    batch: int | None
    metadata: ExportMetadata
    calibration: list[np.ndarray] | None = None
    float_layers: int = 0
