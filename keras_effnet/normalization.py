"""Normalizations, as operations of the vocabulary (`keras_effnet.ops`). Blocks say the first two."""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.checks import check_bool, check_number, check_rate, store_plain
from keras_effnet.errors import SpecError


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167): 4 parameters per channel, 2 of them trained.

    Args:
        epsilon: number added to the variance, at least 0. Keras' default.
        momentum: momentum of the moving statistics, in [0, 1). Keras' default.
        center: whether a trained number is added to each channel.
        scale: whether each channel is multiplied by a trained number.

    Raises:
        SpecError: a value is outside its range, or `center` or `scale` is neither True nor False.
    """

    epsilon: float = 1e-3
    momentum: float = 0.99
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(SpecError, "epsilon", self.epsilon, 0)
        check_rate(SpecError, "momentum", self.momentum)
        check_bool(SpecError, "center", self.center)
        check_bool(SpecError, "scale", self.scale)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Layer normalization over the channels of each cell (Ba et al. 2016, arXiv:1607.06450): 2 parameters per channel.

    Args:
        epsilon: number added to the variance, at least 0. The default is ConvNeXt's (arXiv:2201.03545, released code).
        center: whether a trained number is added to each channel.
        scale: whether each channel is multiplied by a trained number.

    Raises:
        SpecError: a value is outside its range, or `center` or `scale` is neither True nor False.
    """

    epsilon: float = 1e-6
    center: bool = True
    scale: bool = True

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(SpecError, "epsilon", self.epsilon, 0)
        check_bool(SpecError, "center", self.center)
        check_bool(SpecError, "scale", self.scale)


@dataclass(frozen=True, slots=True)
class GroupNorm:
    """Group normalization (Wu and He 2018, arXiv:1803.08494): over the image and the channels of each group.

    Args:
        groups: number of equal groups of channels, at least 1.
        epsilon: number added to the variance, at least 0. Keras' default.
        center: whether a trained number is added to each channel.
        scale: whether each channel is multiplied by a trained number.
        instance: whether each channel is a group of its own, however many there come to be (instance normalization,
            Ulyanov et al. 2016, arXiv:1607.08022); `groups` is then the number of channels.
    """

    groups: int
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    instance: bool = False


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """Division by the root of the mean square over the channels of each cell (Zhang and Sennrich 2019,
    arXiv:1910.07467), with one trained factor for each channel.

    Args:
        epsilon: number added to the mean square, at least 0. Keras' default.
    """

    epsilon: float = 1e-6


SHORTEST = 1e-12
"""The least length that UnitNorm divides by: that of keras.layers.UnitNormalization."""


@dataclass(frozen=True, slots=True)
class UnitNorm:
    """Division by the Euclidean length of the channels of each cell. No weights."""


Norm = BatchNorm | LayerNorm
KERAS_NORM = BatchNorm()


def check_norm(norm: object) -> None:
    """Raises SpecError unless `norm` is a BatchNorm or a LayerNorm."""
    if not isinstance(norm, BatchNorm | LayerNorm):
        raise SpecError("`norm` must be a BatchNorm or a LayerNorm.", received=f"norm={norm!r}")
