"""How a block that is new starts as the identity, so that a deeper network computes what the shallower one did.

* A block that adds what it reads starts with zeros in the last layer of its branch: a normalisation (Goyal et al. 2017,
  arXiv:1706.02677, section 5.1), a layer scale or a kernel. What it reads may pass a normalisation that changes
  nothing (RepVGG, MobileOne).
* One that joins new channels to what it reads starts anyhow: nothing reads the new channels yet.
* One that does neither starts with identity kernels (Chen et al. 2016, arXiv:1511.05641, section 2.3). Where its
  activations would change what it reads:
  * with twice the channels inside, x and -x go side by side: f(x) - f(-x) = x for ReLU, swish, GELU and hard swish;
  * with ReLU and no channels to spare, x is moved out of ReLU's reach and back. This holds as long as no number is
    further from the mean of its channel than 32 standard deviations, as the normalisation before the block knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    ChannelScale,
    Concat,
    Conv,
    Crop,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Merge,
    Mixing,
    Multiply,
    Norm,
    Op,
    Pool,
    PReLU,
    Rescale,
    Resize,
    TransposedConv,
    Unflatten,
    UpSample,
    ZeroPad,
)
from keras_effnet.padding import padding_zeros
from keras_effnet.trace import TracedBlock, TracedNode, Value
from keras_effnet.windows import both, reaches

# What an activation leaves as it is, as an interval: relu(relu6(x)) = relu6(x), but not the other way round.
_KEEPS = {"relu": (0.0, np.inf), "relu6": (0.0, 6.0), "linear": (-np.inf, np.inf), None: (-np.inf, np.inf)}
# f(0) = 0.
_KEEPS_ZERO = (
    "relu",
    "relu6",
    "linear",
    None,
    "swish",
    "silu",
    "gelu",
    "hard_swish",
    "hard_silu",
    "tanh",
    "elu",
    "selu",
)
# f(x) - f(-x) = x: x * g(x) where g(x) + g(-x) = 1.
_GATED = ("swish", "silu", "gelu", "hard_swish", "hard_silu")
_KERNELS = (ChannelScale, Conv, TransposedConv, Dense, Depthwise)
_PASSES_ZERO = (Dropout, Pool, GlobalPool, Flatten, Unflatten, ZeroPad, Crop, UpSample, Resize, Multiply, PReLU)
_REACH = 32.0

Arrays = Mapping[str, list[np.ndarray]]


@dataclass(frozen=True)
class Start:
    """First weights that make a new block hand on what it reads.

    Args:
        arrays: weights by the name of the layer, in Keras' order; other layers of the block keep theirs.
        chain: whether what the block reads goes through its own layers, not past them.
        exact: whether the block is the identity; otherwise it is as near to it as identity kernels get.
    """

    arrays: dict[str, list[np.ndarray]]
    chain: bool = False
    exact: bool = True


def start_as_identity(section: TracedBlock, fresh: Arrays, reach: np.ndarray | None) -> Start | None:
    """First weights with which a block hands on what it reads.

    Args:
        section: the block.
        fresh: initial weights of its layers, by name.
        reach: lowest value, as a distance below zero, of each channel that it reads; None if unknown.

    Returns:
        The weights, or None if the block cannot hand on all channels.
    """
    zeroed = _handed_on(section.output, section.input, fresh)
    if zeroed is not None:
        return Start(zeroed)
    if section.input.channels != section.output.channels:
        return None
    try:
        return _Chain(section, fresh).start(reach)
    except _NoRoomError:
        return None


def reach_of(norm: list[np.ndarray]) -> np.ndarray:
    """How far below zero what a batch normalisation makes is taken to be, channel by channel."""
    gamma, beta = norm[:2]
    return np.abs(beta) + _REACH * np.abs(gamma)


def _handed_on(value: Value, x: Value, fresh: Arrays) -> dict[str, list[np.ndarray]] | None:
    """Zeros that make `value` equal to `x` (or begin with it); None if zeros cannot."""
    if value is x:
        return {}
    node = value.maker
    if node is None or value.channels < x.channels:
        return None
    if isinstance(node.op, Dropout | Concat) or (isinstance(node.op, Activation) and _keeps(node.op.activation, x)):
        return _handed_on(node.inputs[0], x, fresh)
    if isinstance(node.op, BatchNorm):
        kept = _handed_on(node.inputs[0], x, fresh)
        return None if kept is None else {**kept, node.name: _plain(node, fresh[node.name])}
    if isinstance(node.op, Add):
        for branch in node.inputs:
            kept = _handed_on(branch, x, fresh)
            zeros = _all_zeroed([other for other in node.inputs if other is not branch], x, fresh)
            if kept is not None and zeros is not None:
                return {**kept, **zeros}
    return None


def _plain(node: TracedNode, fresh: list[np.ndarray]) -> list[np.ndarray]:
    """A batch normalisation that leaves all channels as they are."""
    channels = np.arange(len(fresh[0]))
    return _norm_arrays(cast(BatchNorm, node.op), fresh, channels)


def _norm_arrays(
    op: BatchNorm, fresh: list[np.ndarray], channels: np.ndarray, beta: Any = 0.0, mean: Any = 0.0
) -> list[np.ndarray]:
    """A batch normalisation that takes `mean` from some channels and adds `beta`, whatever it trains."""
    # Without a factor, the variance makes up for epsilon.
    values = {"mean": mean, "variance": 1.0 if op.scale else 1.0 - op.epsilon}
    values = ({"beta": beta} if op.center else {}) | values
    values = ({"gamma": np.sqrt(1 + op.epsilon)} if op.scale else {}) | values
    made = [array.copy() for array in fresh]
    for array, value in zip(made, values.values(), strict=True):
        array[channels] = value
    return made


def _zeroed(value: Value, x: Value, fresh: Arrays) -> dict[str, list[np.ndarray]] | None:
    """Zeros that make `value` zero; None if there are none before `x` is reached."""
    node = value.maker
    if value is x or node is None:
        return None
    if isinstance(node.op, BatchNorm | LayerNorm) and node.op.scale:
        # Gamma and beta; statistics stay.
        trained = node.op.scale + node.op.center
        arrays = enumerate(fresh[node.name])
        return {node.name: [np.zeros_like(array) if i < trained else array for i, array in arrays]}
    if isinstance(node.op, BatchNorm):
        # Without a factor, it hands on zeros that it reads.
        inner = _zeroed(node.inputs[0], x, fresh)
        zeros = [np.zeros_like(array) for array in fresh[node.name][:-1]]
        return None if inner is None else {**inner, node.name: [*zeros, fresh[node.name][-1]]}
    if isinstance(node.op, _KERNELS) and _activation(node.op) in _KEEPS_ZERO:
        return {node.name: [np.zeros_like(array) for array in fresh[node.name]]}
    if isinstance(node.op, Add | Concat | Merge):
        return _all_zeroed(node.inputs, x, fresh)
    if (
        isinstance(node.op, _PASSES_ZERO)
        or (isinstance(node.op, Activation) and node.op.activation in _KEEPS_ZERO)
        or (isinstance(node.op, Rescale) and node.op.offset == 0)
    ):
        return _zeroed(node.inputs[0], x, fresh)
    return None


def _all_zeroed(values: Sequence[Value], x: Value, fresh: Arrays) -> dict[str, list[np.ndarray]] | None:
    """Zeros that make all values zero; None if there are none for one of them."""
    found: dict[str, list[np.ndarray]] = {}
    for value in values:
        zeros = _zeroed(value, x, fresh)
        if zeros is None:
            return None
        found |= zeros
    return found


def _activation(op: Op) -> object:
    """The activation inside a layer, if it has one."""
    return op.activation if isinstance(op, Mixing) else None


def _keeps(activation: object, x: Value) -> bool:
    """Whether an activation leaves `x` as it is, because of the activation that made it."""
    low, high = _KEEPS.get(activation, (np.inf, -np.inf)) if isinstance(activation, str | None) else (np.inf, -np.inf)
    there = _range(x)
    return low <= there[0] and there[1] <= high


def _range(x: Value) -> tuple[float, float]:
    """The interval that all numbers of `x` lie in."""
    while x.maker is not None and isinstance(x.maker.op, Dropout | Pool):
        x = x.maker.inputs[0]
    if x.maker is None:
        return (-np.inf, np.inf)
    made = x.maker.op
    activation = made.activation if isinstance(made, Activation) else _activation(made)
    return _KEEPS.get(cast(Any, activation), (-np.inf, np.inf))


class _NoRoomError(Exception):
    """The block cannot carry what it reads."""


class _Chain:
    """A block without a skip: layers in a row, of which the kernels shall carry x through."""

    def __init__(self, section: TracedBlock, fresh: Arrays) -> None:
        self.nodes = section.nodes
        self.x, self.end = section.input, section.output
        self.fresh = fresh
        found = (node.op.activation if isinstance(node.op, Activation) else _activation(node.op) for node in self.nodes)
        self.acts = [activation for activation in found if activation is not None]
        self.mixers = [node for node in self.nodes if node.mixes]

    def start(self, reach: np.ndarray | None) -> Start:
        if any(isinstance(node.op, Conv | Depthwise | Pool) and node.op.stride != 1 for node in self.nodes):
            raise _NoRoomError
        straight = all(len(node.inputs) == 1 and not isinstance(node.op, GlobalPool) for node in self.nodes)
        if straight and all(_keeps(activation, self.x) for activation in self.acts):
            return self._carried()
        # An activation behind the last kernel would cut what x has below zero.
        last = self.nodes[-1].op
        if straight and self.mixers and not isinstance(last, Activation) and _activation(last) is None:
            rectifies = set(self.acts) <= {"relu"}
            if self._has_room() and (rectifies or (len(self.acts) == 1 and self.acts[0] in _GATED)):
                return self._carried(signs=2)
            if rectifies and reach is not None and len([n for n in self.nodes if isinstance(n.op, Norm)]) > 1:
                return self._carried(offset=reach)
        return self._carried(exact=False)

    def _has_room(self) -> bool:
        """Whether x and -x fit side by side before the first activation."""
        first = self.mixers[0]
        before = self.nodes[: self.nodes.index(first)]
        alone = not any(isinstance(node.op, Activation) for node in before)
        return len(self.mixers) > 1 and alone and first.output.channels >= 2 * self.x.channels

    def _carried(self, signs: int = 1, offset: np.ndarray | None = None, exact: bool = True) -> Start:
        """Kernels with which each channel of x goes through the block; with two signs, -x beside it."""
        path = self._path()
        norms = [node for node in path if isinstance(node.op, Norm)]
        made: dict[str, list[np.ndarray]] = {}
        carried = np.arange(self.x.channels)
        for node in path:
            if isinstance(node.op, Norm):
                made[node.name] = self._plain_norm(node, carried, norms, offset)
            elif node.has_weights:
                start = self.fresh[node.name]
                kernel, carried = self._kernel(node, start[0], carried, signs)
                made[node.name] = [kernel, *map(np.zeros_like, start[1:])]
            elif not isinstance(node.op, Activation | Dropout | Multiply):
                raise _NoRoomError
        return Start(made, chain=True, exact=exact)

    def _path(self) -> list[TracedNode]:
        """The layers from x to the end; of what is weighed by a gate, not the gate."""
        path: list[TracedNode] = []
        value = self.end
        while value is not self.x:
            if value.maker is None:
                raise _NoRoomError
            path.insert(0, value.maker)
            value = value.maker.inputs[0]
        return path

    def _kernel(
        self, node: TracedNode, fresh: np.ndarray, carried: np.ndarray, signs: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """A kernel that hands on the carried channels, and where they are behind it."""
        op = node.op
        if isinstance(op, Depthwise):
            kernel, middle = fresh.copy(), _middle(op)
            kernel[:, :, carried] = 0
            kernel[(*middle, carried, 0)] = 1
            return kernel, carried * op.multiplier
        if not isinstance(op, Conv | Dense):
            raise _NoRoomError
        doubles, joins = (signs == 2 and node is end for end in (self.mixers[0], self.mixers[-1]))
        read = np.tile(carried, 2) if doubles else carried
        # x and -x become x again where they are joined.
        made = np.arange(len(read)) % self.x.channels if joins else np.arange(len(read))
        if made.max() >= fresh.shape[-1] or (isinstance(op, Conv) and op.groups != 1):
            raise _NoRoomError
        sign = np.where(np.arange(len(read)) < self.x.channels, 1, -1 if doubles or joins else 1)
        kernel = np.zeros_like(fresh)
        tap = _middle(op) if isinstance(op, Conv) else ()
        kernel[(*tap, read, made)] = sign
        return kernel, np.unique(made)

    def _plain_norm(
        self, node: TracedNode, carried: np.ndarray, norms: list[TracedNode], offset: np.ndarray | None
    ) -> list[np.ndarray]:
        """A normalisation that leaves the carried channels as they are, or moves them by the offset."""
        if not isinstance(node.op, BatchNorm):
            raise _NoRoomError
        if offset is not None and not (node.op.center and node.op.scale):
            raise _NoRoomError
        beta = offset if offset is not None and node is norms[0] else 0.0
        mean = offset if offset is not None and node is norms[-1] else 0.0
        return _norm_arrays(node.op, self.fresh[node.name], carried, beta, mean)


def _middle(op: Conv | Depthwise) -> tuple[int, int]:
    """The tap of a kernel that falls on the cell itself, as (row, column)."""
    before = (padding_zeros(op.padding, reach, 1, 1)[0] for reach, _ in reaches(op))
    row, column = (zeros // step for zeros, step in zip(before, both(op.dilation), strict=True))
    return row, column
