"""MobileOne-S0 to S4 (Vasu et al. 2022, arXiv:2206.04040), as trained, with their branches.

Every export merges the branches: what runs is a depthwise and a 1x1 convolution in turn. S0 has four copies of each
convolution, the others one; S4 squeezes and excites in its last blocks. Stem and widths as in apple/ml-mobileone,
mobileone.py, and in timm: the stem's branches are those of a RepVGG block.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import MobileOneBlock, RepVGGBlock
from keras_effnet.spec import BackboneSpec, StageSpec

# Widths before they are multiplied, and blocks, of each stage.
_WIDTHS = (64, 128, 256, 512)
_DEPTHS = (2, 8, 10, 1)
_SE_RATIO = 1 / 16


def _mobileone(size: str, multipliers: tuple[float, ...], branches: int = 1, squeezed: int = 0) -> BackboneSpec:
    """One size; `squeezed` is the number of blocks of the third stage that squeeze and excite, with all of the last."""
    plain = MobileOneBlock(branches=branches)
    excited = MobileOneBlock(branches=branches, se_ratio=_SE_RATIO)
    stages: list[StageSpec] = []
    for number, (width, multiplier, depth) in enumerate(zip(_WIDTHS, multipliers, _DEPTHS, strict=True)):
        with_se = (0, 0, squeezed, depth if squeezed else 0)[number]
        wide = int(width * multiplier)
        if with_se < depth:
            stages.append(StageSpec(plain, wide, depth - with_se, stride=2))
        if with_se:
            stages.append(StageSpec(excited, wide, with_se, stride=1 if with_se < depth else 2))
    return BackboneSpec(
        name=f"mobileone_{size}",
        stem=StageSpec(RepVGGBlock(), width=min(64, stages[0].width), stride=2),
        stages=tuple(stages),
        resolution=224,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


mobileone_s0_spec = _mobileone("s0", (0.75, 1, 1, 2), branches=4)
mobileone_s1_spec = _mobileone("s1", (1.5, 1.5, 2, 2.5))
mobileone_s2_spec = _mobileone("s2", (1.5, 2, 2.5, 4))
mobileone_s3_spec = _mobileone("s3", (2, 2.5, 3, 4))
mobileone_s4_spec = _mobileone("s4", (3, 3.5, 3.5, 4), squeezed=5)


def _variant(spec: BackboneSpec, top1: float) -> Variant:
    base = None if spec is mobileone_s0_spec else mobileone_s0_spec.name
    return Variant(spec, base, timm=spec.name, top1=top1, source="apple/ml-mobileone, README.md")


VARIANTS = (
    _variant(mobileone_s0_spec, 71.4),
    _variant(mobileone_s1_spec, 75.9),
    _variant(mobileone_s2_spec, 77.4),
    _variant(mobileone_s3_spec, 78.1),
    _variant(mobileone_s4_spec, 79.4),
)
