"""The Lite form of a network: what EfficientNet-Lite is to EfficientNet, for any network of inverted residuals.

Source of the form: tensorflow/tpu, models/official/efficientnet/lite/README.md. Squeeze-and-excitation goes, because
few accelerators run it well; activations become ReLU6, because a range from 0 to 6 survives eight bits; scaling leaves
the widths of stem and head and the depths of the first and the last stage alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from keras_effnet.blocks import DepthwiseSeparable, FusedMBConv, InvertedResidual, InvertedResidualV3, MBConv
from keras_effnet.errors import SpecError
from keras_effnet.spec import BackboneSpec, Fixed, StageSpec

_BLOCKS = (MBConv, FusedMBConv, InvertedResidual, InvertedResidualV3, DepthwiseSeparable)
_CHANGES: Mapping[str, Any] = MappingProxyType({"activation": "relu6", "se_ratio": 0})


def lite_form(spec: BackboneSpec) -> BackboneSpec:
    """The Lite form of a spec.

    Args:
        spec: a network whose stages hold MBConv, FusedMBConv, InvertedResidual, InvertedResidualV3 or
            DepthwiseSeparable blocks.

    Returns:
        The spec without squeeze-and-excitation, with ReLU6, and with a stem and a head that scaling leaves alone.

    Raises:
        SpecError: a stage holds other blocks.

    Example:
        >>> from keras_effnet.applications import efficientnet_b0_spec
        >>> lite_form(efficientnet_b0_spec).head.fixed
        'both'
    """
    last = len(spec.stages) - 1
    return replace(
        spec,
        name=f"{spec.name}_edge",
        stem=_lite(spec.stem, "both"),
        stages=tuple(
            _lite(_checked(stage), "depth" if number in (0, last) else "nothing")
            for number, stage in enumerate(spec.stages)
        ),
        head=None if spec.head is None else _lite(spec.head, "both"),
        classifier=_changed(spec.classifier),
    )


def _checked(stage: StageSpec) -> StageSpec:
    if not isinstance(stage.block, _BLOCKS):
        raise SpecError(
            f"a network with a Lite form is made of {', '.join(kind.__name__ for kind in _BLOCKS)} blocks.",
            received=repr(stage.block),
        )
    return stage


def _lite(stage: StageSpec, fixed: Fixed) -> StageSpec:
    return replace(stage, block=_changed(stage.block), fixed=fixed)


def _changed(block: Any) -> Any:
    names = {field.name for field in fields(block)}
    changes = {name: value for name, value in _CHANGES.items() if name in names and getattr(block, name) is not None}
    return replace(block, **changes)
