"""The reader that computes at once: a network's verbs on tensors, with weights of one's own choice.

Scores without training look at networks that are never trained, and each leaves out or replaces some of the verbs. So
they read the spec, where verbs have names, and take from the Keras model only its weights. No layer is made, no graph
is traced: what takes most of the time of a short training is not done at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_effnet.errors import SearchError
from keras_effnet.ops import BatchNorm, Norm, Ops, Padding, PoolKind, padding_zeros

LAST: Any = "channels_last"  # Keras annotates words as text


class Flow(NamedTuple):
    """What flows between the verbs.

    Args:
        x: a tensor (images, height, width, channels), or (images, channels).
        depth: convolutions and dense layers on the longest way here.
        level: what `x` stands for is `x * exp(level)`.
    """

    x: Any
    depth: int = 0
    level: Any = 0.0


class Computation(Ops[Flow]):
    """The network as its model computes it, with each batch's own statistics in BatchNorm and nothing dropped.

    BatchNorm scales by 1 and shifts by 0, as in every fresh network. Scores override what they see differently.

    Args:
        model: built by this package; gives the weights.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def variable(self, name: str, kind: str) -> np.ndarray | None:
        """A weight of a layer ("kernel", "bias", "gamma", "beta"), or None."""
        found = getattr(self.model.get_layer(name), kind, None)
        return None if found is None else np.asarray(ops.convert_to_numpy(found), np.float32)

    def weigh(self, flow: Flow, y: Any, name: str) -> Flow:
        """What a layer with a kernel gives: the flow before it, and its product with the kernel."""
        bias = self.variable(name, "bias")
        return Flow(y if bias is None else y + bias, flow.depth + 1, flow.level)

    def channels(self, x: Flow) -> int:
        return x.x.shape[-1]

    def size(self, x: Flow) -> tuple[int | None, int | None]:
        return x.x.shape[1], x.x.shape[2]

    def _padded(self, x: Any, kernel: int, stride: int, padding: Padding) -> Any:
        rows, columns = (padding_zeros(padding, kernel, stride, size) for size in x.shape[1:3])
        return ops.pad(x, ((0, 0), rows, columns, (0, 0))) if any((*rows, *columns)) else x

    def conv(
        self,
        x: Flow,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = False,
        activation: str | None = None,
        name: str,
    ) -> Flow:
        given = self._padded(x.x, kernel, stride, padding)
        y = ops.conv(given, self.variable(name, "kernel"), stride, "valid", LAST)
        return self.activate(self.weigh(x, y, name), activation)

    def depthwise(
        self,
        x: Flow,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding = "same",
        multiplier: int = 1,
        bias: bool = False,
        name: str,
    ) -> Flow:
        given = self._padded(x.x, kernel, stride, padding)
        y = ops.depthwise_conv(given, self.variable(name, "kernel"), stride, "valid", LAST)
        return self.weigh(x, y, name)

    def dense(self, x: Flow, width: int, *, activation: str | Callable[..., Any] | None = None, name: str) -> Flow:
        return self.activate(self.weigh(x, ops.matmul(x.x, self.variable(name, "kernel")), name), activation)

    def norm(self, x: Flow, norm: Norm, *, name: str) -> Flow:
        axes = tuple(range(len(x.x.shape) - 1)) if isinstance(norm, BatchNorm) else -1
        moments: Any = ops.moments(x.x, axes, keepdims=True)
        return x._replace(x=(x.x - moments[0]) / ops.sqrt(moments[1] + norm.epsilon))

    def scale(self, x: Flow, initial: float, *, name: str) -> Flow:
        return self.weigh(x, x.x * self.variable(name, "kernel"), name)

    def activate(self, x: Flow, activation: str | Callable[..., Any] | None) -> Flow:
        """What an activation makes of it."""
        return x if activation is None else x._replace(x=keras.activations.get(activation)(x.x))

    def act(self, x: Flow, activation: str | Callable[..., Any] | None, *, name: str) -> Flow:
        return self.activate(x, activation)

    def pool(
        self, x: Flow, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> Flow:
        if padding != "same":
            x, padding = x._replace(x=self._padded(x.x, kernel, stride, padding)), "valid"
        pool = ops.max_pool if kind == "max" else ops.average_pool
        return x._replace(x=pool(x.x, kernel, stride, padding, LAST))

    def global_pool(self, x: Flow, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> Flow:
        reduce = ops.max if kind == "max" else ops.mean
        return x._replace(x=reduce(x.x, axis=(1, 2), keepdims=keepdims))

    def add(self, x: Flow, y: Flow, *, name: str) -> Flow:
        x, y = level(x, y)
        return x._replace(x=x.x + y.x)

    def mul(self, x: Flow, y: Flow, *, name: str) -> Flow:
        return x._replace(x=x.x * y.x, level=x.level + y.level)

    def concat(self, x: Flow, y: Flow, *, name: str) -> Flow:
        x, y = level(x, y)
        return x._replace(x=ops.concatenate([x.x, y.x], -1))

    def dropout(self, x: Flow, rate: float, *, per_sample: bool = False, name: str) -> Flow:
        return x

    def flatten(self, x: Flow, *, name: str) -> Flow:
        return x._replace(x=ops.reshape(x.x, (-1, x.x.shape[-1])))

    def rescale(self, x: Flow, scale: float, offset: float, *, name: str) -> Flow:
        return x._replace(x=x.x * scale + offset)

    def standardize(
        self, x: Flow, *, mean: Sequence[float] | None = None, variance: Sequence[float] | None = None, name: str
    ) -> Flow:
        if mean is None or variance is None:
            return x  # the statistics of a fresh network: 0 and 1
        return x._replace(x=(x.x - np.array(mean, "float32")) / np.sqrt(np.array(variance, "float32")))

    def layer(
        self,
        x: Flow,
        make: Callable[[str], Any],
        *,
        shape: tuple[int, int, int],
        params: int = 0,
        trainable_params: int = 0,
        macs: int = 0,
        name: str,
    ) -> Flow:
        raise SearchError(
            "a score needs to know what every layer does; a block must be written in the verbs other than `layer`. "
            f"Received: layer {name!r}"
        )


def level(x: Flow, y: Flow) -> tuple[Flow, Flow]:
    """Both at one level, the higher one, so that they can be added; both as deep as the deeper one."""
    depth, top = max(x.depth, y.depth), ops.maximum(x.level, y.level)
    first, second = (Flow(each.x * ops.exp(each.level - top), depth, top) for each in (x, y))
    return first, second
