"""Which file of ImageNet weights belongs to an architecture."""

from __future__ import annotations

from collections.abc import Iterator

from keras_effnet.backbones import efficientnet, mobilenet, mobilenet_v2, resnet
from keras_effnet.backbones.published import Published, WeightFile
from keras_effnet.errors import WeightsError
from keras_effnet.spec import BackboneSpec


def published_weights(spec: BackboneSpec, include_top: bool) -> WeightFile:
    """The file of ImageNet weights for this architecture.

    Raises:
        WeightsError: nobody has published weights for it.
    """
    for entry in all_published():
        if entry.matches(spec):
            return entry.top if include_top else entry.notop
    raise WeightsError(
        "no ImageNet weights are published for this architecture: there are some for EfficientNet-B0 to B7, "
        "ResNet-50/101/152, MobileNet (alpha 0.25 to 1) and MobileNetV2 (alpha 0.35 to 1.4) as they are, not for "
        "scaled ones. Build with weights=None or with a file of your own. "
        f"Received: {spec.name!r} at {spec.resolution} px, "
        f"{spec.depth} blocks, stem width {spec.stem.width}"
    )


def all_published() -> Iterator[Published]:
    """Every architecture that has ImageNet weights."""
    for family in (efficientnet, resnet, mobilenet, mobilenet_v2):
        yield from family.published()
