"""MnasNet-A1, B1 and small (Tan et al. 2019, arXiv:1807.11626; A1 is its Figure 7).

Source of the numbers: tensorflow/tpu, models/official/mnasnet/mnasnet_models.py. A width multiplier leaves the head at
1280 channels there (mnasnet_model.py), and so does scaling here.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import TPU_MODELS, Variant
from keras_effnet.blocks import ConvBlock, DenseClassifier, MBConv
from keras_effnet.spec import BackboneSpec, StageSpec


def _stage(
    kernel: int, expand: int, width: int, depth: int, stride: int, se: float = 0, skip: bool = True
) -> StageSpec:
    block = MBConv(kernel, expand, se_ratio=se, activation="relu", padding="same", skip=skip)
    return StageSpec(block, width, depth, stride)


def _mnasnet(name: str, stem: int, stages: tuple[StageSpec, ...], dropout: float) -> BackboneSpec:
    return BackboneSpec(
        name=f"mnasnet_{name}",
        stem=StageSpec(ConvBlock(), width=stem, stride=2),
        stages=stages,
        head=StageSpec(ConvBlock(1, names=("top_conv", "top_bn", "top_activation")), width=1280, fixed="both"),
        classifier=DenseClassifier(dropout),
        resolution=224,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


mnasnet_a1_spec = _mnasnet(
    "a1",
    stem=32,
    stages=(
        _stage(3, 1, width=16, depth=1, stride=1, skip=False),
        _stage(3, 6, width=24, depth=2, stride=2),
        _stage(5, 3, width=40, depth=3, stride=2, se=0.25),
        _stage(3, 6, width=80, depth=4, stride=2),
        _stage(3, 6, width=112, depth=2, stride=1, se=0.25),
        _stage(5, 6, width=160, depth=3, stride=2, se=0.25),
        _stage(3, 6, width=320, depth=1, stride=1),
    ),
    dropout=0.2,
)
mnasnet_b1_spec = _mnasnet(
    "b1",
    stem=32,
    stages=(
        _stage(3, 1, width=16, depth=1, stride=1, skip=False),
        _stage(3, 3, width=24, depth=3, stride=2),
        _stage(5, 3, width=40, depth=3, stride=2),
        _stage(5, 6, width=80, depth=3, stride=2),
        _stage(3, 6, width=96, depth=2, stride=1),
        _stage(5, 6, width=192, depth=4, stride=2),
        _stage(3, 6, width=320, depth=1, stride=1, skip=False),
    ),
    dropout=0.2,
)
mnasnet_small_spec = _mnasnet(
    "small",
    stem=8,
    stages=(
        # Declared with 16 input channels and so without a skip connection, although the stem gives it 8, as it emits.
        _stage(3, 1, width=8, depth=1, stride=1, skip=False),
        _stage(3, 3, width=16, depth=1, stride=2),
        _stage(3, 6, width=16, depth=2, stride=2),
        _stage(5, 6, width=32, depth=4, stride=2, se=0.25),
        _stage(3, 6, width=32, depth=3, stride=1, se=0.25),
        _stage(5, 6, width=88, depth=3, stride=2, se=0.25),
        _stage(3, 6, width=144, depth=1, stride=1),
    ),
    dropout=0.0,
)

VARIANTS = (
    Variant(mnasnet_a1_spec, timm="semnasnet_100", top1=75.2, source=f"{TPU_MODELS}/mnasnet/README.md"),
    Variant(mnasnet_b1_spec, timm="mnasnet_100"),
    Variant(mnasnet_small_spec, timm="mnasnet_small"),
)
