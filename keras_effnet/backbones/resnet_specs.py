"""ResNet-50, 101 and 152 (version 1, He et al. 2016, arXiv:1512.03385, Table 1)."""

from __future__ import annotations

from keras_effnet.backbones.published import KERAS_DOCS, KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import Bottleneck, ResNetStem
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec


def _resnet(name: str, depths: tuple[int, int, int, int]) -> BackboneSpec:
    widths, strides = (64, 128, 256, 512), (1, 2, 2, 2)
    stages = zip(widths, depths, strides, strict=True)
    return BackboneSpec(
        name=name,
        stem=StageSpec(ResNetStem(), width=64, stride=4),
        stages=tuple(StageSpec(Bottleneck(), width, depth, stride) for width, depth, stride in stages),
        resolution=224,
        preprocessing=Preprocessing(mode="caffe"),
    )


resnet50_spec = _resnet("resnet50", (3, 4, 6, 3))
resnet101_spec = _resnet("resnet101", (3, 4, 23, 3))
resnet152_spec = _resnet("resnet152", (3, 8, 36, 3))


def _variant(spec: BackboneSpec, keras: str, top1: float, top: str, notop: str) -> Variant:
    """A row, with the MD5 of the weight files: keras-team/keras, applications/resnet.py, WEIGHTS_HASHES."""
    base = None if spec is resnet50_spec else "resnet50"
    weights = ImageNetWeights(spec, _file(spec.name, "", top), _file(spec.name, "_notop", notop))
    return Variant(spec, base, keras, weights=(weights,), top1=top1, source=KERAS_DOCS)


def _file(name: str, suffix: str, md5: str) -> WeightFile:
    file = f"{name}_weights_tf_dim_ordering_tf_kernels{suffix}.h5"
    return WeightFile(file, f"{KERAS_STORAGE}/resnet/{file}", md5)


VARIANTS = (
    _variant(resnet50_spec, "ResNet50", 74.9, "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    _variant(resnet101_spec, "ResNet101", 76.4, "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    _variant(resnet152_spec, "ResNet152", 76.6, "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
)
