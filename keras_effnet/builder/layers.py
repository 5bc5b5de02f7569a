"""The reader that makes Keras layers: stock ones only, in one flat graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from keras_effnet.builder.initialization import Initialization
from keras_effnet.builder.layer_names import padding_name
from keras_effnet.errors import BuildError
from keras_effnet.ops import (
    Activation,
    ActivationFunction,
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
    GroupNorm,
    LayerNorm,
    Merge,
    Multiply,
    Op,
    Opaque,
    Pool,
    PReLU,
    Rescale,
    Reshaping,
    Resize,
    Reuse,
    RMSNorm,
    Standardize,
    TransposedConv,
    Unflatten,
    UnitNorm,
    UpSample,
    Window,
    ZeroPad,
)
from keras_effnet.padding import padding_zeros
from keras_effnet.spec import Initializer
from keras_effnet.windows import reaches

Shape = tuple[int | None, ...]

_MERGES: dict[str, Any] = {
    "subtract": layers.Subtract,
    "average": layers.Average,
    "maximum": layers.Maximum,
    "minimum": layers.Minimum,
}


class KerasLayers:
    """Turns each operation into one Keras layer, or two where Keras' own layer does not know the padding.

    Args:
        initializer: the spec's initializer of kernels.
        names: the name that a layer gets in place of its own, by its own; None if all keep theirs.

    Attributes:
        made: the last layer of each operation, by the name of the operation.
    """

    def __init__(self, initializer: Initializer = "glorot_uniform", names: Mapping[str, str] | None = None) -> None:
        self.initialization = Initialization()
        self.names = names or {}
        self.made: dict[str, Any] = {}
        # Keras annotates initializers as strings.
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

    def read(self, op: Op, name: str, *inputs: Any) -> Any:
        """Adds the layers of one operation to the graph.

        Args:
            op: the operation.
            name: name of its layer.
            *inputs: Keras tensors that it reads.

        Returns:
            The Keras tensor that it makes.

        Raises:
            BuildError: an activation that Keras does not know, or a layer that Keras cannot make in this data format.
        """
        x = inputs[0]
        if isinstance(op, Reuse):
            return self.made[name](list(inputs) if len(inputs) > 1 else x)
        made = self.layers_of(op, name, x.shape)
        for layer in made:
            # Only the last layer of an operation has weights, or reads several tensors.
            if layer is not made[-1]:
                x = layer(x)
            elif len(inputs) > 1:
                x = layer(list(inputs))
            else:
                x = self.initialization.build(layer, x)
            self.made[name] = layer
        return x

    def layers_of(self, op: Op, name: str, shape: Shape) -> list[Any]:
        """The layers of one operation, not called yet.

        Args:
            op: the operation.
            name: name of its layer.
            shape: shape of what it reads, with the batch.

        Returns:
            No layer for a dropout with a rate of 0; a layer that pads zeros and the layer itself where Keras does not
            know the padding; else one layer.

        Raises:
            BuildError: as `read`.
        """
        pad, name = (self.names.get(each, each) for each in (padding_name(name), name))
        match op:
            case Conv() | Depthwise() | Pool():
                return self._window(op, name, pad, shape)
            case BatchNorm() | LayerNorm() | GroupNorm() | RMSNorm() | UnitNorm():
                return [self._norm(op, name, shape)]
            case TransposedConv():
                return [
                    layers.Conv2DTranspose(
                        op.width,
                        op.kernel,
                        op.stride,
                        op.padding,
                        use_bias=op.bias,
                        activation=op.activation,
                        name=name,
                    )
                ]
            case PReLU():
                shared = [1, 2] if op.cells == 1 and len(shape) == 4 else None
                shared = [2, 3] if shared and self.channels_first else shared
                return [layers.PReLU(shared_axes=shared, name=name)]
            case Flatten(channels_first=True):
                vector = layers.Reshape((-1,), name=name)
                return [vector] if self.channels_first else [layers.Permute((3, 1, 2), name=f"{name}_permute"), vector]
            case Flatten() | Unflatten() | ZeroPad() | Crop() | UpSample() | Resize():
                return [self._reshaping(op, name, shape)]
            case Dense():
                return [self._dense(op, name, shape)]
            case ChannelScale():
                # The stock layer that multiplies each channel by a weight of its own.
                equation = "abcd,b->abcd" if self.channels_first else "abcd,d->abcd"
                start: Any = keras.initializers.Constant(op.initial)
                return [layers.EinsumDense(equation, shape[1:], kernel_initializer=start, name=name)]
            case Dropout():
                noise = (None, 1, 1, 1) if op.per_sample else None
                return [layers.Dropout(op.rate, noise_shape=noise, name=name)] if op.rate else []
            case Opaque():
                return [op.make(name)]
        return [self._plain(op, name, shape)]

    def _plain(self, op: Op, name: str, shape: Shape) -> Any:
        """The layer of an operation without a window and without trained weights."""
        match op:
            case Activation():
                check_activation(op.activation)
                return layers.Activation(op.activation, name=name)
            case GlobalPool():
                make = layers.GlobalMaxPooling2D if op.kind == "max" else layers.GlobalAveragePooling2D
                return make(keepdims=op.keepdims, name=name)
            case Add():
                return layers.Add(name=name)
            case Multiply():
                return layers.Multiply(name=name)
            case Merge():
                return _MERGES[op.kind](name=name)
            case Concat():
                return layers.Concatenate(axis=self.channel_axis if len(shape) == 4 else -1, name=name)
            case Rescale():
                numbers: Any = (op.scale, op.offset)  # annotated as a number each, and taken for channels too
                return layers.Rescaling(*numbers, name=name)
            case Standardize():
                statistics: dict[str, Any] = {}
                if op.mean is not None and op.variance is not None:
                    statistics = {"mean": list(op.mean), "variance": list(op.variance)}
                return layers.Normalization(axis=self.channel_axis, **statistics, name=name)
        raise BuildError("an operation must be one of keras_effnet.ops.", received=repr(op))

    def _norm(self, op: BatchNorm | LayerNorm | GroupNorm | RMSNorm | UnitNorm, name: str, shape: Shape) -> Any:
        # Pooled features are vectors: their only axis holds the channels.
        axis = self.channel_axis if len(shape) == 4 else -1
        options: dict[str, Any] = {"axis": axis, "name": name}
        if isinstance(op, BatchNorm | LayerNorm | GroupNorm):
            options |= {"epsilon": op.epsilon, "center": op.center, "scale": op.scale}
        match op:
            case BatchNorm():
                return layers.BatchNormalization(momentum=op.momentum, **options)
            case LayerNorm():
                return layers.LayerNormalization(**options)
            case GroupNorm():
                return layers.GroupNormalization(-1 if op.instance else op.groups, **options)
            case RMSNorm():
                return layers.RMSNormalization(epsilon=op.epsilon, **options)
        return layers.UnitNormalization(**options)

    def _reshaping(self, op: Reshaping, name: str, shape: Shape) -> Any:
        match op:
            case Flatten(cells=1):
                return layers.Reshape((shape[self.channel_axis],), name=name)
            case Flatten():
                return layers.Flatten(name=name)
            case Unflatten():
                return layers.Reshape((shape[-1], 1, 1) if self.channels_first else (1, 1, shape[-1]), name=name)
            case ZeroPad():
                return layers.ZeroPadding2D((op.rows, op.columns), name=name)
            case Crop():
                return layers.Cropping2D((op.rows, op.columns), name=name)
            case UpSample():
                return layers.UpSampling2D((op.rows, op.columns), interpolation=op.interpolation, name=name)
        return layers.Resizing(op.height, op.width, op.interpolation, antialias=op.antialias, name=name)

    def _window(self, op: Window, name: str, pad: str, shape: Shape) -> list[Any]:
        """A layer whose window slides over the image, behind the zeros that Keras would not add by itself."""
        zeros, padding = self._zeros(op, shape)
        options: dict[str, Any] = {"strides": op.stride, "padding": padding, "name": name}
        layer: Any
        if isinstance(op, Conv):
            check_activation(op.activation)
            layer = layers.Conv2D(
                op.width,
                op.kernel,
                groups=op.groups,
                dilation_rate=op.dilation,
                use_bias=op.bias,
                activation=op.activation,
                kernel_initializer=self.conv_initializer,
                **options,
            )
        elif isinstance(op, Depthwise):
            layer = layers.DepthwiseConv2D(
                op.kernel,
                depth_multiplier=op.multiplier,
                dilation_rate=op.dilation,
                use_bias=op.bias,
                depthwise_initializer=self.conv_initializer,
                **options,
            )
        else:
            layer = (layers.MaxPooling2D if op.kind == "max" else layers.AveragePooling2D)(op.kernel, **options)
        return [layer] if zeros is None else [layers.ZeroPadding2D(zeros, name=pad), layer]

    def _zeros(self, op: Window, shape: Shape) -> tuple[Any, str]:
        """The zeros that Keras would not add by itself, or None, and what Keras' layer is to do."""
        if op.padding in ("same", "valid"):
            return None, op.padding
        height, width = shape[2:4] if self.channels_first else shape[1:3]
        known = height is not None and width is not None
        if op.kernel == 1 or (op.padding == "correct" and (known or op.stride == 1)):
            # "same" is then the same thing, in one layer instead of two.
            return None, "same"
        if op.padding == "correct":
            height = width = None
        windows = zip(reaches(op), (height, width), strict=True)
        return tuple(padding_zeros(op.padding, reach, stride, side) for (reach, stride), side in windows), "valid"

    def _dense(self, op: Dense, name: str, shape: Shape) -> Any:
        check_activation(op.activation)
        if self.channels_first and len(shape) == 4:
            # Keras' Dense joins what stands on the last axis.
            raise BuildError(
                f"layer {name!r} is fully connected over the channels of an image, which Keras can only do where they "
                "stand last: use keras.config.set_image_data_format('channels_last').",
                received="'channels_first'",
            )
        return layers.Dense(
            op.width,
            activation=op.activation,
            use_bias=op.bias,
            kernel_initializer=self.dense_initializer,
            name=name,
        )


def check_activation(activation: ActivationFunction) -> None:
    """Raises BuildError unless Keras knows `activation`."""
    try:
        keras.activations.get(activation)
    except ValueError as error:
        raise BuildError(
            "an activation must be a name that keras.activations knows, a callable or None.",
            received=f"activation={activation!r}",
        ) from error
