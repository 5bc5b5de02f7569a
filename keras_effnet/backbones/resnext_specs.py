"""ResNeXt-50 32x4d (Xie et al. 2017, arXiv:1611.05431, Table 1), as in torchvision and timm.

The paper's "d" is the width of a group in the first stage: 32 groups of 4 channels, 128 in all, doubled at each stage.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import Bottleneck, ResNetStem
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.spec import BackboneSpec, StageSpec

_BLOCK = Bottleneck(expand=2, groups=32, stride_at="kernel", bias=False, padding="symmetric", norm=PYTORCH_NORM)

resnext50_spec = BackboneSpec(
    name="resnext50",
    stem=StageSpec(ResNetStem(bias=False, norm=PYTORCH_NORM), width=64, stride=4),
    stages=(
        StageSpec(_BLOCK, width=128, depth=3),
        StageSpec(_BLOCK, width=256, depth=4, stride=2),
        StageSpec(_BLOCK, width=512, depth=6, stride=2),
        StageSpec(_BLOCK, width=1024, depth=3, stride=2),
    ),
    resolution=224,
    preprocessing=IMAGENET_PIXELS,
    initializer="fan_out",
)

VARIANTS = (
    Variant(resnext50_spec, timm="resnext50_32x4d", top1=77.8, source="github.com/facebookresearch/ResNeXt, README.md"),
)
