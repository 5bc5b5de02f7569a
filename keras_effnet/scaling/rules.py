"""Scaling rules: pure functions from phi to coefficients.

Every rule here multiplies the base's multiply-adds by `step` to the power of phi, as depth * width^2 * resolution^2
counts them, so that rules can be compared at equal phi. Only the paper's own constants give 1.92 instead of 2.

| rule | grows | law | source |
|---|---|---|---|
| `Compound` | all three | alpha^phi, beta^phi, gamma^phi | arXiv:1905.11946, equation 3 |
| `WidthOnly`, `DepthOnly`, `ResolutionOnly` | one | 2^phi in multiply-adds | arXiv:1905.11946, Figure 3 |
| `Fast` | mostly width | 2^phi; activations as the root of it | arXiv:2103.06877, Table 4 |
| `ResNetRS` | mostly depth, or width | 2^phi; resolution slowly | arXiv:2103.07579, section 6 |
| `TinyNet` | shrinks B0 | through the published TinyNets | arXiv:2010.14819 (`tinynet_rule.py`) |
| `Tabulated` | as its row says | none | (`tabulated.py`) |

Your own rule can be any callable that takes phi and returns `Coefficients`. phi = 0 should be the identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from keras_effnet.checks import check_choice, check_number, store_plain
from keras_effnet.errors import ScalingError
from keras_effnet.scaling.coefficients import Coefficients

ScalingRule = Callable[[float], Coefficients]

# "The total FLOPS will approximately increase by 2^phi": arXiv:1905.11946, section 3.3.
STEP = 2.0


@dataclass(frozen=True)
class Compound:
    """The paper's compound scaling: depth alpha^phi, width beta^phi, resolution gamma^phi.

    With the default constants multiply-adds grow by 1.2 * 1.1^2 * 1.15^2 = 1.92 for each step of phi, before rounding:
    close to 2, as the paper puts it, but not 2.

    Args:
        alpha: factor on depth for one step of phi, above 0; 1.2 in arXiv:1905.11946, section 4.
        beta: factor on width for one step of phi, above 0; 1.1 there.
        gamma: factor on resolution for one step of phi, above 0; 1.15 there.

    Raises:
        ScalingError: a constant outside its range.

    Example:
        >>> Compound()(0) == Coefficients(depth=1, width=1, resolution=1)
        True
    """

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    def __post_init__(self) -> None:
        store_plain(self)
        for name in ("alpha", "beta", "gamma"):
            check_number(ScalingError, name, getattr(self, name), 0, open_low=True)

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`, any finite number: below 0 shrinks, fractions are fine.

        Raises:
            ScalingError: phi is not a finite number, or so far from 0 that a coefficient leaves 0 to 1e30.
        """
        return _powers(phi, self.alpha, self.beta, self.gamma)


@dataclass(frozen=True)
class WidthOnly:
    """Width alone: sqrt(step)^phi, so that multiply-adds grow by `step` (arXiv:1905.11946, Figure 3, left).

    Args:
        step: factor on multiply-adds for one step of phi, above 0.

    Raises:
        ScalingError: `step` outside its range.

    Example:
        >>> WidthOnly()(2).width
        2.0000000000000004
    """

    step: float = STEP

    def __post_init__(self) -> None:
        store_plain(self)
        _check_step(self.step)

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`; raises as in `Compound`."""
        return _powers(phi, 1, math.sqrt(self.step), 1)


@dataclass(frozen=True)
class DepthOnly:
    """Depth alone: step^phi (arXiv:1905.11946, Figure 3, middle).

    Args:
        step: factor on multiply-adds for one step of phi, above 0.

    Raises:
        ScalingError: `step` outside its range.

    Example:
        >>> DepthOnly()(2).depth
        4.0
    """

    step: float = STEP

    def __post_init__(self) -> None:
        store_plain(self)
        _check_step(self.step)

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`; raises as in `Compound`."""
        return _powers(phi, self.step, 1, 1)


@dataclass(frozen=True)
class ResolutionOnly:
    """Resolution alone: sqrt(step)^phi (arXiv:1905.11946, Figure 3, right).

    Args:
        step: factor on multiply-adds for one step of phi, above 0.

    Raises:
        ScalingError: `step` outside its range.

    Example:
        >>> ResolutionOnly(step=4)(1).resolution
        2.0
    """

    step: float = STEP

    def __post_init__(self) -> None:
        store_plain(self)
        _check_step(self.step)

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`; raises as in `Compound`."""
        return _powers(phi, 1, 1, math.sqrt(self.step))


@dataclass(frozen=True)
class Fast:
    """Fast compound scaling, dWr (Dollar, Singh and Girshick 2021, arXiv:2103.06877, Table 4).

    For a factor s on multiply-adds, width grows by s^(alpha/2), depth by s^((1-alpha)/2), resolution by
    s^((1-alpha)/4). Activations, and with them the time on a device, then grow about as sqrt(s) if alpha is near 1,
    instead of as s.

    Args:
        alpha: share of the growth that goes to width, in [0, 1]; 1 is `WidthOnly`; 0.8 in the paper.
        step: factor on multiply-adds for one step of phi, above 0.

    Raises:
        ScalingError: a value outside its range.

    Example:
        >>> made = Fast()(1)
        >>> round(made.depth, 3), round(made.width, 3), round(made.resolution, 3)
        (1.072, 1.32, 1.035)
    """

    alpha: float = 0.8
    step: float = STEP

    def __post_init__(self) -> None:
        store_plain(self)
        check_number(ScalingError, "alpha", self.alpha, 0, 1)
        _check_step(self.step)

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`; raises as in `Compound`."""
        rest = 1 - self.alpha
        return _powers(phi, self.step ** (rest / 2), self.step ** (self.alpha / 2), self.step ** (rest / 4))


Regime = Literal["depth", "width"]


@dataclass(frozen=True)
class ResNetRS:
    """ResNet-RS's advice (Bello et al. 2021, arXiv:2103.07579, section 6), as a power law.

    "Scale model depth in regimes where overfitting can occur (width scaling is preferable otherwise); increase image
    resolution more slowly than previously recommended" (abstract). The default exponent is a least-squares fit, in
    logarithms, through the published family (ResNet-RS-50 at 160 px to 420 at 320 px): for a factor s on multiply-adds,
    resolution grows by s^0.187 and depth by the rest, s^0.626.

    Args:
        regime: "depth" for long training (hundreds of epochs), "width" for short training.
        exponent: exponent of s in the factor on resolution, in [0, 0.5]; EfficientNet's is 0.214.
        step: factor on multiply-adds for one step of phi, above 0.

    Raises:
        ScalingError: a value outside its range.

    Example:
        >>> made = ResNetRS()(2)
        >>> round(made.depth, 2), made.width, round(made.resolution, 2)
        (2.38, 1.0, 1.3)
    """

    regime: Regime = "depth"
    exponent: float = 0.187
    step: float = STEP

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice(ScalingError, "regime", self.regime, get_args(Regime))
        check_number(ScalingError, "exponent", self.exponent, 0, 0.5)
        _check_step(self.step)

    def __call__(self, phi: float) -> Coefficients:
        """The coefficients at `phi`; raises as in `Compound`."""
        rest = self.step ** (1 - 2 * self.exponent)
        depth, width = (rest, 1) if self.regime == "depth" else (1, math.sqrt(rest))
        return _powers(phi, depth, width, self.step**self.exponent)


def _check_step(step: object) -> None:
    check_number(ScalingError, "step", step, 0, open_low=True)


def _powers(phi: float, depth: float, width: float, resolution: float) -> Coefficients:
    phi = check_number(ScalingError, "phi", phi, float("-inf"))
    try:
        return Coefficients(float(depth) ** phi, float(width) ** phi, float(resolution) ** phi)
    except (OverflowError, ScalingError) as error:
        raise ScalingError(
            "`phi` is so far from 0 that a coefficient leaves all bounds (0 to 1e30); B7 is near phi = 7.",
            received=f"phi={phi!r}",
        ) from error


COMPOUND = Compound()
WIDTH_ONLY = WidthOnly()
DEPTH_ONLY = DepthOnly()
RESOLUTION_ONLY = ResolutionOnly()
FAST = Fast()
RESNET_RS = ResNetRS()
