"""EfficientNetV2-B0 to B3, S, M, L and XL (Tan and Le 2021, arXiv:2104.00298).

Blocks, coefficients and resolutions: google/automl, efficientnetv2/effnetv2_configs.py, of which S is the paper's
Table 4. B1 to B3 are B0 scaled by the coefficients of EfficientNet's B1 to B3; S to XL have block lists of their own,
which grow more in the later stages (section 3.3).

Where Keras differs from that file, we follow Keras: widths may be rounded below 90 % of their exact value, and dropout
is 0.2 for every size that Keras has. Two oddities of Keras we do not follow: its drop-path ramp of B1 to B3 divides by
the 21 blocks of B0, ours by the number of blocks that there are; and its B0 to B3 rescale images of other than three
channels to -1 to 1, while ours standardise each channel by the mean of ImageNet's statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import KERAS_DOCS, KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import ConvBlock, DenseClassifier, FusedMBConv, MBConv
from keras_effnet.ops import BatchNorm
from keras_effnet.scaling import Coefficients, Rounding, Tabulated, scale_spec
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

_NORM = BatchNorm(momentum=0.9)
# Pixels of S to XL: -1 to just below 1 (keras-team/keras, applications/efficientnet_v2.py).
_HALVED_PIXELS = Preprocessing(scale=1 / 128, offset=-1)
# Number of stages with fused blocks, at the start of every list.
_FUSED = 3

Row = tuple[int, int, int, int]


def _v2(
    size: str, stem: int, rows: tuple[Row, ...], resolution: int, pixels: Preprocessing, dropout: float = 0.2
) -> BackboneSpec:
    """The spec of a size, from rows of (expand, width, depth, stride)."""
    return BackboneSpec(
        name=f"efficientnet_v2_{size}",
        stem=StageSpec(ConvBlock(activation="swish", norm=_NORM), width=stem, stride=2),
        stages=tuple(_stage(number < _FUSED, row) for number, row in enumerate(rows)),
        head=StageSpec(
            ConvBlock(1, activation="swish", norm=_NORM, names=("top_conv", "top_bn", "top_activation")), width=1280
        ),
        classifier=DenseClassifier(dropout),
        resolution=resolution,
        drop_path=0.2,  # keras.applications' drop_connect_rate
        preprocessing=pixels,
        initializer="fan_out",
    )


def _stage(fused: bool, row: Row) -> StageSpec:
    expand, width, depth, stride = row
    plain = MBConv(expand=expand, norm=_NORM, padding="same", depthwise_name="dwconv2")
    return StageSpec(FusedMBConv(expand=expand, norm=_NORM) if fused else plain, width, depth, stride)


efficientnet_v2_b0_spec = _v2(
    "b0",
    stem=32,
    rows=((1, 16, 1, 1), (4, 32, 2, 2), (4, 48, 2, 2), (4, 96, 3, 2), (6, 112, 5, 1), (6, 192, 8, 2)),
    resolution=224,
    pixels=IMAGENET_PIXELS,
)

V2_TABLE: Mapping[str, Coefficients] = MappingProxyType(
    {
        "b0": Coefficients(),
        "b1": Coefficients(depth=1.1, resolution=240 / 224),
        "b2": Coefficients(depth=1.2, width=1.1, resolution=260 / 224),
        "b3": Coefficients(depth=1.4, width=1.2, resolution=300 / 224),
    }
)
"""The released coefficients of EfficientNetV2-B0 to B3, relative to B0."""

# keras.applications' round_filters of this family has no limit of 90 %.
V2_ROUNDING = Rounding(limit=0, resolution_multiple=1)


def _released(row: str) -> BackboneSpec:
    scaled = scale_spec(efficientnet_v2_b0_spec, row, rule=Tabulated(V2_TABLE), rounding=V2_ROUNDING)
    return replace(scaled, name=f"efficientnet_v2_{row}")


efficientnet_v2_b1_spec = _released("b1")
efficientnet_v2_b2_spec = _released("b2")
efficientnet_v2_b3_spec = _released("b3")
efficientnet_v2_s_spec = _v2(
    "s",
    stem=24,
    rows=((1, 24, 2, 1), (4, 48, 4, 2), (4, 64, 4, 2), (4, 128, 6, 2), (6, 160, 9, 1), (6, 256, 15, 2)),
    resolution=384,
    pixels=_HALVED_PIXELS,
)
efficientnet_v2_m_spec = _v2(
    "m",
    stem=24,
    rows=(
        *((1, 24, 3, 1), (4, 48, 5, 2), (4, 80, 5, 2)),
        *((4, 160, 7, 2), (6, 176, 14, 1), (6, 304, 18, 2), (6, 512, 5, 1)),
    ),
    resolution=480,
    pixels=_HALVED_PIXELS,
)
efficientnet_v2_l_spec = _v2(
    "l",
    stem=32,
    rows=(
        *((1, 32, 4, 1), (4, 64, 7, 2), (4, 96, 7, 2)),
        *((4, 192, 10, 2), (6, 224, 19, 1), (6, 384, 25, 2), (6, 640, 7, 1)),
    ),
    resolution=480,
    pixels=_HALVED_PIXELS,
)
efficientnet_v2_xl_spec = _v2(
    "xl",
    stem=32,
    rows=(
        *((1, 32, 4, 1), (4, 64, 8, 2), (4, 96, 8, 2)),
        *((4, 192, 16, 2), (6, 256, 24, 1), (6, 512, 32, 2), (6, 640, 8, 1)),
    ),
    resolution=512,
    pixels=_HALVED_PIXELS,
    dropout=0.4,
)

# (with top, without): keras-team/keras, applications/efficientnet_v2.py, WEIGHTS_HASHES.
_MD5 = {
    "b0": ("21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"),
    "b1": ("069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37"),
    "b2": ("424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb"),
    "b3": ("1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856"),
    "s": ("e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"),
    "m": ("a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"),
    "l": ("27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"),
}


def without_preprocessing(spec: BackboneSpec) -> BackboneSpec:
    """The same network without preprocessing, for callers who rescale pixels themselves.

    Args:
        spec: the network with preprocessing.

    Returns:
        The spec without.

    Example:
        >>> without_preprocessing(efficientnet_v2_s_spec).preprocessing.in_model
        False
    """
    return replace(spec, preprocessing=Preprocessing())


def _variant(
    spec: BackboneSpec, top1: float | None = None, top: str | None = None, notop: str | None = None
) -> Variant:
    """A row, with the MD5 of the weight files: keras-team/keras, applications/efficientnet_v2.py, WEIGHTS_HASHES."""
    size = spec.name.removeprefix("efficientnet_v2_")
    base, timm = None if size == "b0" else "efficientnet_v2_b0", f"tf_efficientnetv2_{size}"
    if top1 is None or top is None or notop is None:
        return Variant(spec, base, timm=timm)
    files = _file(f"efficientnetv2-{size}.h5", top), _file(f"efficientnetv2-{size}_notop.h5", notop)
    # One file serves with preprocessing inside and outside the model.
    weights = tuple(ImageNetWeights(one, *files) for one in (spec, without_preprocessing(spec)))
    return Variant(spec, base, f"EfficientNetV2{size.upper()}", timm, weights, top1, KERAS_DOCS)


def _file(name: str, md5: str) -> WeightFile:
    return WeightFile(name, f"{KERAS_STORAGE}/efficientnet_v2/{name}", md5)


VARIANTS = (
    _variant(efficientnet_v2_b0_spec, 78.7, "21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff"),
    _variant(efficientnet_v2_b1_spec, 79.8, "069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37"),
    _variant(efficientnet_v2_b2_spec, 80.5, "424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb"),
    _variant(efficientnet_v2_b3_spec, 82.0, "1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856"),
    _variant(efficientnet_v2_s_spec, 83.9, "e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070"),
    _variant(efficientnet_v2_m_spec, 85.3, "a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342"),
    _variant(efficientnet_v2_l_spec, 85.7, "27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615"),
    _variant(efficientnet_v2_xl_spec),
)
