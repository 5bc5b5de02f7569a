"""ResNetV2-50, 101 and 152 (He et al. 2016, arXiv:1603.05027), as in keras.applications.resnet_v2.

Depths are those of version 1. Keras strides in the last block of a stage, not in the first of the next, so the first
three stages stride.
"""

from __future__ import annotations

from keras_effnet.backbones.published import KERAS_DOCS, KERAS_STORAGE, ImageNetWeights, Variant, WeightFile
from keras_effnet.blocks import NormActivation, PreactBottleneck, ResNetStem
from keras_effnet.spec import BackboneSpec, Preprocessing, StageSpec


def _resnet_v2(name: str, depths: tuple[int, int, int, int]) -> BackboneSpec:
    widths, strides = (64, 128, 256, 512), (2, 2, 2, 1)
    stages = zip(widths, depths, strides, strict=True)
    return BackboneSpec(
        name=name,
        stem=StageSpec(ResNetStem(norm=None), width=64, stride=4),
        stages=tuple(StageSpec(PreactBottleneck(), width, depth, stride) for width, depth, stride in stages),
        head=StageSpec(NormActivation(), width=2048),
        resolution=224,
        preprocessing=Preprocessing(mode="tf"),
    )


resnet50_v2_spec = _resnet_v2("resnet50_v2", (3, 4, 6, 3))
resnet101_v2_spec = _resnet_v2("resnet101_v2", (3, 4, 23, 3))
resnet152_v2_spec = _resnet_v2("resnet152_v2", (3, 8, 36, 3))


def _variant(spec: BackboneSpec, keras: str, top1: float, top: str, notop: str) -> Variant:
    """A row, with the MD5 of the weight files: keras-team/keras, applications/resnet.py, WEIGHTS_HASHES."""
    base = None if spec is resnet50_v2_spec else "resnet50_v2"
    weights = ImageNetWeights(spec, _file(spec.name, "", top), _file(spec.name, "_notop", notop))
    return Variant(spec, base, keras, weights=(weights,), top1=top1, source=KERAS_DOCS)


def _file(name: str, suffix: str, md5: str) -> WeightFile:
    file = f"{name.replace('_', '')}_weights_tf_dim_ordering_tf_kernels{suffix}.h5"
    return WeightFile(file, f"{KERAS_STORAGE}/resnet/{file}", md5)


VARIANTS = (
    _variant(
        resnet50_v2_spec, "ResNet50V2", 76.0, "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"
    ),
    _variant(
        resnet101_v2_spec, "ResNet101V2", 77.2, "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"
    ),
    _variant(
        resnet152_v2_spec, "ResNet152V2", 78.0, "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"
    ),
)
