"""Where the weights that a caller asked for lie on disk."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import keras

from keras_effnet.errors import WeightsError
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.imagenet import published_weights


@dataclass(frozen=True)
class WeightSource:
    """A weight file on disk.

    Args:
        path: of the file.
        variance_factors: see `keras_effnet.backbones.published.WeightFile`.
    """

    path: Path
    variance_factors: tuple[float, ...] | None = None


def locate_weights(spec: BackboneSpec, weights: str | PathLike[str], include_top: bool) -> WeightSource:
    """Finds a weight file; "imagenet" downloads Keras' own to Keras' cache, once.

    Args:
        spec: the architecture.
        weights: "imagenet" or a path.
        include_top: whether the file must hold a classifier.

    Returns:
        The file.

    Raises:
        WeightsError: no such file, no published weights for this architecture, or the download failed.
    """
    if weights == "imagenet":
        file = published_weights(spec, include_top)
        try:
            path = keras.utils.get_file(file.name, file.url, cache_subdir="models", file_hash=file.md5)
        except Exception as error:  # get_file raises a bare Exception where the address cannot be reached
            raise WeightsError(
                f"the ImageNet weights could not be fetched: {error}. Put the file into Keras' cache "
                f"(~/.keras/models), or build with weights=None. Received: {file.url}"
            ) from error
        return WeightSource(Path(path), file.variance_factors)
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            "`weights` must be None, 'imagenet' or the path of an existing weight file. "
            f"Received: weights={str(weights)!r}"
        )
    return WeightSource(path)
