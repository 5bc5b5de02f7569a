"""ImageNet weights: which architecture has a published file, and where it lies.

The files are those that keras.applications downloads: same addresses, same names, same checksums. They belong to
architectures, not to calls, so that a spec finds its file whoever built it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from keras_effnet.errors import WeightsError
from keras_effnet.spec import BackboneSpec

KERAS_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class WeightFile:
    """A file of ImageNet weights.

    Args:
        name: of the file, also in the local cache.
        url: address of the file.
        md5: its checksum; None where Keras publishes none.
        variance_factors: what to multiply the Normalization layer's variances by after loading, one for each channel:
            EfficientNet's weights expect pixels that are divided once more (see `applications.efficientnet`).
    """

    name: str
    url: str
    md5: str | None = None
    variance_factors: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Published:
    """An architecture with published weights.

    Args:
        spec: the architecture; the classifier's dropout, drop-path and the name do not matter.
        top: the file with the classifier.
        notop: the file without.
        any_resolution: whether one file serves every resolution, or this one only `spec.resolution`.
    """

    spec: BackboneSpec
    top: WeightFile
    notop: WeightFile
    any_resolution: bool = True

    def matches(self, spec: BackboneSpec) -> bool:
        resolution = self.spec.resolution if self.any_resolution else spec.resolution
        same = replace(spec, name=self.spec.name, resolution=resolution, drop_path=self.spec.drop_path)
        dropout = self.spec.classifier.dropout
        return replace(same, classifier=replace(spec.classifier, dropout=dropout)) == self.spec


def published_weights(spec: BackboneSpec, include_top: bool) -> WeightFile:
    """The file of ImageNet weights for this architecture.

    Raises:
        WeightsError: nobody has published weights for it.
    """
    for entry in _all_published():
        if entry.matches(spec):
            return entry.top if include_top else entry.notop
    raise WeightsError(
        "no ImageNet weights are published for this architecture: there are some for EfficientNet-B0 to B7, "
        "ResNet-50/101/152, MobileNet (alpha 0.25 to 1) and MobileNetV2 (alpha 0.35 to 1.4) as they are, not for "
        "scaled ones. Build with weights=None or with a file of your own. "
        f"Received: {spec.name!r} at {spec.resolution} px, "
        f"{spec.depth} blocks, stem width {spec.stem.width}"
    )


def _all_published() -> Iterator[Published]:
    from keras_effnet.applications import efficientnet, mobilenet, mobilenet_v2, resnet

    for family in (efficientnet, resnet, mobilenet, mobilenet_v2):
        yield from family.published()
