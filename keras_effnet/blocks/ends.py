"""The two ends of a network: the convolution before its stages or after them, and the classifier.

A classifier is not a `Block`: it is given a number of classes, not a width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from keras_effnet.blocks.base import Block, Placement, check_kernel
from keras_effnet.checks import check_bool, check_choice, check_int, check_name, check_rate, store_plain
from keras_effnet.errors import SpecError
from keras_effnet.ops import KERAS_NORM, LayerNorm, Norm, Ops, T, check_norm
from keras_effnet.padding import PADDINGS, Padding
from keras_effnet.windows import check_activation_name

CONVNEXT_NORM = LayerNorm(epsilon=1e-6)


@dataclass(frozen=True)
class ConvBlock(Block):
    """Convolution, normalisation, activation: the stem or the head of most mobile networks.

    Args:
        kernel: size of the convolution, 1 to 31.
        padding: padding of the convolution, one of `keras_effnet.ops.PADDINGS`.
        activation: name of an activation in `keras.activations`.
        norm: normalisation after the convolution.
        bias: whether the convolution has a bias.
        names: names of the three layers, unique in a network.

    Raises:
        SpecError: a value outside its range, or not three names.

    Example:
        >>> ConvBlock(kernel=1, names=("top_conv", "top_bn", "top_activation")).describe()
        'Conv, k1x1'
    """

    kernel: int = 3
    padding: Padding = "same"
    activation: str = "relu"
    norm: Norm = KERAS_NORM
    bias: bool = False
    names: tuple[str, str, str] = ("stem_conv", "stem_bn", "stem_activation")

    def __post_init__(self) -> None:
        store_plain(self)
        check_kernel(self.kernel)
        check_choice(SpecError, "padding", self.padding, PADDINGS)
        check_norm(self.norm)
        check_bool(SpecError, "bias", self.bias)
        if not isinstance(self.names, tuple) or len(self.names) != 3:
            raise SpecError("`names` must be three layer names.", received=f"names={self.names!r}")
        for name in self.names:
            check_name(SpecError, "names", name, layer=True)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, at: Placement) -> T:
        conv, norm, act = self.names
        x = ops.conv(x, at.width, self.kernel, at.stride, padding=self.padding, bias=self.bias, name=conv)
        x = ops.norm(x, self.norm, name=norm)
        return ops.act(x, self.activation, name=act)

    def describe(self) -> str:
        return f"Conv, k{self.kernel}x{self.kernel}"


@dataclass(frozen=True)
class Classifier(ABC):
    """What follows the last features: pooling, dropout and one score for each class.

    Args:
        dropout: share of the pooled features that is dropped in training, in [0, 1).

    Raises:
        SpecError: `dropout` outside its range.
    """

    dropout: float = 0.0

    def __post_init__(self) -> None:
        store_plain(self)
        check_rate(SpecError, "dropout", self.dropout)

    @abstractmethod
    def apply(self, ops: Ops[T], x: T, classes: int, activation: str | Callable[..., Any] | None) -> T:
        """Writes the classifier in the verbs of `ops`.

        Args:
            ops: reader of the verbs.
            x: last features, as the reader represents them.
            classes: number of classes, at least 1.
            activation: activation of the scores: a name in `keras.activations`, a callable, or None for logits.

        Returns:
            Scores of shape (batch, classes), as the reader represents them.
        """

    def finish(self, ops: Ops[T], x: T) -> T:
        """Writes what ends a network without its classifier, after any pooling: nothing, for most classifiers."""
        return x

    def widened(self, round_width: Callable[[int], int]) -> Classifier:
        """Returns the classifier of a widened network: itself, unless it has a hidden layer.

        Args:
            round_width: function from a width to the scaled and rounded width.
        """
        return self


@dataclass(frozen=True)
class DenseClassifier(Classifier):
    """Global average pooling, dropout, a dense layer: EfficientNet, ResNet, MobileNetV2."""

    def apply(self, ops: Ops[T], x: T, classes: int, activation: str | Callable[..., Any] | None) -> T:
        x = ops.global_pool(x, name="avg_pool")
        x = ops.dropout(x, self.dropout, name="top_dropout")
        return ops.dense(x, classes, activation=activation, name="predictions")


@dataclass(frozen=True)
class ConvClassifier(Classifier):
    """Global average pooling, dropout, a 1x1 convolution in place of the dense layer: MobileNetV1."""

    def apply(self, ops: Ops[T], x: T, classes: int, activation: str | Callable[..., Any] | None) -> T:
        x = ops.global_pool(x, keepdims=True, name="avg_pool")
        x = ops.dropout(x, self.dropout, name="dropout")
        x = ops.conv(x, classes, bias=True, name="conv_preds")
        x = ops.flatten(x, name="reshape_2")
        return ops.act(x, activation, name="predictions")


@dataclass(frozen=True)
class HiddenConvClassifier(Classifier):
    """Global average pooling, a hidden 1x1 convolution, dropout, another 1x1 convolution: MobileNetV3.

    The hidden layer follows the pooling, where it costs next to nothing (arXiv:1905.02244, section 5.1), and widens
    with the network.

    Args:
        width: number of channels of the hidden convolution, at least 1.
        activation: activation of the hidden convolution, a name in `keras.activations`.
        norm: normalisation of the hidden convolution, which then has no bias (MobileNetV4); None for none.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> HiddenConvClassifier(width=1024).widened(lambda width: 2 * width).width
        2048
    """

    width: int = 1280
    activation: str = "hard_swish"
    norm: Norm | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int(SpecError, "width", self.width, 1)
        if self.norm is not None:
            check_norm(self.norm)
        check_activation_name(SpecError, self.activation)

    def apply(self, ops: Ops[T], x: T, classes: int, activation: str | Callable[..., Any] | None) -> T:
        x = ops.global_pool(x, keepdims=True, name="avg_pool")
        x = ops.conv(x, self.width, bias=self.norm is None, name="conv_2")
        if self.norm is not None:
            x = ops.norm(x, self.norm, name="conv_2_bn")
        x = ops.act(x, self.activation, name="conv_2_activation")
        x = ops.dropout(x, self.dropout, name="dropout")
        x = ops.conv(x, classes, bias=True, name="logits")
        x = ops.flatten(x, name="flatten")
        return ops.act(x, activation, name="predictions")

    def widened(self, round_width: Callable[[int], int]) -> Classifier:
        return replace(self, width=round_width(self.width))


@dataclass(frozen=True)
class NormClassifier(Classifier):
    """Global average pooling, normalisation, dropout, a dense layer: ConvNeXt.

    Features without the classifier are normalised too, after pooling where there is any.

    Args:
        norm: normalisation of the pooled features.
        prefix: text that layer names start with, not empty; classifiers with different prefixes are equal.

    Raises:
        SpecError: a value outside its range.

    Example:
        >>> NormClassifier(prefix="mine") == NormClassifier()
        True
    """

    norm: Norm = CONVNEXT_NORM
    prefix: str = field(default="convnext", compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_norm(self.norm)
        check_name(SpecError, "prefix", self.prefix, layer=True)

    def apply(self, ops: Ops[T], x: T, classes: int, activation: str | Callable[..., Any] | None) -> T:
        x = ops.global_pool(x, name=f"{self.prefix}_head_gap")
        x = ops.norm(x, self.norm, name=f"{self.prefix}_head_layernorm")
        x = ops.dropout(x, self.dropout, name=f"{self.prefix}_head_dropout")
        return ops.dense(x, classes, activation=activation, name=f"{self.prefix}_head_dense")

    def finish(self, ops: Ops[T], x: T) -> T:
        # The name that Keras gives to a layer without one.
        return ops.norm(x, self.norm, name="layer_normalization")
