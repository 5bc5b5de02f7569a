"""MobileNetV3 Small and Large as `keras.applications.mobilenet_v3` has them, and the specs behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from keras_effnet.applications.builders import decode_predictions, documented
from keras_effnet.backbones.mobilenet_v3_specs import (
    Size,
    mobilenet_v3_large_minimalistic_spec,
    mobilenet_v3_large_spec,
    mobilenet_v3_small_minimalistic_spec,
    mobilenet_v3_small_spec,
    mobilenet_v3_with,
)

if TYPE_CHECKING:
    import keras


class MobileNetV3Builder(Protocol):
    """The signature of both builders, that of their namesakes in keras.applications."""

    def __call__(
        self,
        input_shape: tuple[int | None, ...] | None = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        include_preprocessing: bool = True,
        name: str | None = None,
    ) -> keras.Model: ...


def _builder(size: Size, builder_name: str) -> MobileNetV3Builder:
    def build(
        input_shape: tuple[int | None, ...] | None = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        include_preprocessing: bool = True,
        name: str | None = builder_name,
    ) -> keras.Model:
        from keras_effnet.builder.model import build_model

        return build_model(
            mobilenet_v3_with(size, alpha, minimalistic, dropout_rate, include_preprocessing),
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
        mobilenet_v3_small_spec.resolution,
        alpha="width multiplier, above 0; 0.75 or 1 with ImageNet weights.",
        minimalistic="without squeeze-and-excitation, hard swish and 5x5 kernels; with ImageNet weights for alpha 1.",
        dropout_rate="of the classifier, in [0, 1).",
        include_preprocessing="whether the model takes pixels of 0 to 255, not of -1 to 1.",
        SpecError="an alpha or a dropout rate outside its range.",
    )


MobileNetV3Small = _builder("small", "MobileNetV3Small")
MobileNetV3Large = _builder("large", "MobileNetV3Large")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x` as it is: the model preprocesses its pixels, 0 to 255, itself. Here for symmetry with Keras."""
    return x


__all__ = [
    "MobileNetV3Large",
    "MobileNetV3Small",
    "decode_predictions",
    "mobilenet_v3_large_minimalistic_spec",
    "mobilenet_v3_large_spec",
    "mobilenet_v3_small_minimalistic_spec",
    "mobilenet_v3_small_spec",
    "mobilenet_v3_with",
    "preprocess_input",
]
