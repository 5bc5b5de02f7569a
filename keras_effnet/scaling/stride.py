"""Fitting a backbone's strides to small images."""

from __future__ import annotations

from dataclasses import replace

from keras_effnet.checks import check_int
from keras_effnet.errors import ScalingError
from keras_effnet.registry import resolve_backbone
from keras_effnet.spec import BackboneSpec, StageSpec


def limit_stride(spec: BackboneSpec | str, total_stride: int) -> BackboneSpec:
    """Removes the last strides of a backbone until its total stride is within a limit.

    Backbones for 224 px have a total stride of 32, which leaves a single cell of an image of 32 px. The early strides
    stay, because most of the cost lies before the late ones. Widths, depths and so parameters do not change.

    Args:
        spec: a backbone, or the name of a registered one.
        total_stride: largest total stride allowed, in pixels per cell, at least 1.

    Returns:
        The same backbone, with smaller strides where needed.

    Raises:
        RegistryError: an unknown name.
        ScalingError: `total_stride` is not an integer of at least 1.

    Example:
        >>> spec = limit_stride("efficientnet_b0", total_stride=8)
        >>> spec.stem.stride, [stage.stride for stage in spec.stages]
        (2, [1, 2, 2, 1, 1, 1, 1])
    """
    spec = resolve_backbone(spec)
    total_stride = check_int(ScalingError, "total_stride", total_stride, 1)
    stages = list(spec.parts)
    excess = spec.total_stride
    for place in reversed(range(len(stages))):
        while excess > total_stride and stages[place].stride > 1:
            smaller = _next_smaller(stages[place])
            excess = excess // stages[place].stride * smaller.stride
            stages[place] = smaller
    count = len(spec.stages)
    head = None if spec.head is None else stages[-1]
    return replace(spec, stem=stages[0], stages=tuple(stages[1 : count + 1]), head=head)


def _next_smaller(stage: StageSpec) -> StageSpec:
    """The stage with its stride divided by the smallest number that divides it."""
    divisor = next(number for number in range(2, stage.stride + 1) if stage.stride % number == 0)
    return replace(stage, stride=stage.stride // divisor)
