"""The vocabulary that blocks are written in.

A block says what it does with the verbs of `Ops`, once. Each *reader* of the vocabulary gives the verbs one meaning:
`keras_effnet.cost` counts shapes, parameters and multiply-adds; `keras_effnet.builder` makes Keras layers. A reader
of your own (a latency model, a drawing) subclasses `Ops` and sees every block there is.

| verb | does | has weights |
|---|---|---|
| `conv` | convolution, plain or grouped, with an optional bias and activation | yes |
| `depthwise` | one filter (or `multiplier` filters) for each channel | yes |
| `dense` | fully connected | yes |
| `norm` | normalisation: `BatchNorm` or `LayerNorm` | yes |
| `scale` | one trained factor for each channel (ConvNeXt's layer scale) | yes |
| `act` | activation | no |
| `pool` | max or average pooling over a window | no |
| `global_pool` | max or average over the whole image | no |
| `add`, `mul` | elementwise, `mul` broadcasting over the image | no |
| `concat` | channels of one image after those of another | no |
| `dropout` | of single values, or of whole samples (drop-path) | no |
| `flatten` | (1, 1, channels) to (channels,) | no |
| `rescale`, `standardize` | preprocessing inside the model | `standardize` without statistics |
| `layer` | any Keras layer, with its cost declared: the way out of the vocabulary | as declared |

Two questions complete it: `channels(x)` and `size(x)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

from keras_effnet.checks import check_number, check_rate
from keras_effnet.errors import SpecError

Padding = Literal["same", "correct", "even", "symmetric", "valid"]
"""How zeros are put around an image before a window of `kernel` slides over it with a stride.

* `same`: TensorFlow's: the output has ceil(size / stride) cells; the odd zero goes to the end.
* `even`: the zeros that `same` would put around an even size, whatever the size is (Keras' MobileNet).
* `correct`: `same` where the size is known, `even` where it is not (Keras' `correct_pad`: EfficientNet, MobileNetV2).
* `symmetric`: kernel // 2 on every side (PyTorch; Keras' ResNet stem).
* `valid`: none.

They differ only where stride > 1 (and for `valid`, and for `symmetric` with an even kernel).
"""
PADDINGS = get_args(Padding)

PoolKind = Literal["avg", "max"]
T = TypeVar("T")


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv:1502.03167): 4 parameters a channel, 2 of them trained.

    Args:
        epsilon: added to the variance; at least 0. Keras' default.
        momentum: of the moving statistics, in [0, 1). Keras' default.

    Raises:
        SpecError: a value outside its range.
    """

    epsilon: float = 1e-3
    momentum: float = 0.99

    def __post_init__(self) -> None:
        check_number(SpecError, "epsilon", self.epsilon, 0)
        check_rate(SpecError, "momentum", self.momentum)


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation over the channels of each cell (Ba et al. 2016, arXiv:1607.06450): 2 parameters a channel.

    Args:
        epsilon: added to the variance; at least 0. ConvNeXt's (arXiv:2201.03545, its released code).

    Raises:
        SpecError: a value outside its range.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_number(SpecError, "epsilon", self.epsilon, 0)


Norm = BatchNorm | LayerNorm
KERAS_NORM = BatchNorm()


def check_norm(norm: object) -> None:
    """Raises SpecError unless `norm` is a BatchNorm or a LayerNorm."""
    if not isinstance(norm, BatchNorm | LayerNorm):
        raise SpecError(f"`norm` must be a BatchNorm or a LayerNorm. Received: norm={norm!r}")


def padding_zeros(padding: Padding, kernel: int, stride: int, size: int | None) -> tuple[int, int]:
    """The zeros put before and after one axis of an image.

    Args:
        padding: one of `PADDINGS`.
        kernel: the window's size, in cells.
        stride: its step, in cells.
        size: the axis' length, or None where it is known only when the model runs.

    Returns:
        (before, after), in cells. `same` of an unknown size has no answer before the model runs: ask the framework.

    Raises:
        SpecError: `same` with stride > 1 of an unknown size.

    Example:
        >>> padding_zeros("same", kernel=3, stride=2, size=224)
        (0, 1)
        >>> padding_zeros("symmetric", kernel=7, stride=2, size=224)
        (3, 3)
    """
    if padding == "valid":
        return 0, 0
    if padding == "symmetric":
        return kernel // 2, kernel // 2
    if size is None and stride > 1 and padding == "same":
        raise SpecError(f"the zeros of 'same' padding depend on the size. Received: {padding=}, {stride=}, {size=}")
    if size is None or padding == "even":
        size = stride  # any multiple of the stride: "even" for stride 2
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Ops(ABC, Generic[T]):
    """A reader of blocks: one method for each verb of the vocabulary; `T` is what flows between them.

    Every verb takes the name its layer has in the Keras model. Readers that do not name anything ignore it.
    """

    def stage(self, x: T, block: Callable[[int, T], T], *, depth: int, repeated: range, operator: str) -> T:
        """Puts the blocks of a stage one after the other. A reader that knows a shorter way overrides this.

        Args:
            x: what the stage reads.
            block: takes the number of a block and what the block before it gave, and gives what this one makes of it.
            depth: how many they are.
            repeated: the numbers of those that are equal, except in their names.
            operator: the block as the paper's Table 1 writes it.

        Returns:
            What the last block made.
        """
        for index in range(depth):
            x = block(index, x)
        return x

    @abstractmethod
    def channels(self, x: T) -> int: ...

    @abstractmethod
    def size(self, x: T) -> tuple[int | None, int | None]:
        """(height, width); None where it is known only when the model runs."""

    @abstractmethod
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
        activation: str | None = None,
        name: str,
    ) -> T: ...

    @abstractmethod
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
    ) -> T: ...

    @abstractmethod
    def dense(self, x: T, width: int, *, activation: str | Callable[..., Any] | None = None, name: str) -> T: ...

    @abstractmethod
    def norm(self, x: T, norm: Norm, *, name: str) -> T: ...

    @abstractmethod
    def scale(self, x: T, initial: float, *, name: str) -> T:
        """Multiplies each channel by a trained factor that starts at `initial`."""

    @abstractmethod
    def act(self, x: T, activation: str | Callable[..., Any] | None, *, name: str) -> T: ...

    @abstractmethod
    def pool(
        self, x: T, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> T: ...

    @abstractmethod
    def global_pool(self, x: T, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> T: ...

    @abstractmethod
    def add(self, x: T, y: T, *, name: str) -> T: ...

    @abstractmethod
    def mul(self, x: T, y: T, *, name: str) -> T: ...

    @abstractmethod
    def concat(self, x: T, y: T, *, name: str) -> T: ...

    @abstractmethod
    def dropout(self, x: T, rate: float, *, per_sample: bool = False, name: str) -> T:
        """Nothing at all where `rate` is 0."""

    @abstractmethod
    def flatten(self, x: T, *, name: str) -> T: ...

    @abstractmethod
    def rescale(self, x: T, scale: float, offset: float, *, name: str) -> T: ...

    @abstractmethod
    def standardize(
        self, x: T, *, mean: Sequence[float] | None = None, variance: Sequence[float] | None = None, name: str
    ) -> T:
        """(x - mean) / sqrt(variance), one of each for each channel.

        Without `mean` and `variance` the statistics are weights: 2 numbers a channel and a count.
        """

    @abstractmethod
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
        """Any Keras layer.

        Args:
            x: its input.
            make: called with the name, gives the layer; only the reader that builds calls it, so it may import keras.
            shape: (height, width, channels) of the output.
            params: all weights, the untrained ones too.
            trainable_params: those that training changes.
            macs: multiply-adds for one image.
            name: of the layer.
        """
