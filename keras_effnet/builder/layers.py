"""The reader that makes Keras layers: stock ones only, in one flat graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from keras_effnet.builder.initialization import Initialization
from keras_effnet.errors import BuildError
from keras_effnet.ops import BatchNorm, Norm, Ops, Padding, PoolKind, padding_zeros
from keras_effnet.spec import Initializer


class KerasLayers(Ops[Any]):
    """Turns each verb into one Keras layer (or two, where zeros are padded in a way that Keras' layers do not know).

    Args:
        initializer: of kernels, the spec's.
    """

    def __init__(self, initializer: Initializer) -> None:
        self.values = Initialization()
        # Keras annotates initialisers as strings.
        self.conv_initializer: Any
        self.dense_initializer: Any
        if initializer == "fan_out":
            # keras.applications.efficientnet: CONV_KERNEL_INITIALIZER and DENSE_KERNEL_INITIALIZER.
            self.conv_initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
            self.dense_initializer = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
        else:
            self.conv_initializer = self.dense_initializer = keras.initializers.GlorotUniform()
        self.channels_first = keras.config.image_data_format() == "channels_first"
        self.channel_axis = 1 if self.channels_first else -1

    def channels(self, x: Any) -> int:
        return x.shape[self.channel_axis]

    def size(self, x: Any) -> tuple[int | None, int | None]:
        return tuple(x.shape[2:4] if self.channels_first else x.shape[1:3])

    def _padded(self, x: Any, kernel: int, stride: int, padding: Padding, name: str) -> tuple[Any, str]:
        """`x` with the zeros that Keras would not put there by itself, and what Keras' layer is to do."""
        if padding in ("same", "valid"):
            return x, padding
        height, width = self.size(x)
        known = height is not None and width is not None
        if kernel == 1 or (padding == "correct" and (known or stride == 1)):
            # "same" is then the same thing, in one layer instead of two.
            return x, "same"
        if padding == "correct":
            height = width = None
        zeros = (padding_zeros(padding, kernel, stride, height), padding_zeros(padding, kernel, stride, width))
        return layers.ZeroPadding2D(zeros, name=f"{name}_pad")(x), "valid"

    def conv(
        self,
        x: Any,
        width: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = False,
        activation: str | None = None,
        name: str,
    ) -> Any:
        x, padding_name = self._padded(x, kernel, stride, padding, name)
        layer = layers.Conv2D(
            width,
            kernel,
            strides=stride,
            padding=padding_name,
            groups=groups,
            use_bias=bias,
            activation=activation,
            kernel_initializer=self.conv_initializer,
            name=name,
        )
        return self.values.build(layer, x)

    def depthwise(
        self,
        x: Any,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding = "same",
        multiplier: int = 1,
        bias: bool = False,
        name: str,
    ) -> Any:
        x, padding_name = self._padded(x, kernel, stride, padding, name)
        layer = layers.DepthwiseConv2D(
            kernel,
            strides=stride,
            padding=padding_name,
            depth_multiplier=multiplier,
            use_bias=bias,
            depthwise_initializer=self.conv_initializer,
            name=name,
        )
        return self.values.build(layer, x)

    def dense(self, x: Any, width: int, *, activation: str | Callable[..., Any] | None = None, name: str) -> Any:
        check_activation(activation)
        if self.channels_first and len(x.shape) == 4:
            # Keras' Dense joins what stands on the last axis.
            raise BuildError(
                f"layer {name!r} is fully connected over the channels of an image, which Keras can only do where they "
                "stand last: use keras.config.set_image_data_format('channels_last'). Received: 'channels_first'"
            )
        layer = layers.Dense(width, activation=activation, kernel_initializer=self.dense_initializer, name=name)
        return self.values.build(layer, x)

    def norm(self, x: Any, norm: Norm, *, name: str) -> Any:
        if isinstance(norm, BatchNorm):
            layer = layers.BatchNormalization(
                axis=self.channel_axis, epsilon=norm.epsilon, momentum=norm.momentum, name=name
            )
        else:
            # Pooled features are vectors: their only axis holds the channels.
            axis = self.channel_axis if len(x.shape) == 4 else -1
            layer = layers.LayerNormalization(axis=axis, epsilon=norm.epsilon, name=name)
        return self.values.build(layer, x)

    def scale(self, x: Any, initial: float, *, name: str) -> Any:
        # The stock layer that multiplies each channel by a weight of its own.
        equation = "abcd,b->abcd" if self.channels_first else "abcd,d->abcd"
        start: Any = keras.initializers.Constant(initial)
        layer = layers.EinsumDense(equation, x.shape[1:], kernel_initializer=start, name=name)
        return self.values.build(layer, x)

    def act(self, x: Any, activation: str | Callable[..., Any] | None, *, name: str) -> Any:
        check_activation(activation)
        return layers.Activation(activation, name=name)(x)

    def pool(
        self, x: Any, kernel: int, stride: int, *, kind: PoolKind = "max", padding: Padding = "valid", name: str
    ) -> Any:
        x, padding_name = self._padded(x, kernel, stride, padding, name)
        make = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
        return make(kernel, strides=stride, padding=padding_name, name=name)(x)

    def global_pool(self, x: Any, *, kind: PoolKind = "avg", keepdims: bool = False, name: str) -> Any:
        make = layers.GlobalMaxPooling2D if kind == "max" else layers.GlobalAveragePooling2D
        return make(keepdims=keepdims, name=name)(x)

    def add(self, x: Any, y: Any, *, name: str) -> Any:
        return layers.Add(name=name)([x, y])

    def mul(self, x: Any, y: Any, *, name: str) -> Any:
        return layers.Multiply(name=name)([x, y])

    def concat(self, x: Any, y: Any, *, name: str) -> Any:
        return layers.Concatenate(axis=self.channel_axis, name=name)([x, y])

    def dropout(self, x: Any, rate: float, *, per_sample: bool = False, name: str) -> Any:
        if rate == 0:
            return x
        return layers.Dropout(rate, noise_shape=(None, 1, 1, 1) if per_sample else None, name=name)(x)

    def flatten(self, x: Any, *, name: str) -> Any:
        return layers.Reshape((self.channels(x),), name=name)(x)

    def rescale(self, x: Any, scale: float, offset: float, *, name: str) -> Any:
        return layers.Rescaling(scale, offset, name=name)(x)

    def standardize(
        self, x: Any, *, mean: Sequence[float] | None = None, variance: Sequence[float] | None = None, name: str
    ) -> Any:
        statistics: dict[str, Any] = {}
        if mean is not None and variance is not None:
            statistics = {"mean": list(mean), "variance": list(variance)}
        return layers.Normalization(axis=self.channel_axis, **statistics, name=name)(x)

    def layer(
        self,
        x: Any,
        make: Callable[[str], Any],
        *,
        shape: tuple[int, int, int],
        params: int = 0,
        trainable_params: int = 0,
        macs: int = 0,
        name: str,
    ) -> Any:
        return make(name)(x)


def check_activation(activation: str | Callable[..., Any] | None) -> None:
    """Raises BuildError unless Keras knows `activation`."""
    try:
        keras.activations.get(activation)
    except ValueError as error:
        raise BuildError(
            "an activation must be a name that keras.activations knows, a callable or None. "
            f"Received: activation={activation!r}"
        ) from error
