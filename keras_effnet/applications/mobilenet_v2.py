"""MobileNetV2 as `keras.applications.mobilenet_v2` has it, and the spec behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keras_effnet.applications.builders import decode_predictions, mobile_resolution, tf_pixels
from keras_effnet.backbones.mobilenet_v2_specs import RESOLUTIONS, mobilenet_v2_spec, mobilenet_v2_with

if TYPE_CHECKING:
    import keras


def MobileNetV2(  # noqa: N802 - named after its namesake in keras.applications
    input_shape: tuple[int | None, ...] | None = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """Builds MobileNetV2 as `keras.applications.MobileNetV2` does.

    Args:
        input_shape: of one image; (224, 224, 3) by default.
        alpha: width multiplier, above 0; 0.35, 0.5, 0.75, 1, 1.3 or 1.4 with ImageNet weights.
        include_top: whether the classifier follows the features.
        weights: None (random), "imagenet" (Keras' own file), or the path of a weight file.
        input_tensor: a Keras tensor to build upon.
        pooling: without top: None, "avg" or "max".
        classes: of the classifier; 1000 with ImageNet weights and top.
        classifier_activation: on the class scores; None gives logits.
        name: of the model; "mobilenetv2_1.00_224" and so on by default.

    Returns:
        A keras.Model.

    Raises:
        BuildError: an argument that no model can be built from.
        SpecError: an alpha outside its range.
        WeightsError: weights that are missing, broken or of another architecture.

    Example:
        >>> model = MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None)
        >>> model.name
        'mobilenetv2_0.35_96'
    """
    from keras_effnet.builder.model import build_model

    resolution = mobile_resolution(input_shape, input_tensor, weights, RESOLUTIONS)
    return build_model(
        replace(mobilenet_v2_with(alpha), resolution=resolution),
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=f"mobilenetv2_{alpha:0.2f}_{resolution}" if name is None else name,
    )


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Pixels 0 to 255 to -1 to 1: Keras' "tf" mode.

    Args:
        x: a numpy array or tensor of one image or a batch; an array of floats may be changed in place.
        data_format: "channels_first" or "channels_last"; Keras' default.

    Returns:
        The preprocessed pixels.
    """
    return tf_pixels(x, data_format)


__all__ = ["MobileNetV2", "decode_predictions", "mobilenet_v2_spec", "mobilenet_v2_with", "preprocess_input"]
