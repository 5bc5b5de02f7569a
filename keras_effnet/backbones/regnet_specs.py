"""RegNetX and RegNetY, 400MF to 4.0GF (Radosavovic et al. 2020, arXiv:2003.13678), as in pycls and timm.

Widths and depths follow from four numbers (section 3.3). Block j of d asks for w_0 + w_a * j channels, rounded to
w_0 * w_m^k for a whole k and then to a multiple of 8. Blocks of one width form a stage, whose width is rounded once
more, to a multiple of its group width. The released networks (facebookresearch/pycls, configs/dds_baselines):

| | d | w_0 | w_a | w_m | group width |
|---|---|---|---|---|---|
| X 400MF | 22 | 24 | 24.48 | 2.54 | 16 |
| X 800MF | 16 | 56 | 35.73 | 2.28 | 16 |
| X 1.6GF | 18 | 80 | 34.01 | 2.25 | 24 |
| X 4.0GF | 23 | 96 | 38.65 | 2.43 | 40 |
| Y 400MF | 16 | 48 | 27.89 | 2.09 | 8 |
| Y 800MF | 14 | 56 | 38.84 | 2.40 | 16 |
| Y 1.6GF | 27 | 48 | 20.71 | 2.65 | 24 |
| Y 4.0GF | 22 | 96 | 31.41 | 2.24 | 64 |

Names give the multiply-adds at 224 px.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import Bottleneck, ConvBlock
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.spec import BackboneSpec, StageSpec

Four = tuple[int, int, int, int]

# Squeezed channels per input channel of a Y block: section 4, and pycls' REGNET.SE_R.
_SE_RATIO = 0.25


def _regnet(name: str, widths: Four, depths: Four, group_width: int) -> BackboneSpec:
    block = Bottleneck(
        expand=1,  # the paper's bottleneck ratio, 1 in every released network
        group_width=group_width,
        se_ratio=_SE_RATIO if name.startswith("regnet_y") else 0.0,
        stride_at="kernel",
        bias=False,
        padding="symmetric",
        norm=PYTORCH_NORM,
    )
    return BackboneSpec(
        name=name,
        stem=StageSpec(ConvBlock(padding="symmetric", norm=PYTORCH_NORM), width=32, stride=2),
        stages=tuple(StageSpec(block, width, depth, 2) for width, depth in zip(widths, depths, strict=True)),
        resolution=224,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


regnet_x_400mf_spec = _regnet("regnet_x_400mf", (32, 64, 160, 384), (1, 2, 7, 12), group_width=16)
regnet_x_800mf_spec = _regnet("regnet_x_800mf", (64, 128, 288, 672), (1, 3, 7, 5), group_width=16)
regnet_x_1_6gf_spec = _regnet("regnet_x_1_6gf", (72, 168, 408, 912), (2, 4, 10, 2), group_width=24)
regnet_x_4_0gf_spec = _regnet("regnet_x_4_0gf", (80, 240, 560, 1360), (2, 5, 14, 2), group_width=40)
regnet_y_400mf_spec = _regnet("regnet_y_400mf", (48, 104, 208, 440), (1, 3, 6, 6), group_width=8)
regnet_y_800mf_spec = _regnet("regnet_y_800mf", (64, 128, 320, 768), (1, 3, 8, 2), group_width=16)
regnet_y_1_6gf_spec = _regnet("regnet_y_1_6gf", (48, 120, 336, 888), (2, 6, 17, 2), group_width=24)
regnet_y_4_0gf_spec = _regnet("regnet_y_4_0gf", (128, 192, 512, 1088), (2, 6, 12, 2), group_width=64)


def _variant(spec: BackboneSpec, timm: str, top1: float) -> Variant:
    base = spec.name[: len("regnet_x_")] + "400mf"
    source = "github.com/facebookresearch/pycls, MODEL_ZOO.md"
    return Variant(spec, None if spec.name == base else base, timm=timm, top1=top1, source=source)


VARIANTS = (
    _variant(regnet_x_400mf_spec, "regnetx_004", 72.7),
    _variant(regnet_x_800mf_spec, "regnetx_008", 75.2),
    _variant(regnet_x_1_6gf_spec, "regnetx_016", 77.0),
    _variant(regnet_x_4_0gf_spec, "regnetx_040", 78.6),
    _variant(regnet_y_400mf_spec, "regnety_004", 74.1),
    _variant(regnet_y_800mf_spec, "regnety_008", 76.3),
    _variant(regnet_y_1_6gf_spec, "regnety_016", 78.0),
    _variant(regnet_y_4_0gf_spec, "regnety_040", 79.4),
)
