"""MobileNet (Howard et al. 2017, arXiv:1704.04861, Table 1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keras_effnet.backbones.published import KERAS_DOCS, KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import ConvBlock, ConvClassifier, DepthwiseSeparable
from keras_effnet.checks import check_number
from keras_effnet.errors import SpecError
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

# (width, depth, stride) of the stages between two strides: arXiv:1704.04861, Table 1.
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
# Alphas with published weights and their spelling in file names, and resolutions: keras-team/keras,
# applications/mobilenet.py.
_ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
RESOLUTIONS = (128, 160, 192, 224)


def mobilenet_v1_with(alpha: float = 1.0, depth_multiplier: int = 1, dropout: float = 1e-3) -> BackboneSpec:
    """MobileNet with the paper's width multiplier: widths are `int(alpha * width)`, as in Keras, not rounded to 8.

    Args:
        alpha: width multiplier, above 0.
        depth_multiplier: number of depthwise filters for each channel, at least 1.
        dropout: dropout rate of the classifier, in [0, 1).

    Returns:
        The spec, at 224 px.

    Raises:
        SpecError: a value is outside its range, or alpha leaves a layer without channels.
    """
    alpha = check_number(SpecError, "alpha", alpha, 0, open_low=True)
    block = DepthwiseSeparable(multiplier=depth_multiplier)
    return BackboneSpec(
        name="mobilenet_v1",
        stem=StageSpec(
            ConvBlock(activation="relu6", names=("conv1", "conv1_bn", "conv1_relu")), width=int(32 * alpha), stride=2
        ),
        stages=tuple(StageSpec(block, int(width * alpha), depth, stride) for width, depth, stride in _STAGES),
        classifier=ConvClassifier(dropout=dropout),
        resolution=224,
        preprocessing=Preprocessing(mode="tf"),
    )


mobilenet_v1_spec = mobilenet_v1_with()


def _weights() -> Iterator[ImageNetWeights]:
    """Files for each published alpha and resolution; Keras publishes no checksums of these."""
    for alpha, spelled in _ALPHAS.items():
        spec = mobilenet_v1_with(alpha)
        for resolution in RESOLUTIONS:
            stem = f"mobilenet_{spelled}_{resolution}_tf"
            files = _file(f"{stem}.h5"), _file(f"{stem}_no_top.h5")
            yield ImageNetWeights(replace(spec, resolution=resolution), *files, any_resolution=False)


def _file(name: str) -> WeightFile:
    return WeightFile(name, f"{KERAS_STORAGE}/mobilenet/{name}")


VARIANTS = (
    Variant(
        mobilenet_v1_spec,
        keras="MobileNet",
        timm="mobilenetv1_100",
        weights=tuple(_weights()),
        top1=70.4,
        source=KERAS_DOCS,
    ),
)
