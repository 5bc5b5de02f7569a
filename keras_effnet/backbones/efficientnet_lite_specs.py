"""EfficientNet-Lite0 to Lite4: EfficientNet for phones, whose accuracy survives eight-bit quantization.

Source: tensorflow/tpu, models/official/efficientnet/lite (README.md, efficientnet_lite_builder.py). Against
EfficientNet (arXiv:1905.11946): no squeeze-and-excitation, ReLU6 in place of swish, and scaling leaves the widths of
stem and head and the depths of the first and the last stage as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from keras_effnet.backbones.efficientnet_specs import efficientnet_b0_spec
from keras_effnet.backbones.imagenet_pixels import EDGE_PIXELS
from keras_effnet.backbones.published import TPU_MODELS, Variant
from keras_effnet.blocks import ConvBlock, MBConv
from keras_effnet.lite import lite_form
from keras_effnet.scaling import Coefficients, Rounding, Tabulated, scale_spec
from keras_effnet.spec import BackboneSpec, StageSpec


def _padded(stage: StageSpec) -> StageSpec:
    """With the padding of the released code, where B0 has Keras' own: they differ for images of an unknown size."""
    block = stage.block
    return replace(stage, block=replace(block, padding="same")) if isinstance(block, MBConv | ConvBlock) else stage


def _lite0() -> BackboneSpec:
    lite = lite_form(efficientnet_b0_spec)
    return replace(
        lite,
        name="efficientnet_lite0",
        stem=_padded(lite.stem),
        stages=tuple(map(_padded, lite.stages)),
        head=None if lite.head is None else _padded(lite.head),
        preprocessing=EDGE_PIXELS,
    )


efficientnet_lite0_spec = _lite0()

LITE_TABLE: Mapping[str, Coefficients] = MappingProxyType(
    {
        "lite0": Coefficients(dropout=0.2),
        "lite1": Coefficients(depth=1.1, resolution=240 / 224, dropout=0.2),
        "lite2": Coefficients(depth=1.2, width=1.1, resolution=260 / 224, dropout=0.3),
        "lite3": Coefficients(depth=1.4, width=1.2, resolution=280 / 224, dropout=0.3),
        "lite4": Coefficients(depth=1.8, width=1.4, resolution=300 / 224, dropout=0.3),
    }
)
"""The released coefficients of EfficientNet-Lite0 to Lite4, relative to Lite0."""


def _released(row: str) -> BackboneSpec:
    scaled = scale_spec(
        efficientnet_lite0_spec, row, rule=Tabulated(LITE_TABLE), rounding=Rounding(resolution_multiple=1)
    )
    return replace(scaled, name=f"efficientnet_{row}")


efficientnet_lite1_spec = _released("lite1")
efficientnet_lite2_spec = _released("lite2")
efficientnet_lite3_spec = _released("lite3")
efficientnet_lite4_spec = _released("lite4")


def _variant(spec: BackboneSpec, top1: float) -> Variant:
    """A row, with the accuracy of the float model."""
    base = None if spec is efficientnet_lite0_spec else "efficientnet_lite0"
    source = f"{TPU_MODELS}/efficientnet/lite/README.md"
    return Variant(spec, base, timm=f"tf_{spec.name}", top1=top1, source=source)


VARIANTS = (
    _variant(efficientnet_lite0_spec, 75.1),
    _variant(efficientnet_lite1_spec, 76.7),
    _variant(efficientnet_lite2_spec, 77.6),
    _variant(efficientnet_lite3_spec, 79.8),
    _variant(efficientnet_lite4_spec, 81.5),
)
