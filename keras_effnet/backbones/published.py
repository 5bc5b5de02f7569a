"""What is published of a network: a row of the catalogue, with weights and accuracy.

The files are those that keras.applications downloads: same addresses, same names, same checksums. They belong to
architectures, not to calls, so that a spec finds its file whoever built it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from keras_effnet.spec import BackboneSpec

KERAS_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"

# Where accuracies come from, as the documentation's table names them.
KERAS_DOCS = "keras.io/api/applications"
TPU_MODELS = "github.com/tensorflow/tpu, models/official"


@dataclass(frozen=True)
class WeightFile:
    """A file of ImageNet weights.

    Args:
        name: file name, also in the local cache.
        url: address to download the file from.
        checksum: MD5 (32 digits) or SHA-256 (64 digits) of the file, whichever Keras publishes; None if it has none.
        variance_factors: one factor a channel by which the variances of the Normalization layer are multiplied after
            loading; None leaves them (see `backbones.efficientnet_specs`).
    """

    name: str
    url: str
    checksum: str | None = None
    variance_factors: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ImageNetWeights:
    """ImageNet weights of one architecture.

    Args:
        spec: the architecture; its name, its drop-path and the classifier's dropout do not matter.
        top: the file with the classifier.
        notop: the file without the classifier.
        any_resolution: whether the files serve every resolution; if not, only `spec.resolution`.
    """

    spec: BackboneSpec
    top: WeightFile
    notop: WeightFile
    any_resolution: bool = True

    def matches(self, spec: BackboneSpec) -> bool:
        """Whether `spec` is the architecture that these weights were trained for."""
        resolution = self.spec.resolution if self.any_resolution else spec.resolution
        same = replace(spec, name=self.spec.name, resolution=resolution, drop_path=self.spec.drop_path)
        dropout = self.spec.classifier.dropout
        return replace(same, classifier=replace(spec.classifier, dropout=dropout)) == self.spec


@dataclass(frozen=True)
class Variant:
    """A row of the catalogue: one published network, and all that is known of it.

    Args:
        spec: the network; its name is the one that it is registered by.
        base: registered name of the network that this one is another size of; None for a base and for a network on
            its own.
        keras: name of the builder in keras.applications that makes the same network; None if there is none.
        timm: name in timm of a network with equal counts of parameters and multiply-adds; None if there is none.
        weights: published ImageNet weights, also of variations of `spec` that are not registered: other width
            multipliers, other preprocessing.
        top1: ImageNet top-1 accuracy in percent, as `source` gives it; None if no source was found.
        source: document that `top1` stands in.
    """

    spec: BackboneSpec
    base: str | None = None
    keras: str | None = None
    timm: str | None = None
    weights: tuple[ImageNetWeights, ...] = ()
    top1: float | None = None
    source: str | None = None

    @property
    def name(self) -> str:
        """The name that the network is registered by."""
        return self.spec.name
