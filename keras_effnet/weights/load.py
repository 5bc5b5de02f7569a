"""Loads any supported weight file into a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import keras
import numpy as np

from keras_effnet.errors import BuildError, InheritanceError, WeightsError
from keras_effnet.inheritance.embedded_network import known_spec
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.assign import Comparison, compare_tensors, mismatch
from keras_effnet.weights.keras_files import read_weight_file
from keras_effnet.weights.keras_pairing import keras_tensors
from keras_effnet.weights.load_report import LoadReport
from keras_effnet.weights.load_target import LoadTarget, network_in
from keras_effnet.weights.locate import WeightSource, find_weights
from keras_effnet.weights.tensors import Tensor
from keras_effnet.weights.tf_checkpoint import checkpoint_tensors
from keras_effnet.weights.timm_weights import timm_tensors

logger = logging.getLogger(__name__)


def load_weights(
    model: keras.Model, path: str | PathLike[str], *, spec: BackboneSpec | None = None, partial: bool = False
) -> LoadReport:
    """Loads a weight file into a model: all of it or, with `partial`, what fits.

    | file | layout |
    |---|---|
    | `.weights.h5`, `.h5`, `.keras` | Keras |
    | `.safetensors`, or `hf://timm/NAME` | timm; `keras_effnet.timm_spec` gives the specs of its models |
    | `model.ckpt.index` with its data, the prefix `model.ckpt`, or the folder | EfficientNet's TensorFlow releases |

    All shapes are compared before the first weight is assigned. A file that is none of the whole model may be one of
    the network in it: layers in front of the network and behind it then keep their weights. See docs/weights.md for
    details.

    Args:
        model: a model; one that holds other models must be made of one network and layers around it.
        path: the weight file.
        spec: the spec that the model was built from; None uses the spec embedded in the model. Not needed for Keras
            files. Default: None.
        partial: True loads the tensors that fit and leaves all other weights as they are; layers of Keras files are
            then paired by name. False loads all or nothing. Default: False.

    Returns:
        A report on every tensor; `str()` of it is a table.

    Raises:
        WeightsError: the file is missing, broken, a pickle, or of another architecture; the message names the first
            tensor that is missing, has another shape or is left over. The model is unchanged.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from keras_effnet import build_model, scale_spec
        >>> small, large = (build_model(scale_spec("mobilenet_v1", phi=phi), classes=10) for phi in (-5, -3))
        >>> with TemporaryDirectory() as folder:
        ...     small.save_weights(Path(folder) / "small.weights.h5")
        ...     report = load_weights(large, Path(folder) / "small.weights.h5", partial=True)
        >>> report.counts["misshapen"] > 0
        True
    """
    source = find_weights(path)
    if source.layout != "keras" and spec is None:
        spec = _spec_of(model, source.path)
    return load_source(_targets(model), source, spec=spec, partial=partial)


def load_source(
    targets: Iterable[LoadTarget], source: WeightSource, *, spec: BackboneSpec | None = None, partial: bool = False
) -> LoadReport:
    """Loads a weight file that was already located; otherwise like `load_weights`.

    Args:
        targets: what the file may be for, at least one: the first that it fits gets it; with `partial`, if it fits
            none, the one with most that fits.
        source: the located file.
        spec: the spec of the network; not needed for Keras files. Default: None.
        partial: whether to load the tensors that fit and leave all other weights as they are. Default: False.

    Returns:
        A report on every tensor.

    Raises:
        WeightsError: the file is broken, or of another architecture. The model is unchanged.
    """
    path, read = source.path, _reader(source, spec, partial)
    compared: list[tuple[LoadTarget, Comparison]] = []
    for target in targets:
        tensors = read(target.layers)
        if source.variance_factors is not None:
            tensors = [_with_variance(target, tensor, source.variance_factors) for tensor in tensors]
        comparison = compare_tensors(target, tensors, path, source.layout)
        if not comparison.report.differences:
            return comparison.assign()
        compared.append((target, comparison))
    target, best = max(compared, key=lambda pair: (len(pair[1].fitting), -len(pair[1].report.differences)))
    if not partial:
        raise mismatch(target, best.report)
    if not best.fitting:
        logger.warning("nothing in %s fits %r: all its weights stay as they are", path, target.name)
    return best.assign()


def _targets(model: keras.Model) -> Iterator[LoadTarget]:
    """The whole model, then the network in it where other layers stand around that."""
    whole = LoadTarget.whole(model)
    yield whole
    network = network_in(model)
    if network is not None and (network.others or not network.layers.keys() <= whole.layers.keys()):
        yield network


def _reader(
    source: WeightSource, spec: BackboneSpec | None, partial: bool
) -> Callable[[Mapping[str, Any]], list[Tensor]]:
    """What gives the tensors of a file for the layers of a target."""
    if source.layout == "keras" or spec is None:  # files of the other layouts come with a spec
        saved = read_weight_file(source.path)
        return lambda layers: keras_tensors(layers, saved, by_name=partial)
    tensors = timm_tensors if source.layout == "timm" else checkpoint_tensors
    return lambda layers: tensors(layers, spec, source.path)


def _spec_of(model: keras.Model, path: object) -> BackboneSpec:
    try:
        return known_spec(model).spec
    except (BuildError, InheritanceError) as error:
        raise WeightsError(
            "this kind of file needs the model's spec. It is no registered backbone, and none is embedded in "
            f"{model.name!r}: pass the `spec` that it was built from.",
            received=repr(str(path)),
        ) from error


def _with_variance(target: LoadTarget, tensor: Tensor, factors: tuple[float, ...]) -> Tensor:
    """Multiplies the variance of the Normalization layer, its second weight, by a factor per channel."""
    if tensor.layer is None or tensor.array is None or tensor.index != 1:
        return tensor
    if not isinstance(target.layers.get(tensor.layer), keras.layers.Normalization):
        return tensor
    return replace(tensor, array=tensor.array * np.asarray(factors, tensor.array.dtype))
