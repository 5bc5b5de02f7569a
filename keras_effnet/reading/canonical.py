"""A network in canonical terms: what it computes, however its layers were written and named.

Two networks are equal if their outputs have the same number: terms are numbered by what they compute and by the numbers
of what they read (value numbering, Alpern, Wegman and Zadeck 1988, "Detecting equality of variables in programs").

| written as | term |
|---|---|
| zeros around an image, and a window behind them | one window with its zeros on each side |
| a word for padding | the zeros that it means at this size |
| a convolution of 1x1 cells, a dense layer | a dense layer |
| a convolution with a group for each channel | a depthwise convolution |
| a layer with an activation | the layer, then the activation |
| x * sigmoid(x); relu6(x + 3) / 6, as Keras' MobileNetV3 writes it | `silu`; `hard_sigmoid` |
| rescaling and standardizing by constants, in a row | x * scale + offset |
| `Standardize` with trained statistics, then a factor | `Standardize`, whose variances are divided by its square |
| dropout, the identity, a change of shape that moves nothing | nothing |
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from keras_effnet.network import Network, Node
from keras_effnet.ops import (
    Activation,
    Add,
    BatchNorm,
    ChannelScale,
    Concat,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Flatten,
    GlobalPool,
    Joining,
    Merge,
    Multiply,
    Op,
    Opaque,
    Pool,
    Rescale,
    Reuse,
    Standardize,
    Unflatten,
    Weighted,
    Window,
    ZeroPad,
)
from keras_effnet.padding import padding_zeros
from keras_effnet.windows import both, reaches

Size = tuple[int | None, int | None]
NO_ZEROS = ((0, 0), (0, 0))
# Keras has two names for some activations.
_ACTIVATIONS: dict[str, str | None] = {"swish": "silu", "hard_swish": "hard_silu", "linear": None}
_GATES: dict[Hashable, str] = {("activation", "sigmoid"): "silu", ("activation", "hard_sigmoid"): "hard_silu"}


@dataclass(eq=False, slots=True)
class Term:
    """What one operation computes, or a part of one.

    Args:
        what: the operation and all that its output depends on, but for weights and what it reads.
        reads: the terms that it reads.
        number: number of what it computes, equal in all networks that are compared.
        name: name of the node that it comes from.
        size: (height, width) of what it makes, in cells; None for a side that is unknown.
        channels: number of channels of what it makes.
        weighted: whether it has weights.
        factor: factor of each channel by which what a `Standardize` makes is multiplied; None for none.
        affine: scale and offset of each channel, exactly, where that is all that it computes.
    """

    what: Hashable
    reads: tuple[Term, ...] = field(repr=False)
    number: int
    name: str
    size: Size
    channels: int
    weighted: bool = False
    factor: tuple[float, ...] | None = None
    affine: tuple[tuple[float, ...], tuple[float, ...]] | None = None


class Terms:
    """The terms of one network.

    Args:
        numbers: the numbers that were given so far, in all networks that are compared.

    Attributes:
        made: all terms, by number.
    """

    def __init__(self, numbers: dict[Hashable, int]) -> None:
        self.numbers = numbers
        self.made: dict[int, list[Term]] = {}
        self._weightless: dict[Hashable, Term] = {}

    def image(self, size: Size, channels: int) -> Term:
        """What the network reads."""
        return self._term("image", (), "", size, channels)

    def unknown(self, node: Node) -> Term:
        """What is like nothing else, such as another input."""
        return self._term(object(), (), node.name, (None, None), node.channels)

    def of(self, node: Node, inputs: Sequence[Term]) -> Term:
        """The term of one operation.

        Args:
            node: the operation at its place.
            inputs: terms that it reads.
        """
        op, x = node.op, inputs[0]
        match op:
            case Dropout() | Flatten(cells=1) | Unflatten():
                return x
            case Conv() | Depthwise() | Dense() | Pool():
                return self._windowed(op, x, node)
            case Activation():
                return self._activated(x, op.activation, node.name)
            case GlobalPool():
                return self._term(("global pool", op.kind), (x,), node.name, (1, 1), x.channels)
            case Add() | Multiply() | Merge() | Concat():
                return self._joined(op, inputs, node)
            case Rescale() | Standardize():
                return self._affine(op, x, node)
            case ZeroPad():
                return self._padded(op, x, node)
            case None | Opaque() | Reuse():
                return self.unknown(node)
            case _ if weighted_part(op, x.channels) is not None:
                return self._weighted(op, x, node, x.size)
        return self._term(op, tuple(inputs), node.name, (None, None), node.channels)

    def _term(
        self,
        what: Hashable,
        reads: tuple[Term, ...],
        name: str,
        size: Size,
        channels: int,
        *,
        weighted: bool = False,
        **more: Any,
    ) -> Term:
        # Of what has no weights, two that compute the same are one.
        key = (what, reads)
        if not weighted and key in self._weightless:
            return self._weightless[key]
        number = self.numbers.setdefault((what, *(term.number for term in reads)), len(self.numbers))
        term = Term(what, reads, number, name, size, channels, weighted, **more)
        self.made.setdefault(number, []).append(term)
        if not weighted:
            self._weightless[key] = term
        return term

    def _windowed(self, op: Conv | Depthwise | Dense | Pool, x: Term, node: Node) -> Term:
        if isinstance(op, Dense):
            return self._activated(self._weighted(op, x, node, x.size), op.activation, node.name)
        around = NO_ZEROS
        if isinstance(x.what, tuple) and x.what[0] == "zeros":
            [inner], around = x.reads, x.what[1]
        else:
            inner = x
        zeros = _zeros(op, x.size)
        size = _size_behind(op, x.size, zeros)
        sides = tuple(_with_zeros(*pair) for pair in zip(zeros, around, strict=True))
        if isinstance(op, Pool):
            # Zeros around an image are cells of it; those of Keras' own padding are in no mean and no maximum.
            known = None not in x.size or both(op.stride) == (1, 1)
            own = zeros != NO_ZEROS and (op.padding == "same" or (op.padding == "correct" and known))
            what = ("pool", op.kind, both(op.kernel), both(op.stride), *((around, zeros) if own else sides), own)
            return self._term(what, (inner,), node.name, size, x.channels)
        made = self._weighted(op, inner, node, size, () if sides == NO_ZEROS else (sides,))
        return self._activated(made, op.activation, node.name) if isinstance(op, Conv) else made

    def _weighted(self, op: Op, x: Term, node: Node, size: Size, more: tuple[Hashable, ...] = ()) -> Term:
        what = (weighted_part(op, x.channels), *more)
        return self._term(what, (x,), node.name, size, node.channels, weighted=True)

    def _activated(self, x: Term, activation: Any, name: str) -> Term:
        if isinstance(activation, str):
            activation = _ACTIVATIONS.get(activation, activation)
        if activation is None:
            return x
        return self._term(("activation", activation), (x,), name, x.size, x.channels)

    def _joined(self, op: Joining, inputs: Sequence[Term], node: Node) -> Term:
        if isinstance(op, Multiply) and len(inputs) == 2:
            for x, gate in (inputs, inputs[::-1]):
                if gate.reads == (x,) and gate.what in _GATES:
                    return self._activated(x, _GATES[gate.what], node.name)
        reads = inputs if op in (Concat(), Merge("subtract")) else sorted(inputs, key=lambda term: term.number)
        size = next((term.size for term in inputs if term.size != (1, 1)), (1, 1))
        return self._term(op, tuple(reads), node.name, size, node.channels)

    def _padded(self, op: ZeroPad, x: Term, node: Node) -> Term:
        around = (op.rows, op.columns)
        if around == NO_ZEROS:
            return x
        height, width = (None if side is None else side + sum(pair) for side, pair in zip(x.size, around, strict=True))
        return self._term(("zeros", around), (x,), node.name, (height, width), x.channels)

    def _affine(self, op: Rescale | Standardize, x: Term, node: Node) -> Term:
        if isinstance(op, Standardize) and op.mean is None:
            return self._weighted(op, x, node, x.size)
        scale, offset = _line(op, x.channels)
        if x.what == _STANDARDIZE and not any(offset) and all(scale):
            factor = tuple(a * b for a, b in zip(scale, x.factor or (1.0,) * x.channels, strict=True))
            return self._term(x.what, x.reads, x.name, x.size, x.channels, weighted=True, factor=factor)
        if x.affine is not None:
            [x], (first, start) = x.reads, x.affine
            offset = tuple(a * b + c for a, b, c in zip(start, scale, offset, strict=True))
            scale = tuple(a * b for a, b in zip(first, scale, strict=True))
        what = _rounded(scale, offset)
        if what == _rounded((1.0,), (0.0,)):
            return x
        if what == _SIXTH and x.what == ("activation", "relu6") and x.reads[0].what == _PLUS_THREE:
            return self._activated(x.reads[0].reads[0], "hard_sigmoid", node.name)
        return self._term(what, (x,), node.name, x.size, x.channels, affine=(scale, offset))


def terms_of(network: Network, numbers: dict[Hashable, int], image: Node, size: Size) -> tuple[Terms, dict[Node, Term]]:
    """The terms of a network.

    Args:
        network: the network.
        numbers: the numbers that were given so far, in all networks that are compared; new ones are added.
        image: the node that makes what is called the image: an input of the network, or any other node.
        size: (height, width) of the image, in cells; None for a side that is unknown.

    Returns:
        All terms, and the term of what each node makes.
    """
    terms = Terms(numbers)
    found = {node: terms.unknown(node) for node in network.inputs}
    found[image] = terms.image(size, image.channels)
    for node in network.nodes:
        if node is not image:
            found[node] = terms.of(node, [found[each] for each in node.inputs])
    return terms, found


def weighted_part(op: Op | None, channels: int) -> tuple[Hashable, ...] | None:
    """What makes layers with weights equal, but for padding and activation; None for an operation without weights.

    Args:
        op: the operation.
        channels: number of channels that it reads.

    Example:
        >>> weighted_part(Conv(8, bias=True), 3) == weighted_part(Dense(8), 3)
        True
    """
    match op:
        case Conv() if _is_dense(op):
            return "dense", op.width, op.bias
        case Conv():
            window = (both(op.kernel), both(op.stride), both(op.dilation), op.bias)
            if op.groups == channels > 1:
                return "depthwise", op.width // channels, *window
            return "conv", op.width, op.groups, *window
        case Depthwise():
            return "depthwise", op.multiplier, both(op.kernel), both(op.stride), both(op.dilation), op.bias
        case Dense():
            return "dense", op.width, op.bias
        case BatchNorm():
            return "batch norm", _digits(op.epsilon), op.center, op.scale
        case ChannelScale():
            return ("scale",)
        case Standardize(mean=None):
            return ("standardize",)
        case op if isinstance(op, Weighted):
            options = (getattr(op, each.name) for each in fields(op))
            return type(op).__name__, *(_digits(each) if isinstance(each, float) else each for each in options)
    return None


def _is_dense(op: Conv) -> bool:
    return both(op.kernel) == both(op.stride) == (1, 1) and op.groups == 1


def _zeros(op: Window, size: Size) -> tuple[Any, Any]:
    """The zeros (before, after) of each side; a word where they depend on a size that is unknown."""
    if op.padding == "correct" and None in size:
        size = (None, None)
    rows, columns = (
        "same"
        if op.padding == "same" and side is None and min(reach, stride) > 1
        else padding_zeros(op.padding if reach > 1 else "valid", reach, stride, side)
        for side, (reach, stride) in zip(size, reaches(op), strict=True)
    )
    return rows, columns


def _size_behind(op: Window, size: Size, zeros: tuple[Any, Any]) -> Size:
    height, width = (
        None if side is None else (side + sum(pair) - reach) // stride + 1
        for side, (reach, stride), pair in zip(size, reaches(op), zeros, strict=True)
    )
    return height, width


def _with_zeros(zeros: Any, around: tuple[int, int]) -> Hashable:
    """The zeros of a window, and those that were put around the image before."""
    if zeros == "same":
        return zeros, around
    return zeros[0] + around[0], zeros[1] + around[1]


def _line(op: Rescale | Standardize, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and offset of each channel."""
    if isinstance(op, Standardize):
        scale = [variance**-0.5 for variance in op.variance or ()]
        return tuple(scale), tuple(-mean * each for mean, each in zip(op.mean or (), scale, strict=True))
    scale, offset = (each if isinstance(each, tuple) else (each,) * channels for each in (op.scale, op.offset))
    return scale, offset


def _rounded(scale: Sequence[float], offset: Sequence[float]) -> Hashable:
    """A line for all channels where they have the same, with numbers that are equal in single precision."""
    lines = [(_digits(a), _digits(b)) for a, b in zip(scale, offset, strict=True)]
    return "line", *(lines if len(set(lines)) > 1 else lines[:1])


def _digits(number: float) -> str:
    """The digits that single precision keeps when numbers are computed in another order."""
    return f"{round(number, 14) + 0.0:.4e}"  # what is left of a difference, and -0.0, are 0


_STANDARDIZE = (("standardize",),)
_PLUS_THREE, _SIXTH = _rounded((1.0,), (3.0,)), _rounded((1 / 6,), (0.0,))
