"""The two normalizations, as operations of the vocabulary (`keras_effnet.ops`)."""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.checks import check_number, check_rate, store_plain
from keras_effnet.errors import SpecError


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167): 4 parameters per channel, 2 of them trained.

    Args:
        epsilon: number added to the variance, at least 0. Keras' default.
        momentum: momentum of the moving statistics, in [0, 1). Keras' default.

    Raises:
        SpecError: a value is outside its range.
    """

    epsilon: float = 1e-3
    momentum: float = 0.99

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(SpecError, "epsilon", self.epsilon, 0)
        check_rate(SpecError, "momentum", self.momentum)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Layer normalization over the channels of each cell (Ba et al. 2016, arXiv:1607.06450): 2 parameters per channel.

    Args:
        epsilon: number added to the variance, at least 0. The default is ConvNeXt's (arXiv:2201.03545, released code).

    Raises:
        SpecError: a value is outside its range.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(SpecError, "epsilon", self.epsilon, 0)


Norm = BatchNorm | LayerNorm
KERAS_NORM = BatchNorm()


def check_norm(norm: object) -> None:
    """Raises SpecError unless `norm` is a BatchNorm or a LayerNorm."""
    if not isinstance(norm, BatchNorm | LayerNorm):
        raise SpecError("`norm` must be a BatchNorm or a LayerNorm.", received=f"norm={norm!r}")
