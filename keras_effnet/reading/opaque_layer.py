"""Layers that the vocabulary has no word for, as `Opaque` operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_effnet.errors import BuildError, SpecError
from keras_effnet.ops import Opaque

Shape = tuple[int | None, ...]
Cells = tuple[int, int, int]

# Layers that pass on what they read when the network is not training: they have this mark, or are one of these.
_INERT = (
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.AlphaDropout,
    layers.SpatialDropout2D,
    layers.ActivityRegularization,
)
_ELEMENTWISE = (layers.ReLU, layers.LeakyReLU, layers.ELU)
# Functions of `keras.ops` that make each number of the number in its place alone.
_FUNCTIONS = frozenset(
    """
    Abs Absolute Arcsinh Arctan Cast Celu Ceil Clip Cos Elu Erf Exp Exp2 Expm1 Floor Gelu HardShrink HardSigmoid
    HardSilu HardTanh Identity LeakyRelu Log Log1p LogSigmoid Negative Power Reciprocal ReLU Relu Relu6 Round Rsqrt Selu
    Sigmoid Sign Silu Sin SoftShrink Softplus Softsign Sqrt Square SquarePlus Tanh TanhShrink Threshold
    """.split()  # noqa: SIM905 - sixty quotation marks less
)

# Keras' own layers and functions that multiply and add nothing as convolutions and dense layers do: where the
# vocabulary has no word for one of them, nothing is missing from the count.
_FREE = frozenset(
    """
    Activation Add Average AveragePooling1D AveragePooling2D BatchNormalization CenterCrop Concatenate Cropping1D
    Cropping2D Dropout ELU Embedding Flatten GlobalAveragePooling1D GlobalAveragePooling2D GlobalMaxPooling1D
    GlobalMaxPooling2D GroupNormalization LayerNormalization Masking MaxPooling1D MaxPooling2D Maximum Minimum Multiply
    Normalization Permute PReLU RMSNormalization ReLU RepeatVector Rescaling Reshape Resizing Softmax Subtract
    UnitNormalization UpSampling1D UpSampling2D ZeroPadding1D ZeroPadding2D
    Amax Amin Any All BroadcastTo Cumsum Divide ExpandDims Flip GetItem Gelu Max Mean Min Moveaxis NotEqual Equal
    Greater GreaterEqual Less LessEqual Pad Ravel Repeat Roll Slice Split Squeeze Stack Std Sum Swapaxes Tile Transpose
    TrueDivide Unstack Var Where
    """.split()  # noqa: SIM905 - eighty quotation marks less
)


def channel_axis(shape: Shape) -> int:
    """The axis of the channels: the last one, also of a vector."""
    first = keras.config.image_data_format() == "channels_first" and len(shape) == 4
    return 1 if first else len(shape) - 1


def cells_of(shape: Shape) -> Cells:
    """A shape with the batch as (height, width, channels), 0 for a side that is unknown; a vector has one cell."""
    axis = channel_axis(shape)
    sides = [side or 0 for place, side in enumerate(shape) if place not in (0, axis)]
    height, width = {0: (1, 1), 1: (sides[0] if sides else 1, 1)}.get(len(sides), tuple(sides[:2]))
    return height, width, channels_of(shape)


def channels_of(shape: Shape) -> int:
    """Number of channels of a shape with the batch; 0 if it is unknown, 1 where there is nothing but the batch."""
    return (shape[channel_axis(shape)] or 0) if len(shape) > 1 else 1


def shape_of(cells: Cells, like: Shape) -> Shape:
    """(height, width, channels) as a shape with the batch, of as many axes as `like`."""
    height, width, channels = cells
    if channel_axis(like) == 1 and len(like) == 4:
        return None, channels, height, width
    return {2: (None, channels), 3: (None, height, channels)}.get(len(like), (None, height, width, channels))


def is_code(layer: Any) -> bool:
    """Whether a layer runs code that its file holds, which is never run here."""
    return type(layer).__name__ == "Lambda"  # tests keep that class out of this package


def is_elementwise(layer: Any) -> bool:
    """Whether a layer that has no word makes each number of the number in its place alone."""
    if isinstance(layer, layers.Layer):
        return type(layer) in _ELEMENTWISE
    return type(layer).__name__ in _FUNCTIONS and type(layer).__module__.startswith("keras.")


def _is_free(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.") and type(layer).__name__ in _FREE


def opaque(layer: Any, shapes: Sequence[Shape], made: Shape) -> Opaque:
    """A layer as an operation of which only shape and size are known.

    Args:
        layer: a layer or another operation of a model.
        shapes: shapes of what it reads, with the batch.
        made: shape of its first output, with the batch.
    """

    def make(name: str) -> Any:
        if is_code(layer):
            raise BuildError(
                f"layer {layer.name!r} is a Lambda layer, whose code is never run here: write a layer of your own.",
                received=repr(layer.name),
            )
        return layer.__class__.from_config({**layer.get_config(), "name": name})

    known = tuple(cells_of(shape) for shape in shapes)

    def infer(*cells: Cells) -> Cells:
        if cells == known:
            return cells_of(made)
        return _inferred(layer, [shape_of(each, shape) for each, shape in zip(cells, shapes, strict=True)], made)

    inert = isinstance(layer, _INERT) or (isinstance(layer, layers.Layer) and type(layer).__name__.startswith("Random"))
    elementwise = len(shapes) == 1 and is_elementwise(layer)
    weights, trained = (getattr(layer, name, ()) for name in ("weights", "trainable_weights"))
    return Opaque(
        make,
        cells_of(made),
        sum(math.prod(weight.shape) for weight in weights),
        sum(math.prod(weight.shape) for weight in trained),
        inert=inert,
        elementwise=elementwise,
        infer=infer,
        counted=inert or elementwise or _is_free(layer),
    )


def _inferred(layer: Any, shapes: list[Shape], made: Shape) -> Cells:
    """What Keras says that a layer makes of tensors of other shapes; nothing is computed."""
    if is_code(layer):
        raise SpecError(
            f"what the Lambda layer {layer.name!r} makes of another size is not known, since its code is never run "
            "here: keep the resolution.",
            received=" and ".join(map(str, shapes)),
        )
    tensors = [keras.KerasTensor(shape) for shape in shapes]
    try:
        spec = layer.compute_output_spec(*tensors)
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        raise SpecError(
            f"what layer {layer.name!r} makes of another size is not known: {error} Keep the resolution.",
            received=" and ".join(map(str, shapes)),
        ) from error
    return cells_of(tuple(keras.tree.flatten(spec)[0].shape))
