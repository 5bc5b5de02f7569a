"""The one door: any weight file we can read, into a model."""

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
    | `.weights.h5`, `.h5`, `.keras` | Keras' |
    | `.safetensors` | timm's; `keras_effnet.backbones.timm_specs.timm_spec` has the specs that give timm's outputs |
    | `model.ckpt.index` with its data; also the prefix `model.ckpt`, or the folder | the released EfficientNets' |

    Every shape is compared before the first value is assigned. docs/weights.md has the details.

    Args:
        model: a flat model.
        path: of the file.
        spec: what the model was built from; by default what its tag says. Keras' files need none.
        partial: whether to load the tensors that fit and to leave the others as they are. Of a Keras file, layers are
            then paired by name.

    Returns:
        A report of every tensor; `str()` of it is a table.

    Raises:
        WeightsError: no such file, a broken one, a pickle; or one of another architecture: names the first tensor that
            is missing, misshapen or left over. The model is unchanged.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from keras_effnet import build_model, scale_spec
        >>> small, large = (build_model(scale_spec("mobilenet_v2", phi=phi), classes=10) for phi in (-5, -3))
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
    """`load_weights` from a file that was found already.

    Args:
        model: a flat model.
        source: the file.
        spec: as in `load_weights`.
        partial: as in `load_weights`.

    Returns:
        The report.

    Raises:
        WeightsError: as `load_weights`.
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
            f"to tell the tensors of this file apart the model must know its spec, and {model.name!r} does not: give "
            f"the `spec` that it was built from. Received: {str(path)!r}"
        ) from error


def _with_variance(model: keras.Model, tensor: Tensor, factors: tuple[float, ...]) -> Tensor:
    """The variance of the Normalization layer, which is its second weight, times one factor a channel."""
    if tensor.layer is None or tensor.array is None or tensor.index != 1:
        return tensor
    if not isinstance(model.get_layer(tensor.layer), keras.layers.Normalization):
        return tensor
    return replace(tensor, array=tensor.array * np.asarray(factors, tensor.array.dtype))
