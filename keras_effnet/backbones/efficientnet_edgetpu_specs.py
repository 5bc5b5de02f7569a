"""EfficientNet-EdgeTPU-S, M and L (Gupta and Tan 2019): plain convolutions where an Edge TPU runs them faster.

Source: tensorflow/tpu, models/official/efficientnet/edgetpu/efficientnet_edgetpu_builder.py and efficientnet_model.py.

In that code the 3x3 expansion has stride 1 and the projection strides, reading every other cell. Here the expansion
strides over the same cells (`symmetric` padding): the same function at a quarter of the multiply-adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from keras_effnet.backbones.imagenet_pixels import EDGE_PIXELS
from keras_effnet.backbones.published import TPU_MODELS, Variant
from keras_effnet.blocks import ConvBlock, DenseClassifier, FusedMBConv, MBConv
from keras_effnet.scaling import Coefficients, Rounding, Tabulated, scale_spec
from keras_effnet.spec import BackboneSpec, StageSpec


def _fused(expand: int, *, first: bool = False) -> FusedMBConv:
    # The first block expands 24 channels, as written in the code, not the 32 that come from the stem.
    expands = "output" if first else "input"
    return FusedMBConv(expand=expand, activation="relu", padding="symmetric", skip=not first, expands=expands)


def _mbconv() -> MBConv:
    return MBConv(kernel=5, expand=8, se_ratio=0, activation="relu", padding="same")


efficientnet_edgetpu_s_spec = BackboneSpec(
    name="efficientnet_edgetpu_s",
    stem=StageSpec(ConvBlock(), width=32, stride=2),
    stages=(
        StageSpec(_fused(4, first=True), width=24, depth=1, stride=1),
        StageSpec(_fused(8), width=32, depth=2, stride=2),
        StageSpec(_fused(8), width=48, depth=4, stride=2),
        StageSpec(_mbconv(), width=96, depth=5, stride=2),
        StageSpec(_mbconv(), width=144, depth=4, stride=1),
        StageSpec(_mbconv(), width=192, depth=2, stride=2),
    ),
    head=StageSpec(ConvBlock(1, names=("top_conv", "top_bn", "top_activation")), width=1280),
    classifier=DenseClassifier(dropout=0.2),
    resolution=224,
    drop_path=0.2,  # drop_connect_rate
    preprocessing=EDGE_PIXELS,
    initializer="fan_out",
)

EDGETPU_TABLE: Mapping[str, Coefficients] = MappingProxyType(
    {
        "s": Coefficients(dropout=0.2),
        "m": Coefficients(depth=1.1, resolution=240 / 224, dropout=0.2),
        "l": Coefficients(depth=1.4, width=1.2, resolution=300 / 224, dropout=0.3),
    }
)
"""The released coefficients of EfficientNet-EdgeTPU-S, M and L, relative to S."""


def _released(row: str) -> BackboneSpec:
    scaled = scale_spec(
        efficientnet_edgetpu_s_spec, row, rule=Tabulated(EDGETPU_TABLE), rounding=Rounding(resolution_multiple=1)
    )
    return replace(scaled, name=f"efficientnet_edgetpu_{row}")


efficientnet_edgetpu_m_spec = _released("m")
efficientnet_edgetpu_l_spec = _released("l")

# Accuracy of the float models.
_SOURCE = f"{TPU_MODELS}/efficientnet/edgetpu/README.md"

VARIANTS = (
    Variant(efficientnet_edgetpu_s_spec, timm="tf_efficientnet_es", top1=77.23, source=_SOURCE),
    Variant(
        efficientnet_edgetpu_m_spec, "efficientnet_edgetpu_s", timm="tf_efficientnet_em", top1=78.69, source=_SOURCE
    ),
    Variant(
        efficientnet_edgetpu_l_spec, "efficientnet_edgetpu_s", timm="tf_efficientnet_el", top1=80.62, source=_SOURCE
    ),
)
