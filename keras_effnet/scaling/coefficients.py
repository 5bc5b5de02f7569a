"""Depth, width and resolution multipliers: all that a scaling rule has to say."""

from __future__ import annotations

from dataclasses import dataclass

from keras_effnet.checks import check_number, check_rate
from keras_effnet.errors import ScalingError

# Far beyond any network, and far enough below the largest float that no count of one overflows.
LARGEST = 1e30


@dataclass(frozen=True)
class Coefficients:
    """What each dimension of a network is multiplied by, before rounding (arXiv:1905.11946, equation 2).

    Args:
        depth: multiplies the number of blocks of each stage; above 0, at most 1e30.
        width: multiplies channels; above 0, at most 1e30.
        resolution: multiplies the side of the picture; above 0, at most 1e30.
        dropout: replaces the classifier's dropout rate, in [0, 1); None keeps it.

    Raises:
        ScalingError: a value outside its range.

    Example:
        >>> Coefficients(depth=1.4, width=1.2, resolution=1.3).macs
        3.407040...
    """

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0
    dropout: float | None = None

    def __post_init__(self) -> None:
        for name in ("depth", "width", "resolution"):
            check_number(ScalingError, name, getattr(self, name), 0, LARGEST, open_low=True)
        if self.dropout is not None:
            check_rate(ScalingError, "dropout", self.dropout)

    @property
    def macs(self) -> float:
        """The factor on multiply-adds that these promise before rounding: depth * width^2 * resolution^2."""
        return self.depth * self.width**2 * self.resolution**2
