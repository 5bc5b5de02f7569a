"""ConvNeXt Tiny to XLarge as `keras.applications.convnext` has them, and the specs behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from keras_effnet.applications.builders import decode_predictions, documented
from keras_effnet.backbones.convnext_specs import (
    Size,
    convnext_base_spec,
    convnext_large_spec,
    convnext_small_spec,
    convnext_tiny_spec,
    convnext_with,
    convnext_xlarge_spec,
)

if TYPE_CHECKING:
    import keras


class ConvNeXtBuilder(Protocol):
    """The signature of all builders, that of their namesakes in keras.applications."""

    def __call__(
        self,
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = None,
    ) -> keras.Model: ...


def _builder(size: Size, builder_name: str) -> ConvNeXtBuilder:
    def build(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = f"convnext_{size}",
    ) -> keras.Model:
        from keras_effnet.builder.model import build_model

        return build_model(
            convnext_with(size, include_preprocessing, prefix=name),
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
        )

    return documented(
        build,
        builder_name,
        convnext_tiny_spec.resolution,
        "The graph is flat and of stock layers, so that a saved model loads anywhere; Keras' own needs its custom "
        'layers.\nAs Keras\' own it wants "channels_last".',
        include_preprocessing='whether the model takes pixels of 0 to 255; else those of Keras\' "torch" mode.',
        name="of the model; layer names start with it.",
        SpecError="a name that cannot stand in a layer's name.",
    )


ConvNeXtTiny = _builder("tiny", "ConvNeXtTiny")
ConvNeXtSmall = _builder("small", "ConvNeXtSmall")
ConvNeXtBase = _builder("base", "ConvNeXtBase")
ConvNeXtLarge = _builder("large", "ConvNeXtLarge")
ConvNeXtXLarge = _builder("xlarge", "ConvNeXtXLarge")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x` as it is: the model preprocesses its pixels, 0 to 255, itself. Here for symmetry with Keras."""
    return x


__all__ = [
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "convnext_base_spec",
    "convnext_large_spec",
    "convnext_small_spec",
    "convnext_tiny_spec",
    "convnext_with",
    "convnext_xlarge_spec",
    "decode_predictions",
    "preprocess_input",
]
