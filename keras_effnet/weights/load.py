"""Loads any supported weight file into a model."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike

import keras
import numpy as np

from keras_effnet.builder.embedded_spec import read_embedded_spec
from keras_effnet.errors import BuildError, WeightsError
from keras_effnet.spec import BackboneSpec
from keras_effnet.weights.assign import assign_tensors
from keras_effnet.weights.keras_files import read_weight_file
from keras_effnet.weights.keras_pairing import keras_tensors
from keras_effnet.weights.load_report import LoadReport
from keras_effnet.weights.locate import WeightSource, find_weights
from keras_effnet.weights.tensors import Tensor
from keras_effnet.weights.tf_checkpoint import checkpoint_tensors
from keras_effnet.weights.timm_weights import timm_tensors


def load_weights(
    model: keras.Model, path: str | PathLike[str], *, spec: BackboneSpec | None = None, partial: bool = False
) -> LoadReport:
    """Loads a weight file into a model: all of it or, with `partial`, what fits.

    | file | layout |
    |---|---|
    | `.weights.h5`, `.h5`, `.keras` | Keras |
    | `.safetensors`, or `hf://timm/NAME` | timm; `keras_effnet.timm_spec` gives the specs of its models |
    | `model.ckpt.index` with its data, the prefix `model.ckpt`, or the folder | EfficientNet's TensorFlow releases |

    All shapes are compared before the first weight is assigned. See docs/weights.md for details.

    Args:
        model: a model without nested models.
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
    return load_source(model, find_weights(path), spec=spec, partial=partial)


def load_source(
    model: keras.Model, source: WeightSource, *, spec: BackboneSpec | None = None, partial: bool = False
) -> LoadReport:
    """Loads a weight file that was already located; otherwise like `load_weights`.

    Args:
        model: a model without nested models.
        source: the located file.
        spec: the spec that the model was built from; None uses the embedded one. Default: None.
        partial: whether to load the tensors that fit and leave all other weights as they are. Default: False.

    Returns:
        A report on every tensor.

    Raises:
        WeightsError: the file is broken, or of another architecture. The model is unchanged.
    """
    path = source.path
    if source.layout == "keras":
        tensors = keras_tensors(model, read_weight_file(path), by_name=partial)
    else:
        read = timm_tensors if source.layout == "timm" else checkpoint_tensors
        tensors = read(model, _spec_of(model, path) if spec is None else spec, path)
    if source.variance_factors is not None:
        tensors = [_with_variance(model, tensor, source.variance_factors) for tensor in tensors]
    return assign_tensors(model, tensors, path, source.layout, partial)


def _spec_of(model: keras.Model, path: object) -> BackboneSpec:
    try:
        return read_embedded_spec(model).spec
    except BuildError as error:
        raise WeightsError(
            f"this kind of file needs the model's spec, which is not embedded in {model.name!r}: pass the `spec` that "
            "it was built from.",
            received=repr(str(path)),
        ) from error


def _with_variance(model: keras.Model, tensor: Tensor, factors: tuple[float, ...]) -> Tensor:
    """Multiplies the variance of the Normalization layer, its second weight, by a factor per channel."""
    if tensor.layer is None or tensor.array is None or tensor.index != 1:
        return tensor
    if not isinstance(model.get_layer(tensor.layer), keras.layers.Normalization):
        return tensor
    return replace(tensor, array=tensor.array * np.asarray(factors, tensor.array.dtype))
