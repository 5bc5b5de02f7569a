"""The reader that computes at once: the network's output from the weights of its model.

No layer is made and no graph is traced. A subclass may leave out or replace operations and weights, as scores do that
look at networks before any training.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_effnet import ops as verbs
from keras_effnet.errors import BuildError
from keras_effnet.normalization import SHORTEST
from keras_effnet.padding import padding_zeros
from keras_effnet.windows import reaches

_JOINS: dict[str, Any] = {
    "Add": ops.add,
    "Multiply": ops.multiply,
    "subtract": ops.subtract,
    "average": ops.add,
    "maximum": ops.maximum,
    "minimum": ops.minimum,
}
LAST: Any = "channels_last"  # Keras annotates words as text


class Flow(NamedTuple):
    """What flows between the verbs.

    Args:
        x: tensor of shape (images, height, width, channels) or (images, channels).
        depth: number of convolutions and dense layers on the longest way here.
        level: logarithm of a factor: `x` stands for `x * exp(level)`.
    """

    x: Any
    depth: int = 0
    level: Any = 0.0


class Computation:
    """The network as its model computes it, with each batch's own statistics in BatchNorm and nothing dropped.

    BatchNorm scales by 1 and shifts by 0, as in every fresh network. Subclasses override what they see differently.

    Args:
        model: model built by this package, which gives the weights.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def variable(self, name: str, kind: str) -> np.ndarray | None:
        """A weight of a layer ("kernel", "bias", "gamma", "beta"), or None."""
        found = getattr(self.model.get_layer(name), kind, None)
        return None if found is None else np.asarray(ops.convert_to_numpy(found), np.float32)

    def weigh(self, flow: Flow, y: Any, name: str) -> Flow:
        """What a layer with a kernel gives, from the flow before it and its product with the kernel."""
        bias = self.variable(name, "bias")
        return Flow(y if bias is None else y + bias, flow.depth + 1, flow.level)

    def activate(self, x: Flow, activation: verbs.ActivationFunction) -> Flow:
        """What an activation makes of it."""
        return x if activation is None else x._replace(x=keras.activations.get(activation)(x.x))

    def read(self, op: verbs.Op, name: str, *inputs: Flow) -> Flow:
        """Computes one operation.

        Raises:
            BuildError: a layer from outside the vocabulary, of which only Keras knows what it computes.
        """
        x, *others = inputs
        match op:
            case verbs.Conv() | verbs.TransposedConv() | verbs.Depthwise() | verbs.Dense() | verbs.ChannelScale():
                return self._weighted(op, name, x)
            case verbs.BatchNorm() | verbs.LayerNorm() | verbs.GroupNorm() | verbs.RMSNorm() | verbs.UnitNorm():
                return x._replace(x=_normal(op, x.x))
            case verbs.PReLU():
                slope: Any = self.variable(name, "alpha")
                return x._replace(x=ops.relu(x.x) - ops.relu(-x.x) * slope)
            case verbs.Activation():
                return self.activate(x, op.activation)
            case verbs.Add() | verbs.Concat() | verbs.Merge():
                x, *others = _leveled(*inputs)
                if isinstance(op, verbs.Concat):
                    return x._replace(x=ops.concatenate([x.x, *(y.x for y in others)], -1))
                return x._replace(x=_joined(op, x.x, [y.x for y in others]))
            case verbs.Multiply():
                whole = _joined(op, x.x, [y.x for y in others])
                return x._replace(x=whole, level=sum((y.level for y in others), start=x.level))
            case verbs.Pool():
                padding, given = op.padding, x.x
                if padding != "same":
                    padding, given = "valid", _padded(x.x, op)
                pool = ops.max_pool if op.kind == "max" else ops.average_pool
                return x._replace(x=pool(given, op.kernel, op.stride, padding, LAST))
            case verbs.GlobalPool():
                reduce = ops.max if op.kind == "max" else ops.mean
                return x._replace(x=reduce(x.x, axis=(1, 2), keepdims=op.keepdims))
            case (
                verbs.Flatten() | verbs.Unflatten() | verbs.ZeroPad() | verbs.Crop() | verbs.UpSample() | verbs.Resize()
            ):
                return x._replace(x=_moved(op, x.x))
            case verbs.Reuse():
                return self.read(op.op, name, *inputs)
            case verbs.Opaque() if op.inert:
                return x
            case verbs.Opaque() if op.elementwise and not op.params and not others:
                return x._replace(x=op.make(name)(x.x))
            case verbs.Rescale():
                return x._replace(x=x.x * np.array(op.scale, "float32") + np.array(op.offset, "float32"))
            case verbs.Standardize(mean, variance) if mean is not None and variance is not None:
                return x._replace(x=(x.x - np.array(mean, "float32")) / np.sqrt(np.array(variance, "float32")))
            case verbs.Dropout() | verbs.Standardize():
                return x  # statistics of a fresh network are 0 and 1
        if isinstance(op, verbs.Reshaping):
            return x._replace(x=_moved(op, x.x))
        raise BuildError(
            "only Keras knows what a layer from outside the vocabulary computes: write its block in the verbs other "
            "than `layer`, or call the Keras model.",
            received=f"layer {name!r}",
        )

    def _weighted(self, op: Any, name: str, x: Flow) -> Flow:
        kernel: Any = self.variable(name, "kernel")
        convolve: Any
        if isinstance(op, verbs.Conv | verbs.Depthwise):
            convolve = ops.conv if isinstance(op, verbs.Conv) else ops.depthwise_conv
            y = convolve(_padded(x.x, op), kernel, op.stride, "valid", LAST, op.dilation)
        elif isinstance(op, verbs.TransposedConv):
            convolve = ops.conv_transpose
            y = convolve(x.x, kernel, op.stride, op.padding, data_format=LAST)
        else:
            y = ops.matmul(x.x, kernel) if isinstance(op, verbs.Dense) else x.x * kernel
        weighed = self.weigh(x, y, name)
        return (
            self.activate(weighed, op.activation)
            if isinstance(op, verbs.Conv | verbs.TransposedConv | verbs.Dense)
            else weighed
        )


def _padded(x: Any, op: verbs.Conv | verbs.Depthwise | verbs.Pool) -> Any:
    windows = zip(reaches(op), x.shape[1:3], strict=True)
    rows, columns = (padding_zeros(op.padding, reach, stride, size) for (reach, stride), size in windows)
    return ops.pad(x, ((0, 0), rows, columns, (0, 0))) if any((*rows, *columns)) else x


def _normal(op: verbs.Op, x: Any) -> Any:
    """What a normalization makes that scales by 1 and shifts by 0."""
    match op:
        case verbs.UnitNorm():
            return ops.normalize(x, -1, epsilon=SHORTEST)
        case verbs.RMSNorm():
            mean: Any = ops.mean(ops.square(x), -1, keepdims=True)
            return x * ops.rsqrt(mean + op.epsilon)
        case verbs.GroupNorm():
            images, *_, channels = x.shape
            groups = ops.reshape(x, (images, -1, op.groups, channels // op.groups))
            moments: Any = ops.moments(groups, (1, 3), keepdims=True)
            return ops.reshape((groups - moments[0]) / ops.sqrt(moments[1] + op.epsilon), x.shape)
        case verbs.BatchNorm() | verbs.LayerNorm():
            axes = tuple(range(len(x.shape) - 1)) if isinstance(op, verbs.BatchNorm) else -1
            moments = ops.moments(x, axes, keepdims=True)
            return (x - moments[0]) / ops.sqrt(moments[1] + op.epsilon)
    return x


def _joined(op: verbs.Add | verbs.Multiply | verbs.Merge, x: Any, others: list[Any]) -> Any:
    """What is made of images and vectors, cell by cell."""
    most = max(len(each.shape) for each in (x, *others))
    made, *others = (each if len(each.shape) == most else each[:, None, None, :] for each in (x, *others))
    kind = op.kind if isinstance(op, verbs.Merge) else type(op).__name__
    for other in others:
        made = _JOINS[kind](made, other)
    return made / (1 + len(others)) if kind == "average" else made


def _moved(op: verbs.Reshaping, x: Any) -> Any:
    """An image whose cells were moved about."""
    match op:
        case verbs.Flatten():
            if op.channels_first and len(x.shape) == 4:
                x = ops.moveaxis(x, -1, 1)
            return ops.reshape(x, (x.shape[0], -1))
        case verbs.Unflatten():
            return x[:, None, None, :]
        case verbs.ZeroPad():
            return ops.pad(x, ((0, 0), op.rows, op.columns, (0, 0)))
        case verbs.Crop():
            return x[:, op.rows[0] : x.shape[1] - op.rows[1], op.columns[0] : x.shape[2] - op.columns[1]]
        case verbs.UpSample():
            size = (x.shape[1] * op.rows, x.shape[2] * op.columns)
            return ops.image.resize(x, size, op.interpolation, data_format=LAST)
        case verbs.Resize():
            return ops.image.resize(x, (op.height, op.width), op.interpolation, op.antialias, data_format=LAST)


def _leveled(*flows: Flow) -> list[Flow]:
    """All at one level, the highest one, so that they can be added; all as deep as the deepest one."""
    depth, top = max(each.depth for each in flows), flows[0].level
    for each in flows[1:]:
        top = ops.maximum(top, each.level)
    return [Flow(each.x * ops.exp(each.level - top), depth, top) for each in flows]
