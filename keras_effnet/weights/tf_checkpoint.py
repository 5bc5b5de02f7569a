"""Reads the released TensorFlow checkpoints of EfficientNet, including Lite, EdgeTPU and V2.

Names follow tensorflow/tpu, models/official/efficientnet/efficientnet_model.py (`Model`, `MBConvBlock`), and
google/automl, efficientnetv2/effnetv2_model.py, prefixed with the model's name:

    efficientnet-b0/stem/conv2d/kernel
    efficientnet-b0/blocks_1/tpu_batch_normalization_2/moving_mean/ExponentialMovingAverage
    efficientnet-b0/blocks_1/se/conv2d_1/bias
    efficientnet-b0/head/dense/kernel

Blocks are numbered through all stages, layers of one kind within each block. If a variable has a moving average, the
average is loaded, as in the authors' evaluation (`efficientnet/eval_ckpt_main.py`). There, the caller normalises the
pixels; here, the Normalization layer of EfficientNet gets ImageNet's statistics (`MEAN_RGB` and `STDDEV_RGB` of that
code), which all checkpoints but AdvProp's expect.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_effnet.blocks import ConvBlock, DenseClassifier, FusedMBConv, MBConv
from keras_effnet.errors import WeightsError
from keras_effnet.ops import BatchNorm, Conv, Dense, Depthwise
from keras_effnet.spec import BackboneSpec
from keras_effnet.trace import TracedBlock
from keras_effnet.weights.named import Naming, Stored, named_tensors, unnamed
from keras_effnet.weights.tensors import Tensor, as_floats

Found = TypeVar("Found")

_AVERAGE = "/ExponentialMovingAverage"
# Slots of tf.train's optimizers: main.py of tensorflow/tpu's EfficientNet trains with RMSProp.
_SLOTS = ("/RMSProp", "/RMSProp_1", "/Momentum", "/Adam", "/Adam_1")
# All errors that TensorFlow's reader was seen to raise on broken files.
_BROKEN = (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, MemoryError, ArithmeticError)


def checkpoint_tensors(layers: Collection[str], spec: BackboneSpec, path: Path) -> list[Tensor]:
    """Assigns the variables of a checkpoint to the layers of a network.

    Args:
        layers: names of the layers that were built from `spec`.
        spec: the architecture of the network.
        path: common prefix of the checkpoint's files.

    Returns:
        The tensors.

    Raises:
        WeightsError: a file is broken, or the network is not an EfficientNet.
    """
    names = variable_names(path)
    scope = _scope(names, path)
    wanted, unwanted = {}, []
    for name in sorted(names):
        inner = name.removeprefix(scope)
        if inner == name:
            unwanted.append(Tensor(name, unwanted="not a weight of the network"))
        elif inner.endswith(_SLOTS):
            unwanted.append(Tensor(name, unwanted="an optimizer slot"))
        elif name + _AVERAGE in names:
            unwanted.append(Tensor(name, unwanted="its moving average is loaded"))
        else:
            wanted[name] = inner.removesuffix(_AVERAGE)
    stored = {}
    for name, array in read_variables(path, list(wanted)).items():
        stored[wanted[name]] = Stored(name, as_floats(name, array, path))
    return [*named_tensors(layers, spec, stored, CHECKPOINT), *unwanted]


def variable_names(path: Path) -> set[str]:
    """The names of all variables of a TensorFlow checkpoint.

    Args:
        path: common prefix of the checkpoint's files.

    Raises:
        WeightsError: a file is missing or broken.
    """
    return set(_read(path, lambda reader: reader.get_variable_to_shape_map()))


def read_variables(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Reads variables of a TensorFlow checkpoint.

    Args:
        path: common prefix of the checkpoint's files.
        names: names of the variables to read.

    Returns:
        The variables by name.

    Raises:
        WeightsError: a file is missing or broken.
    """

    def read(reader: Any) -> dict[str, np.ndarray]:
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        claimed = sum(np.prod(shapes[name], dtype=float) * types[name].size for name in names)
        there = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}.data-*"))
        if claimed > there:
            raise ValueError(f"its variables would take {claimed:,.0f} bytes, but its data files have {there:,}")
        return {name: np.asarray(reader.get_tensor(name)) for name in names}

    return _read(path, read)


def _read(path: Path, read: Callable[[Any], Found]) -> Found:
    # TensorFlow takes seconds to import, and only this function needs it.
    import tensorflow as tf

    try:
        return read(tf.train.load_checkpoint(str(path)))
    except (*_BROKEN, tf.errors.OpError) as error:
        raise WeightsError(
            f"the checkpoint cannot be read: {error}. It must be complete: an .index file and the .data files beside "
            "it, as TensorFlow wrote them.",
            received=repr(str(path)),
        ) from error


def _scope(names: set[str], path: Path) -> str:
    """The prefix of the variables' names: the model's name and "/"."""
    found = sorted({name.partition("/")[0] for name in names if re.match(r"[^/]+/(stem|head|blocks_\d+)/", name)})
    if len(found) != 1:
        raise WeightsError(
            "a checkpoint must contain the variables of one EfficientNet, '<name>/stem/conv2d/kernel' and so on, but "
            f"this one has {len(found)} such names: {', '.join(found[:3])}; nothing was loaded.",
            received=repr(str(path)),
        )
    return f"{found[0]}/"


def _modules(spec: BackboneSpec, section: TracedBlock) -> list[str]:
    """The names of a section's layers, in our order."""
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
    """Keras' default names of these layers: all but the first of a kind are numbered."""
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
