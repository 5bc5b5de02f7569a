"""From a budget to a recorded network: the largest size of it at or under every limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from keras_effnet.counting import Shape
from keras_effnet.errors import BudgetError, ScalingError, SpecError
from keras_effnet.network import Network
from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import ScalingRule
from keras_effnet.scaling.scale import resolve_coefficients
from keras_effnet.scaling.scale_network import scale_network
from keras_effnet.scaling.scaled_network import ScaledNetwork

# |phi| beyond which networks hardly shrink any more, or no machine holds them.
_FURTHEST_PHI = 32.0
_PHI_STEP = 0.01
_FACTOR_STEP = 0.005

# From a scaled network to its measures, by name.
NetworkMeter = Callable[[ScaledNetwork], Mapping[str, float]]


def fit_network(
    network: Network,
    images: Sequence[Shape],
    limits: Mapping[str, float],
    meter: NetworkMeter,
    *,
    rule: ScalingRule | str | None = None,
    rounding: Rounding | None = None,
) -> ScaledNetwork:
    """Finds the largest size of a network at or under every limit.

    First phi is bisected, counting the rounded network. What rounding leaves of the limits is used by more width, then
    by a higher resolution, as far as the rule changes them.

    Args:
        network: a recorded network.
        images: (height, width, channels) of each of its inputs, in cells; 0 for a side of any length.
        limits: largest value of each measure, by its name.
        meter: function from a scaled network to its measures.
        rule: scaling rule to follow, as in `scale_spec`.
        rounding: how sizes become whole numbers; by default the paper's, but with depths rounded to the nearest.

    Returns:
        The scaled network.

    Raises:
        BudgetError: no size of the network meets a limit: names it, and the smallest value that was reached.
        ScalingError: the rule takes no such phi, or nothing of the network can be scaled.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> from keras_effnet.network import record_network
        >>> found = fit_network(
        ...     record_network(resnet50_spec),
        ...     [Shape(224, 224, 3)],
        ...     {"macs": 1e9},
        ...     lambda scaled: {"macs": scaled.cost.macs},
        ... )
        >>> 0.9e9 < found.cost.macs <= 1e9
        True
    """
    search = _Search(network, images, limits, meter, rule, rounding or Rounding(depth="round"))
    phi = search.largest_phi()
    best = resolve_coefficients(phi, rule, None)
    for name in ("width", "resolution"):
        if getattr(best, name) != 1:
            best = search.largest_factor(best, name)
    return search.at(best)


class _Search:
    def __init__(
        self,
        network: Network,
        images: Sequence[Shape],
        limits: Mapping[str, float],
        meter: NetworkMeter,
        rule: ScalingRule | str | None,
        rounding: Rounding,
    ) -> None:
        self.network, self.images = network, images
        self.limits, self.meter = limits, meter
        self.rule, self.rounding = rule, rounding
        self._least: Mapping[str, float] | None = None

    def at(self, coefficients: Coefficients) -> ScaledNetwork:
        return scale_network(self.network, coefficients=coefficients, rounding=self.rounding, images=self.images)

    def fits(self, coefficients: Coefficients) -> bool:
        """Whether the network keeps every limit; one that cannot exist keeps none."""
        try:
            found = self.meter(self.at(coefficients))
        except SpecError:
            return False
        except ScalingError:
            # Rounding leaves everything as it is.
            found = self.meter(self.at(Coefficients()))
        over = {name: found[name] / limit for name, limit in self.limits.items()}
        if self._least is None or max(over.values()) < max(self._least[n] / v for n, v in self.limits.items()):
            self._least = found
        return max(over.values()) <= 1

    def fits_phi(self, phi: float) -> bool:
        return self.fits(resolve_coefficients(phi, self.rule, None))

    def largest_phi(self) -> float:
        low, high = (0.0, 1.0) if self.fits_phi(0) else (-1.0, 0.0)
        while self.fits_phi(high):
            if high >= _FURTHEST_PHI:
                raise BudgetError(
                    "the limits are met even by networks that no machine can hold, or the rule changes nothing here; "
                    "give smaller ones, or another rule.",
                    received=f"limits that phi={high:g} meets",
                )
            low, high = high, 2 * high
        while not self.fits_phi(low):
            if low <= -_FURTHEST_PHI:
                raise self._unmet()
            low, high = 2 * low, low
        while high - low > _PHI_STEP:
            middle = (low + high) / 2
            low, high = (middle, high) if self.fits_phi(middle) else (low, middle)
        return low

    def largest_factor(self, found: Coefficients, name: str) -> Coefficients:
        """The coefficients with one of them as large as the limits allow, up to a quarter more."""
        low, high = 1.0, 1.25
        while high - low > _FACTOR_STEP:
            middle = (low + high) / 2
            larger = replace(found, **{name: getattr(found, name) * middle})
            low, high = (middle, high) if self.fits(larger) else (low, middle)
        return replace(found, **{name: getattr(found, name) * low})

    def _unmet(self) -> BudgetError:
        least = self._least or {name: float("inf") for name in self.limits}
        name = max(self.limits, key=lambda each: least[each] / self.limits[each])
        return BudgetError(
            f"no size of {self.network.name!r} meets `{name}`: the smallest that was reached has {least[name]:,.4g}. "
            "Raise the limit, or lower the rounding's `divisor`.",
            received=f"{name}={self.limits[name]:,.4g}",
        )
