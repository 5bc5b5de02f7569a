"""ResNet-18 and 34 (He et al. 2016, arXiv:1512.03385, Table 1), as in torchvision and timm.

keras.applications has neither. Details that the paper leaves open (no biases, BatchNorm's epsilon, equal padding on all
sides) are those of pytorch/vision, torchvision/models/resnet.py.
"""

from __future__ import annotations

from keras_effnet.backbones.imagenet_pixels import IMAGENET_PIXELS
from keras_effnet.backbones.published import Variant
from keras_effnet.blocks import BasicBlock, ResNetStem
from keras_effnet.blocks.bottleneck import PYTORCH_NORM
from keras_effnet.spec import BackboneSpec, StageSpec


def _resnet(name: str, depths: tuple[int, int, int, int]) -> BackboneSpec:
    stages = zip((64, 128, 256, 512), depths, (1, 2, 2, 2), strict=True)
    return BackboneSpec(
        name=name,
        stem=StageSpec(ResNetStem(bias=False, norm=PYTORCH_NORM), width=64, stride=4),
        stages=tuple(StageSpec(BasicBlock(), width, depth, stride) for width, depth, stride in stages),
        resolution=224,
        preprocessing=IMAGENET_PIXELS,
        initializer="fan_out",
    )


resnet18_spec = _resnet("resnet18", (2, 2, 2, 2))
resnet34_spec = _resnet("resnet34", (3, 4, 6, 3))

# acc@1 of the weights IMAGENET1K_V1, which "reproduce closely the results of the paper".
_SOURCE = "pytorch.org/vision, torchvision.models"

VARIANTS = (
    Variant(resnet18_spec, timm="resnet18", top1=69.758, source=_SOURCE),
    Variant(resnet34_spec, resnet18_spec.name, timm="resnet34", top1=73.314, source=_SOURCE),
)
