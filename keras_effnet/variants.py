"""Which phi is B3? The published sizes of a network, each beside the nearest phi of its base."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

from keras_effnet.backbones.catalogue import FAMILIES, family_of
from keras_effnet.cost import estimate_cost
from keras_effnet.errors import ScalingError
from keras_effnet.registry import backbones
from keras_effnet.scaling import Coefficients, Rounding, ScalingRule, scale_spec
from keras_effnet.spec import BackboneSpec

# The largest published network, EfficientNet-L2, costs 1,230 times B0: near phi = 11.
_FURTHEST_PHI = 16.0
# Decimals of phi that a table shows, and bisections of an interval of 32 phi that find them.
DIGITS = 3
_HALVINGS = 16


@dataclass(frozen=True)
class VariantRow:
    """A published network, and its base scaled to nearly the same cost.

    Args:
        name: registered name of the published network.
        realised: number of blocks, mean width and resolution of the network, as ratios to the base's.
        macs: multiply-adds of the network.
        phi: phi at which the multiply-adds of the scaled base come nearest to `macs`.
        phi_macs: multiply-adds of the base scaled by `phi`.
        difference: largest factor by which depth, width or resolution of the network and of the scaled base differ, at
            least 1; 1 if the published network lies on the rule's line.
    """

    name: str
    realised: Coefficients
    macs: int
    phi: float
    phi_macs: int
    difference: float


def variant_rows(
    spec: BackboneSpec, rule: ScalingRule | str | None = None, rounding: Rounding | None = None
) -> tuple[str | None, tuple[VariantRow, ...]]:
    """The published sizes of a backbone's family, each with the nearest phi of the base.

    No phi *is* B3: released sizes are tables. Nearest means equal counted multiply-adds, the one number that everybody
    can check.

    Args:
        spec: a registered backbone, or one that was made from it and kept its name.
        rule: scaling rule, as in `scale_spec`; None for the paper's.
        rounding: rounding, as in `scale_spec`; None for the paper's.

    Returns:
        The name of the family's base, and a row for each published size in order of their multiply-adds; for a changed
        backbone only its own row. (None, ()) if it belongs to no family, or if the rule does not take every phi.

    Raises:
        RegistryError: there is no such rule.

    Example:
        >>> base, rows = variant_rows(backbones.get("resnet50"))
        >>> base, [(row.name, round(row.phi, 1)) for row in rows]
        ('resnet50', [('resnet101', 0.8), ('resnet152', 1.6)])
    """
    base_name = family_of(spec.name)
    if base_name is None:
        return None, ()
    base = backbones.get(base_name)
    is_published = backbones.get(spec.name) == spec
    members = [backbones.get(name) for name in FAMILIES[base_name]] if is_published else [spec]
    try:
        if rule is None and rounding is None:
            rows = [_usual_row(base, member) for member in members]
        else:
            rows = [_row(base, member, rule, rounding) for member in members]
    except ScalingError:
        # A table, or a rule for one direction: it has no phi for every size.
        return None, ()
    return base_name, tuple(sorted(rows, key=lambda row: row.macs))


@lru_cache(maxsize=256)  # a row takes up to 0.1 s, and every network of a family shows those of all
def _usual_row(base: BackboneSpec, variant: BackboneSpec) -> VariantRow:
    return _row(base, variant, None, None)


def _row(
    base: BackboneSpec, variant: BackboneSpec, rule: ScalingRule | str | None, rounding: Rounding | None
) -> VariantRow:
    macs = estimate_cost(variant).macs

    def difference(phi: float) -> float:
        return math.log(estimate_cost(scale_spec(base, phi, rule=rule, rounding=rounding)).macs / macs)

    low, high = _lowest_phi(base, rule, rounding), _FURTHEST_PHI
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if difference(middle) <= 0 else (low, middle)
    # Rounding moves the cost in steps: the nearest may lie on either side of one.
    unit = 10**DIGITS
    below, above = math.floor(low * unit) / unit, math.ceil(high * unit) / unit
    phi = min((below, above), key=lambda phi: abs(difference(phi)))
    scaled = scale_spec(base, phi, rule=rule, rounding=rounding)
    ours, theirs = realised_coefficients(base, scaled), realised_coefficients(base, variant)
    factors = [getattr(ours, name) / getattr(theirs, name) for name in ("depth", "width", "resolution")]
    return VariantRow(
        name=variant.name,
        realised=theirs,
        macs=macs,
        phi=phi,
        phi_macs=estimate_cost(scaled).macs,
        difference=max(max(factor, 1 / factor) for factor in factors),
    )


def _lowest_phi(base: BackboneSpec, rule: ScalingRule | str | None, rounding: Rounding | None) -> float:
    """The lowest whole phi at which the resolution is still at least the total stride."""
    phi = 0.0
    while phi > -_FURTHEST_PHI:
        try:
            scale_spec(base, phi - 1, rule=rule, rounding=rounding)
        except ValueError:
            return phi
        phi -= 1
    return phi


def realised_coefficients(base: BackboneSpec, scaled: BackboneSpec) -> Coefficients:
    """Depth, width and resolution of a scaled network as ratios to its base, after rounding.

    Args:
        base: the network that was scaled.
        scaled: the result of the scaling.

    Returns:
        The ratios of the number of blocks, of the mean width over stem, stages and head, and of the resolution.

    Example:
        >>> base = backbones.get("resnet50")
        >>> realised_coefficients(base, scale_spec(base, coefficients=Coefficients(depth=2)))
        Coefficients(depth=2.0, width=1.0, resolution=1.0, dropout=None, stages=None)
    """
    return Coefficients(
        depth=scaled.depth / base.depth,
        width=_mean_width(scaled) / _mean_width(base),
        resolution=scaled.resolution / base.resolution,
    )


def _mean_width(spec: BackboneSpec) -> float:
    return fmean(stage.width for stage in spec.parts)
