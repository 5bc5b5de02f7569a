"""Coefficients from tables, for released sizes that formulas only come close to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from keras_effnet.checks import check_number
from keras_effnet.errors import ScalingError
from keras_effnet.scaling.coefficients import Coefficients

# (depth, width, resolution, dropout): google/automl, efficientdet/backbone/efficientnet_builder.py
_RELEASED = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.1, 1.0, 240, 0.2),
    "b2": (1.2, 1.1, 260, 0.3),
    "b3": (1.4, 1.2, 300, 0.3),
    "b4": (1.8, 1.4, 380, 0.4),
    "b5": (2.2, 1.6, 456, 0.4),
    "b6": (2.6, 1.8, 528, 0.5),
    "b7": (3.1, 2.0, 600, 0.5),
    "b8": (3.6, 2.2, 672, 0.5),
    "l2": (5.3, 4.3, 800, 0.5),
}
_BASE_RESOLUTION = 224

EFFICIENTNET_TABLE: Mapping[str, Coefficients] = MappingProxyType(
    {
        name: Coefficients(depth, width, resolution / _BASE_RESOLUTION, dropout)
        for name, (depth, width, resolution, dropout) in _RELEASED.items()
    }
)
"""The released coefficients of EfficientNet-B0 to B8 and L2, relative to B0 at 224 px."""


@dataclass(frozen=True)
class Tabulated:
    """Coefficients from a table, for released sizes that formulas only come close to.

    The number of a released EfficientNet is not its phi: the best fits are about 0.5 for B1, 1 for B2, 2 for B3. There
    is nothing between two rows; this rule does not interpolate.

    Args:
        table: coefficients by name; by default those of EfficientNet-B0 to B8 and L2. A row named "b4" is also found by
            the number 4.

    Example:
        >>> Tabulated()(4) == Tabulated()("b4") == Coefficients(1.8, 1.4, 380 / 224, 0.4)
        True
    """

    table: Mapping[str, Coefficients] = field(default_factory=lambda: EFFICIENTNET_TABLE)

    def __call__(self, phi: float | str) -> Coefficients:
        """Looks up a row.

        Args:
            phi: name of the row, such as "b4" or "B4", or its number, 4.

        Returns:
            The row's coefficients.

        Raises:
            ScalingError: there is no such row.
        """
        if not isinstance(phi, str):
            phi = check_number(ScalingError, "phi", phi, float("-inf"))
        name = phi.lower() if isinstance(phi, str) else f"b{phi:g}"
        if name not in self.table:
            raise ScalingError(
                f"the table has no such row: it has {', '.join(self.table)}. For sizes between rows use Compound.",
                received=f"phi={phi!r}",
            )
        return self.table[name]


TABULATED = Tabulated()
