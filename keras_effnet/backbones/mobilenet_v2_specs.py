"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381, Table 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keras_effnet.backbones.published import KERAS_DOCS, KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import ConvBlock, DenseClassifier, InvertedResidual
from keras_effnet.blocks.mobile import MOBILENET_V2_NORM
from keras_effnet.checks import check_number
from keras_effnet.errors import SpecError
from keras_effnet.scaling import Rounding
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

# (expand, width, depth, stride): arXiv:1801.04381, Table 2.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Alphas and resolutions with published weights: keras-team/keras, applications/mobilenet_v2.py.
_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
RESOLUTIONS = (96, 128, 160, 192, 224)


def mobilenet_v2_with(alpha: float = 1.0) -> BackboneSpec:
    """MobileNetV2 with the paper's width multiplier: widths are multiples of 8, the head has at least 1280 channels.

    Args:
        alpha: width multiplier, above 0.

    Returns:
        The spec, at 224 px.

    Raises:
        SpecError: alpha is not a number above 0.
    """
    alpha = check_number(SpecError, "alpha", alpha, 0, open_low=True)
    widened = Rounding().nearest_width
    return BackboneSpec(
        name="mobilenet_v2",
        stem=_conv(3, ("Conv1", "bn_Conv1", "Conv1_relu"), widened(32 * alpha), stride=2),
        # Keras truncates a stage's width to a whole number before rounding it to a multiple of 8.
        stages=tuple(
            StageSpec(InvertedResidual(expand=expand), widened(int(width * alpha)), depth, stride)
            for expand, width, depth, stride in _STAGES
        ),
        head=_conv(1, ("Conv_1", "Conv_1_bn", "out_relu"), widened(1280 * max(alpha, 1.0))),
        classifier=DenseClassifier(),
        resolution=224,
        preprocessing=Preprocessing(mode="tf"),
    )


def _conv(kernel: int, names: tuple[str, str, str], width: int, stride: int = 1) -> StageSpec:
    return StageSpec(ConvBlock(kernel, activation="relu6", norm=MOBILENET_V2_NORM, names=names), width, stride=stride)


mobilenet_v2_spec = mobilenet_v2_with()


def _weights() -> Iterator[ImageNetWeights]:
    """Files for each published alpha and resolution; Keras publishes no checksums of these."""
    for alpha in _ALPHAS:
        spec = mobilenet_v2_with(alpha)
        for resolution in RESOLUTIONS:
            stem = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{resolution}"
            files = _file(f"{stem}.h5"), _file(f"{stem}_no_top.h5")
            yield ImageNetWeights(replace(spec, resolution=resolution), *files, any_resolution=False)


def _file(name: str) -> WeightFile:
    return WeightFile(name, f"{KERAS_STORAGE}/mobilenet_v2/{name}")


VARIANTS = (
    Variant(
        mobilenet_v2_spec,
        keras="MobileNetV2",
        timm="mobilenetv2_100",
        weights=tuple(_weights()),
        top1=71.3,
        source=KERAS_DOCS,
    ),
)
