"""Which file of ImageNet weights belongs to an architecture."""

from __future__ import annotations

from collections.abc import Iterator

from keras_effnet.backbones import (
    convnext,
    densenet,
    efficientnet,
    efficientnet_v2,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    resnet_v2,
)
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
    names = dict.fromkeys(entry.spec.name for entry in all_published())
    raise WeightsError(
        f"no ImageNet weights are published for this architecture: there are some for {', '.join(names)} as they are "
        "(MobileNets also with other alphas), not for scaled ones. Build with weights=None or with a file of your own. "
        f"Received: {spec.name!r} at {spec.resolution} px, "
        f"{spec.depth} blocks, stem width {spec.stem.width}"
    )


def all_published() -> Iterator[Published]:
    """Every architecture that has ImageNet weights."""
    for family in (
        efficientnet,
        efficientnet_v2,
        resnet,
        resnet_v2,
        densenet,
        mobilenet,
        mobilenet_v2,
        mobilenet_v3,
        convnext,
    ):
        yield from family.published()
