"""EfficientNetV2 as `keras.applications.efficientnet_v2` has it, and the specs behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from keras_effnet.applications.builders import decode_predictions, documented
from keras_effnet.backbones.efficientnet_v2_specs import (
    efficientnet_v2_b0_spec,
    efficientnet_v2_b1_spec,
    efficientnet_v2_b2_spec,
    efficientnet_v2_b3_spec,
    efficientnet_v2_l_spec,
    efficientnet_v2_m_spec,
    efficientnet_v2_s_spec,
    efficientnet_v2_xl_spec,
    without_preprocessing,
)
from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras


class _Application(Protocol):
    def __call__(
        self,
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        include_preprocessing: bool = True,
        name: str | None = None,
    ) -> keras.Model: ...


def _application(spec: BackboneSpec, size: str) -> _Application:
    """Makes the builder of `spec` that takes the arguments of `keras.applications.EfficientNetV2<size>`."""

    def build(
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        include_preprocessing: bool = True,
        name: str | None = f"efficientnetv2-{size.lower()}",
    ) -> keras.Model:
        from keras_effnet.builder.model import build_model

        return build_model(
            spec if include_preprocessing else without_preprocessing(spec),
            include_top=include_top,
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
        )

    text = (
        "whether the model takes pixels 0 to 255 and rescales them itself. In images of other than three channels B0 "
        "to B3 standardise each channel by the mean of ImageNet's statistics, where Keras rescales to -1 to 1."
    )
    return documented(build, f"EfficientNetV2{size}", spec.resolution, include_preprocessing=text)


EfficientNetV2B0 = _application(efficientnet_v2_b0_spec, "B0")
EfficientNetV2B1 = _application(efficientnet_v2_b1_spec, "B1")
EfficientNetV2B2 = _application(efficientnet_v2_b2_spec, "B2")
EfficientNetV2B3 = _application(efficientnet_v2_b3_spec, "B3")
EfficientNetV2S = _application(efficientnet_v2_s_spec, "S")
EfficientNetV2M = _application(efficientnet_v2_m_spec, "M")
EfficientNetV2L = _application(efficientnet_v2_l_spec, "L")


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Returns `x` as it is: the model preprocesses its pixels, 0 to 255, itself. Here for symmetry with Keras."""
    return x


__all__ = [
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "decode_predictions",
    "efficientnet_v2_b0_spec",
    "efficientnet_v2_b1_spec",
    "efficientnet_v2_b2_spec",
    "efficientnet_v2_b3_spec",
    "efficientnet_v2_l_spec",
    "efficientnet_v2_m_spec",
    "efficientnet_v2_s_spec",
    "efficientnet_v2_xl_spec",
    "preprocess_input",
]
