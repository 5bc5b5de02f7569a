"""ResNet-50, 101 and 152, version 1 (He et al. 2016, arXiv:1512.03385, Table 1)."""

from __future__ import annotations

from collections.abc import Iterator

from keras_effnet.backbones.published import KERAS_STORAGE, Published, WeightFile
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

# (with top, without): keras-team/keras, applications/resnet.py, WEIGHTS_HASHES.
_MD5 = {
    "resnet50": ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet101": ("f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet152": ("100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
}


def published() -> Iterator[Published]:
    """Every architecture of this module that has ImageNet weights."""
    for spec in (resnet50_spec, resnet101_spec, resnet152_spec):
        top, notop = _MD5[spec.name]
        yield Published(spec, _file(spec.name, "", top), _file(spec.name, "_notop", notop))


def _file(name: str, suffix: str, md5: str) -> WeightFile:
    file = f"{name}_weights_tf_dim_ordering_tf_kernels{suffix}.h5"
    return WeightFile(file, f"{KERAS_STORAGE}/resnet/{file}", md5)
