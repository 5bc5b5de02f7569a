"""The released TensorFlow checkpoints of EfficientNet, also Lite, EdgeTPU and V2.

Names: tensorflow/tpu, models/official/efficientnet/efficientnet_model.py (`Model`, `MBConvBlock`), and google/automl,
efficientnetv2/effnetv2_model.py, under the model's own name:

    efficientnet-b0/stem/conv2d/kernel
    efficientnet-b0/blocks_1/tpu_batch_normalization_2/moving_mean/ExponentialMovingAverage
    efficientnet-b0/blocks_1/se/conv2d_1/bias
    efficientnet-b0/head/dense/kernel

Blocks are counted through all stages, layers of one kind in each block. Of a variable and its moving average the
average is loaded, as the authors evaluated (`efficientnet/eval_ckpt_main.py`). The caller normalised pixels there; the
Normalization layer of our EfficientNet gets ImageNet's statistics (`MEAN_RGB` and `STDDEV_RGB` of that code), which all
checkpoints but AdvProp's expect.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from keras_effnet.blocks import ConvBlock, DenseClassifier, FusedMBConv, MBConv
from keras_effnet.errors import WeightsError
from keras_effnet.ops import BatchNorm, Conv, Dense, Depthwise
from keras_effnet.spec import BackboneSpec
from keras_effnet.trace import TracedBlock
from keras_effnet.weights.named import Naming, Stored, named_tensors, unnamed
from keras_effnet.weights.tensors import Tensor, check_floats

Found = TypeVar("Found")

_AVERAGE = "/ExponentialMovingAverage"
# Of tf.train's optimizers: main.py of tensorflow/tpu's EfficientNet trains with RMSProp.
_SLOTS = ("/RMSProp", "/RMSProp_1", "/Momentum", "/Adam", "/Adam_1")
# All that TensorFlow's reader was seen to raise on files that are broken somewhere.
_BROKEN = (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, ArithmeticError)


def checkpoint_tensors(model: keras.Model, spec: BackboneSpec, path: Path) -> list[Tensor]:
    """The variables of a checkpoint, each with its place in the model.

    Args:
        model: built from `spec`.
        spec: the architecture.
        path: the prefix of the checkpoint's files.

    Returns:
        The tensors.

    Raises:
        WeightsError: a file is broken, or the checkpoints have no names for the network.
    """
    names = variable_names(path)
    scope = _scope(names, path)
    wanted, unwanted = {}, []
    for name in sorted(names):
        inner = name.removeprefix(scope)
        if inner == name:
            unwanted.append(Tensor(name, unwanted="no weight of the network"))
        elif inner.endswith(_SLOTS):
            unwanted.append(Tensor(name, unwanted="a slot of the optimizer"))
        elif name + _AVERAGE in names:
            unwanted.append(Tensor(name, unwanted="its moving average is loaded"))
        else:
            wanted[name] = inner.removesuffix(_AVERAGE)
    stored = {}
    for name, array in read_variables(path, list(wanted)).items():
        check_floats(name, array, path)
        stored[wanted[name]] = Stored(name, array)
    return [*named_tensors(model, spec, stored, CHECKPOINT), *unwanted]


def variable_names(path: Path) -> set[str]:
    """The names of all variables of a TensorFlow checkpoint.

    Args:
        path: the prefix of its files.

    Raises:
        WeightsError: a file is missing or broken.
    """
    return set(_read(path, lambda reader: reader.get_variable_to_shape_map()))


def read_variables(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Variables of a TensorFlow checkpoint.

    Args:
        path: the prefix of its files.
        names: of the variables.

    Raises:
        WeightsError: a file is missing or broken.
    """

    def read(reader: Any) -> dict[str, np.ndarray]:
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        claimed = sum(np.prod(shapes[name], dtype=float) * types[name].size for name in names)
        there = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}.data-*"))
        if claimed > there:
            raise ValueError(f"its variables would take {claimed:,.0f} bytes, and its data have {there:,}")
        return {name: np.asarray(reader.get_tensor(name)) for name in names}

    return _read(path, read)


def _read(path: Path, read: Callable[[Any], Found]) -> Found:
    # Seconds to import, and nothing else here needs it.
    import tensorflow as tf

    try:
        return read(tf.train.load_checkpoint(str(path)))
    except (*_BROKEN, tf.errors.OpError) as error:
        raise WeightsError(
            f"the checkpoint cannot be read: {error}. It must be whole: an .index file and the .data files beside it, "
            f"as TensorFlow wrote them. Received: {str(path)!r}"
        ) from error


def _scope(names: set[str], path: Path) -> str:
    """The model's name in the names of its variables, with its "/"."""
    found = sorted({name.partition("/")[0] for name in names if re.match(r"[^/]+/(stem|head|blocks_\d+)/", name)})
    if len(found) != 1:
        raise WeightsError(
            "a checkpoint must hold the variables of one EfficientNet, '<name>/stem/conv2d/kernel' and so on; nothing "
            f"was loaded. This one has {len(found)} such names: {', '.join(found[:3])}. Received: {str(path)!r}"
        )
    return f"{found[0]}/"


def _modules(spec: BackboneSpec, section: TracedBlock) -> list[str]:
    """The layers of a section, in our order."""
    ends_known = isinstance(spec.stem.block, ConvBlock) and isinstance(spec.classifier, DenseClassifier)
    if not ends_known or not all(isinstance(stage.block, MBConv | FusedMBConv) for stage in spec.stages):
        raise unnamed("EfficientNet's checkpoint", spec)
    if section.stage == 0:
        return ["stem/conv2d", "stem/tpu_batch_normalization"]
    if section.stage == len(spec.parts):
        return ["head/dense"]
    if section.stage > len(spec.stages):
        return ["head/conv2d", "head/tpu_batch_normalization"]
    number = sum(stage.depth for stage in spec.stages[: section.stage - 1]) + section.block
    return [f"blocks_{number}/{name}" for name in _block(spec.stages[section.stage - 1].block)]


def _block(block: Any) -> list[str]:
    expansion = ["conv2d", "tpu_batch_normalization"] if block.expand != 1 else []
    depthwise = ["depthwise_conv2d", "tpu_batch_normalization"] if isinstance(block, MBConv) else []
    squeeze = ["se/conv2d", "se/conv2d"] if block.se_ratio else []
    return _counted([*expansion, *depthwise, *squeeze, "conv2d", "tpu_batch_normalization"])


def _counted(kinds: list[str]) -> list[str]:
    """Keras' names of layers of these kinds: each but the first of its kind has its number."""
    before: Counter[str] = Counter()
    names = []
    for kind in kinds:
        names.append(f"{kind}_{before[kind]}" if before[kind] else kind)
        before[kind] += 1
    return names


CHECKPOINT = Naming(
    name="EfficientNet's checkpoint",
    modules=_modules,
    tensors={
        **dict.fromkeys((Conv, Dense), ("/kernel", "/bias")),
        Depthwise: ("/depthwise_kernel", "/bias"),
        BatchNorm: ("/gamma", "/beta", "/moving_mean", "/moving_variance"),
    },
    kernel=lambda op, array: array,
)
