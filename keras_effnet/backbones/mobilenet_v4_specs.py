"""MobileNetV4, convolutional: small, medium and large (Qin et al. 2024, arXiv:2404.10518).

Rows, padding and normalisation as in huggingface/pytorch-image-models, timm/models/mobilenetv3.py,
`_gen_mobilenet_v4`, whose weights are the public ones. Each row of blocks with the same options is a stage.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import (
    ConvBlock,
    FusedMBConv,
    HiddenConvClassifier,
    UniversalInvertedBottleneck,
)
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.spec import BackboneSpec, StageSpec


def _conv(kernel: int, width: int, stride: int = 1) -> StageSpec:
    """A plain convolution."""
    block = FusedMBConv(kernel, 1, activation="relu", norm=PYTORCH_NORM, padding="symmetric", skip=False)
    return StageSpec(block, width, stride=stride)


def _fused(width: int, expand: float) -> StageSpec:
    block = FusedMBConv(3, expand, activation="relu", norm=PYTORCH_NORM, padding="symmetric")
    return StageSpec(block, width, stride=2)


def _uib(start: int, kernel: int, expand: float, width: int, depth: int = 1, stride: int = 1) -> StageSpec:
    return StageSpec(UniversalInvertedBottleneck(start, kernel, expand), width, depth, stride)


def _mobilenet_v4(size: str, stem: int, stages: tuple[StageSpec, ...], resolution: int) -> BackboneSpec:
    return BackboneSpec(
        name=f"mobilenet_v4_conv_{size}",
        stem=StageSpec(ConvBlock(padding="symmetric", norm=PYTORCH_NORM), width=stem, stride=2),
        stages=stages,
        head=StageSpec(ConvBlock(1, norm=PYTORCH_NORM, names=("top_conv", "top_bn", "top_activation")), width=960),
        classifier=HiddenConvClassifier(width=1280, activation="relu", norm=PYTORCH_NORM),
        resolution=resolution,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


mobilenet_v4_conv_small_spec = _mobilenet_v4(
    "small",
    stem=32,
    stages=(
        _conv(3, 32, stride=2),
        _conv(1, 32),
        _conv(3, 96, stride=2),
        _conv(1, 64),
        _uib(5, 5, 3, 96, stride=2),
        _uib(0, 3, 2, 96, depth=4),
        _uib(3, 0, 4, 96),
        _uib(3, 3, 6, 128, stride=2),
        _uib(5, 5, 4, 128),
        _uib(0, 5, 4, 128),
        _uib(0, 5, 3, 128),
        _uib(0, 3, 4, 128, depth=2),
    ),
    resolution=224,
)
mobilenet_v4_conv_medium_spec = _mobilenet_v4(
    "medium",
    stem=32,
    stages=(
        _fused(48, 4),
        _uib(3, 5, 4, 80, stride=2),
        _uib(3, 3, 2, 80),
        _uib(3, 5, 6, 160, stride=2),
        _uib(3, 3, 4, 160, depth=2),
        _uib(3, 5, 4, 160),
        _uib(3, 3, 4, 160),
        _uib(3, 0, 4, 160),
        _uib(0, 0, 2, 160),
        _uib(3, 0, 4, 160),
        _uib(5, 5, 6, 256, stride=2),
        _uib(5, 5, 4, 256),
        _uib(3, 5, 4, 256, depth=2),
        _uib(0, 0, 4, 256),
        _uib(3, 0, 4, 256),
        _uib(3, 5, 2, 256),
        _uib(5, 5, 4, 256),
        _uib(0, 0, 4, 256, depth=2),
        _uib(5, 0, 2, 256),
    ),
    resolution=224,
)
mobilenet_v4_conv_large_spec = _mobilenet_v4(
    "large",
    stem=24,
    stages=(
        _fused(48, 4),
        _uib(3, 5, 4, 96, stride=2),
        _uib(3, 3, 4, 96),
        _uib(3, 5, 4, 192, stride=2),
        _uib(3, 3, 4, 192, depth=3),
        _uib(3, 5, 4, 192),
        _uib(5, 3, 4, 192, depth=5),
        _uib(3, 0, 4, 192),
        _uib(5, 5, 4, 512, depth=4, stride=2),
        _uib(5, 0, 4, 512),
        _uib(5, 3, 4, 512),
        _uib(5, 0, 4, 512, depth=2),
        _uib(5, 3, 4, 512),
        _uib(5, 5, 4, 512),
        _uib(5, 0, 4, 512, depth=3),
    ),
    resolution=384,
)


def _variant(spec: BackboneSpec, top1: float) -> Variant:
    base = None if spec is mobilenet_v4_conv_small_spec else mobilenet_v4_conv_small_spec.name
    # Of timm's weights at these resolutions: e2400_r224_in1k, e500_r224_in1k, e600_r384_in1k.
    source = "huggingface/pytorch-image-models, README.md, June 12, 2024"
    return Variant(spec, base, timm=spec.name.replace("_v4", "v4"), top1=top1, source=source)


VARIANTS = (
    _variant(mobilenet_v4_conv_small_spec, 73.756),
    _variant(mobilenet_v4_conv_medium_spec, 79.094),
    _variant(mobilenet_v4_conv_large_spec, 82.952),
)
