"""TinyNet-A to E (Han et al. 2020, "Model Rubik's Cube", arXiv:2010.14819): smaller sizes of EfficientNet-B0.

Stem and head keep their widths, and depths are rounded to the nearest: huggingface/pytorch-image-models,
timm/models/efficientnet.py, `_gen_tinynet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from keras_effnet.backbones.efficientnet_specs import efficientnet_b0_spec
from keras_effnet.backbones.published import Variant
from keras_effnet.scaling import Coefficients, Rounding, Tabulated, scale_spec
from keras_effnet.scaling.tinynet_rule import PUBLISHED
from keras_effnet.spec import BackboneSpec

TINYNET_TABLE: Mapping[str, Coefficients] = MappingProxyType(
    {
        row: Coefficients(depth, width, resolution / efficientnet_b0_spec.resolution)
        for row, (depth, width, resolution, _) in PUBLISHED.items()
    }
)
"""The published coefficients of TinyNet-A to E, relative to EfficientNet-B0."""

_B0 = efficientnet_b0_spec
_BASE = replace(
    _B0,
    stem=replace(_B0.stem, fixed="both"),
    head=None if _B0.head is None else replace(_B0.head, fixed="both"),
)


def _published(row: str) -> BackboneSpec:
    rounding = Rounding(depth="round", resolution_multiple=1)
    return replace(scale_spec(_BASE, row, rule=Tabulated(TINYNET_TABLE), rounding=rounding), name=f"tinynet_{row}")


tinynet_a_spec = _published("a")
tinynet_b_spec = _published("b")
tinynet_c_spec = _published("c")
tinynet_d_spec = _published("d")
tinynet_e_spec = _published("e")


def _variant(spec: BackboneSpec, top1: float) -> Variant:
    return Variant(spec, "efficientnet_b0", timm=spec.name, top1=top1, source="arXiv:2010.14819")


VARIANTS = (
    _variant(tinynet_a_spec, 76.8),
    _variant(tinynet_b_spec, 75.0),
    _variant(tinynet_c_spec, 71.2),
    _variant(tinynet_d_spec, 67.0),
    _variant(tinynet_e_spec, 59.9),
)
