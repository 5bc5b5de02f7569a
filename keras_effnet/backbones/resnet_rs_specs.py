"""ResNet-RS-50 to 420 (Bello et al. 2021, arXiv:2103.07579): ResNet-D with squeeze-and-excitation.

Depths, squeeze ratio, dropout and drop-path: keras-team/keras before version 3, applications/resnet_rs.py, after
tensorflow/tpu, models/official/resnet/resnet_rs. Resolutions are those of the weights that timm converted; the authors
also trained 101 at 160, 152 at 192 and 224, and 350 at 320 px.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import TPU_MODELS, Variant
from keras_effnet.blocks import Bottleneck, DeepStem, DenseClassifier
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.spec import BackboneSpec, StageSpec

_BLOCK = Bottleneck(
    se_ratio=0.25,
    se_at="end",
    stride_at="kernel",
    shortcut="pool",
    bias=False,
    padding="symmetric",
    norm=PYTORCH_NORM,
)


def _resnet_rs(
    name: str, depths: tuple[int, int, int, int], resolution: int, dropout: float, drop_path: float
) -> BackboneSpec:
    widths, strides = (64, 128, 256, 512), (1, 2, 2, 2)
    stages = zip(widths, depths, strides, strict=True)
    return BackboneSpec(
        name=name,
        stem=StageSpec(DeepStem(norm=PYTORCH_NORM), width=64, stride=4),
        stages=tuple(StageSpec(_BLOCK, width, depth, stride) for width, depth, stride in stages),
        classifier=DenseClassifier(dropout=dropout),
        resolution=resolution,
        drop_path=drop_path,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


resnet_rs50_spec = _resnet_rs("resnet_rs50", (3, 4, 6, 3), resolution=160, dropout=0.25, drop_path=0.0)
resnet_rs101_spec = _resnet_rs("resnet_rs101", (3, 4, 23, 3), resolution=192, dropout=0.25, drop_path=0.0)
resnet_rs152_spec = _resnet_rs("resnet_rs152", (3, 8, 36, 3), resolution=256, dropout=0.25, drop_path=0.0)
resnet_rs200_spec = _resnet_rs("resnet_rs200", (3, 24, 36, 3), resolution=256, dropout=0.25, drop_path=0.1)
resnet_rs270_spec = _resnet_rs("resnet_rs270", (4, 29, 53, 4), resolution=256, dropout=0.25, drop_path=0.1)
resnet_rs350_spec = _resnet_rs("resnet_rs350", (4, 36, 72, 4), resolution=256, dropout=0.4, drop_path=0.1)
resnet_rs420_spec = _resnet_rs("resnet_rs420", (4, 44, 87, 4), resolution=320, dropout=0.4, drop_path=0.1)


def _variant(spec: BackboneSpec, top1: float) -> Variant:
    base = None if spec is resnet_rs50_spec else "resnet_rs50"
    source = f"{TPU_MODELS}/resnet/resnet_rs/README.md"
    return Variant(spec, base, timm=spec.name.replace("_", ""), top1=top1, source=source)


VARIANTS = (
    _variant(resnet_rs50_spec, 78.8),
    _variant(resnet_rs101_spec, 81.2),
    _variant(resnet_rs152_spec, 83.0),
    _variant(resnet_rs200_spec, 83.4),
    _variant(resnet_rs270_spec, 83.8),
    _variant(resnet_rs350_spec, 84.0),
    _variant(resnet_rs420_spec, 84.4),
)
