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
from keras_effnet.padding import padding_zeros
from keras_effnet.windows import reaches

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
            case verbs.Conv() | verbs.Depthwise() | verbs.Dense() | verbs.ChannelScale():
                return self._weighted(op, name, x)
            case verbs.BatchNorm() | verbs.LayerNorm():
                axes = tuple(range(len(x.x.shape) - 1)) if isinstance(op, verbs.BatchNorm) else -1
                moments: Any = ops.moments(x.x, axes, keepdims=True)
                return x._replace(x=(x.x - moments[0]) / ops.sqrt(moments[1] + op.epsilon))
            case verbs.Activation():
                return self.activate(x, op.activation)
            case verbs.Add():
                x, y = _leveled(x, others[0])
                return x._replace(x=x.x + y.x)
            case verbs.Concat():
                x, y = _leveled(x, others[0])
                return x._replace(x=ops.concatenate([x.x, y.x], -1))
            case verbs.Multiply():
                return x._replace(x=x.x * others[0].x, level=x.level + others[0].level)
            case verbs.Pool():
                padding, given = op.padding, x.x
                if padding != "same":
                    padding, given = "valid", _padded(x.x, op)
                pool = ops.max_pool if op.kind == "max" else ops.average_pool
                return x._replace(x=pool(given, op.kernel, op.stride, padding, LAST))
            case verbs.GlobalPool():
                reduce = ops.max if op.kind == "max" else ops.mean
                return x._replace(x=reduce(x.x, axis=(1, 2), keepdims=op.keepdims))
            case verbs.Flatten():
                return x._replace(x=ops.reshape(x.x, (-1, x.x.shape[-1])))
            case verbs.Rescale():
                return x._replace(x=x.x * np.array(op.scale, "float32") + np.array(op.offset, "float32"))
            case verbs.Standardize(mean, variance) if mean is not None and variance is not None:
                return x._replace(x=(x.x - np.array(mean, "float32")) / np.sqrt(np.array(variance, "float32")))
            case verbs.Dropout() | verbs.Standardize():
                return x  # statistics of a fresh network are 0 and 1
        raise BuildError(
            "only Keras knows what a layer from outside the vocabulary computes: write its block in the verbs other "
            "than `layer`, or call the Keras model.",
            received=f"layer {name!r}",
        )

    def _weighted(self, op: Any, name: str, x: Flow) -> Flow:
        kernel: Any = self.variable(name, "kernel")
        if isinstance(op, verbs.Conv | verbs.Depthwise):
            convolve: Any = ops.conv if isinstance(op, verbs.Conv) else ops.depthwise_conv
            y = convolve(_padded(x.x, op), kernel, op.stride, "valid", LAST, op.dilation)
        else:
            y = ops.matmul(x.x, kernel) if isinstance(op, verbs.Dense) else x.x * kernel
        weighed = self.weigh(x, y, name)
        return self.activate(weighed, op.activation) if isinstance(op, verbs.Conv | verbs.Dense) else weighed


def _padded(x: Any, op: verbs.Conv | verbs.Depthwise | verbs.Pool) -> Any:
    windows = zip(reaches(op), x.shape[1:3], strict=True)
    rows, columns = (padding_zeros(op.padding, reach, stride, size) for (reach, stride), size in windows)
    return ops.pad(x, ((0, 0), rows, columns, (0, 0))) if any((*rows, *columns)) else x


def _leveled(x: Flow, y: Flow) -> tuple[Flow, Flow]:
    """Both at one level, the higher one, so that they can be added; both as deep as the deeper one."""
    depth, top = max(x.depth, y.depth), ops.maximum(x.level, y.level)
    first, second = (Flow(each.x * ops.exp(each.level - top), depth, top) for each in (x, y))
    return first, second
