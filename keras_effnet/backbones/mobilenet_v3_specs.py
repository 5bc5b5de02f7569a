"""MobileNetV3 Large and Small, also minimalistic (Howard et al. 2019, arXiv:1905.02244, Tables 1 and 2).

Minimalistic networks have the same widths, but no squeeze-and-excitation, no hard swish and no 5x5 kernels
(tensorflow/models, research/slim/nets/mobilenet; keras.applications.mobilenet_v3).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from keras_effnet.backbones.published import KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import ConvBlock, HiddenConvClassifier, InvertedResidualV3
from keras_effnet.blocks.base import whole_width
from keras_effnet.blocks.mobile import MOBILENET_V2_NORM
from keras_effnet.checks import check_bool, check_choice, check_number
from keras_effnet.errors import SpecError
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec

Size = Literal["small", "large"]


class _Row(NamedTuple):
    """One or more equal rows of the paper's tables; `expand` is hidden width over input width."""

    expand: float
    width: int
    depth: int
    stride: int
    kernel: int
    squeeze: bool
    activation: str


_ROWS = {
    # arXiv:1905.02244, Table 1; 184/80 is 2.3.
    "large": (
        _Row(1, 16, 1, 1, 3, False, "relu"),
        _Row(4, 24, 1, 2, 3, False, "relu"),
        _Row(3, 24, 1, 1, 3, False, "relu"),
        _Row(3, 40, 3, 2, 5, True, "relu"),
        _Row(6, 80, 1, 2, 3, False, "hard_swish"),
        _Row(2.5, 80, 1, 1, 3, False, "hard_swish"),
        _Row(2.3, 80, 2, 1, 3, False, "hard_swish"),
        _Row(6, 112, 2, 1, 3, True, "hard_swish"),
        _Row(6, 160, 3, 2, 5, True, "hard_swish"),
    ),
    # arXiv:1905.02244, Table 2.
    "small": (
        _Row(1, 16, 1, 2, 3, True, "relu"),
        _Row(72 / 16, 24, 1, 2, 3, False, "relu"),
        _Row(88 / 24, 24, 1, 1, 3, False, "relu"),
        _Row(4, 40, 1, 2, 5, True, "hard_swish"),
        _Row(6, 40, 2, 1, 5, True, "hard_swish"),
        _Row(3, 48, 2, 1, 5, True, "hard_swish"),
        _Row(6, 96, 3, 2, 5, True, "hard_swish"),
    ),
}
# Width of the classifier's hidden convolution: the last row but one of each table.
_HIDDEN = {"large": 1280, "small": 1024}
_HEAD_EXPAND = 6  # 960 / 160 and 576 / 96: the rows before the pooling


def mobilenet_v3_with(
    size: Size,
    alpha: float = 1.0,
    minimalistic: bool = False,
    dropout: float = 0.2,
    include_preprocessing: bool = True,
) -> BackboneSpec:
    """MobileNetV3 with a width multiplier: widths are multiples of 8. The stem never scales, the hidden layer only up.

    Args:
        size: "small" or "large".
        alpha: width multiplier, above 0.
        minimalistic: whether to leave out squeeze-and-excitation, hard swish and 5x5 kernels.
        dropout: dropout rate of the classifier, in [0, 1).
        include_preprocessing: whether the model takes pixels from 0 to 255; if not, from -1 to 1.

    Returns:
        The spec, at 224 px.

    Raises:
        SpecError: a value is outside its range.

    Example:
        >>> [stage.width for stage in mobilenet_v3_with("small", alpha=0.75).stages]
        [16, 24, 24, 32, 32, 40, 72]
    """
    check_choice(SpecError, "size", size, tuple(_ROWS))
    alpha = check_number(SpecError, "alpha", alpha, 0, open_low=True)
    minimalistic = check_bool(SpecError, "minimalistic", minimalistic)
    include_preprocessing = check_bool(SpecError, "include_preprocessing", include_preprocessing)
    stages = tuple(_stage(row, whole_width(row.width * alpha), minimalistic) for row in _ROWS[size])
    activation = "relu" if minimalistic else "hard_swish"
    hidden = whole_width(_HIDDEN[size] * alpha) if alpha > 1 else _HIDDEN[size]
    return BackboneSpec(
        name=f"mobilenet_v3_{size}" + ("_minimalistic" if minimalistic else ""),
        stem=_conv(3, activation, "conv", 16, stride=2),
        stages=stages,
        head=_conv(1, activation, "conv_1", whole_width(stages[-1].width * _HEAD_EXPAND)),
        classifier=HiddenConvClassifier(dropout, hidden, activation),
        resolution=224,
        preprocessing=Preprocessing(scale=1 / 127.5, offset=-1) if include_preprocessing else Preprocessing(mode="tf"),
    )


def _stage(row: _Row, width: int, minimalistic: bool) -> StageSpec:
    block = InvertedResidualV3(row.kernel, row.expand, 0.25 if row.squeeze else 0, row.activation)
    if minimalistic:
        block = InvertedResidualV3(3, row.expand, 0, "relu")
    return StageSpec(block, width, row.depth, row.stride)


def _conv(kernel: int, activation: str, name: str, width: int, stride: int = 1) -> StageSpec:
    names = (name, f"{name}_bn", f"{name}_activation")
    block = ConvBlock(kernel, activation=activation, norm=MOBILENET_V2_NORM, names=names)
    return StageSpec(block, width, stride=stride)


mobilenet_v3_small_spec = mobilenet_v3_with("small")
mobilenet_v3_large_spec = mobilenet_v3_with("large")
mobilenet_v3_small_minimalistic_spec = mobilenet_v3_with("small", minimalistic=True)
mobilenet_v3_large_minimalistic_spec = mobilenet_v3_with("large", minimalistic=True)

# MD5 of the files with top and without, by alpha: keras-team/keras, applications/mobilenet_v3.py, WEIGHTS_HASHES.
Checksums = dict[float, tuple[str, str]]


def _variant(spec: BackboneSpec, top1: float, checksums: Checksums) -> Variant:
    """A row; one file serves with preprocessing inside and outside the model."""
    size: Size = "large" if "_large" in spec.name else "small"
    minimalistic = spec.name.endswith("_minimalistic")
    weights = []
    for alpha, (top, notop) in checksums.items():
        stem = f"weights_{spec.name}_224_{alpha}_float"
        files = _file(f"{stem}.h5", top), _file(f"{stem}_no_top_v2.h5", notop)
        for inside in (True, False):
            one = mobilenet_v3_with(size, alpha, minimalistic, include_preprocessing=inside)
            weights.append(ImageNetWeights(one, *files))
    source = "keras-team/keras, applications/mobilenet_v3.py"
    return Variant(spec, keras=f"MobileNetV3{size.title()}", weights=tuple(weights), top1=top1, source=source)


def _file(name: str, md5: str) -> WeightFile:
    return WeightFile(name, f"{KERAS_STORAGE}/mobilenet_v3/{name}", md5)


VARIANTS = (
    _variant(
        mobilenet_v3_large_spec,
        75.6,
        {
            0.75: ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
            1.0: ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
        },
    ),
    _variant(
        mobilenet_v3_large_minimalistic_spec,
        72.3,
        {1.0: ("675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973")},
    ),
    _variant(
        mobilenet_v3_small_spec,
        68.1,
        {
            0.75: ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
            1.0: ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
        },
    ),
    _variant(
        mobilenet_v3_small_minimalistic_spec,
        61.9,
        {1.0: ("99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4")},
    ),
)
