"""Published ImageNet weights: what is known of a file, and of the architecture that it belongs to.

The files are those that keras.applications downloads: same addresses, same names, same checksums. They belong to
architectures, not to calls, so that a spec finds its file whoever built it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keras_effnet.spec import BackboneSpec

KERAS_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class WeightFile:
    """A file of ImageNet weights.

    Args:
        name: of the file, also in the local cache.
        url: address of the file.
        md5: its checksum, MD5 or (64 digits) SHA-256, whichever Keras publishes; None where there is none.
        variance_factors: what to multiply the Normalization layer's variances by after loading, one for each channel:
            EfficientNet's weights expect pixels that are divided once more (see `backbones.efficientnet_specs`).
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
        """Whether these weights are those of `spec`."""
        resolution = self.spec.resolution if self.any_resolution else spec.resolution
        same = replace(spec, name=self.spec.name, resolution=resolution, drop_path=self.spec.drop_path)
        dropout = self.spec.classifier.dropout
        return replace(same, classifier=replace(spec.classifier, dropout=dropout)) == self.spec
