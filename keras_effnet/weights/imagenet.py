"""Which file of ImageNet weights belongs to an architecture."""

from __future__ import annotations

from collections.abc import Iterator

from keras_effnet.backbones.catalogue import VARIANTS
from keras_effnet.backbones.published import ImageNetWeights, WeightFile
from keras_effnet.errors import WeightsError
from keras_effnet.spec import BackboneSpec


def published_weights(spec: BackboneSpec, include_top: bool) -> WeightFile:
    """The file of ImageNet weights for an architecture.

    Args:
        spec: the architecture.
        include_top: whether the file must hold the classifier.

    Returns:
        The file, to be downloaded.

    Raises:
        WeightsError: no weights are published for this architecture.
    """
    for weights in all_published():
        if weights.matches(spec):
            return weights.top if include_top else weights.notop
    names = [name for name, variant in VARIANTS.items() if variant.weights]
    raise WeightsError(
        f"no ImageNet weights are published for this architecture: there are some for {', '.join(names)} as they are "
        "(MobileNets also with other alphas), not for scaled ones. Build with weights=None or with a file of your own.",
        received=(f"{spec.name!r} at {spec.resolution} px, {spec.depth} blocks, stem width {spec.stem.width}"),
    )


def all_published() -> Iterator[ImageNetWeights]:
    """All ImageNet weights of the catalogue, in its order."""
    for variant in VARIANTS.values():
        yield from variant.weights
