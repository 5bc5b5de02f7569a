"""EfficientNet-B0 to B8 and L2 (Tan and Le 2019, arXiv:1905.11946).

Blocks: `r1_k3_s11_e1_i32_o16_se0.25` and so on, from tensorflow/tpu, models/official/efficientnet, which is the paper's
Table 1. B1 to L2 are B0 scaled by the released coefficients, not by a power of phi.

The model takes pixels from 0 to 255, and rescales and normalises them itself. Keras' published weights expect pixels
that are divided by sqrt(stddev) once more (keras-team/keras, applications/efficientnet.py). Keras adds a layer for this
if `weights="imagenet"`; we multiply the variances of the Normalization layer by stddev while loading, so that the graph
is the same for all weights.
"""

from __future__ import annotations

from dataclasses import replace

from keras_effnet.backbones.published import KERAS_DOCS, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import ConvBlock, DenseClassifier, MBConv
from keras_effnet.scaling import Rounding, Tabulated, scale_spec
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

efficientnet_b0_spec = BackboneSpec(
    name="efficientnet_b0",
    stem=StageSpec(ConvBlock(padding="correct", activation="swish"), width=32, stride=2),
    stages=(
        StageSpec(MBConv(kernel=3, expand=1), width=16, depth=1, stride=1),
        StageSpec(MBConv(kernel=3, expand=6), width=24, depth=2, stride=2),
        StageSpec(MBConv(kernel=5, expand=6), width=40, depth=2, stride=2),
        StageSpec(MBConv(kernel=3, expand=6), width=80, depth=3, stride=2),
        StageSpec(MBConv(kernel=5, expand=6), width=112, depth=3, stride=1),
        StageSpec(MBConv(kernel=5, expand=6), width=192, depth=4, stride=2),
        StageSpec(MBConv(kernel=3, expand=6), width=320, depth=1, stride=1),
    ),
    head=StageSpec(ConvBlock(kernel=1, activation="swish", names=("top_conv", "top_bn", "top_activation")), width=1280),
    classifier=DenseClassifier(dropout=0.2),
    resolution=224,
    drop_path=0.2,  # keras.applications' drop_connect_rate; the survival probability of 0.8 in the paper, section 5.2
    preprocessing=Preprocessing(scale=1 / 255, standardize=True),
    initializer="fan_out",
)


def _released(row: str) -> BackboneSpec:
    # The released resolutions are exact: no rounding may move them.
    scaled = scale_spec(efficientnet_b0_spec, row, rule=Tabulated(), rounding=Rounding(resolution_multiple=1))
    return replace(scaled, name=f"efficientnet_{row}")


efficientnet_b1_spec = _released("b1")
efficientnet_b2_spec = _released("b2")
efficientnet_b3_spec = _released("b3")
efficientnet_b4_spec = _released("b4")
efficientnet_b5_spec = _released("b5")
efficientnet_b6_spec = _released("b6")
efficientnet_b7_spec = _released("b7")
efficientnet_b8_spec = _released("b8")
efficientnet_l2_spec = _released("l2")

# Where Keras keeps these files; its older ones have another address.
_STORAGE = "https://storage.googleapis.com/keras-applications"
# Standard deviations of ImageNet's channels: keras-team/keras, applications/efficientnet.py, IMAGENET_STDDEV_RGB.
_IMAGENET_STDDEV = (0.229, 0.224, 0.225)


def _variant(
    spec: BackboneSpec, top1: float | None = None, top: str | None = None, notop: str | None = None
) -> Variant:
    """A row, with the MD5 of the weight files: keras-team/keras, applications/efficientnet.py, WEIGHTS_HASHES."""
    size = spec.name.removeprefix("efficientnet_")
    base, timm = None if size == "b0" else "efficientnet_b0", f"tf_efficientnet_{size}"
    if top1 is None or top is None or notop is None:
        return Variant(spec, base, timm=timm)
    weights = ImageNetWeights(spec, _file(f"efficientnet{size}.h5", top), _file(f"efficientnet{size}_notop.h5", notop))
    return Variant(spec, base, f"EfficientNet{size.upper()}", timm, (weights,), top1, KERAS_DOCS)


def _file(name: str, md5: str) -> WeightFile:
    return WeightFile(name, f"{_STORAGE}/{name}", md5, variance_factors=_IMAGENET_STDDEV)


VARIANTS = (
    _variant(efficientnet_b0_spec, 77.1, "902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"),
    _variant(efficientnet_b1_spec, 79.1, "1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"),
    _variant(efficientnet_b2_spec, 80.1, "b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    _variant(efficientnet_b3_spec, 81.6, "ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"),
    _variant(efficientnet_b4_spec, 82.9, "18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    _variant(efficientnet_b5_spec, 83.6, "ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"),
    _variant(efficientnet_b6_spec, 84.0, "165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"),
    _variant(efficientnet_b7_spec, 84.3, "8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    _variant(efficientnet_b8_spec),
    _variant(efficientnet_l2_spec),
)
