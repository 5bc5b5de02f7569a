"""Scaling: (spec, coefficients, rounding) -> spec."""

from __future__ import annotations

from dataclasses import replace

from keras_effnet.checks import plain
from keras_effnet.errors import ScalingError, SpecError
from keras_effnet.registry import resolve_backbone, rules
from keras_effnet.scaling.coefficients import Coefficients
from keras_effnet.scaling.rounding import Rounding
from keras_effnet.scaling.rules import COMPOUND, ScalingRule
from keras_effnet.spec import BackboneSpec, StageSpec


def scale_spec(
    spec: BackboneSpec | str,
    phi: float | str | None = None,
    *,
    rule: ScalingRule | str | None = None,
    coefficients: Coefficients | None = None,
    rounding: Rounding | None = None,
) -> BackboneSpec:
    """Scales a backbone by `phi`, or by coefficients.

    Stem, stages and head become wider, stages deeper, the resolution higher (below phi = 0, the reverse). A coefficient
    of 1 does not round either, so that phi = 0 returns an equal spec. What a stage declares `fixed` stays. Groups of
    channels (ResNeXt, RegNet) widen with their stage and stay whole.

    Args:
        spec: a backbone, or the name of a registered one.
        phi: argument of the rule: any real number for `Compound` (0 is the base), a row for `Tabulated`.
        rule: function from phi to coefficients, or the name of a registered one; the paper's `Compound()` by default.
        coefficients: factors on depth, width and resolution, in place of phi and rule.
        rounding: how sizes become whole numbers; the paper's `Rounding()` by default.

    Returns:
        The scaled spec, with the same name.

    Raises:
        RegistryError: an unknown name.
        ScalingError: both or neither of phi and coefficients were given, or a value is outside its range.
        SpecError: the scaled network cannot exist: its resolution would be below its total stride.

    Example:
        >>> from keras_effnet.applications import resnet50_spec
        >>> scaled = scale_spec(resnet50_spec, phi=2)
        >>> scaled.resolution, [stage.depth for stage in scaled.stages], [stage.width for stage in scaled.stages]
        (296, [5, 6, 9, 5], [80, 152, 312, 616])
    """
    spec = resolve_backbone(spec)
    coefficients = resolve_coefficients(phi, rule, coefficients)
    rounding = Rounding() if rounding is None else rounding
    factors = stage_factors(spec, coefficients)
    stages = tuple(
        deepened_stage(widened_stage(stage, width, rounding), depth, rounding)
        for stage, (depth, width) in zip(spec.stages, factors, strict=True)
    )
    resolution = rounding.round_resolution(spec.resolution, coefficients.resolution)
    if resolution < spec.total_stride:
        raise SpecError(
            f"the scaled resolution of {spec.name!r} would be {resolution} px, below its total stride of "
            f"{spec.total_stride} px. Raise phi, or keep the resolution with Coefficients(depth, width, resolution=1).",
            received=f"phi={phi!r}, {coefficients}",
        )
    classifier = spec.classifier.widened(lambda width: rounding.round_width(width, coefficients.width))
    if coefficients.dropout is not None:
        classifier = replace(classifier, dropout=coefficients.dropout)
    return replace(
        spec,
        stem=widened_stage(spec.stem, coefficients.width, rounding),
        stages=stages,
        head=None if spec.head is None else widened_stage(spec.head, coefficients.width, rounding),
        classifier=classifier,
        resolution=resolution,
    )


def stage_factors(spec: BackboneSpec, coefficients: Coefficients) -> list[tuple[float, float]]:
    """The factors (depth, width) on each stage: the coefficients' own, times those of `Coefficients.stages`.

    Raises:
        ScalingError: `Coefficients.stages` has another number of stages than the spec.
    """
    own = coefficients.stages or ((1.0, 1.0),) * len(spec.stages)
    if len(own) != len(spec.stages):
        raise ScalingError(
            f"`stages` of the coefficients must have one pair for each of the {len(spec.stages)} stages of "
            f"{spec.name!r}.",
            received=f"{len(own)} pairs, {own}",
        )
    return [(coefficients.depth * depth, coefficients.width * width) for depth, width in own]


def widened_stage(stage: StageSpec, coefficient: float, rounding: Rounding) -> StageSpec:
    """A stage whose width was multiplied; itself if the coefficient is 1 or its width is `fixed`."""
    if coefficient == 1 or stage.fixed in ("width", "both"):
        return stage
    block, width = stage.block.widened(rounding.round_width(stage.width, coefficient), coefficient)
    return replace(stage, block=block, width=width)


def deepened_stage(stage: StageSpec, coefficient: float, rounding: Rounding) -> StageSpec:
    """A stage whose depth was multiplied; itself if its depth is `fixed`."""
    if stage.fixed in ("depth", "both"):
        return stage
    return replace(stage, depth=rounding.round_depth(stage.depth, coefficient))


def resolve_coefficients(
    phi: float | str | None, rule: ScalingRule | str | None, coefficients: Coefficients | None
) -> Coefficients:
    """The coefficients that the arguments of `scale_spec` ask for.

    Raises:
        RegistryError: an unknown rule.
        ScalingError: both or neither of phi and coefficients were given, or the rule returns something else.
    """
    if coefficients is not None:
        if phi is not None or rule is not None:
            raise ScalingError(
                "give phi (and a rule), or coefficients, not both.", received=f"{phi=}, {rule=}, {coefficients=}"
            )
        if not isinstance(coefficients, Coefficients):
            raise ScalingError("`coefficients` must be Coefficients.", received=f"{coefficients=}")
        return coefficients
    if phi is None:
        raise ScalingError("give phi, such as phi=1, or coefficients.", received="phi=None, coefficients=None")
    found = rules.get(rules.spelled(rule)) if isinstance(rule, str) else rule
    result = (COMPOUND if found is None else found)(plain(phi))  # pyright: ignore[reportArgumentType]
    if not isinstance(result, Coefficients):
        raise ScalingError("a scaling rule must return Coefficients.", received=f"{rule!r} returned {result!r}")
    return result
