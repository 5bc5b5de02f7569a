"""Reads safetensors files in timm's layout. Pickles are not read.

PyTorch (torch.nn.Conv2d, Linear) orders the axes of a kernel as (out, in, height, width) or (out, in), and of a
depthwise kernel as (out, 1, height, width). A linear layer and a 1x1 convolution are interchangeable: in some places
timm has one and we have the other.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from keras_effnet.errors import WeightsError
from keras_effnet.ops import BatchNorm, ChannelScale, Conv, Dense, Depthwise, LayerNorm, Op
from keras_effnet.spec import BackboneSpec
from keras_effnet.trace import TracedBlock
from keras_effnet.weights.named import Naming, Stored, named_tensors, unnamed
from keras_effnet.weights.tensors import Tensor, as_floats
from keras_effnet.weights.timm_names import timm_family

# torch.nn.BatchNorm2d counts its batches; the count is unused if the momentum is a number. An average of weights
# (torch.optim.swa_utils.AveragedModel) counts what it is of.
_COUNTERS = (".num_batches_tracked", "n_averaged")
# What torch.nn.DataParallel, torch.compile and training programs put before all names.
_PREFIXES = ("module.", "_orig_mod.", "model.")

logger = logging.getLogger(__name__)


def timm_tensors(layers: Collection[str], spec: BackboneSpec, path: Path) -> list[Tensor]:
    """Assigns the tensors of a safetensors file to the layers of a network.

    Args:
        layers: names of the layers that were built from `spec`.
        spec: the architecture of the network.
        path: the safetensors file.

    Returns:
        The tensors.

    Raises:
        WeightsError: the file is broken or holds other numbers than floats, or timm does not have such a network.
    """
    arrays = read_safetensors(path)
    counts = {name: array for name, array in arrays.items() if name.endswith(_COUNTERS)}
    weights = _without_prefix({name: array for name, array in arrays.items() if name not in counts}, path)
    stored = {name: Stored(name, as_floats(name, array, path)) for name, array in weights.items()}
    unwanted = [Tensor(name, array=array, unwanted="a count") for name, array in counts.items()]
    return [*named_tensors(layers, spec, stored, TIMM), *unwanted]


def _without_prefix(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """The tensors by the names that they have in the network itself."""
    while found := [prefix for prefix in _PREFIXES if arrays and all(name.startswith(prefix) for name in arrays)]:
        logger.info("all names in %s begin with %r, which is left out", path, found[0])
        arrays = {name.removeprefix(found[0]): array for name, array in arrays.items()}
    return arrays


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads all tensors of a safetensors file.

    Args:
        path: the safetensors file.

    Returns:
        The tensors by name.

    Raises:
        WeightsError: the file is broken, or contains a type that NumPy lacks.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, MemoryError) as error:
        raise WeightsError(
            f"the weight file cannot be read: {error}. It must be a complete safetensors file of float16, bfloat16, "
            "float32 or float64.",
            received=repr(str(path)),
        ) from error


def _modules(spec: BackboneSpec, section: TracedBlock) -> list[str]:
    family = timm_family(spec)
    if family is None:
        raise unnamed(TIMM.name, spec)
    return family.modules(section)


def _kernel(op: Op, array: np.ndarray) -> np.ndarray:
    """Transposes a kernel to Keras' axes: (height, width, in, out), (height, width, in, multiplier) or (in, out)."""
    if isinstance(op, Dense) and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    if isinstance(op, Conv) and array.ndim == 2:
        array = array[:, :, None, None]
    turned = array.T if array.ndim == 2 else array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    if isinstance(op, Depthwise) and turned.ndim == 4 and turned.shape[2] == 1:
        # The filters of one channel are adjacent.
        turned = turned.reshape(*turned.shape[:2], -1, op.multiplier)
    return turned


TIMM = Naming(
    name="timm",
    modules=_modules,
    tensors={
        **dict.fromkeys((Conv, Depthwise, Dense, LayerNorm), (".weight", ".bias")),
        BatchNorm: (".weight", ".bias", ".running_mean", ".running_var"),
        ChannelScale: ("",),
    },
    kernel=_kernel,
)
