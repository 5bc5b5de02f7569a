"""Finds the weight file that a caller asked for, on disk or by download, and tells its layout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import keras

from keras_effnet.errors import WeightsError
from keras_effnet.given_path import given_path
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.hub import PREFIX, hub_file
from keras_effnet.weights.imagenet import published_weights

Layout = Literal["keras", "timm", "checkpoint"]

# Suffixes of pickle files, of PyTorch's torch.save and of Python's own.
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".pickle")
_INDEX = ".index"


@dataclass(frozen=True)
class WeightSource:
    """A weight file on disk.

    Args:
        path: path of the file; for a TensorFlow checkpoint the prefix of its files.
        layout: "keras", "timm" (a safetensors file) or "checkpoint" (TensorFlow's).
        variance_factors: one factor a channel for the Normalization layer's variances, or None; see
            `keras_effnet.backbones.published.WeightFile`.
    """

    path: Path
    layout: Layout = "keras"
    variance_factors: tuple[float, ...] | None = None


def locate_weights(spec: BackboneSpec, weights: str | PathLike[str], include_top: bool) -> WeightSource:
    """Finds a weight file; "imagenet" downloads Keras' own file to Keras' cache, once.

    Args:
        spec: architecture that the weights are for.
        weights: "imagenet", or the path of a file as in `find_weights`.
        include_top: whether to download the ImageNet file that holds the classifier.

    Returns:
        The file and its layout.

    Raises:
        WeightsError: there is no such file, it is a pickle, no weights are published for this architecture, or the
            download failed.
    """
    if weights == "imagenet":
        file = published_weights(spec, include_top)
        try:
            path = keras.utils.get_file(file.name, file.url, cache_subdir="models", file_hash=file.checksum)
        except Exception as error:  # get_file raises a bare Exception if the address cannot be reached
            place = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models" / file.name
            raise WeightsError(
                f"the ImageNet weights could not be fetched: {error}. Fetch {file.url} elsewhere and put it at "
                f"{place}, or build with weights=None.",
                received="weights='imagenet'",
            ) from error
        return WeightSource(Path(path), variance_factors=file.variance_factors)
    return find_weights(weights)


def find_weights(weights: str | PathLike[str]) -> WeightSource:
    """Finds a file by its path and tells its layout by its name.

    Args:
        weights: path of a weight file; for a TensorFlow checkpoint its prefix, its `.index` file or its folder; for a
            file of the Hugging Face Hub its address, as in `hub_file`.

    Returns:
        The file and its layout.

    Raises:
        WeightsError: there is no such file, the folder does not hold exactly one checkpoint, the file is a pickle, or
            cannot be fetched.
    """
    if isinstance(weights, str) and weights.startswith(PREFIX):
        weights = hub_file(weights)
    path = given_path(WeightsError, weights)
    if path.is_dir():
        return WeightSource(_checkpoint_in(path), "checkpoint")
    if path.suffix == _INDEX and path.is_file():
        return WeightSource(path.with_suffix(""), "checkpoint")
    if path.with_name(path.name + _INDEX).is_file():
        return WeightSource(path, "checkpoint")
    if not path.is_file():
        raise WeightsError(
            "`weights` must be None, 'imagenet', the path of an existing weight file, or hf://OWNER/NAME.",
            received=f"weights={str(weights)!r}",
        )
    if path.suffix.lower() in _PICKLES:
        raise WeightsError(
            "files of PyTorch's torch.save are pickles, which may run any code, and are never read. Convert the file "
            "where you trust it: safetensors.torch.save_file(torch.load(path, weights_only=True), "
            "'weights.safetensors').",
            received=f"weights={str(weights)!r}",
        )
    return WeightSource(path, "timm" if path.suffix.lower() == ".safetensors" else "keras")


def _checkpoint_in(folder: Path) -> Path:
    """The prefix of the only checkpoint in a folder."""
    found = sorted(folder.glob(f"*{_INDEX}"))
    if len(found) != 1:
        raise WeightsError(
            "`weights` must be None, 'imagenet', the path of an existing weight file, or hf://OWNER/NAME. A folder "
            f"must hold one TensorFlow checkpoint; this one has {len(found)} (`*{_INDEX}` files).",
            received=f"weights={str(folder)!r}",
        )
    return found[0].with_suffix("")
