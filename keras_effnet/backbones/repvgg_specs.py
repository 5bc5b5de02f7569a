"""RepVGG-A0 to B3 (Ding et al. 2021, arXiv:2101.03697, section 3.4), without groups.

A network is a stack of 3x3 convolutions with ReLU once its branches are merged, as every export does. Widths are 64,
128, 256 and 512 times `a` in all stages but the last, times `b` in the last; the stem has 64 * a, at most 64 channels.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import RepVGGBlock
from keras_effnet.spec import BackboneSpec, StageSpec

# Blocks of each stage behind the stem.
_DEPTHS = {"a": (2, 4, 14, 1), "b": (4, 6, 16, 1)}


def _repvgg(size: str, a: float, b: float) -> BackboneSpec:
    widths = (64 * a, 128 * a, 256 * a, 512 * b)
    return BackboneSpec(
        name=f"repvgg_{size}",
        stem=StageSpec(RepVGGBlock(), width=min(64, int(64 * a)), stride=2),
        stages=tuple(
            StageSpec(RepVGGBlock(), int(width), depth, stride=2)
            for width, depth in zip(widths, _DEPTHS[size[0]], strict=True)
        ),
        resolution=224,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


repvgg_a0_spec = _repvgg("a0", 0.75, 2.5)
repvgg_a1_spec = _repvgg("a1", 1, 2.5)
repvgg_b0_spec = _repvgg("b0", 1, 2.5)
repvgg_a2_spec = _repvgg("a2", 1.5, 2.75)
repvgg_b1_spec = _repvgg("b1", 2, 4)
repvgg_b2_spec = _repvgg("b2", 2.5, 5)
repvgg_b3_spec = _repvgg("b3", 3, 5)


def _variant(spec: BackboneSpec, top1: float) -> Variant:
    base = None if spec is repvgg_a0_spec else repvgg_a0_spec.name
    # The authors' weights, measured again.
    return Variant(spec, base, timm=spec.name, top1=top1, source="open-mmlab/mmpretrain, configs/repvgg/README.md")


VARIANTS = (
    _variant(repvgg_a0_spec, 72.41),
    _variant(repvgg_a1_spec, 74.47),
    _variant(repvgg_b0_spec, 75.14),
    _variant(repvgg_a2_spec, 76.48),
    _variant(repvgg_b1_spec, 78.37),
    _variant(repvgg_b2_spec, 78.78),
    _variant(repvgg_b3_spec, 80.52),
)
