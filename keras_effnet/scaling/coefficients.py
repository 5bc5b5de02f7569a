"""Depth, width and resolution multipliers: all that a scaling rule has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_effnet.checks import check_number, check_rate, store_plain
from keras_effnet.errors import ScalingError

# Far beyond any network, and far enough below the largest float that no count of one overflows.
LARGEST = 1e30


@dataclass(frozen=True)
class Coefficients:
    """What each dimension of a network is multiplied by, before rounding (arXiv:1905.11946, equation 2).

    Args:
        depth: factor on the number of blocks in each stage; above 0, at most 1e30.
        width: factor on the channels of stem, stages and head; above 0, at most 1e30.
        resolution: factor on the side of the image; above 0, at most 1e30.
        dropout: dropout rate of the classifier, in [0, 1); None keeps the base's.
        stages: further factors (depth, width) for each stage, each above 0 and at most 1e30; None for none. Networks
            that grow more in their later stages (EfficientNetV2, arXiv:2104.00298, section 3.3) are written this way.

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
        store_plain(self)
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
        """Factor on multiply-adds that these coefficients promise if all stages of the base cost the same."""
        return self.macs_by_shares([1 / len(self.stages)] * len(self.stages) if self.stages else ())

    def macs_by_shares(self, shares: Sequence[float]) -> float:
        """Factor on multiply-adds that these coefficients promise, before rounding.

        It is depth * width^2 * resolution^2, times the mean of depth * width^2 over `stages`, each weighted by its
        share of the base's multiply-adds; the rest of the network counts as 1.

        Args:
            shares: each stage's share of the base's multiply-adds, in [0, 1], with a sum of at most 1; ignored without
                `stages`.

        Example:
            >>> Coefficients(stages=((1, 1), (3, 1))).macs_by_shares((0.25, 0.5))
            2.0
        """
        factor = self.depth * self.width**2 * self.resolution**2
        if self.stages is None:
            return factor
        gains = (share * (depth * width**2 - 1) for share, (depth, width) in zip(shares, self.stages, strict=True))
        return factor * (1 + sum(gains))
