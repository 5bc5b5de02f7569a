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
        resolution: multiplies the side of the image; above 0, at most 1e30.
        dropout: replaces the classifier's dropout rate, in [0, 1); None keeps it.
        stages: (depth, width) for each stage, multiplied with `depth` and `width`; None: 1 for all. Networks that grow
            more in their later stages (EfficientNetV2, arXiv:2104.00298, section 3.3) are written this way.

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
    stages: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        for name in ("depth", "width", "resolution"):
            check_number(ScalingError, name, getattr(self, name), 0, LARGEST, open_low=True)
        if self.dropout is not None:
            check_rate(ScalingError, "dropout", self.dropout)
        if self.stages is not None:
            self._check_stages()

    def _check_stages(self) -> None:
        pairs = self.stages
        if not isinstance(pairs, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            raise ScalingError("`stages` must be a tuple of (depth, width) pairs.", received=f"stages={pairs!r}")
        for depth, width in pairs:
            check_number(ScalingError, "depth of a stage", depth, 0, LARGEST, open_low=True)
            check_number(ScalingError, "width of a stage", width, 0, LARGEST, open_low=True)

    @property
    def macs(self) -> float:
        """The factor on multiply-adds that these promise before rounding: depth * width^2 * resolution^2.

        Without `stages`, whose share depends on the network.
        """
        return self.depth * self.width**2 * self.resolution**2
