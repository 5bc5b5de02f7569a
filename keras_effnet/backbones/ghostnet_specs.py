"""GhostNet (Han et al. 2020, arXiv:1911.11907, Table 1).

Rows as in huggingface/pytorch-image-models, timm/models/ghostnet.py, whose weights are the authors'. Hidden widths
differ from row to row, so that each row is a stage.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import ConvBlock, GhostBottleneck, HiddenConvClassifier
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.spec import BackboneSpec, StageSpec

# (kernel, hidden width, width, se_ratio, stride).
_ROWS = (
    (3, 16, 16, 0, 1),
    (3, 48, 24, 0, 2),
    (3, 72, 24, 0, 1),
    (5, 72, 40, 0.25, 2),
    (5, 120, 40, 0.25, 1),
    (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 480, 112, 0.25, 1),
    (3, 672, 112, 0.25, 1),
    (5, 672, 160, 0.25, 2),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
    (5, 960, 160, 0, 1),
    (5, 960, 160, 0.25, 1),
)


def _stages() -> tuple[StageSpec, ...]:
    widths_in = (16, *(width for _, _, width, _, _ in _ROWS))
    return tuple(
        StageSpec(GhostBottleneck(kernel, hidden / width_in, se_ratio), width, stride=stride)
        for width_in, (kernel, hidden, width, se_ratio, stride) in zip(widths_in, _ROWS, strict=False)
    )


ghostnet_spec = BackboneSpec(
    name="ghostnet",
    stem=StageSpec(ConvBlock(padding="symmetric", norm=PYTORCH_NORM), width=16, stride=2),
    stages=_stages(),
    head=StageSpec(ConvBlock(1, norm=PYTORCH_NORM, names=("top_conv", "top_bn", "top_activation")), width=960),
    classifier=HiddenConvClassifier(dropout=0.2, width=1280, activation="relu"),
    resolution=224,
    preprocessing=IMAGENET_PIXELS,
    initializer="fan_out",
)

VARIANTS = (
    Variant(
        ghostnet_spec,
        timm="ghostnet_100",
        top1=73.982,
        source="huggingface/pytorch-image-models, results/results-imagenet.csv",
    ),
)
