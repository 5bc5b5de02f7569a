"""The vocabulary that blocks are written in, as data.

Each verb of `Ops` makes a small frozen record, the *operation*, whose fields are the verb's arguments, and hands it to
one method, `read(op, name, *inputs)`. Readers (count, build, trace, latency) match on operations and give them meaning.

| verb | operation | does | has weights |
|---|---|---|---|
| `conv` | `Conv` | convolution, plain or grouped, with an optional bias and activation | yes |
| `depthwise` | `Depthwise` | one filter (or `multiplier` filters) per channel | yes |
| `dense` | `Dense` | fully connected layer | yes |
| `norm` | `BatchNorm`, `LayerNorm` | normalization | yes |
| `scale` | `ChannelScale` | one trained factor per channel (ConvNeXt's layer scale) | yes |
| `act` | `Activation` | activation function | no |
| `pool` | `Pool` | max or average pooling over a window | no |
| `global_pool` | `GlobalPool` | max or average over the whole image | no |
| `add`, `mul` | `Add`, `Multiply` | elementwise; `mul` broadcasts over the image | no |
| | `Merge` | other elementwise joins: difference, mean, maximum, minimum | no |
| `concat` | `Concat` | puts the channels of images one after the other | no |
| `dropout` | `Dropout` | drops single values, or whole samples (drop-path) | no |
| `flatten` | `Flatten` | (1, 1, channels) to (channels,) | no |
| | `Unflatten`, `ZeroPad`, `Crop`, `UpSample`, `Resize` | what else moves cells about (`keras_effnet.reshaping`) | no |
| | `TransposedConv` | convolution that makes an image larger | yes |
| | `GroupNorm`, `RMSNorm`, `UnitNorm` | other normalizations (`keras_effnet.normalization`) | yes |
| | `PReLU` | ReLU with a trained slope below zero | yes |
| `rescale` | `Rescale` | multiplies pixels by a number and adds another | no |
| `standardize` | `Standardize` | subtracts a mean and divides by a deviation, per channel | without statistics |
| `layer` | `Opaque` | any Keras layer, with its cost declared: the way out of the vocabulary | as declared |
| | `Reuse` | a layer that was called before, once more | those of that layer |

Operations without a verb are those that only models of other people have (`keras_effnet.reading`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar, cast

from keras_effnet.normalization import (  # noqa: F401 - the vocabulary is imported from here
    KERAS_NORM,
    BatchNorm,
    GroupNorm,
    LayerNorm,
    Norm,
    RMSNorm,
    UnitNorm,
    check_norm,
)
from keras_effnet.padding import Padding
from keras_effnet.reshaping import Crop, Flatten, Reshaping, Resize, Unflatten, UpSample, ZeroPad  # noqa: F401
from keras_effnet.windows import (  # noqa: F401
    ActivationFunction,
    Conv,
    Depthwise,
    GlobalPool,
    Pool,
    PoolKind,
    Sides,
    TransposedConv,
    Window,
)

MergeKind = Literal["subtract", "average", "maximum", "minimum"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dense:
    """A fully connected layer over the channels of each cell.

    Args:
        width: number of output channels.
        activation: activation applied to the output; None for none.
        bias: whether a trained bias is added to each output channel.
    """

    width: int
    activation: ActivationFunction = None
    bias: bool = True


@dataclass(frozen=True, slots=True)
class ChannelScale:
    """One trained factor per channel.

    Args:
        initial: value that every factor starts at.
    """

    initial: float


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation function.

    Args:
        activation: a name that `keras.activations` knows, a callable, or None for the identity.
    """

    activation: ActivationFunction


@dataclass(frozen=True, slots=True)
class PReLU:
    """ReLU with a trained slope below zero (He et al. 2015, arXiv:1502.01852): one for each channel.

    Args:
        cells: number of cells that have slopes of their own; 1 where all cells of a channel share one.
    """

    cells: int = 1


@dataclass(frozen=True, slots=True)
class Add:
    """The sum of images of one shape, or of one and others of as many channels, which are broadcast over it."""


@dataclass(frozen=True, slots=True)
class Multiply:
    """The product of an image with others of as many channels, which are broadcast over it."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What is made, cell by cell, of images of one shape, or of one and others that are broadcast over it.

    Args:
        kind: "subtract" (the second from the first), "average", "maximum" or "minimum".
    """

    kind: MergeKind


@dataclass(frozen=True, slots=True)
class Concat:
    """The channels of images of the same size, one after the other."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Dropout during training.

    Args:
        rate: share of values (or samples) dropped, in [0, 1); 0 adds no layer.
        per_sample: whether whole samples are dropped (drop-path, arXiv:1603.09382) instead of single values.
    """

    rate: float
    per_sample: bool = False


@dataclass(frozen=True, slots=True)
class Rescale:
    """Computes x * scale + offset.

    Args:
        scale: factor of every value, or one for each channel.
        offset: number added to every value, or one for each channel.
    """

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Standardize:
    """Computes (x - mean) / sqrt(variance), with one mean and variance per channel.

    Without `mean` and `variance` the statistics are untrained weights: two numbers per channel and a count.

    Args:
        mean: one number per channel, or None.
        variance: one number per channel, or None; given exactly where `mean` is.
    """

    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Opaque:
    """Any Keras layer.

    Args:
        make: function from the layer's name to a new layer. Only the reader that builds calls it, so it may import
            keras.
        shape: (height, width, channels) of the output.
        params: number of all weights, untrained ones included.
        trainable_params: number of weights that training changes.
        macs: multiply-adds per image.
        inert: whether it passes on what it reads when the network is not training, as noise and augmentation do.
        elementwise: whether each number that it makes depends on the number in its place alone, so that it passes
            channels on.
        infer: function from the shapes of what it reads, as (height, width, channels), to the shape of its output;
            None where the shape is `shape` whatever it reads.
        counted: whether `macs` are all that there are; False where nobody knows what it computes.
    """

    make: Callable[[str], Any]
    shape: tuple[int, int, int]
    params: int = 0
    trainable_params: int = 0
    macs: int = 0
    inert: bool = False
    elementwise: bool = False
    infer: Callable[..., tuple[int, int, int]] | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Reuse:
    """A layer that was called before, once more, with the same weights.

    Args:
        op: operation of that layer, which has the same name.
    """

    op: Op


def first_call(op: Op | None) -> Op:
    """The operation of a layer where it is called first: what it does in every call.

    Args:
        op: the operation of a node that is no input of its network.

    Example:
        >>> first_call(Reuse(Add())), first_call(Concat())
        (Add(), Concat())
    """
    return op.op if isinstance(op, Reuse) else cast("Op", op)


Weighted = Conv | TransposedConv | Depthwise | Dense | Norm | GroupNorm | RMSNorm | ChannelScale | PReLU
Mixing = Conv | TransposedConv | Dense  # each channel that they make reads many
Joining = Add | Multiply | Merge | Concat
Op = (
    Weighted
    | Joining
    | Activation
    | UnitNorm
    | Pool
    | GlobalPool
    | Dropout
    | Reshaping
    | Rescale
    | Standardize
    | Opaque
    | Reuse
)

_ADD, _MULTIPLY, _CONCAT, _FLATTEN = Add(), Multiply(), Concat(), Flatten()
# Hundreds of these stand in a network, and few differ: looking one up takes a fifth of the time of making it.
_conv, _depthwise, _activation, _dropout = (lru_cache(4096)(kind) for kind in (Conv, Depthwise, Activation, Dropout))


class Ops(ABC, Generic[T]):
    """The verbs that blocks speak; `T` is what flows between them.

    Every verb hands its record to `read` with the name of its layer in the Keras model.
    """

    @abstractmethod
    def read(self, op: Op, name: str, *inputs: T) -> T:
        """Takes one operation.

        Args:
            op: the operation.
            name: name of its layer in the Keras model, unique in a network.
            *inputs: values that it reads: two or more for `Joining` operations, one for all others but `Opaque`.

        Returns:
            What it makes.
        """

    @abstractmethod
    def channels(self, x: T) -> int:
        """Number of channels of `x`."""

    @abstractmethod
    def size(self, x: T) -> tuple[int | None, int | None]:
        """(height, width) of `x` in cells; None where it is known only when the model runs."""

    def conv(
        self,
        x: T,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = False,
        activation: ActivationFunction = None,
        name: str,
    ) -> T:
        return self.read(_conv(width, kernel, stride, padding, groups, bias, activation), name, x)

    def depthwise(
        self,
        x: T,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding = "same",
        multiplier: int = 1,
        bias: bool = False,
        name: str,
    ) -> T:
        return self.read(_depthwise(kernel, stride, padding, multiplier, bias), name, x)

    def dense(self, x: T, width: int, *, activation: ActivationFunction = None, name: str) -> T:
        return self.read(Dense(width, activation), name, x)

    def norm(self, x: T, norm: Norm, *, name: str) -> T:
        return self.read(norm, name, x)

    def scale(self, x: T, initial: float, *, name: str) -> T:
        return self.read(ChannelScale(initial), name, x)

    def act(self, x: T, activation: ActivationFunction, *, name: str) -> T:
        return self.read(_activation(activation), name, x)

    def pool(
        self, x: T, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> T:
        return self.read(Pool(kernel, stride, kind, padding), name, x)

    def global_pool(self, x: T, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> T:
        return self.read(GlobalPool(kind, keepdims), name, x)

    def add(self, x: T, y: T, *, name: str) -> T:
        return self.read(_ADD, name, x, y)

    def mul(self, x: T, y: T, *, name: str) -> T:
        return self.read(_MULTIPLY, name, x, y)

    def concat(self, x: T, y: T, *, name: str) -> T:
        return self.read(_CONCAT, name, x, y)

    def dropout(self, x: T, rate: float, *, per_sample: bool = False, name: str) -> T:
        return self.read(_dropout(rate, per_sample), name, x)

    def flatten(self, x: T, *, name: str) -> T:
        return self.read(_FLATTEN, name, x)

    def rescale(self, x: T, scale: float, offset: float, *, name: str) -> T:
        return self.read(Rescale(scale, offset), name, x)

    def standardize(
        self, x: T, *, mean: Sequence[float] | None = None, variance: Sequence[float] | None = None, name: str
    ) -> T:
        statistics = (None if values is None else tuple(values) for values in (mean, variance))
        return self.read(Standardize(*statistics), name, x)

    def layer(
        self,
        x: T,
        make: Callable[[str], Any],
        *,
        shape: tuple[int, int, int],
        params: int = 0,
        trainable_params: int = 0,
        macs: int = 0,
        name: str,
    ) -> T:
        return self.read(Opaque(make, shape, params, trainable_params, macs), name, x)
