"""Builders of families whose namesakes in keras.applications have arguments of their own: ConvNeXt, EfficientNetV2 and
the MobileNets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from keras_effnet.applications.builders import documented
from keras_effnet.backbones.convnext_specs import Size as ConvNeXtSize
from keras_effnet.backbones.convnext_specs import convnext_with
from keras_effnet.backbones.efficientnet_v2_specs import without_preprocessing
from keras_effnet.backbones.mobilenet_specs import RESOLUTIONS as MOBILENET_RESOLUTIONS
from keras_effnet.backbones.mobilenet_specs import mobilenet_v1_with
from keras_effnet.backbones.mobilenet_v2_specs import RESOLUTIONS as MOBILENET_V2_RESOLUTIONS
from keras_effnet.backbones.mobilenet_v2_specs import mobilenet_v2_with
from keras_effnet.backbones.mobilenet_v3_specs import Size, mobilenet_v3_with
from keras_effnet.spec import BackboneSpec

if TYPE_CHECKING:
    import keras

logger = logging.getLogger(__name__)


class ConvNeXtApplication(Protocol):
    """The signature of the ConvNeXt builders in keras.applications."""

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


def convnext_application(spec: BackboneSpec, name: str, module: str) -> ConvNeXtApplication:
    """Makes the builder of a ConvNeXt; arguments as those of `builders.application`."""
    size: ConvNeXtSize = spec.name.removeprefix("convnext_")  # pyright: ignore[reportAssignmentType]

    def build(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        name: str | None = spec.name,
    ) -> keras.Model:
        from keras_effnet import build_model

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
        name,
        module,
        spec.resolution,
        "The graph is flat and made of stock layers, so that a saved model loads anywhere; Keras' own needs\n"
        'custom layers. Like Keras\' own it needs "channels_last".',
        include_preprocessing='whether the model takes pixels from 0 to 255; else as Keras\' "torch" mode leaves them.',
        name="name of the model; layer names start with it.",
        SpecError="the name cannot stand in a layer's name.",
    )


class EfficientNetV2Application(Protocol):
    """The signature of the EfficientNetV2 builders in keras.applications."""

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


def efficientnet_v2_application(spec: BackboneSpec, name: str, module: str) -> EfficientNetV2Application:
    """Makes the builder of an EfficientNetV2; arguments as those of `builders.application`."""
    model_name = f"efficientnetv2-{spec.name.removeprefix('efficientnet_v2_')}"

    def build(
        include_top: bool = True,
        weights: str | None = "imagenet",
        input_tensor: Any = None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: str | Callable[..., Any] | None = "softmax",
        include_preprocessing: bool = True,
        name: str | None = model_name,
    ) -> keras.Model:
        from keras_effnet import build_model

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
        "whether the model takes pixels from 0 to 255 and rescales them. For images of other than three channels B0 "
        " to B3 standardise each channel by the mean of ImageNet's statistics, where Keras rescales to -1 to 1."
    )
    return documented(build, name, module, spec.resolution, include_preprocessing=text)


class MobileNetV3Application(Protocol):
    """The signature of the MobileNetV3 builders in keras.applications."""

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


def mobilenet_v3_application(spec: BackboneSpec, name: str, module: str) -> MobileNetV3Application:
    """Makes the builder of a MobileNetV3; arguments as those of `builders.application`."""
    size: Size = "large" if spec.name.endswith("large") else "small"
    model_name = name

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
        name: str | None = model_name,
    ) -> keras.Model:
        from keras_effnet import build_model

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
        name,
        module,
        spec.resolution,
        alpha="width multiplier, above 0; 0.75 or 1 with ImageNet weights.",
        minimalistic="whether to leave out squeeze-and-excitation, hard swish and 5x5 kernels; alpha must be 1 with "
        "ImageNet weights.",
        dropout_rate="dropout rate of the classifier, in [0, 1).",
        include_preprocessing="whether the model takes pixels from 0 to 255; if not, from -1 to 1.",
        SpecError="an alpha or a dropout rate outside its range.",
    )


def MobileNet(  # noqa: N802 - named after its namesake in keras.applications
    input_shape: tuple[int | None, ...] | None = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | Callable[..., Any] | None = "softmax",
    name: str | None = None,
) -> keras.Model:
    """Builds MobileNet as `keras.applications.MobileNet` does.

    Args:
        input_shape: shape of one image; None for (224, 224, 3).
        alpha: width multiplier, above 0; 0.25, 0.5, 0.75 or 1 with ImageNet weights.
        depth_multiplier: number of depthwise filters for each channel, at least 1; 1 with ImageNet weights.
        dropout: dropout rate of the classifier, in [0, 1).
        include_top: whether the classifier follows the features.
        weights: None (random), "imagenet" (Keras' own file), or the path of a weight file.
        input_tensor: Keras tensor to build upon; None makes a new input.
        pooling: pooling of the features without top: None, "avg" or "max".
        classes: number of classes, at least 1; 1000 with ImageNet weights and top.
        classifier_activation: activation of the class scores; None gives logits.
        name: name of the model; None for "mobilenet_1.00_224" and so on.

    Returns:
        A keras.Model.

    Raises:
        BuildError: no model can be built from these arguments.
        SpecError: an alpha, a multiplier or a dropout rate outside its range.
        WeightsError: the weights are missing, broken, or of another architecture.

    Example:
        >>> model = MobileNet(input_shape=(128, 128, 3), alpha=0.25, weights=None)
        >>> model.name
        'mobilenet_0.25_128'
    """
    from keras_effnet import build_model

    resolution = mobile_resolution(input_shape, input_tensor, weights, MOBILENET_RESOLUTIONS)
    return build_model(
        replace(mobilenet_v1_with(alpha, depth_multiplier, dropout), resolution=resolution),
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=f"mobilenet_{alpha:0.2f}_{resolution}" if name is None else name,
    )


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
        input_shape: shape of one image; None for (224, 224, 3).
        alpha: width multiplier, above 0; 0.35, 0.5, 0.75, 1, 1.3 or 1.4 with ImageNet weights.
        include_top: whether the classifier follows the features.
        weights: None (random), "imagenet" (Keras' own file), or the path of a weight file.
        input_tensor: Keras tensor to build upon; None makes a new input.
        pooling: pooling of the features without top: None, "avg" or "max".
        classes: number of classes, at least 1; 1000 with ImageNet weights and top.
        classifier_activation: activation of the class scores; None gives logits.
        name: name of the model; None for "mobilenetv2_1.00_224" and so on.

    Returns:
        A keras.Model.

    Raises:
        BuildError: no model can be built from these arguments.
        SpecError: an alpha outside its range.
        WeightsError: the weights are missing, broken, or of another architecture.

    Example:
        >>> model = MobileNetV2(input_shape=(96, 96, 3), alpha=0.35, weights=None)
        >>> model.name
        'mobilenetv2_0.35_96'
    """
    from keras_effnet import build_model

    resolution = mobile_resolution(input_shape, input_tensor, weights, MOBILENET_V2_RESOLUTIONS)
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


def mobile_resolution(
    input_shape: Any, input_tensor: Any, weights: Any, published: Collection[int], default: int = 224
) -> int:
    """The resolution whose ImageNet weights suit the input: its own if weights were trained at it, else the default.

    This is Keras' rule for MobileNet and MobileNetV2, which have a weight file for each of several resolutions.

    Args:
        input_shape: shape of one image, or None.
        input_tensor: Keras tensor, or None; read if there is no shape.
        weights: the builder's argument; with "imagenet", an input that no weights were trained for is logged.
        published: resolutions with weights, in pixels.
        default: resolution of every other input, in pixels.
    """
    import keras

    if input_shape is None and input_tensor is not None:
        input_shape = tuple(input_tensor.shape)[1:]
    if input_shape is None or len(input_shape) != 3:
        return default
    first = keras.config.image_data_format() == "channels_first"
    height, width = input_shape[1:] if first else input_shape[:2]
    if height == width and height in published:
        return height
    if weights == "imagenet":
        logger.warning(
            "no ImageNet weights were trained on images of %s x %s: those for %d are used", height, width, default
        )
    return default
