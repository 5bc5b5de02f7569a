"""TinyNet's way of making EfficientNet-B0 smaller (Han et al. 2020, arXiv:2010.14819, "Model Rubik's Cube")."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from keras_effnet.checks import check_number
from keras_effnet.errors import ScalingError
from keras_effnet.scaling.coefficients import Coefficients

# (depth, width, resolution, millions of multiply-adds) of TinyNet-A to E: huggingface/pytorch-image-models,
# timm/models/efficientnet.py (depth, width, resolution); arXiv:2010.14819 (multiply-adds).
PUBLISHED = {
    "a": (1.2, 1.0, 192, 339),
    "b": (1.1, 0.75, 188, 202),
    "c": (0.85, 0.54, 184, 100),
    "d": (0.695, 0.54, 152, 52),
    "e": (0.6, 0.51, 106, 24),
}
_BASE_RESOLUTION = 224
# EfficientNet-B0's, counted.
_BASE_MACS = 386


@dataclass(frozen=True)
class TinyNet:
    """A rule for networks smaller than the base, whose resolution and depth matter more than their width.

    2^phi is the share of EfficientNet-B0's multiply-adds; phi is at most 0. The paper fits depth and resolution to
    networks found by search and publishes five. This rule interpolates between those five, linearly in logarithms, and
    extrapolates below TinyNet-E (phi = -4).

    The released networks round depths to the nearest (`Rounding(depth="round")`) and keep the widths of stem and head.
    Between the base and TinyNet-A depth grows while the resolution falls, so that rounding can make a network a little
    larger than one at a higher phi.

    Example:
        >>> made = TinyNet()(-2)
        >>> round(made.depth, 2), round(made.width, 2), round(made.resolution, 2)
        (0.84, 0.54, 0.81)
    """

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`.

        Raises:
            ScalingError: phi is not a number of at most 0, or so low that a coefficient reaches 0.
        """
        phi = check_number(ScalingError, "phi", phi, float("-inf"))
        if phi > 0:
            raise ScalingError(
                "TinyNet's rule only shrinks networks: `phi` must be at most 0; grow by Compound.", received=f"{phi=}"
            )
        points = _points()
        # The two neighbours; below the last one, the last two.
        place = min(bisect_left([-point[0] for point in points], -phi), len(points) - 1)
        (start, *low), (end, *high) = points[max(place - 1, 0)], points[max(place, 1)]
        share = (phi - start) / (end - start)
        depth, width, resolution = (a + share * (b - a) for a, b in zip(low, high, strict=True))
        try:
            return Coefficients(math.exp(depth), math.exp(width), math.exp(resolution))
        except ScalingError as error:
            raise ScalingError(
                "`phi` is so low that a coefficient reaches 0; TinyNet-E is near -4.", received=f"{phi=}"
            ) from error


def _points() -> list[tuple[float, float, float, float]]:
    """(phi, log depth, log width, log resolution) of the base and the published networks, phi falling."""
    return [
        (0.0, 0.0, 0.0, 0.0),
        *(
            (math.log2(macs / _BASE_MACS), math.log(depth), math.log(width), math.log(resolution / _BASE_RESOLUTION))
            for depth, width, resolution, macs in PUBLISHED.values()
        ),
    ]


TINYNET = TinyNet()
